/* pixels.c - the encoder that computes nothing: a patch's feature is its own pixels,
 * normalised, F = size^2 * 3. The projection behind it is all that is learnt of them.
 */
#include "nn/encoder.h"

static fb_encoder_shape shape(const fb_encoder *row, int32_t size)
{
    (void)row;
    return (fb_encoder_shape){.side = size > 0, .features = size * size * 3};
}

static double flops(const fb_encoder *row, int32_t size)
{
    (void)row;
    (void)size;
    return 0;
}

static fb_status declare(fb_params *params, void *network, const char *prefix,
                         const fb_encoder *row)
{
    (void)params;
    (void)network;
    (void)prefix;
    (void)row;
    return FB_OK;
}

/* y is x itself: rows of pixels as rows of patches. */
static fb_status forward(fb_tape *tape, fb_var **y, void *network,
                         const fb_pictures *in, fb_encoder_mode mode, bool pooled)
{
    (void)network;
    (void)mode;
    (void)pooled;
    fb_tensor *x = &in->x->value;
    int64_t features = (int64_t)in->height * in->width * 3;
    if (fb_tensor_count(x) != in->count * features)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "pixels: %lld numbers are not %d patches of %d x %d",
                       (long long)fb_tensor_count(x), (int)in->count, (int)in->height,
                       (int)in->width);
    *x = fb_tensor_2d(x->data, x->dtype, in->count, features);
    *y = in->x;
    return FB_OK;
}

const fb_encoder fb_encoder_pixels = {.name = "pixels",
                                      .image_size = 256,
                                      .patch_size = 64,
                                      .mean = {0.485, 0.456, 0.406},
                                      .std = {0.229, 0.224, 0.225},
                                      .alone = true,
                                      .views = 1,
                                      .shape = shape,
                                      .flops = flops,
                                      .declare = declare,
                                      .forward = forward};
