/* chance.c - see chance.h. Sets are counted by how many negatives they have and how
 * many different ones: ranks above 10 are not asked for, so both stay below 10. */
#include "retrieval/ranking/chance.h"

#include <stdlib.h>

enum { MOST = 10 }; /* the largest K */

fb_chance fb_chance_of_hits(int64_t hits, int64_t negatives)
{
    double reached[MOST + 1], missed = 1;
    for (int64_t k = 0; k < MOST; k++) {
        int64_t left = negatives - k;
        missed *= left > 0 ? (double)left / (double)(hits + left) : 0;
        reached[k + 1] = 1 - missed;
    }
    return (fb_chance){reached[1], reached[5], reached[10]};
}

static int by_key(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* ways[p][s]: sets of p different negatives that are s in all; grown by one that is
 * there m times. */
static void grow(double ways[MOST][MOST], int64_t m)
{
    for (int64_t p = MOST - 1; p > 0; p--)
        for (int64_t s = MOST - 1; s >= m; s--)
            ways[p][s] += ways[p - 1][s - m];
}

fb_chance fb_chance_of_alike(int32_t *keys, int64_t count)
{
    double ways[MOST][MOST] = {{1}}, reached[MOST + 1] = {0};
    int64_t different = 0;
    qsort(keys, (size_t)count, sizeof *keys, by_key);
    for (int64_t begin = 0, end; begin < count; begin = end) {
        for (end = begin; end < count && keys[end] == keys[begin]; end++)
            ;
        different++;
        grow(ways, end - begin);
    }
    for (int64_t s = 0; s < MOST; s++) {
        double sets = 1, sum = 0; /* C(different, p) */
        for (int64_t p = 0; p < MOST && p <= different; p++) {
            sum += ways[p][s] / sets;
            sets *= (double)(different - p) / (double)(p + 1);
        }
        reached[s + 1] = reached[s] + sum / (double)(different + 1);
    }
    return (fb_chance){reached[1], reached[5], reached[10]};
}
