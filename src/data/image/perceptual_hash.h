/* perceptual_hash.h - a perceptual hash of a photograph ("look"), in 80 bytes, to find
 * near-duplicates: the same photo saved again, resized, a little brighter.
 *
 * The image is squashed to 32x32 (bilinear, as Pillow). From that
 *
 *     signs    the 2-D cosine transform of its grey values, the 16x16 lowest
 *              frequencies without the constant: bit k = coefficient k is above
 *              FB_LOOK_NOISE levels. The dead zone keeps what is only noise (half of
 *              the coefficients of a symmetric picture) at 0, the same in each copy.
 *     colour   means of 4x4 squares, so that two colours of one bag are two pictures.
 *
 * All sums are whole numbers: every machine finds the same bits.
 *
 * Two images are near when
 *     Hamming distance of their signs      <= FB_LOOK_DISTANCE of 255, and
 *     root mean square colour difference   <= 1/4 of the larger one's contrast
 *                                          (standard deviation of its 48 colour
 *                                          values), or <= 2
 *
 * Contrast, because white garments on white are all alike in absolute levels. A flat
 * image, with fewer than FB_LOOK_BITS_MIN bits (blank, one colour, a gradient), is near
 * to none: there equal bytes alone tell duplicates. docs/formats.md has what this was
 * measured to find and to confuse.
 */
#ifndef FB_DATA_IMAGE_PERCEPTUAL_HASH_H
#define FB_DATA_IMAGE_PERCEPTUAL_HASH_H

#include "data/image/image_resize.h"

enum {
    FB_LOOK_BITS = 255,
    FB_LOOK_COLOURS = 48, /* [4, 4, 3] */
    FB_LOOK_NOISE = 4,
    FB_LOOK_DISTANCE = 12,
    FB_LOOK_BITS_MIN = 24
};

/* All zero: unknown or flat, near to none. */
typedef struct fb_look {
    uint64_t signs[4]; /* bit k of coefficient k + 1, row-major over 16x16 */
    uint8_t colour[FB_LOOK_COLOURS];
} fb_look;

/* FB_E_MEMORY. */
fb_status fb_look_take(fb_context *ctx, fb_resizer *resizer, const fb_image *image,
                       fb_look *look);

bool fb_look_is_flat(const fb_look *look);
int32_t fb_look_distance(const fb_look *a, const fb_look *b); /* of signs: 0 .. 255 */
bool fb_look_is_near(const fb_look *a, const fb_look *b);

#endif
