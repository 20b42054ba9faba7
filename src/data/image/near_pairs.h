/* near_pairs.h - near-duplicate detection: all pairs of near-duplicate images, among
 * millions.
 *
 * The signs' 255 bits are dealt out to FB_LOOK_DISTANCE + 1 = 13 chunks of 19 or 20
 * bits (bit k to chunk k mod 13). Two looks at most 12 bits apart agree in one whole
 * chunk at least, so sorting by each chunk in turn and comparing within runs of equal
 * ones finds every pair (multi-index hashing; Norouzi et al. 2012). On product photos
 * runs are short: 29 thousand of them need 0.2 million comparisons.
 */
#ifndef FB_DATA_IMAGE_NEAR_PAIRS_H
#define FB_DATA_IMAGE_NEAR_PAIRS_H

#include "data/image/perceptual_hash.h"

typedef void fb_near_visit(void *self, int32_t a, int32_t b);

/* Calls visit(self, a, b) with a < b once
 *   - for the first image of each look and every other one of the very same look, then
 *   - for the first images of two looks that are near (fb_look_is_near).
 * So a picture that thousands share does not make millions of pairs. Flat images are in
 * none. The order of the calls is the same on every machine. Memory: 20 bytes an image
 * and 80 for the longest run. FB_E_MEMORY: nothing was visited. */
fb_status fb_near_pairs_find(fb_context *ctx, const fb_look *looks, int32_t count,
                             fb_near_visit *visit, void *self);

#endif
