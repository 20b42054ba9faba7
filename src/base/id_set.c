/* id_set.c - see id_set.h. */
#include "base/id_set.h"

#include <stdlib.h>

enum { FIRST_SLOTS = 1024 };

static fb_id_slot *find(const fb_id_set *set, uint64_t key)
{
    size_t at = (size_t)key & (set->slot_count - 1);
    while (set->slots[at].key != 0 && set->slots[at].key != key)
        at = (at + 1) & (set->slot_count - 1);
    return &set->slots[at];
}

static bool grow(fb_id_set *set)
{
    fb_id_set larger = {.slot_count =
                            set->slot_count ? 2 * set->slot_count : FIRST_SLOTS,
                        .count = set->count};
    larger.slots = calloc(larger.slot_count, sizeof *larger.slots);
    if (!larger.slots)
        return false;
    for (size_t i = 0; i < set->slot_count; i++)
        if (set->slots[i].key != 0)
            *find(&larger, set->slots[i].key) = set->slots[i];
    free(set->slots);
    *set = larger;
    return true;
}

bool fb_id_set_add(fb_id_set *set, uint64_t key, int64_t number, int64_t *first)
{
    key += key == 0;
    if (2 * (set->count + 1) > set->slot_count && !grow(set))
        return false;
    fb_id_slot *slot = find(set, key);
    if (slot->key == 0) {
        *slot = (fb_id_slot){key, number};
        set->count++;
    }
    *first = slot->number;
    return true;
}

void fb_id_set_clear(fb_id_set *set)
{
    free(set->slots);
    *set = (fb_id_set){0};
}
