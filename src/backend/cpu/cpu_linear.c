/* cpu_linear.c - linear layers on cpu_product.h or cpu_gemm.h, the sum of dbias, and the
 * yardstick. */
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/cpu_product.h"
#include "base/clock.h"
#include <stdlib.h>

fb_status cpu_linear_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                             const fb_tensor *x, fb_weight *w, const float *bias,
                             fb_activation act)
{
    cpu_backend *c = cpu_of(be);
    return cpu_product_is_own(c) ? cpu_product_forward(ctx, c, y, x, w, bias, act)
                                 : cpu_gemm_forward(ctx, c->gemm, y, x, w, bias, act);
}

fb_status cpu_linear_backward_input(fb_context *ctx, fb_backend *be,
                                    const fb_tensor *dx, const fb_tensor *dy,
                                    fb_weight *w, bool accumulate)
{
    cpu_backend *c = cpu_of(be);
    return cpu_product_is_own(c)
               ? cpu_product_backward_input(ctx, c, dx, dy, w, accumulate)
               : cpu_gemm_backward_input(ctx, c->gemm, dx, dy, w, accumulate);
}

static void sum_columns(const cpu_backend *c, float *sum, const fb_tensor *dy)
{
    int64_t rows = dy->dims[0], out = dy->dims[1];
    int32_t threads = c->base.threads;
    bool large = cpu_is_large(rows * out * (int64_t)fb_dtype_size(dy->dtype));
#pragma omp parallel for schedule(static) num_threads(threads) if (large)
    for (int32_t t = 0; t < threads; t++) {
        cpu_range part = cpu_part(out, 64, t, threads);
        c->v->column_sum(dy->dtype, sum, dy->data, rows, out, part.from, part.to);
    }
}

fb_status cpu_linear_backward_weight(fb_context *ctx, fb_backend *be, float *dw,
                                     float *dbias, const fb_tensor *x,
                                     const fb_tensor *dy)
{
    cpu_backend *c = cpu_of(be);
    if (dw && x->dims[1] > 0 && cpu_product_is_own(c))
        return cpu_product_backward_weight(ctx, c, dw, dbias, x, dy);
    if (dbias)
        sum_columns(c, dbias, dy);
    return dw ? cpu_gemm_backward_weight(ctx, c->gemm, dw, x, dy) : FB_OK;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct timing {
    int32_t repeats;
    double *times; /* [repeats] */
} timing;

/* Two runs to warm up (they pack the weight and make the primitives), then the median
 * of `repeats`. scale: by int8 products; NULL: not. */
static fb_status time_product(fb_context *ctx, fb_backend *be, double *seconds,
                              const fb_tensor *y, const fb_tensor *x, fb_weight *w,
                              const float *scale, timing *t)
{
    for (int32_t i = -2; i < t->repeats; i++) {
        double started = fb_clock_s();
        if (scale)
            FB_TRY(cpu_linear_int8_forward(ctx, be, y, x, w, scale, NULL, FB_ACT_NONE));
        else
            FB_TRY(cpu_linear_forward(ctx, be, y, x, w, NULL, FB_ACT_NONE));
        if (i >= 0)
            t->times[i] = fb_clock_s() - started;
    }
    qsort(t->times, (size_t)t->repeats, sizeof *t->times, by_size);
    *seconds = t->times[t->repeats / 2];
    return FB_OK;
}

static void fill(void *p, fb_dtype dtype, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float value = (float)((i * 37) % 101 - 50) / 64.0f;
        if (dtype == FB_BF16)
            ((fb_bf16 *)p)[i] = fb_bf16_from_f32(value);
        else
            ((float *)p)[i] = value;
    }
}

fb_status cpu_gemm_rate(fb_context *ctx, fb_backend *be, double *flop_per_s,
                        int64_t rows, int64_t in, int64_t out, int32_t repeats,
                        bool int8)
{
    if (repeats < 1)
        repeats = 1;
    fb_dtype dtype = int8 ? FB_F32 : be->dtype;
    size_t size = fb_dtype_size(dtype);
    void *x = calloc((size_t)(rows * in), size),
         *y = calloc((size_t)(rows * out), size);
    float *weights = calloc((size_t)(in * out), sizeof *weights);
    float *scale = calloc((size_t)out, sizeof *scale);
    timing t = {repeats, calloc((size_t)repeats, sizeof *t.times)};
    double seconds = 0.0;
    fb_weight w = {weights, out, in, 1, NULL};
    fb_tensor input = fb_tensor_2d(x, dtype, rows, in);
    fb_tensor output = fb_tensor_2d(y, dtype, rows, out);
    fb_status status = FB_OK;
    if (!x || !y || !weights || !scale || !t.times) {
        status = fb_fail(ctx, FB_E_MEMORY, "no memory to measure a product");
    } else {
        fill(x, dtype, rows * in);
        fill(weights, FB_F32, in * out);
        for (int64_t n = 0; n < out; n++)
            scale[n] = 1.0f / 127.0f; /* of numbers within -1 and 1 */
        status = time_product(ctx, be, &seconds, &output, &input, &w,
                              int8 ? scale : NULL, &t);
    }
    if (status == FB_OK)
        *flop_per_s = 2.0 * (double)rows * (double)in * (double)out / seconds;
    be->k->weight_release(be, &w);
    free(x);
    free(y);
    free(weights);
    free(scale);
    free(t.times);
    return status;
}
