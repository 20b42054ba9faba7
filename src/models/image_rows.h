/* image_rows.h - what a system sees of an image: rows of numbers, one a patch or one a
 * region, [R, F] over all images of a batch, and where each image's begin.
 *
 *     pixels      through the model's image network, P patches an image
 *     features    that the network made before, P patches an image (feature_cache.h)
 *     regions     features of regions that came with the image: no network
 *
 * Rows of image i are image_offsets[i] up to image_offsets[i + 1] of the batch, and
 * boxes say where in the image they lie (batch.h).
 */
#ifndef FB_MODELS_IMAGE_ROWS_H
#define FB_MODELS_IMAGE_ROWS_H

#include "models/matcher.h"
#include "nn/patch_encoder.h"

typedef struct fb_image_rows {
    fb_patch_encoder encoder; /* of patches; of regions all zero */
    bool regions;
    int32_t width; /* F */
    int32_t views; /* test-time augmentation, fb_patch_encoder_look */
} fb_image_rows;

/* Declare the network under FB_PATCH_ENCODER_PREFIX, unless config.regions;
 * FB_MODEL_TRAIN_FROZEN keeps it as it is. *rows is released by fb_image_rows_free after a failure too. */
fb_status fb_image_rows_declare(fb_params *params, fb_image_rows *rows,
                                const fb_model_config *config, fb_model_use use);
/* be may be NULL when nothing was computed. */
void fb_image_rows_free(fb_image_rows *rows, fb_backend *be);

/* x [R, F] of the batch's images; from pixels it needs a gradient where the tape records
 * and the network is not frozen. A tape that does not record looks at `views`.
 * FB_E_SHAPE: the batch has regions and the model reads patches, or the other way
 * round, or features of another width. */
fb_status fb_image_rows_forward(fb_tape *tape, fb_var **x, fb_image_rows *rows,
                                const fb_batch *batch);
/* R */
int32_t fb_image_rows_count(const fb_batch *batch);
/* Forward multiply-adds times two of making the rows of the batch. */
double fb_image_rows_flops(const fb_image_rows *rows, const fb_batch *batch);

/* Of a batch of regions of `width` numbers, else FB_E_SHAPE. */
fb_status fb_image_rows_regions(fb_tape *tape, fb_var **x, const fb_batch *batch,
                                int32_t width);

/* fb_system.features by an encoder. */
fb_status fb_image_rows_features(fb_tape *tape, fb_bf16 *features,
                                 fb_patch_encoder *encoder, const uint8_t *pixels,
                                 int32_t images, int32_t views);

#endif
