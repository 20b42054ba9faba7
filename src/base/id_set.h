/* id_set.h - 64-bit keys and the number each came with first, in 32 to 64 bytes a key:
 * open addressing, linear probing, at most half full. Keys are hashes; 0 is kept as 1.
 */
#ifndef FB_BASE_ID_SET_H
#define FB_BASE_ID_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fb_id_slot {
    uint64_t key; /* 0: free */
    int64_t number;
} fb_id_slot;

/* All zero is an empty set. */
typedef struct fb_id_set {
    fb_id_slot *slots;
    size_t slot_count, count; /* slot_count a power of two */
} fb_id_set;

/* *first becomes the number that the key came with first: `number` when it is new.
 * False: no memory, and the set is as it was. */
bool fb_id_set_add(fb_id_set *set, uint64_t key, int64_t number, int64_t *first);
void fb_id_set_clear(fb_id_set *set); /* gives the memory back */

#endif
