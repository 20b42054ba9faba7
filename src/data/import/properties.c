/* properties.c - see properties.h. A logical line is first decoded whole into one
 * buffer, each character with a note whether it was escaped; then split at its
 * separator.
 */
#include "data/import/properties.h"
#include "base/intern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPLACEMENT = 0xfffd, MAX_KEYS = 2000000 };

struct fb_properties {
    fb_intern *keys;
    fb_arena *arena;
    fb_string_pool pool;
    const char **values; /* by key number */
    int32_t capacity;
};

typedef struct reader {
    fb_context *ctx;
    const char *name;
    const uint8_t *at, *end;
    int32_t line;
    uint32_t *points; /* characters of a logical line; ESCAPED marks those escaped */
    size_t count;
} reader;

static const uint32_t ESCAPED = 1u << 31;

static bool is_space(uint32_t c)
{
    return c == ' ' || c == '\t' || c == '\f';
}

static void skip_space(reader *r)
{
    while (r->at < r->end && is_space(*r->at))
        r->at++;
}

/* Past \n, \r or \r\n. */
static void skip_newline(reader *r)
{
    if (r->at < r->end && *r->at == '\r')
        r->at++;
    else if (r->at < r->end && *r->at == '\n') {
        r->at++;
        r->line++;
        return;
    } else {
        return;
    }
    if (r->at < r->end && *r->at == '\n')
        r->at++;
    r->line++;
}

static bool at_newline(const reader *r)
{
    return r->at < r->end && (*r->at == '\n' || *r->at == '\r');
}

static fb_status read_hex(reader *r, uint32_t *unit)
{
    *unit = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        uint8_t c = r->at < r->end ? *r->at : 0;
        uint32_t digit = c >= '0' && c <= '9'   ? c - (uint32_t)'0'
                         : c >= 'a' && c <= 'f' ? c - (uint32_t)'a' + 10
                         : c >= 'A' && c <= 'F' ? c - (uint32_t)'A' + 10
                                                : 16;
        if (digit == 16)
            return fb_fail(r->ctx, FB_E_FORMAT,
                           "%s:%d: \\u must be followed by four hexadecimal digits",
                           r->name, r->line);
        *unit = *unit * 16 + digit;
    }
    return FB_OK;
}

/* After "\u". */
static fb_status read_unicode(reader *r, uint32_t *point)
{
    uint32_t unit;
    FB_TRY(read_hex(r, &unit));
    *point = unit;
    if (unit >= 0xd800 && unit < 0xdc00 && r->end - r->at >= 6 && r->at[0] == '\\' &&
        r->at[1] == 'u') {
        const uint8_t *before = r->at;
        uint32_t low;
        r->at += 2;
        FB_TRY(read_hex(r, &low));
        if (low >= 0xdc00 && low < 0xe000) {
            *point = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            return FB_OK;
        }
        r->at = before;
    }
    if (unit == 0 || (unit >= 0xd800 && unit < 0xe000))
        *point = REPLACEMENT;
    return FB_OK;
}

/* After a backslash that does not end its line. */
static fb_status read_escape(reader *r, uint32_t *point)
{
    uint8_t c = *r->at++;
    switch (c) {
    case 'u':
        return read_unicode(r, point);
    case 't':
        *point = '\t';
        return FB_OK;
    case 'n':
        *point = '\n';
        return FB_OK;
    case 'r':
        *point = '\r';
        return FB_OK;
    case 'f':
        *point = '\f';
        return FB_OK;
    default:
        *point = c == 0 ? REPLACEMENT : c;
        return FB_OK;
    }
}

static fb_status read_logical_line(reader *r)
{
    r->count = 0;
    while (r->at < r->end && !at_newline(r)) {
        uint32_t point = *r->at++;
        if (point != '\\') {
            r->points[r->count++] = point ? point : REPLACEMENT;
            continue;
        }
        if (r->at == r->end)
            break;
        if (at_newline(r)) {
            skip_newline(r);
            skip_space(r);
            continue;
        }
        FB_TRY(read_escape(r, &point));
        r->points[r->count++] = point | ESCAPED;
    }
    skip_newline(r);
    return FB_OK;
}

