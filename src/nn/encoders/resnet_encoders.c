/* resnet_encoders.c - residual networks as image encoders, and the rows of those whose
 * weights are published. Their last stage's map is 32 times smaller than the picture:
 * 8 x 8 of 256 x 256 pixels.
 */
#include "nn/encoders/resnet.h"

fb_encoder_shape fb_resnet_encoder_shape(const fb_encoder *row, int32_t size)
{
    int32_t side = fb_resnet_out(row->spec, size);
    return (fb_encoder_shape){.side = side > 0 ? side : 0,
                              .features = fb_resnet_features(row->spec)};
}

double fb_resnet_encoder_flops(const fb_encoder *row, int32_t size)
{
    return fb_resnet_flops(row->spec, size, size);
}

fb_status fb_resnet_encoder_declare(fb_params *params, void *network,
                                    const char *prefix, const fb_encoder *row)
{
    return fb_resnet_declare(params, network, prefix, row->spec);
}

fb_status fb_resnet_encoder_forward(fb_tape *tape, fb_var **y, void *network,
                                    const fb_pictures *in, fb_encoder_mode mode,
                                    bool pooled)
{
    if (pooled)
        return fb_resnet_vectors(tape, y, network, in, mode);
    return fb_resnet_forward(tape, y, network, in, mode, NULL);
}

void fb_resnet_encoder_release(void *network, fb_backend *be)
{
    fb_resnet_free(network, be);
}

/* The published weights expect ImageNet's mean and standard deviation. */
#define NETWORK(of, bottlenecks, group_count, width, a, b, c, d)                       \
    static const fb_resnet_spec of##_spec = {                                          \
        .name = #of,                                                                   \
        .bottleneck = bottlenecks,                                                     \
        .groups = group_count,                                                         \
        .group_width = width,                                                          \
        .stem_kernel = 7,                                                              \
        .stem_stride = 2,                                                              \
        .stem_channels = 64,                                                           \
        .stem_pool = true,                                                             \
        .stages = 4,                                                                   \
        .stage = {{a, 64, 1}, {b, 128, 2}, {c, 256, 2}, {d, 512, 2}}};                 \
    const fb_encoder fb_encoder_##of = {.name = #of,                                   \
                                        .image_size = 256,                             \
                                        .patch_size = 64,                              \
                                        .mean = {0.485, 0.456, 0.406},                 \
                                        .std = {0.229, 0.224, 0.225},                  \
                                        FB_RESNET_ENCODER(&of##_spec)};

/* name, bottlenecks, groups and their width, blocks of each stage */
NETWORK(resnet18, false, 1, 64, 2, 2, 2, 2)
NETWORK(resnet34, false, 1, 64, 3, 4, 6, 3)
NETWORK(resnet50, true, 1, 64, 3, 4, 6, 3)
NETWORK(resnet101, true, 1, 64, 3, 4, 23, 3)
NETWORK(resnet152, true, 1, 64, 3, 8, 36, 3)
NETWORK(resnext101, true, 32, 8, 3, 4, 23, 3)
