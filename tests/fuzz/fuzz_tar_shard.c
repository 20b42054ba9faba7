/* fuzz_tar_shard.c - any bytes as a tar archive. Samples keep their promises, failures
 * say why, and the end comes. The first byte, taken off, says what is done with the
 * rest: bit 0 mends the checksum of every 512-byte block that could be a header. */
#include "base/file.h"
#include "data/import/tar_shard.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mend(uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at + 512 <= size; at += 512) {
        uint8_t *block = bytes + at;
        unsigned sum = 0;
        char digits[8];
        if (!block[0])
            continue;
        memset(block + 148, ' ', 8);
        for (int i = 0; i < 512; i++)
            sum += block[i];
        snprintf(digits, sizeof digits, "%06o", sum);
        memcpy(block + 148, digits, 7);
    }
}

static void check(const fb_tar_sample *s)
{
    size_t length = strlen(s->key);
    if (!length || !fb_path_is_inside(s->key) ||
        (s->image && strncmp(s->image_name, s->key, length) != 0))
        abort();
    if ((s->image && s->image[s->image_bytes]) || (s->json && s->json[s->json_bytes]) ||
        (s->text && s->text[s->text_bytes]))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct fb_context ctx = {0};
    fb_tar_shard *shard = NULL;
    fb_passed_over passed = {0};
    uint8_t *bytes = malloc(size);
    if (!bytes)
        return 0;
    memcpy(bytes, data + 1, size - 1);
    if (data[0] & 1)
        mend(bytes, size - 1);
    if (fb_tar_shard_open_bytes(&ctx, &shard, "s.tar", bytes, size - 1, &passed) !=
        FB_OK) {
        if (!ctx.message[0])
            abort();
        free(bytes);
        return 0;
    }
    for (size_t calls = 0;; calls++) {
        fb_tar_sample sample = {0};
        bool more = false;
        fb_status status = fb_tar_shard_next(&ctx, shard, &sample, &more);
        if ((status != FB_OK && (more || !ctx.message[0])) || calls > size + 8)
            abort();
        if (more)
            check(&sample);
        fb_tar_sample_clear(&sample);
        if (status == FB_OK && !more)
            break;
    }
    fb_tar_shard_close(shard);
    free(bytes);
    return 0;
}
