/* equal_keys.h - which items have the same key. */
#ifndef FB_BASE_EQUAL_KEYS_H
#define FB_BASE_EQUAL_KEYS_H

#include <stdint.h>

typedef struct fb_keyed_item {
    uint64_t key;
    int32_t item;
} fb_keyed_item;

/* first[item] = the lowest item with the same key, for every item in keys [count],
 * which are sorted. */
void fb_equal_keys_group(fb_keyed_item *keys, int32_t count, int32_t *first);

#endif
