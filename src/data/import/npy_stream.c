/* npy_stream.c - see npy_stream.h. A .npz is streamed too: its members may be larger
 * than memory. */
#include "data/import/npy_stream.h"
#include "data/import/archive_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER_BYTES = 1 << 16 };
#define COUNT_MAX ((int64_t)1 << 48)

struct fb_npy_stream {
    fb_archive_stream *stream;
    fb_npy_shape header;
    int64_t done;
    char name[4096 + 256];
    uint8_t buffer[BUFFER_BYTES];
};

/* ---- header ------------------------------------------------------------------------
 */

/* The text behind 'key': and blanks, NULL when the key is not there. */
static const char *find_key(const char *text, const char *key)
{
    char quoted[32];
    for (int i = 0; i < 2; i++) {
        char quote = i ? '"' : '\'';
        snprintf(quoted, sizeof quoted, "%c%s%c", quote, key, quote);
        const char *at = strstr(text, quoted);
        if (!at)
            continue;
        at += strlen(quoted);
        at += strspn(at, " \t");
        if (*at != ':')
            return NULL;
        return at + 1 + strspn(at + 1, " \t");
    }
    return NULL;
}

static fb_status read_type(fb_context *ctx, const char *name, const char *at,
                           fb_npy_shape *h)
{
    static const char *const known[] = {"<f4", "<f8", "|i1", "|u1", "<i2",
                                        "<u2", "<i4", "<u4", "<i8"};
    size_t length = *at == '\'' || *at == '"' ? strcspn(at + 1, "'\"") : 0;
    if (length == 0)
        return fb_fail(ctx, FB_E_DTYPE,
                       "%s: its numbers are of a compound type; \"<f4\" is right",
                       name);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (length == 3 && strncmp(at + 1, known[i], 3) == 0) {
            memcpy(h->type, known[i], 4);
            h->number_bytes = known[i][2] - '0';
            return FB_OK;
        }
    return fb_fail(ctx, FB_E_DTYPE,
                   "%s: its numbers are \"%.*s\"; \"<f4\" or \"<f8\" is right "
                   "(numpy: array.astype(\"<f4\"))",
                   name, (int)(length > 16 ? 16 : length), at + 1);
}

static fb_status read_order(fb_context *ctx, const char *name, const char *at)
{
    if (strncmp(at, "False", 5) == 0)
        return FB_OK;
    if (strncmp(at, "True", 4) == 0)
        return fb_fail(ctx, FB_E_DTYPE,
                       "%s: in Fortran's order; C's is right (numpy: "
                       "numpy.ascontiguousarray(array))",
                       name);
    return fb_fail(ctx, FB_E_FORMAT,
                   "%s: a header with a fortran_order of neither "
                   "True nor False",
                   name);
}

static fb_status read_shape(fb_context *ctx, const char *name, const char *at,
                            fb_npy_shape *h)
{
    h->count = 1;
    h->rank = 0;
    if (*at++ != '(')
        return fb_fail(ctx, FB_E_FORMAT, "%s: a header whose shape is none", name);
    for (;;) {
        at += strspn(at, " ,");
        if (*at == ')')
            return FB_OK;
        size_t digits = strspn(at, "0123456789");
        if (digits == 0 || digits > 15)
            return fb_fail(ctx, FB_E_FORMAT, "%s: a header whose shape is none", name);
        if (h->rank == FB_NPY_DIMS)
            return fb_fail(ctx, FB_E_LIMIT, "%s: more than %d dimensions", name,
                           FB_NPY_DIMS);
        int64_t dim = strtoll(at, NULL, 10);
        if (dim && h->count > COUNT_MAX / dim)
            return fb_fail(ctx, FB_E_LIMIT, "%s: more numbers than any machine holds",
                           name);
        h->dim[h->rank++] = dim;
        h->count *= dim;
        at += digits;
    }
}

