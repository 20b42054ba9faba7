/* disjoint_sets.h - which of the numbers 0 .. count-1 are chained together. A set's
 * root is its smallest number, so a walk upwards meets each root before its members.
 */
#ifndef FB_BASE_DISJOINT_SETS_H
#define FB_BASE_DISJOINT_SETS_H

#include <stdint.h>

/* parent[i] == i to begin with. */
static inline int32_t fb_set_root(int32_t *parent, int32_t i)
{
    while (parent[i] != i) {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    return i;
}

static inline void fb_set_join(int32_t *parent, int32_t a, int32_t b)
{
    a = fb_set_root(parent, a);
    b = fb_set_root(parent, b);
    if (a < b)
        parent[b] = a;
    else
        parent[a] = b;
}

#endif
