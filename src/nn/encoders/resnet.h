/* resnet.h - residual convolutional networks as image encoders (He et al. 2016; Xie et
 * al. 2017), up to the last stage's map: no pooling to one vector, no classifier.
 *
 *     x -> conv, norm, ReLU (, max pool) -> stage 1 .. S -> y
 *     basic block       y = relu(x' + N(3x3 relu(N(3x3 x))))
 *     bottleneck        y = relu(x' + N(1x1 relu(N(3x3 relu(N(1x1 x))))))
 *     x' = x, or N(1x1 x) where the block changes channels or size
 *
 * N is batch norm. A stage's first block has its stride; a bottleneck strides on the
 * 3x3, as torchvision does ("v1.5"). Names on disk are torchvision's under a prefix:
 * PREFIX.conv1.weight, PREFIX.bn1.running_mean, PREFIX.layer1.0.downsample.0.weight ...
 *
 * Shapes: pictures are rows [images * height * width, channels], channels last. A
 * network of stride s makes s times fewer rows a side (all torchvision ones: 32).
 */
#ifndef FB_NN_RESNET_H
#define FB_NN_RESNET_H

#include "nn/encoder.h"
#include "ops/ops.h"

enum { FB_RESNET_STAGES = 4, FB_RESNET_BLOCKS = 64 };

typedef struct fb_resnet_spec {
    const char *name;
    bool bottleneck;
    int32_t groups, group_width; /* of a bottleneck's 3x3: channels * group_width / 64 *
                                    groups wide; a basic block has 1 and 64 */
    int32_t stem_kernel, stem_stride, stem_channels; /* padding kernel / 2 */
    bool stem_pool;                                  /* max pool 3x3, stride 2 */
    int32_t stages;
    struct {
        int32_t blocks, channels, stride; /* a bottleneck puts out 4 * channels */
    } stage[FB_RESNET_STAGES];
    bool zero_last; /* each block's last norm starts at 0: every block as identity */
} fb_resnet_spec;

/* Width F of the last map, its side for pictures of `size` pixels a side, and forward
 * multiply-adds times two of one picture's convolutions. */
int32_t fb_resnet_features(const fb_resnet_spec *spec);
int32_t fb_resnet_out(const fb_resnet_spec *spec, int32_t size);
double fb_resnet_flops(const fb_resnet_spec *spec, int32_t height, int32_t width);

/* A convolution and the norm behind it. With running statistics the two are one
 * convolution: w gamma/sqrt(var + eps), and a bias. */
typedef struct fb_resnet_unit {
    int32_t in, out, kernel, stride, groups; /* padding kernel / 2 */
    fb_leaf *weight;
    fb_batch_norm_leaves norm;
    fb_weight folded;
    float *bias; /* of the folded one */
    float *
        int8_scale; /* of its rows, where the weight's leaf has scales (backend/int8.h),
                          which are these without the norm's; NULL: it has none */
    uint64_t stamp; /* of what it was folded from; 0: never */
} fb_resnet_unit;

typedef struct fb_resnet_block {
    fb_resnet_unit unit[3];  /* 2 of a basic block */
    fb_resnet_unit shortcut; /* out 0: none */
} fb_resnet_block;

typedef struct fb_resnet {
    fb_resnet_spec spec;
    fb_resnet_unit stem;
    fb_resnet_block block[FB_RESNET_BLOCKS]; /* of all stages, end to end */
    uint64_t moves;   /* how often training moved the running statistics */
    float *folded;    /* memory of all folded copies; NULL until they are needed */
    float *folded_on; /* the same where kernels read them; may be folded itself */
    size_t folded_numbers;
} fb_resnet;

/* Declare its parameters and buffers under PREFIX. *resnet is overwritten; it must then
 * stay where it is. FB_E_USAGE: the spec is not one that can be built. */
fb_status fb_resnet_declare(fb_params *params, fb_resnet *resnet, const char *prefix,
                            const fb_resnet_spec *spec);
/* Give back the folded copies and what be keeps of them; be NULL: none was used. The
 * parameters are the table's. */
void fb_resnet_free(fb_resnet *resnet, fb_backend *be);

/* y [count*h*w, F] of pictures, h and w as fb_window_out makes them along the network.
 * Their x may have another shape only where it needs no gradient.
 *
 * A tape that does not record, or FROZEN, runs the folded convolutions, some pictures
 * at a time, and gives memory back behind each block; y then needs no gradient.
 * The folded copies are renewed when a parameter's version moved.
 * stage_maps (NULL: not wanted) receives the stem's output and each stage's, [1 +
 * stages]. FB_E_SHAPE: x is of another size. */
fb_status fb_resnet_forward(fb_tape *tape, fb_var **y, fb_resnet *resnet,
                            const fb_pictures *in, fb_encoder_mode mode,
                            fb_var **stage_maps);

/* The same, then the mean of each picture's map: y [count, F]. */
fb_status fb_resnet_vectors(fb_tape *tape, fb_var **y, fb_resnet *resnet,
                            const fb_pictures *in, fb_encoder_mode mode);

/* ---- as image encoders (resnet_encoders.c) -------------------------------------- */

fb_encoder_shape fb_resnet_encoder_shape(const fb_encoder *row, int32_t size);
double fb_resnet_encoder_flops(const fb_encoder *row, int32_t size);
fb_status fb_resnet_encoder_declare(fb_params *params, void *network,
                                    const char *prefix, const fb_encoder *row);
fb_status fb_resnet_encoder_forward(fb_tape *tape, fb_var **y, void *network,
                                    const fb_pictures *in, fb_encoder_mode mode,
                                    bool pooled);
void fb_resnet_encoder_release(void *network, fb_backend *be);

/* What all rows share whose spec is an fb_resnet_spec. */
#define FB_RESNET_ENCODER(network_spec)                                                \
    .learns = true, .views = 2, .spec = (network_spec),                                \
    .network_bytes = sizeof(fb_resnet), .shape = fb_resnet_encoder_shape,              \
    .flops = fb_resnet_encoder_flops, .declare = fb_resnet_encoder_declare,            \
    .forward = fb_resnet_encoder_forward, .import = fb_weights_read_resnet,            \
    .release = fb_resnet_encoder_release

#endif
