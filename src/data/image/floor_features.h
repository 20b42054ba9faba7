/* floor_features.h - hand-made image features: colour thumbnail, colour histogram,
 * histogram of oriented gradients; the inputs of the linear baseline
 * (tasks/linear_floor.h).
 *
 *     588  the image squashed to 14x14 (bilinear), red, green, blue in 0 .. 1
 *     512  histogram of its pixels' colours, 8x8x8 bins, shares that sum to 1
 *     128  edges of the image squashed to 56x56 in grey: central differences, their
 *          lengths summed in 4x4 cells by direction, 8 bins of half a turn
 */
#ifndef FB_DATA_IMAGE_FLOOR_FEATURES_H
#define FB_DATA_IMAGE_FLOOR_FEATURES_H

#include "data/image/image_resize.h"

enum { FB_FLOOR_FEATURES = 14 * 14 * 3 + 8 * 8 * 8 + 4 * 4 * 8 };

/* FB_E_MEMORY. */
fb_status fb_floor_features_take(fb_context *ctx, fb_resizer *resizer,
                                 const fb_image *image,
                                 float features[FB_FLOOR_FEATURES]);

#endif
