/* npy.c - see npy.h. The header is a Python literal; what NumPy and its like write of
 * it is read: three keys in any order, plain values. */
#include "retrieval/index/npy.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

static const char magic[6] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};

enum { HEADER_MOST = 65536 };
static const int64_t dim_most = INT64_C(1) << 40;

/* ---- the literal ---------------------------------------------------------------- */

typedef struct cursor {
    const char *at, *end;
} cursor;

static void skip_space(cursor *c)
{
    while (c->at < c->end && isspace((unsigned char)*c->at))
        c->at++;
}

static bool take(cursor *c, char wanted)
{
    skip_space(c);
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

static bool take_word(cursor *c, const char *word)
{
    size_t length = strlen(word);
    skip_space(c);
    if ((size_t)(c->end - c->at) < length || memcmp(c->at, word, length) != 0)
        return false;
    c->at += length;
    return true;
}

static bool take_string(cursor *c, char *out, size_t room)
{
    skip_space(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"'))
        return false;
    char quote = *c->at++;
    size_t n = 0;
    while (c->at < c->end && *c->at != quote) {
        if (n + 1 >= room)
            return false;
        out[n++] = *c->at++;
    }
    out[n] = 0;
    return take(c, quote);
}

static bool take_number(cursor *c, int64_t *out)
{
    skip_space(c);
    const char *start = c->at;
    int64_t value = 0;
    while (c->at < c->end && isdigit((unsigned char)*c->at)) {
        value = value * 10 + (*c->at++ - '0');
        if (value > dim_most)
            return false;
    }
    *out = value;
    return c->at > start;
}

static bool take_shape(cursor *c, fb_npy *npy)
{
    if (!take(c, '('))
        return false;
    npy->rank = 0;
    while (!take(c, ')')) {
        if (npy->rank == FB_NPY_RANK || !take_number(c, &npy->dims[npy->rank++]))
            return false;
        if (!take(c, ','))
            return take(c, ')');
    }
    return true;
}

static bool take_entries(cursor *c, fb_npy *npy, bool *fortran)
{
    char key[24];
    bool has_descr = false, has_order = false, has_shape = false;
    if (!take(c, '{'))
        return false;
    while (!take(c, '}')) {
        if (!take_string(c, key, sizeof key) || !take(c, ':'))
            return false;
        if (strcmp(key, "descr") == 0) {
            has_descr = take_string(c, npy->descr, sizeof npy->descr);
        } else if (strcmp(key, "fortran_order") == 0) {
            *fortran = take_word(c, "True");
            has_order = *fortran || take_word(c, "False");
        } else if (strcmp(key, "shape") == 0) {
            has_shape = take_shape(c, npy);
        } else {
            return false;
        }
        if (!take(c, ',')) {
            if (!take(c, '}'))
                return false;
            break;
        }
    }
    return has_descr && has_order && has_shape;
}

/* ---- the frame ------------------------------------------------------------------ */

static fb_status fail(fb_context *ctx, const char *name, const char *what)
{
    return fb_fail(ctx, FB_E_FORMAT, "%s: %s", name, what);
}

/* Bytes of one number, 0: none that we read. */
static size_t item_bytes(const char *descr)
{
    bool order = descr[0] == '<' || descr[0] == '|';
    bool kind = descr[0] && descr[1] && strchr("fiu", descr[1]);
    if (!order || !kind || descr[3] != 0 || !strchr("1248", descr[2]) || !descr[2])
        return 0;
    return (size_t)(descr[2] - '0');
}

static fb_status check_size(fb_context *ctx, fb_npy *npy, const char *name,
                            size_t size_bytes)
{
    uint64_t count = 1, most = UINT64_C(1) << 50;
    for (int32_t i = 0; i < npy->rank; i++) {
        uint64_t dim = (uint64_t)npy->dims[i];
        if (dim > 0 && count > most / dim)
            return fail(ctx, name, "its shape is out of range");
        count *= dim;
    }
    npy->data_bytes = (size_t)count * npy->item_bytes;
    if (size_bytes - npy->data_at != npy->data_bytes)
        return fb_fail(ctx, FB_E_FORMAT, "%s: %zu bytes of numbers, its shape says %zu",
                       name, size_bytes - npy->data_at, npy->data_bytes);
    return FB_OK;
}

fb_status fb_npy_parse(fb_context *ctx, fb_npy *npy, const char *name,
                       const uint8_t *bytes, size_t size_bytes)
{
    if (size_bytes < 10 || memcmp(bytes, magic, sizeof magic) != 0)
        return fail(ctx, name, "not a .npy file");
    int major = bytes[6];
    size_t front = major == 1 ? 10 : 12;
    if (major < 1 || major > 3 || size_bytes < front)
        return fail(ctx, name, "a .npy file of a version that is not read");
    size_t length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (major > 1)
        length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (length > HEADER_MOST || length > size_bytes - front)
        return fail(ctx, name, "its .npy header is cut short");
    fb_npy n = {.data_at = front + length};
    bool fortran = false;
    cursor c = {(const char *)bytes + front, (const char *)bytes + front + length};
    if (!take_entries(&c, &n, &fortran))
        return fail(ctx, name, "its .npy header is not understood");
    n.item_bytes = item_bytes(n.descr);
    if (fortran || n.rank < 1 || n.item_bytes == 0)
        return fail(
            ctx, name,
            "an array that is not read: little-endian numbers, row by row, are");
    FB_TRY(check_size(ctx, &n, name, size_bytes));
    *npy = n;
    return FB_OK;
}

void fb_npy_header(char out[FB_NPY_HEADER], const char *descr, int32_t rank,
                   const int64_t *dims)
{
    char shape[100];
    size_t used = 0;
    for (int32_t i = 0; i < rank; i++)
        used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%" PRId64,
                                 i ? ", " : "", dims[i]);
    memset(out, ' ', FB_NPY_HEADER);
    memcpy(out, magic, sizeof magic);
    out[6] = 1;
    out[7] = 0;
    out[8] = (char)(FB_NPY_HEADER - 10);
    out[9] = 0;
    char text[FB_NPY_HEADER];
    int length = snprintf(text, sizeof text,
                          "{'descr': '%s', 'fortran_order': False, 'shape': (%s%s), }",
                          descr, shape, rank == 1 ? "," : "");
    assert(length > 0 && length < FB_NPY_HEADER - 11);
    memcpy(out + 10, text, (size_t)length);
    out[FB_NPY_HEADER - 1] = '\n';
}
