/* ref_elementwise.c - activations, tanh, products, dropout, addition; the sum of squares and
 * the search for what is not finite. Any shape: only the count of elements matters.
 */
#include "backend/ref/ref.h"

static const double sqrt_half = 0.70710678118654752440;
static const double sqrt_two_over_pi = 0.79788456080286535588;
static const double one_over_sqrt_two_pi = 0.39894228040143267794;

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

double ref_activation(fb_activation act, double x)
{
    switch (act) {
    case FB_ACT_GELU:
        return 0.5 * x * (1.0 + erf(x * sqrt_half));
    case FB_ACT_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(sqrt_two_over_pi * (x + 0.044715 * x * x * x)));
    case FB_ACT_QUICK_GELU:
        return x * sigmoid(1.702 * x);
    case FB_ACT_RELU:
        return x < 0.0 ? 0.0 : x;
    case FB_ACT_NONE:
        break;
    }
    return x;
}

double ref_activation_slope(fb_activation act, double x)
{
    double t, s;
    switch (act) {
    case FB_ACT_GELU: /* Phi(x) + x phi(x), the normal distribution and its density */
        return 0.5 * (1.0 + erf(x * sqrt_half)) +
               x * (one_over_sqrt_two_pi * exp(-0.5 * x * x));
    case FB_ACT_GELU_TANH:
        t = tanh(sqrt_two_over_pi * (x + 0.044715 * x * x * x));
        return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * sqrt_two_over_pi *
                                     (1.0 + 3 * 0.044715 * x * x);
    case FB_ACT_QUICK_GELU:
        s = sigmoid(1.702 * x);
        return s + 1.702 * x * s * (1.0 - s);
    case FB_ACT_RELU:
        return x <= 0.0 ? 0.0 : 1.0;
    case FB_ACT_NONE:
        break;
    }
    return 1.0;
}

fb_status ref_act_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                          const fb_tensor *x, fb_activation act)
{
    const float *xs = x->data;
    float *ys = y->data;
    int64_t count = fb_tensor_count(x);
    for (int64_t i = 0; i < count; i++)
        ys[i] = (float)ref_activation(act, (double)xs[i]);
    return FB_OK;
}

fb_status ref_act_backward(fb_context *ctx, fb_backend *be, const fb_tensor *dx,
                           const fb_tensor *dy, const fb_tensor *x, fb_activation act)
{
    const float *xs = x->data, *dys = dy->data;
    float *dxs = dx->data;
    int64_t count = fb_tensor_count(x);
    for (int64_t i = 0; i < count; i++)
        dxs[i] = (float)((double)dys[i] * ref_activation_slope(act, (double)xs[i]));
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
