/* event_file.c - records of the layout in event_file.h, protobuf fields by hand. */
#include "base/event_file.h"
#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fb_event_file {
    FILE *stream;
    char path[4096];
};

uint32_t fb_crc32c(const void *bytes, size_t size_bytes)
{
    /* Of the 16 values of half a byte, polynomial 0x82f63b78. */
    static const uint32_t table[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
                                       0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
                                       0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                       0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
    const uint8_t *p = bytes;
    uint32_t crc = ~(uint32_t)0;
    for (size_t i = 0; i < size_bytes; i++) {
        crc ^= p[i];
        crc = (crc >> 4) ^ table[crc & 15];
        crc = (crc >> 4) ^ table[crc & 15];
    }
    return ~crc;
}

static uint32_t masked_crc(const void *bytes, size_t size)
{
    uint32_t crc = fb_crc32c(bytes, size);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

static size_t put_fixed(uint8_t *out, uint64_t value, int size)
{
    for (int i = 0; i < size; i++)
        out[i] = (uint8_t)(value >> (8 * i));
    return (size_t)size;
}

static size_t put_varint(uint8_t *out, uint64_t value)
{
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        out[n++] = (uint8_t)(value | 0x80);
    out[n++] = (uint8_t)value;
    return n;
}

static size_t put_bytes(uint8_t *out, uint8_t field, const void *bytes, size_t size)
{
    size_t n = 0;
    out[n++] = field;
    n += put_varint(out + n, size);
    memcpy(out + n, bytes, size);
    return n + size;
}

static size_t put_wall_time(uint8_t *out, double wall_s)
{
    uint64_t bits;
    memcpy(&bits, &wall_s, sizeof bits);
    out[0] = 0x09; /* field 1, fixed64 */
    return 1 + put_fixed(out + 1, bits, 8);
}

/* length, its crc, bytes, their crc; out and bytes may not overlap. */
static size_t put_record(uint8_t *out, const uint8_t *bytes, size_t size)
{
    size_t n = put_fixed(out, size, 8);
    n += put_fixed(out + n, masked_crc(out, 8), 4);
    memcpy(out + n, bytes, size);
    n += size;
    return n + put_fixed(out + n, masked_crc(bytes, size), 4);
}

size_t fb_event_record_version(uint8_t out[FB_EVENT_RECORD_BYTES], double wall_s)
{
    static const char version[] = "brain.Event:2";
    uint8_t event[64];
    size_t n = put_wall_time(event, wall_s);
    n += put_bytes(event + n, 0x1a, version, sizeof version - 1); /* field 3 */
    return put_record(out, event, n);
}

size_t fb_event_record_scalar(uint8_t out[FB_EVENT_RECORD_BYTES], double wall_s,
                              const char *tag, int64_t step, float scalar)
{
    uint8_t value[FB_EVENT_TAG_BYTES + 16], summary[FB_EVENT_TAG_BYTES + 32];
    uint8_t event[FB_EVENT_TAG_BYTES + 96];
    size_t tag_size = strlen(tag);
    if (tag_size > FB_EVENT_TAG_BYTES)
        return 0;
    uint32_t bits;
    memcpy(&bits, &scalar, sizeof bits);
    size_t value_size = put_bytes(value, 0x0a, tag, tag_size); /* field 1 */
    value[value_size++] = 0x15;                                /* field 2, fixed32 */
    value_size += put_fixed(value + value_size, bits, 4);
    size_t summary_size = put_bytes(summary, 0x0a, value, value_size);
    size_t n = put_wall_time(event, wall_s);
    event[n++] = 0x10; /* field 2, varint */
    n += put_varint(event + n, (uint64_t)step);
    n += put_bytes(event + n, 0x2a, summary, summary_size); /* field 5 */
    return put_record(out, event, n);
}

static fb_status write_record(fb_context *ctx, fb_event_file *file,
                              const uint8_t *record, size_t size)
{
    if (fwrite(record, 1, size, file->stream) != size)
        return fb_fail(ctx, FB_E_IO, "%s: cannot write: %s", file->path,
                       strerror(errno));
    return FB_OK;
}

/* Two files of one process within a second get different seconds in their names. */
static fb_status open_new(fb_context *ctx, fb_event_file *file, const char *folder)
{
    long long second = (long long)fb_clock_wall_s();
    for (int attempt = 0; attempt < 1000 && !file->stream; attempt++) {
        char name[96];
        snprintf(name, sizeof name, "events.out.tfevents.%lld.%ld.fashionbert",
                 second + attempt, (long)getpid());
        FB_TRY(fb_path_join(ctx, file->path, folder, name));
        file->stream = fopen(file->path, "wbxe");
        if (!file->stream && errno != EEXIST)
            break;
    }
    if (!file->stream)
        return fb_fail(ctx, FB_E_IO, "%s: cannot create: %s", file->path,
                       strerror(errno));
    return FB_OK;
}

fb_status fb_event_file_open(fb_context *ctx, fb_event_file **file, const char *folder)
{
    fb_event_file *f = calloc(1, sizeof *f);
    if (!f)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for an event file");
    uint8_t record[FB_EVENT_RECORD_BYTES];
    fb_status status = open_new(ctx, f, folder);
    if (status == FB_OK)
        status = write_record(ctx, f, record,
                              fb_event_record_version(record, fb_clock_wall_s()));
    if (status == FB_OK)
        status = fb_event_file_flush(ctx, f);
    if (status != FB_OK) {
        if (f->stream)
            (void)unlink(f->path);
        fb_event_file_close(f);
        return status;
    }
    *file = f;
    return FB_OK;
}

fb_status fb_event_file_scalar(fb_context *ctx, fb_event_file *file, const char *tag,
                               int64_t step, float value)
{
    uint8_t record[FB_EVENT_RECORD_BYTES];
    size_t size = fb_event_record_scalar(record, fb_clock_wall_s(), tag, step, value);
    if (size == 0)
        return fb_fail(ctx, FB_E_LIMIT, "event tag %.32s... is longer than %d bytes",
                       tag, FB_EVENT_TAG_BYTES);
    return write_record(ctx, file, record, size);
}

fb_status fb_event_file_flush(fb_context *ctx, fb_event_file *file)
{
    if (fflush(file->stream) != 0 || ferror(file->stream))
        return fb_fail(ctx, FB_E_IO, "%s: cannot write: %s", file->path,
                       strerror(errno));
    return FB_OK;
}

void fb_event_file_close(fb_event_file *file)
{
    if (!file)
        return;
    if (file->stream)
        (void)fclose(file->stream);
    free(file);
}
