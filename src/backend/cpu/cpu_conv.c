/* cpu_conv.c - convolutions on cpu_convolution.h, and on a linear layer's products
 * where a convolution is one: 1x1, stride 1, one group. Those products are as fast as
 * the library's 1x1 convolutions forwards, and faster in the gradient of the weight; a
 * residual or ReLU, which they do not take along, leaves forward to the convolution.
 */
#include "backend/cpu/cpu_backend.h"

static bool is_linear(const fb_conv *c)
{
    return c->kernel == 1 && c->stride == 1 && c->padding == 0 && c->groups == 1;
}

fb_status cpu_conv_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                           const fb_tensor *x, fb_weight *w, const fb_conv *c,
                           const fb_conv_epilogue *after)
{
    if (fb_tensor_count(y) == 0)
        return FB_OK;
    if (is_linear(c) && !after->residual && !after->relu)
        return cpu_gemm_forward(ctx, cpu_of(be)->gemm, y, x, w, after->bias,
                                FB_ACT_NONE);
    return cpu_convolution_forward(ctx, cpu_of(be)->convolution, y, x, w, c, after);
}

fb_status cpu_conv_backward_input(fb_context *ctx, fb_backend *be, const fb_tensor *dx,
                                  const fb_tensor *dy, fb_weight *w, const fb_conv *c,
                                  bool accumulate)
{
    cpu_backend *b = cpu_of(be);
    if (fb_tensor_count(dx) == 0)
        return FB_OK;
    if (is_linear(c))
        return cpu_gemm_backward_input(ctx, b->gemm, dx, dy, w, accumulate);
    if (!accumulate)
        return cpu_convolution_backward_input(ctx, b->convolution, dx, dy, w, c);
    fb_tensor part = *dx;
    FB_TRY(cpu_scratch(ctx, b, fb_tensor_bytes(dx), &part.data));
    FB_TRY(cpu_convolution_backward_input(ctx, b->convolution, &part, dy, w, c));
    return cpu_add(ctx, be, dx, &part);
}

fb_status cpu_conv_backward_weight(fb_context *ctx, fb_backend *be, float *dw,
                                   const fb_tensor *x, const fb_tensor *dy,
                                   const fb_conv *c)
{
    cpu_backend *b = cpu_of(be);
    if (fb_tensor_count(dy) == 0 || fb_tensor_count(x) == 0)
        return FB_OK;
    if (is_linear(c))
        return cpu_gemm_backward_weight(ctx, b->gemm, dw, x, dy);
    return cpu_convolution_backward_weight(ctx, b->convolution, dw, x, dy, c);
}
