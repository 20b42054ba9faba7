/* equal_keys.c - see equal_keys.h. */
#include "base/equal_keys.h"

#include <stdlib.h>

static int by_key(const void *a, const void *b)
{
    const fb_keyed_item *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->item > y->item) - (x->item < y->item);
}

void fb_equal_keys_group(fb_keyed_item *keys, int32_t count, int32_t *first)
{
    qsort(keys, (size_t)count, sizeof *keys, by_key);
    for (int32_t i = 0, start = 0; i < count; i++) {
        if (keys[i].key != keys[start].key)
            start = i;
        first[keys[i].item] = keys[start].item;
    }
}
