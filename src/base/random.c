/* random.c - the draws that are too long for the header. */
#include "base/random.h"

#include <math.h>

double fb_random_normal(fb_random *r)
{
    const double two_pi = 6.283185307179586476925286766559;
    double radius = sqrt(-2.0 * log(1.0 - fb_random_uniform(r))); /* log of (0,1] */
    return radius * cos(two_pi * fb_random_uniform(r));
}

void fb_random_shuffle(fb_random *r, int32_t *items, int64_t count)
{
    for (int64_t i = count - 1; i > 0; i--) {
        int64_t j = fb_random_below(r, (uint32_t)(i + 1));
        int32_t item = items[i];
        items[i] = items[j];
        items[j] = item;
    }
}
