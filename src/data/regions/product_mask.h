/* product_mask.h - which pixels of a product photo are the product: those that differ
 * from the colour of its border.
 *
 *     border     the outermost pixels, 1/32 of the shorter side wide
 *     colour     the median of each channel over the border
 *     plain      at least half of the border is within FB_MASK_LEVELS of that colour
 *     product    pixels of which a channel is further from it
 *
 * Shop photos stand before one colour; there the test is good but for parts of the
 * product that have it too (a white shirt on white) and for shadows. Other photos are not
 * plain, and nothing is said of them.
 */
#ifndef FB_DATA_REGIONS_PRODUCT_MASK_H
#define FB_DATA_REGIONS_PRODUCT_MASK_H

#include "data/image/image_decode.h"

enum { FB_MASK_LEVELS = 24 };

/* mask [height, width]: 1 product, 0 not; *product its pixels. *plain false: the mask is
 * all 0. */
void fb_product_mask_take(uint8_t *mask, int64_t *product, bool *plain,
                          const fb_image *image);

#endif