static size_t encode(char *out, const uint32_t *points, size_t count)
{
    char *to = out;
    for (size_t i = 0; i < count; i++) {
        uint32_t p = points[i] & ~ESCAPED;
        if (p < 0x80) {
            *to++ = (char)p;
        } else if (p < 0x800) {
            *to++ = (char)(0xc0 | (p >> 6));
            *to++ = (char)(0x80 | (p & 0x3f));
        } else if (p < 0x10000) {
            *to++ = (char)(0xe0 | (p >> 12));
            *to++ = (char)(0x80 | ((p >> 6) & 0x3f));
            *to++ = (char)(0x80 | (p & 0x3f));
        } else {
            *to++ = (char)(0xf0 | (p >> 18));
            *to++ = (char)(0x80 | ((p >> 12) & 0x3f));
            *to++ = (char)(0x80 | ((p >> 6) & 0x3f));
            *to++ = (char)(0x80 | (p & 0x3f));
        }
    }
    *to = 0;
    return (size_t)(to - out);
}

static fb_status put(reader *r, fb_properties *p, const char *key, const char *value,
                     size_t value_size)
{
    int32_t number = fb_intern_add(p->keys, key);
    if (number >= MAX_KEYS)
        return fb_fail(r->ctx, FB_E_LIMIT, "%s:%d: more than %d keys", r->name, r->line,
                       MAX_KEYS);
    if (number >= p->capacity) {
        int32_t capacity = p->capacity ? 2 * p->capacity : 256;
        const char **values = realloc(p->values, (size_t)capacity * sizeof *values);
        if (!values)
            number = -1;
        else
            p->values = values, p->capacity = capacity;
    }
    const char *copy =
        number >= 0 ? fb_string_pool_copy(&p->pool, value, value_size) : NULL;
    if (!copy)
        return fb_fail(r->ctx, FB_E_MEMORY, "%s: no memory for its keys", r->name);
    p->values[number] = copy;
    return FB_OK;
}

static fb_status split_line(reader *r, fb_properties *p, char *key, char *value)
{
    size_t i = 0, n = r->count;
    while (i < n && r->points[i] != '=' && r->points[i] != ':' &&
           !is_space(r->points[i]))
        i++;
    encode(key, r->points, i);
    while (i < n && is_space(r->points[i]))
        i++;
    if (i < n && (r->points[i] == '=' || r->points[i] == ':'))
        i++;
    while (i < n && is_space(r->points[i]))
        i++;
    size_t size = encode(value, r->points + i, n - i);
    return put(r, p, key, value, size);
}

static fb_status read_all(reader *r, fb_properties *p, char *key, char *value)
{
    while (r->at < r->end) {
        skip_space(r);
        if (at_newline(r)) {
            skip_newline(r);
        } else if (r->at < r->end && (*r->at == '#' || *r->at == '!')) {
            while (r->at < r->end && !at_newline(r))
                r->at++;
            skip_newline(r);
        } else if (r->at < r->end) {
            FB_TRY(read_logical_line(r));
            FB_TRY(split_line(r, p, key, value));
        }
    }
    return FB_OK;
}

fb_status fb_properties_parse(fb_context *ctx, fb_properties **properties,
                              const char *name, const uint8_t *bytes, size_t size_bytes)
{
    if (size_bytes > FB_PROPERTIES_BYTES_MAX)
        return fb_fail(ctx, FB_E_LIMIT, "%s: larger than %d bytes", name,
                       FB_PROPERTIES_BYTES_MAX);
    reader r = {ctx, name, bytes, bytes + size_bytes, 1, NULL, 0};
    fb_properties *p = calloc(1, sizeof *p);
    if (p) {
        p->keys = fb_intern_create();
        p->arena = fb_arena_create(1 << 16);
        p->pool.arena = p->arena;
    }
    /* A logical line has at most as many characters as the file bytes, each at most 3
     * bytes of UTF-8 for one of ISO-8859-1, 4 for the 12 of a \u pair. */
    r.points = malloc((size_bytes + 1) * sizeof *r.points);
    char *key = malloc(3 * size_bytes + 1), *value = malloc(3 * size_bytes + 1);
    fb_status status = FB_E_MEMORY;
    if (p && p->keys && p->arena && r.points && key && value)
        status = read_all(&r, p, key, value);
    else
        fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", name);
    free(r.points);
    free(key);
    free(value);
    if (status == FB_OK)
        *properties = p;
    else
        fb_properties_free(p);
    return status;
}

void fb_properties_free(fb_properties *p)
{
    if (!p)
        return;
    fb_intern_free(p->keys);
    fb_arena_free(p->arena);
    free(p->values);
    free(p);
}

const char *fb_properties_get(const fb_properties *p, const char *key)
{
    int32_t number = fb_intern_find(p->keys, key);
    return number < 0 ? NULL : p->values[number];
}

int32_t fb_properties_count(const fb_properties *p)
{
    return fb_intern_count(p->keys);
}

const char *fb_properties_key(const fb_properties *p, int32_t index)
{
    return fb_intern_text(p->keys, index);
}