fb_status fb_npy_shape_parse(fb_context *ctx, const char *name, const char *text,
                             size_t size, fb_npy_shape *header)
{
    fb_npy_shape h = {.rank = 0};
    char *copy = size <= FB_NPY_SHAPE_BYTES_MAX ? malloc(size + 1) : NULL;
    if (!copy)
        return fb_fail(ctx, size <= FB_NPY_SHAPE_BYTES_MAX ? FB_E_MEMORY : FB_E_LIMIT,
                       "%s: a header of %zu bytes", name, size);
    memcpy(copy, text, size);
    copy[size] = 0;
    const char *type = find_key(copy, "descr"), *shape = find_key(copy, "shape");
    const char *order = find_key(copy, "fortran_order");
    fb_status status = FB_OK;
    if (!type || !shape || !order)
        status = fb_fail(ctx, FB_E_FORMAT,
                         "%s: a header without descr, fortran_order and shape", name);
    if (status == FB_OK)
        status = read_type(ctx, name, type, &h);
    if (status == FB_OK)
        status = read_order(ctx, name, order);
    if (status == FB_OK)
        status = read_shape(ctx, name, shape, &h);
    free(copy);
    if (status == FB_OK)
        *header = h;
    return status;
}

/* ---- reading -----------------------------------------------------------------------
 */

/* All of bytes [size]; fails where the file ends before. */
static fb_status read_exactly(fb_context *ctx, fb_npy_stream *n, uint8_t *bytes,
                              size_t size, const char *what)
{
    size_t used = 0, got = 0;
    do {
        FB_TRY(fb_archive_stream_read(ctx, n->stream, bytes + used, size - used, &got));
        used += got;
    } while (used < size && got > 0);
    if (used < size)
        return fb_fail(ctx, FB_E_FORMAT, "%s: ends in its %s", n->name, what);
    return FB_OK;
}

static fb_status read_header(fb_context *ctx, fb_npy_stream *n)
{
    uint8_t start[12];
    FB_TRY(read_exactly(ctx, n, start, 10, "header"));
    if (memcmp(start, "\x93NUMPY", 6) != 0)
        return fb_fail(ctx, FB_E_FORMAT, "%s: not an array of numpy", n->name);
    size_t size = start[8] | (size_t)start[9] << 8;
    if (start[6] == 2 || start[6] == 3) {
        FB_TRY(read_exactly(ctx, n, start + 10, 2, "header"));
        size |= (size_t)start[10] << 16 | (size_t)start[11] << 24;
    } else if (start[6] != 1) {
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: version %d of numpy's format, 1 to 3 are "
                       "read",
                       n->name, start[6]);
    }
    if (size > BUFFER_BYTES)
        return fb_fail(ctx, FB_E_LIMIT, "%s: a header of %zu bytes", n->name, size);
    FB_TRY(read_exactly(ctx, n, n->buffer, size, "header"));
    return fb_npy_shape_parse(ctx, n->name, (const char *)n->buffer, size, &n->header);
}

/* On to the member; FB_E_MISSING. */
static fb_status find_member(fb_context *ctx, fb_npy_stream *n, const char *path,
                             const char *member)
{
    char wanted[256];
    const char *name = NULL;
    snprintf(wanted, sizeof wanted, "%s.npy", member ? member : "");
    do {
        FB_TRY(fb_archive_stream_next(ctx, n->stream, &name));
    } while (member && name && strcmp(name, wanted) != 0);
    if (!name)
        return fb_fail(ctx, member ? FB_E_MISSING : FB_E_FORMAT, "%s: %s%s", path,
                       member ? "has no array " : "an empty file",
                       member ? member : "");
    return read_header(ctx, n);
}

static fb_status create(fb_context *ctx, fb_npy_stream **npy, const char *path,
                        const char *member)
{
    fb_npy_stream *n = malloc(sizeof *n);
    if (!n)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", path);
    n->stream = NULL;
    n->done = 0;
    snprintf(n->name, sizeof n->name, "%.4095s%s%.200s", path, member ? ": " : "",
             member ? member : "");
    *npy = n;
    return FB_OK;
}

fb_status fb_npy_stream_open(fb_context *ctx, fb_npy_stream **npy, const char *path,
                             const char *member)
{
    fb_npy_stream *n = NULL;
    FB_TRY(create(ctx, &n, path, member));
    fb_status status = fb_archive_stream_open(
        ctx, &n->stream, path, member ? FB_ARCHIVE_ZIP : FB_ARCHIVE_FILE);
    if (status == FB_OK)
        status = find_member(ctx, n, path, member);
    if (status == FB_OK)
        *npy = n;
    else
        fb_npy_stream_close(n);
    return status;
}

