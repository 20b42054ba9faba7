/* near_pairs.h - all pairs of images that look nearly the same, among millions.
 *
 * The signs' 255 bits are dealt out to FB_LOOK_DISTANCE + 1 = 13 chunks of 19 or 20 bits
 * (bit k to chunk k mod 13). Two looks at most 12 bits apart agree in one whole chunk at
 * least, so sorting by each chunk in turn and comparing within runs of equal ones finds
 * every pair (multi-index hashing; Norouzi et al. 2012). On product photos a run has a
 * handful: 29 thousand need 0.2 million comparisons. Looks that are equal to the bit are
 * compared once for all of them.
 *
 * Memory: 24 bytes an image.
 */
#ifndef FB_DATA_NEAR_PAIRS_H
#define FB_DATA_NEAR_PAIRS_H

#include "data/perceptual_hash.h"

/* Calls visit(self, a, b), a != b, so that the pairs visited connect the same images as
 * all near pairs do, and every image that has a near one stands in a pair. Each near pair
 * of images of different looks is visited at least by one image of each look; images of
 * equal looks come as pairs with the first of them. FB_E_MEMORY. */
fb_status fb_near_pairs_find(fb_context *ctx, const fb_look *looks, int32_t count,
                             void (*visit)(void *self, int32_t a, int32_t b),
                             void *self);

#endif
