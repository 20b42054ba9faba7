/* ref_linear.c - y = act(x w^T + b), its two backward products, and their rate.
 *
 *     x, dx [T,K]    w, dw [N,K]    bias, dbias [N]    y, dy [T,N]
 */
#include "backend/ref/ref.h"
#include "base/clock.h"

#include <stdlib.h>

fb_status ref_linear_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                             const fb_tensor *x, fb_weight *w, const float *bias,
                             fb_activation act)
{
    int64_t rows = x->dims[0], in = w->in, out = w->out;
    const float *xs = x->data;
    float *ys = y->data;
    for (int64_t t = 0; t < rows; t++)
        for (int64_t n = 0; n < out; n++) {
            double sum = bias ? (double)bias[n] : 0.0;
            for (int64_t k = 0; k < in; k++)
                sum += (double)xs[t * in + k] * (double)w->data[n * in + k];
            ys[t * out + n] = (float)ref_activation(act, sum);
        }
    return FB_OK;
}

fb_status ref_linear_backward_input(fb_context *ctx, fb_backend *be,
                                    const fb_tensor *dx, const fb_tensor *dy,
                                    fb_weight *w, bool accumulate)
{
    int64_t rows = dx->dims[0], in = w->in, out = w->out;
    const float *dys = dy->data;
    float *dxs = dx->data;
    if (rows == 0 || in == 0)
        return FB_OK;
    double *sums = malloc((size_t)in * sizeof *sums);
    if (!sums)
        return fb_fail(ctx, FB_E_MEMORY, "linear_backward_input: out of memory");
    for (int64_t t = 0; t < rows; t++) {
        for (int64_t k = 0; k < in; k++)
            sums[k] = accumulate ? (double)dxs[t * in + k] : 0.0;
        for (int64_t n = 0; n < out; n++)
            for (int64_t k = 0; k < in; k++)
                sums[k] += (double)dys[t * out + n] * (double)w->data[n * in + k];
        for (int64_t k = 0; k < in; k++)
            dxs[t * in + k] = (float)sums[k];
    }
    free(sums);
    return FB_OK;
}

static void add_bias_gradient(float *dbias, const float *dy, int64_t rows, int64_t out)
{
    for (int64_t n = 0; n < out; n++) {
        double sum = (double)dbias[n];
        for (int64_t t = 0; t < rows; t++)
            sum += (double)dy[t * out + n];
        dbias[n] = (float)sum;
    }
}

fb_status ref_linear_backward_weight(fb_context *ctx, fb_backend *be, float *dw,
                                     float *dbias, const fb_tensor *x,
                                     const fb_tensor *dy)
{
    int64_t rows = x->dims[0], in = x->dims[1], out = dy->dims[1];
    const float *xs = x->data, *dys = dy->data;
    if (dbias)
        add_bias_gradient(dbias, dys, rows, out);
    if (!dw || rows == 0 || in == 0)
        return FB_OK;
    double *sums = malloc((size_t)in * sizeof *sums);
    if (!sums)
        return fb_fail(ctx, FB_E_MEMORY, "linear_backward_weight: out of memory");
    for (int64_t n = 0; n < out; n++) {
        for (int64_t k = 0; k < in; k++)
            sums[k] = (double)dw[n * in + k];
        for (int64_t t = 0; t < rows; t++)
            for (int64_t k = 0; k < in; k++)
                sums[k] += (double)dys[t * out + n] * (double)xs[t * in + k];
        for (int64_t k = 0; k < in; k++)
            dw[n * in + k] = (float)sums[k];
    }
    free(sums);
    return FB_OK;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct product_shape {
    int64_t rows, in, out;
    bool int8;
} product_shape;

/* The median of `repeats` products, after one that is not counted. */
static fb_status measure(fb_context *ctx, fb_backend *be, double *seconds,
                         float *numbers, double *times, product_shape n,
                         int32_t repeats)
{
    float *xs = numbers, *ws = xs + n.rows * n.in, *ys = ws + n.out * n.in;
    float *scale = ys + n.rows * n.out;
    for (int64_t i = 0; i < n.rows * n.in + n.out * n.in; i++)
        numbers[i] = (float)(i % 7) - 3.0f;
    fb_tensor x = fb_tensor_2d(xs, FB_F32, n.rows, n.in);
    fb_tensor y = fb_tensor_2d(ys, FB_F32, n.rows, n.out);
    fb_weight w = {ws, n.out, n.in, 1, NULL};
    for (int64_t i = 0; i < n.out; i++)
        scale[i] = 3.0f / 127.0f;
    for (int32_t i = -1; i < repeats; i++) {
        double start = fb_clock_s();
        if (n.int8)
            FB_TRY(
                ref_linear_int8_forward(ctx, be, &y, &x, &w, scale, NULL, FB_ACT_NONE));
        else
            FB_TRY(ref_linear_forward(ctx, be, &y, &x, &w, NULL, FB_ACT_NONE));
        if (i >= 0)
            times[i] = fb_clock_s() - start;
    }
    qsort(times, (size_t)repeats, sizeof *times, compare_doubles);
    *seconds = times[repeats / 2];
    return FB_OK;
}

fb_status ref_gemm_rate(fb_context *ctx, fb_backend *be, double *flop_per_s,
                        int64_t rows, int64_t in, int64_t out, int32_t repeats,
                        bool int8)
{
    if (rows < 1 || in < 1 || out < 1 || repeats < 1) {
        *flop_per_s = 0.0;
        return FB_OK;
    }
    size_t count = (size_t)(rows * in + out * in + rows * out + out);
    float *numbers = malloc(count * sizeof *numbers);
    double *times = malloc((size_t)repeats * sizeof *times);
    double seconds = 0.0;
    fb_status status =
        numbers && times
            ? measure(ctx, be, &seconds, numbers, times,
                      (product_shape){rows, in, out, int8}, repeats)
            : fb_fail(ctx, FB_E_MEMORY, "gemm_rate: out of memory for %lld numbers",
                      (long long)count);
    if (status == FB_OK) /* a clock too coarse for the product must not give infinity */
        *flop_per_s = 2.0 * (double)rows * (double)in * (double)out /
                      (seconds > 1e-9 ? seconds : 1e-9);
    free(times);
    free(numbers);
    return status;
}