fb_status fb_npy_stream_open_bytes(fb_context *ctx, fb_npy_stream **npy,
                                   const char *name, const uint8_t *bytes,
                                   size_t size_bytes)
{
    fb_npy_stream *n = NULL;
    FB_TRY(create(ctx, &n, name, NULL));
    fb_status status = fb_archive_stream_open_bytes(ctx, &n->stream, name, bytes,
                                                    size_bytes, FB_ARCHIVE_FILE);
    if (status == FB_OK)
        status = find_member(ctx, n, name, NULL);
    if (status == FB_OK)
        *npy = n;
    else
        fb_npy_stream_close(n);
    return status;
}

void fb_npy_stream_close(fb_npy_stream *npy)
{
    if (!npy)
        return;
    fb_archive_stream_close(npy->stream);
    free(npy);
}

const fb_npy_shape *fb_npy_stream_shape(const fb_npy_stream *npy)
{
    return &npy->header;
}

/* Little-endian bytes to a number. */
static float number_of(const char *type, const uint8_t *bytes)
{
    uint64_t bits = 0;
    int size = type[2] - '0';
    for (int i = 0; i < size; i++)
        bits |= (uint64_t)bytes[i] << (8 * i);
    if (type[1] == 'f' && size == 4) {
        uint32_t half = (uint32_t)bits;
        float f;
        memcpy(&f, &half, sizeof f);
        return f;
    }
    if (type[1] == 'f') {
        double d;
        memcpy(&d, &bits, sizeof d);
        return (float)d;
    }
    if (type[1] == 'i' && size < 8 && bits >> (8 * size - 1))
        bits |= ~(uint64_t)0 << (8 * size);
    return type[1] == 'i' ? (float)(int64_t)bits : (float)bits;
}

fb_status fb_npy_stream_read(fb_context *ctx, fb_npy_stream *n, float *numbers,
                             int64_t count)
{
    size_t each = (size_t)n->header.number_bytes;
    int64_t at_once = (int64_t)(sizeof n->buffer / each);
    if (count > n->header.count - n->done)
        return fb_fail(ctx, FB_E_FORMAT, "%s: ends in its numbers", n->name);
    n->done += count;
    while (count > 0) {
        int64_t now = count < at_once ? count : at_once;
        FB_TRY(read_exactly(ctx, n, n->buffer, (size_t)now * each, "numbers"));
        if (strcmp(n->header.type, "<f4") == 0)
            memcpy(numbers, n->buffer, (size_t)now * each);
        else
            for (int64_t i = 0; i < now; i++)
                numbers[i] = number_of(n->header.type, n->buffer + (size_t)i * each);
        numbers += now;
        count -= now;
    }
    return FB_OK;
}

fb_status fb_npy_stream_finish(fb_context *ctx, fb_npy_stream *n)
{
    size_t got = 0;
    FB_TRY(fb_archive_stream_read(ctx, n->stream, n->buffer, 1, &got));
    if (got || n->done != n->header.count)
        return fb_fail(ctx, FB_E_FORMAT, "%s: %s", n->name,
                       got ? "more bytes than its shape says"
                           : "numbers were left unread");
    return FB_OK;
}

fb_status fb_npz_find(fb_context *ctx, const char *path, const char *const *names,
                      int32_t count, int32_t *found)
{
    fb_archive_stream *stream = NULL;
    const char *member = NULL;
    *found = -1;
    FB_TRY(fb_archive_stream_open(ctx, &stream, path, FB_ARCHIVE_ZIP));
    fb_status status;
    while ((status = fb_archive_stream_next(ctx, stream, &member)) == FB_OK && member) {
        size_t length = strlen(member);
        for (int32_t i = 0; i < count; i++)
            if (length == strlen(names[i]) + 4 &&
                strncmp(member, names[i], length - 4) == 0 &&
                strcmp(member + length - 4, ".npy") == 0 && (*found < 0 || i < *found))
                *found = i;
    }
    fb_archive_stream_close(stream);
    return status;
}
