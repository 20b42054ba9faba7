/* intern.c - an open-addressing table of string numbers, at most half full, beside the
 * strings in one pool.
 */
#include "base/intern.h"

#include <stdlib.h>
#include <string.h>

enum { POOL_CHUNK_BYTES = 1 << 16, FIRST_SLOTS = 64 };

struct fb_intern {
    fb_string_pool pool;
    const char **texts;
    uint64_t *hashes;
    int32_t count, capacity;
    int32_t *slots; /* number + 1; 0: free */
    uint32_t slot_count;
};

char *fb_string_pool_copy(fb_string_pool *pool, const char *text, size_t size_bytes)
{
    if (pool->left < size_bytes + 1) {
        size_t size =
            size_bytes + 1 > POOL_CHUNK_BYTES ? size_bytes + 1 : POOL_CHUNK_BYTES;
        char *chunk = fb_arena_alloc(pool->arena, size);
        if (!chunk)
            return NULL;
        pool->at = chunk;
        pool->left = size;
    }
    char *copy = pool->at;
    if (size_bytes > 0)
        memcpy(copy, text, size_bytes);
    copy[size_bytes] = 0;
    pool->at += size_bytes + 1;
    pool->left -= size_bytes + 1;
    return copy;
}

fb_intern *fb_intern_create(void)
{
    fb_intern *in = calloc(1, sizeof *in);
    if (!in)
        return NULL;
    in->pool.arena = fb_arena_create(POOL_CHUNK_BYTES);
    in->slots = calloc(FIRST_SLOTS, sizeof *in->slots);
    in->slot_count = FIRST_SLOTS;
    if (!in->pool.arena || !in->slots) {
        fb_intern_free(in);
        return NULL;
    }
    return in;
}

void fb_intern_free(fb_intern *in)
{
    if (!in)
        return;
    fb_arena_free(in->pool.arena);
    free(in->texts);
    free(in->hashes);
    free(in->slots);
    free(in);
}

static uint32_t free_slot(const int32_t *slots, uint32_t slot_count, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & (slot_count - 1);
    while (slots[at] != 0)
        at = (at + 1) & (slot_count - 1);
    return at;
}

static bool grow_slots(fb_intern *in)
{
    if (in->slot_count > UINT32_MAX / 4)
        return false;
    uint32_t slot_count = in->slot_count * 2;
    int32_t *slots = calloc(slot_count, sizeof *slots);
    if (!slots)
        return false;
    for (int32_t i = 0; i < in->count; i++)
        slots[free_slot(slots, slot_count, in->hashes[i])] = i + 1;
    free(in->slots);
    in->slots = slots;
    in->slot_count = slot_count;
    return true;
}

static bool grow_texts(fb_intern *in)
{
    if (in->capacity > INT32_MAX / 4)
        return false;
    int32_t capacity = in->capacity ? in->capacity * 2 : FIRST_SLOTS;
    const char **texts = realloc(in->texts, (size_t)capacity * sizeof *texts);
    if (!texts)
        return false;
    in->texts = texts;
    uint64_t *hashes = realloc(in->hashes, (size_t)capacity * sizeof *hashes);
    if (!hashes)
        return false;
    in->hashes = hashes;
    in->capacity = capacity;
    return true;
}

static int32_t find(const fb_intern *in, const char *text, uint64_t hash)
{
    for (uint32_t at = (uint32_t)hash & (in->slot_count - 1); in->slots[at] != 0;
         at = (at + 1) & (in->slot_count - 1)) {
        int32_t known = in->slots[at] - 1;
        if (in->hashes[known] == hash && strcmp(in->texts[known], text) == 0)
            return known;
    }
    return -1;
}

int32_t fb_intern_find(const fb_intern *in, const char *text)
{
    return find(in, text, fb_hash_bytes(0, text, strlen(text)));
}

int32_t fb_intern_add(fb_intern *in, const char *text)
{
    size_t size = strlen(text);
    uint64_t hash = fb_hash_bytes(0, text, size);
    int32_t known = find(in, text, hash);
    if (known >= 0)
        return known;
    if (in->count == in->capacity && !grow_texts(in))
        return -1;
    if ((uint32_t)in->count * 2 >= in->slot_count && !grow_slots(in))
        return -1;
    const char *copy = fb_string_pool_copy(&in->pool, text, size);
    if (!copy)
        return -1;
    in->texts[in->count] = copy;
    in->hashes[in->count] = hash;
    in->slots[free_slot(in->slots, in->slot_count, hash)] = in->count + 1;
    return in->count++;
}

int32_t fb_intern_count(const fb_intern *in)
{
    return in->count;
}

const char *fb_intern_text(const fb_intern *in, int32_t number)
{
    return in->texts[number];
}
