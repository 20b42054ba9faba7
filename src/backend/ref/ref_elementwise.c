/* ref_elementwise.c - gelu, tanh, products, dropout, addition; the sum of squares and
 * the search for what is not finite. Any shape: only the count of elements matters.
 */
#include "backend/ref/ref.h"

fb_status ref_gelu_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                           const fb_tensor *x)
{
    const float *xs = x->data;
    float *ys = y->data;
    int64_t count = fb_tensor_count(x);
    for (int64_t i = 0; i < count; i++)
        ys[i] = (float)ref_gelu((double)xs[i]);
    return FB_OK;
}

/* gelu'(x) = Phi(x) + x phi(x), the normal distribution's integral and density. */
fb_status ref_gelu_backward(fb_context *ctx, fb_backend *be, const fb_tensor *dx,
                            const fb_tensor *dy, const fb_tensor *x)
{
    const double sqrt_half = 0.70710678118654752440;
    const double one_over_sqrt_two_pi = 0.39894228040143267794;
    const float *xs = x->data, *dys = dy->data;
    float *dxs = dx->data;
    int64_t count = fb_tensor_count(x);
    for (int64_t i = 0; i < count; i++) {
        double v = (double)xs[i];
        double integral = 0.5 * (1.0 + erf(v * sqrt_half));
        double density = one_over_sqrt_two_pi * exp(-0.5 * v * v);
        dxs[i] = (float)((double)dys[i] * (integral + v * density));
    }
    return FB_OK;
}

fb_status ref_tanh_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                           const fb_tensor *x)
{
    const float *xs = x->data;
    float *ys = y->data;
    int64_t count = fb_tensor_count(x);
    for (int64_t i = 0; i < count; i++)
        ys[i] = (float)tanh((double)xs[i]);
    return FB_OK;
}

fb_status ref_tanh_backward(fb_context *ctx, fb_backend *be, const fb_tensor *dx,
                            const fb_tensor *dy, const fb_tensor *y)
{
    const float *ys = y->data, *dys = dy->data;
    float *dxs = dx->data;
    int64_t count = fb_tensor_count(y);
    for (int64_t i = 0; i < count; i++)
        dxs[i] = (float)((double)dys[i] * (1.0 - (double)ys[i] * (double)ys[i]));
    return FB_OK;
}

fb_status ref_multiply(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                       const fb_tensor *a, const fb_tensor *b)
{
    const float *as = a->data, *bs = b->data;
    float *ys = y->data;
    int64_t count = fb_tensor_count(y);
    for (int64_t i = 0; i < count; i++)
        ys[i] = as[i] * bs[i];
    return FB_OK;
}

fb_status ref_dropout(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                      const fb_tensor *x, fb_dropout dropout)
{
    const float *xs = x->data;
    float *ys = y->data;
    int64_t count = fb_tensor_count(x);
    for (int64_t i = 0; i < count; i++)
        ys[i] = ref_dropout_value(dropout, (uint32_t)i, xs[i]);
    return FB_OK;
}

fb_status ref_add(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                  const fb_tensor *x)
{
    const float *xs = x->data;
    float *ys = y->data;
    int64_t count = fb_tensor_count(x);
    for (int64_t i = 0; i < count; i++)
        ys[i] += xs[i];
    return FB_OK;
}

fb_status ref_sum_squares(fb_context *ctx, fb_backend *be, double *sum,
                          const fb_tensor *x)
{
    const float *xs = x->data;
    int64_t count = fb_tensor_count(x);
    double total = 0.0;
    for (int64_t i = 0; i < count; i++)
        total += (double)xs[i] * (double)xs[i];
    *sum = total;
    return FB_OK;
}

fb_status ref_find_nonfinite(fb_context *ctx, fb_backend *be, int64_t *index,
                             const fb_tensor *x)
{
    const float *xs = x->data;
    int64_t count = fb_tensor_count(x);
    *index = -1;
    for (int64_t i = 0; i < count && *index < 0; i++)
        if (!isfinite(xs[i]))
            *index = i;
    return FB_OK;
}
