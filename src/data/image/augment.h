/* augment.h - data augmentation of a decoded and fitted image: random crop,
 * translation, horizontal flip.
 *
 *     zoom    crop a square of side rint(size (1 - zoom u)), anywhere, and bring it
 *             back to size
 *     shift   move by whole pixels, up to shift * size in each direction; what comes
 *             into sight is white where images are padded, else the nearest edge
 *     flip    mirror left and right, with probability `flip`
 *
 * in this order; u is uniform in [0, 1). One image takes as many draws whatever is
 * asked for, so that turning one change on leaves the others as they were.
 */
#ifndef FB_DATA_IMAGE_AUGMENT_H
#define FB_DATA_IMAGE_AUGMENT_H

#include "base/random.h"
#include "data/image/image_resize.h"

/* All 0: no change. */
typedef struct fb_augment {
    double flip;  /* 0 to 1 */
    double shift; /* 0 to 1 */
    double zoom;  /* 0 to less than 1 */
} fb_augment;

/* FB_E_USAGE names the number that is out of range. */
fb_status fb_augment_check(fb_context *ctx, const fb_augment *augment);

static inline bool fb_augment_any(const fb_augment *augment)
{
    return augment->flip > 0 || augment->shift > 0 || augment->zoom > 0;
}

/* An image as it was fitted, and room for another; borrowed. */
typedef struct fb_fitted_image {
    int32_t size;
    fb_fit fit;
    fb_filter filter;
    uint8_t *pixels, *scratch; /* [size, size, 3] */
} fb_fitted_image;

/* Change the pixels. FB_E_MEMORY (zoom): they are as they were. */
fb_status fb_augment_image(fb_context *ctx, const fb_augment *augment,
                           fb_random *random, fb_resizer *resizer,
                           const fb_fitted_image *image);

#endif
