/* pg_copy.c - see pg_copy.h. */
#include "retrieval/postgres/pg_copy.h"

#include "base/fold.h"
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_OID = 25, VALUE_BYTES = 200 };

static void put(fb_pg_copy *c, const void *bytes, size_t size)
{
    if (c->failed)
        return;
    if (c->size + size > c->capacity) {
        size_t capacity = 2 * (c->size + size) + 4096;
        char *grown = realloc(c->bytes, capacity);
        if (!grown) {
            c->failed = true;
            return;
        }
        c->bytes = grown;
        c->capacity = capacity;
    }
    memcpy(c->bytes + c->size, bytes, size);
    c->size += size;
}

static void put_number(fb_pg_copy *c, uint64_t value, int32_t bytes)
{
    uint8_t big[8];
    for (int32_t i = 0; i < bytes; i++)
        big[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    put(c, big, (size_t)bytes);
}

static void put_int32(fb_pg_copy *c, int64_t value)
{
    put_number(c, (uint64_t)value, 4);
}

void fb_pg_copy_begin(fb_pg_copy *c)
{
    put(c, "PGCOPY\n\377\r\n", 11); /* with the 0 behind it */
    put_int32(c, 0);
    put_int32(c, 0);
}

void fb_pg_copy_row(fb_pg_copy *c, int32_t fields)
{
    put_number(c, (uint64_t)fields, 2);
}

void fb_pg_copy_int64(fb_pg_copy *c, int64_t value)
{
    put_int32(c, 8);
    put_number(c, (uint64_t)value, 8);
}

void fb_pg_copy_text(fb_pg_copy *c, const char *text)
{
    size_t length = strlen(text);
    put_int32(c, (int64_t)length);
    put(c, text, length);
}

void fb_pg_vector_value(fb_pg_copy *c, const float *vector, int32_t width)
{
    put_number(c, (uint64_t)width, 2);
    put_number(c, 0, 2);
    for (int32_t i = 0; i < width; i++) {
        uint32_t bits;
        memcpy(&bits, &vector[i], sizeof bits);
        put_int32(c, bits);
    }
}

void fb_pg_copy_vector(fb_pg_copy *c, const float *vector, int32_t width)
{
    put_int32(c, 4 + 4 * (int64_t)width);
    fb_pg_vector_value(c, vector, width);
}

/* Below 2^-14 halves are multiples of 2^-24: adding 0.5 f32 rounds to these, as f32
 * numbers around 0.5 are 2^-24 apart. */
uint16_t fb_pg_half(float number)
{
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    if (size > 0x7f800000)
        return (uint16_t)(sign | 0x7e00); /* NaN */
    if (size >= 0x477ff000)
        return (uint16_t)(sign | 0x7c00);
    if (size < 0x38800000) {
        float small;
        memcpy(&small, &size, sizeof small);
        small += 0.5f;
        memcpy(&size, &small, sizeof size);
        return (uint16_t)(sign | (size - 0x3f000000));
    }
    size -= 0x38000000; /* from a bias of 127 to one of 15 */
    return (uint16_t)(sign | (size + 0xfff + (size >> 13 & 1)) >> 13);
}

void fb_pg_copy_halfvec(fb_pg_copy *c, const float *vector, int32_t width)
{
    put_int32(c, 4 + 2 * (int64_t)width);
    put_number(c, (uint64_t)width, 2);
    put_number(c, 0, 2);
    for (int32_t i = 0; i < width; i++)
        put_number(c, fb_pg_half(vector[i]), 2);
}

void fb_pg_copy_texts(fb_pg_copy *c, const char *const *texts, int32_t count)
{
    int64_t bytes = count ? 20 : 12;
    for (int32_t i = 0; i < count; i++)
        bytes += 4 + (int64_t)strlen(texts[i]);
    put_int32(c, bytes);
    put_int32(c, count ? 1 : 0); /* dimensions */
    put_int32(c, 0);             /* no NULL among them */
    put_int32(c, TEXT_OID);
    if (count) {
        put_int32(c, count);
        put_int32(c, 1); /* the first one's number */
    }
    for (int32_t i = 0; i < count; i++)
        fb_pg_copy_text(c, texts[i]);
}

void fb_pg_copy_end(fb_pg_copy *c)
{
    put_number(c, 0xffff, 2);
}

fb_status fb_pg_copy_check(fb_context *ctx, const fb_pg_copy *c)
{
    return c->failed ? fb_fail(ctx, FB_E_MEMORY, "no memory for rows to be sent")
                     : FB_OK;
}

void fb_pg_copy_free(fb_pg_copy *c)
{
    free(c->bytes);
    *c = (fb_pg_copy){0};
}

static char *make_key(const char *name, const char *value)
{
    size_t name_bytes = strlen(name), value_bytes = strlen(value);
    size_t room = name_bytes + value_bytes + 64;
    char *key = malloc(room);
    if (!key)
        return NULL;
    snprintf(key, room, "%zu:%s=%s", name_bytes, name, value);
    if (value_bytes <= VALUE_BYTES && name_bytes <= VALUE_BYTES)
        return key;
    size_t size = strlen(key);
    unsigned long long a = fb_hash_bytes(1, key, size), b = fb_hash_bytes(2, key, size);
    snprintf(key, room, "#%016llx%016llx", a, b);
    return key;
}

/* Folded, so that the database compares as files are compared (fold.h). */
char *fb_pg_filter_key(const char *name, const char *value)
{
    char *small_name = fb_fold(name), *small_value = fb_fold(value);
    char *key = small_name && small_value ? make_key(small_name, small_value) : NULL;
    free(small_name);
    free(small_value);
    return key;
}

bool fb_pg_is_store(const char *place)
{
    return strncmp(place, "postgresql://", 13) == 0 ||
           strncmp(place, "postgres://", 11) == 0;
}

int32_t fb_pg_shard_of(const char *product_id, int32_t shards)
{
    uint64_t hash = fb_hash_bytes(0, product_id, strlen(product_id));
    return (int32_t)(hash % (uint64_t)shards);
}
