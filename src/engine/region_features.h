/* region_features.h - features of boxes of images by a model's image network: what a
 * detector's network would have said of them.
 *
 * By what the network sees:
 *
 *     a grid    the image whole: its map by RoI-align over each box (ops.h), as many
 *               samples a side as the map has places, so that the whole image is the
 *               mean of its patches
 *     each      patches alone: what lies in each box, resized to a patch's pixels, is
 *               put beside others into squares of P patches, which the network reads as
 *               it reads images
 *
 * Either way an image becomes squares of pixels first, on any thread, and squares then
 * features, on one. Features are rounded to bf16, as those of patches are
 * (feature_cache.h), and the mean over a box is taken of the rounded ones.
 */
#ifndef FB_ENGINE_REGION_FEATURES_H
#define FB_ENGINE_REGION_FEATURES_H

#include "data/image/image_resize.h"
#include "engine/scorer.h"

typedef struct fb_region_network {
    int32_t image_size, grid; /* of a square */
    fb_fit fit;               /* of whole images */
    bool each;
    int32_t width; /* F */
} fb_region_network;

/* Boxes [count, 4] of an image of width x height pixels, as shares of it. */
typedef struct fb_boxed_image {
    int32_t width, height, count;
    const float *boxes;
} fb_boxed_image;

/* FB_E_STATE: the model has no image network; `where` names it in the sentence. */
fb_status fb_region_network_of(fb_context *ctx, fb_region_network *network,
                               const fb_matcher *matcher, const char *where);

/* Squares that an image with `count` boxes becomes: 1 of a grid. */
int32_t fb_region_squares(const fb_region_network *network, int32_t count);
/* squares [fb_region_squares, size, size, 3] of the image with these boxes. FB_E_MEMORY
 */
fb_status fb_region_squares_draw(fb_context *ctx, const fb_region_network *network,
                                 fb_resizer *resizer, uint8_t *squares,
                                 const fb_image *image, const float *boxes,
                                 int32_t count);
/* features [boxes of all images, F] of the images whose squares lie end to end.
 * FB_E_NUMBER: one is not finite. FB_E_MEMORY */
fb_status fb_region_features(fb_context *ctx, const fb_region_network *network,
                             fb_scorer *scorer, float *features, const uint8_t *squares,
                             const fb_boxed_image *images, int32_t image_count);

#endif
