/* string_table.c - see string_table.h. Growth doubles; nothing is ever taken out. */
#include "base/string_table.h"
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 64, MAX_STRINGS = 1 << 30 };

static uint64_t hash_bytes(const char *text, size_t size_bytes)
{
    uint64_t hash = FB_STRING_SEED;
    for (size_t i = 0; i < size_bytes; i++)
        hash = fb_string_step(hash, (uint8_t)text[i]);
    return hash;
}

/* FNV's low bits alone are weak for short strings; the high half picks the slot's tag.
 */
static uint64_t finish(uint64_t hash)
{
    hash ^= hash >> 32;
    hash *= UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ (hash >> 29);
}

/* The slot that holds the string or the free one where it belongs. */
static size_t probe(const fb_string_table *t, const char *text, size_t size_bytes,
                    uint64_t finished)
{
    uint32_t tag = (uint32_t)(finished >> 32);
    size_t mask = t->slot_count - 1;
    for (size_t s = (size_t)finished & mask;; s = (s + 1) & mask) {
        int32_t index = t->slots[s].index;
        if (index < 0)
            return s;
        if (t->slots[s].tag == tag && fb_string_table_size(t, index) == size_bytes &&
            memcmp(fb_string_table_get(t, index), text, size_bytes) == 0)
            return s;
    }
}

int32_t fb_string_table_find_hashed(const fb_string_table *table, const char *text,
                                    size_t size_bytes, uint64_t hash)
{
    if (table->slot_count == 0)
        return -1;
    return table->slots[probe(table, text, size_bytes, finish(hash))].index;
}

int32_t fb_string_table_find(const fb_string_table *table, const char *text,
                             size_t size_bytes)
{
    return fb_string_table_find_hashed(table, text, size_bytes,
                                       hash_bytes(text, size_bytes));
}

static bool grow_strings(fb_string_table *t)
{
    int32_t capacity = t->capacity > 0 ? 2 * t->capacity : FIRST_CAPACITY;
    size_t *offsets = realloc(t->offsets, ((size_t)capacity + 1) * sizeof *offsets);
    if (offsets == NULL)
        return false;
    if (t->offsets == NULL)
        offsets[0] = 0;
    t->offsets = offsets;
    size_t slot_count = 2 * (size_t)capacity;
    fb_string_slot *slots = malloc(slot_count * sizeof *slots);
    if (slots == NULL)
        return false;
    memset(slots, 0xff, slot_count * sizeof *slots);
    for (size_t s = 0; s < t->slot_count; s++) {
        if (t->slots[s].index < 0)
            continue;
        int32_t i = t->slots[s].index;
        uint64_t h =
            finish(hash_bytes(fb_string_table_get(t, i), fb_string_table_size(t, i)));
        size_t at = (size_t)h & (slot_count - 1);
        while (slots[at].index >= 0)
            at = (at + 1) & (slot_count - 1);
        slots[at] = t->slots[s];
    }
    free(t->slots);
    t->slots = slots;
    t->slot_count = slot_count;
    t->capacity = capacity;
    return true;
}

static bool grow_bytes(fb_string_table *t, size_t more)
{
    if (more <= t->bytes_capacity - t->bytes_used)
        return true;
    size_t capacity = 2 * t->bytes_capacity + more + 1024;
    char *bytes = realloc(t->bytes, capacity);
    if (bytes == NULL)
        return false;
    t->bytes = bytes;
    t->bytes_capacity = capacity;
    return true;
}

fb_status fb_string_table_add(fb_context *ctx, fb_string_table *table, const char *text,
                              size_t size_bytes, int32_t *index)
{
    uint64_t hash = hash_bytes(text, size_bytes);
    int32_t found = fb_string_table_find_hashed(table, text, size_bytes, hash);
    if (found >= 0) {
        *index = found;
        return FB_OK;
    }
    if (table->count >= MAX_STRINGS)
        return fb_fail(ctx, FB_E_LIMIT, "more than %d distinct strings", MAX_STRINGS);
    if ((table->count == table->capacity && !grow_strings(table)) ||
        !grow_bytes(table, size_bytes + 1))
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %d strings", table->count + 1);
    hash = finish(hash);
    size_t slot = probe(table, text, size_bytes, hash);
    table->slots[slot] =
        (fb_string_slot){.tag = (uint32_t)(hash >> 32), .index = table->count};
    if (size_bytes > 0)
        memcpy(table->bytes + table->bytes_used, text, size_bytes);
    table->bytes[table->bytes_used + size_bytes] = '\0';
    table->bytes_used += size_bytes + 1;
    *index = table->count++;
    table->offsets[table->count] = table->bytes_used;
    return FB_OK;
}

void fb_string_table_clear(fb_string_table *table)
{
    free(table->bytes);
    free(table->offsets);
    free(table->slots);
    *table = (fb_string_table){0};
}
