/* string_table.h - byte strings numbered from 0 in the order they come, found by hash.
 *
 *     bytes   [P A D ] 0 [U N K ] 0 ...    offsets[i] .. offsets[i+1]-1: string i
 *     slots   {tag, index}, index -1: free; a power of two of them, at most half full,
 *             linear probing
 *
 * The hash is FNV-1a over the bytes, so that whoever walks a word has the hash of each
 * of its prefixes in one pass: start from FB_STRING_SEED and step byte by byte.
 */
#ifndef FB_BASE_STRING_TABLE_H
#define FB_BASE_STRING_TABLE_H

#include "base/status.h"

typedef struct fb_string_slot {
    uint32_t tag;
    int32_t index;
} fb_string_slot;

/* All zero is an empty table. */
typedef struct fb_string_table {
    char *bytes;
    size_t bytes_used, bytes_capacity;
    size_t *offsets; /* [capacity + 1] */
    int32_t count, capacity;
    fb_string_slot *slots;
    size_t slot_count;
} fb_string_table;

#define FB_STRING_SEED UINT64_C(0xcbf29ce484222325)

static inline uint64_t fb_string_step(uint64_t hash, uint8_t byte)
{
    return (hash ^ byte) * UINT64_C(0x100000001b3);
}

/* Index of the string, or -1. `hash` is that of its bytes. */
int32_t fb_string_table_find_hashed(const fb_string_table *table, const char *text,
                                    size_t size_bytes, uint64_t hash);
int32_t fb_string_table_find(const fb_string_table *table, const char *text,
                             size_t size_bytes);

/* Index of the string, put in if new (then *index == count before the call).
 * FB_E_MEMORY, FB_E_LIMIT past 2^30 strings: the table is as it was. */
fb_status fb_string_table_add(fb_context *ctx, fb_string_table *table, const char *text,
                              size_t size_bytes, int32_t *index);

/* String `index`, with a 0 byte behind it; valid until the next add. */
static inline const char *fb_string_table_get(const fb_string_table *table,
                                              int32_t index)
{
    return table->bytes + table->offsets[index];
}
static inline size_t fb_string_table_size(const fb_string_table *table, int32_t index)
{
    return table->offsets[index + 1] - table->offsets[index] - 1;
}

/* Give the memory back; the table is empty then. */
void fb_string_table_clear(fb_string_table *table);

#endif
