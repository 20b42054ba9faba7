/* thin.c - a small residual network for small data, trained from nothing: 96 x 96 pixels
 * give 8 x 8 places of 256 numbers. White becomes 0, what convolutions pad with.
 */
#include "nn/encoders/resnet.h"

static const fb_resnet_spec spec = {
    .name = "thin",
    .groups = 1,
    .group_width = 64,
    .stem_kernel = 5,
    .stem_stride = 3,
    .stem_channels = 32,
    .stages = 3,
    .stage = {{1, 64, 1}, {1, 128, 2}, {2, 256, 2}},
};

const fb_encoder fb_encoder_thin = {.name = "thin",
                                    .image_size = 96,
                                    .patch_size = 32,
                                    .mean = {1, 1, 1},
                                    .std = {0.3, 0.3, 0.3},
                                    FB_RESNET_ENCODER(&spec)};
