/* ref_conv.c - square convolutions with groups, stride and padding, and both backwards.
 *
 *     y[b,oy,ox,n] = sum over c,ky,kx of  w[n,c,ky,kx] x[b,iy,ix, g C/G + c]
 *     iy = oy stride + ky - padding,  ix likewise,  g = n / (N/G)
 *
 *     x, dx [images*height*width, C]    y, dy [images*height'*width', N]
 *     w, dw [N, C/G, kernel, kernel]    bias [N]
 *
 * One function walks the products of an output number; outside the picture is 0.
 */
#include "backend/int8.h"
#include "backend/ref/ref.h"

#include <stdlib.h>

typedef struct conv_walk {
    const fb_conv *c;
    int64_t height, width; /* of the output */
    int64_t in, out;       /* channels of a group */
} conv_walk;

static conv_walk walk_of(const fb_conv *c)
{
    return (conv_walk){c, fb_window_out(c->height, c->kernel, c->stride, c->padding),
                       fb_window_out(c->width, c->kernel, c->stride, c->padding),
                       c->in / c->groups, c->out / c->groups};
}

/* Where in x (its first channel of the group) and in w the products of output row
 * `row`, channel `n` and window place `place` begin; false: outside the picture. */
static bool places(const conv_walk *k, int64_t row, int64_t n, int64_t place,
                   int64_t *at_x, int64_t *at_w)
{
    const fb_conv *c = k->c;
    int64_t image = row / (k->height * k->width);
    int64_t oy = row / k->width % k->height, ox = row % k->width;
    int64_t iy = oy * c->stride + place / c->kernel - c->padding;
    int64_t ix = ox * c->stride + place % c->kernel - c->padding;
    if (iy < 0 || iy >= c->height || ix < 0 || ix >= c->width)
        return false;
    *at_x = ((image * c->height + iy) * c->width + ix) * c->in + n / k->out * k->in;
    *at_w = n * k->in * c->kernel * c->kernel + place;
    return true;
}

fb_status ref_conv_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                           const fb_tensor *x, fb_weight *w, const fb_conv *c,
                           const fb_conv_epilogue *after)
{
    conv_walk k = walk_of(c);
    int64_t window = (int64_t)c->kernel * c->kernel, at_x, at_w;
    const float *xs = x->data;
    float *ys = y->data;
    for (int64_t i = 0; i < y->dims[0] * c->out; i++) {
        int64_t row = i / c->out, n = i % c->out;
        double sum = after->bias ? (double)after->bias[n] : 0.0;
        for (int64_t place = 0; place < window; place++)
            if (places(&k, row, n, place, &at_x, &at_w))
                for (int64_t j = 0; j < k.in; j++)
                    sum += (double)xs[at_x + j] * (double)w->data[at_w + j * window];
        if (after->residual)
            sum += (double)((const float *)after->residual->data)[i];
        ys[i] = (float)(after->relu && sum < 0.0 ? 0.0 : sum); /* NaN stays */
    }
    return FB_OK;
}

/* A window's numbers on their grid, in the order of w's row; returns the scale. */
static float quantize_window(int8_t *q, const conv_walk *k, const float *x, int64_t row)
{
    int64_t window = (int64_t)k->c->kernel * k->c->kernel, at_x, at_w;
    float most = 0.0f, inverse;
    for (int64_t place = 0; place < window; place++)
        if (places(k, row, 0, place, &at_x, &at_w)) {
            float magnitude = fb_int8_magnitude(x + at_x, k->in);
            most = magnitude <= most ? most : magnitude; /* NaN is the largest */
            if (isnan(most))
                break;
        }
    float scale = fb_int8_scale(most, &inverse);
    memset(q, 0, (size_t)(window * k->in));
    for (int64_t place = 0; place < window && isfinite(scale); place++)
        if (places(k, row, 0, place, &at_x, &at_w))
            for (int64_t j = 0; j < k->in; j++)
                q[place + j * window] = (int8_t)fb_int8_round(x[at_x + j], inverse);
    return scale;
}

fb_status ref_conv_int8_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                                const fb_tensor *x, fb_weight *w, const float *scale,
                                const fb_conv *c, const fb_conv_epilogue *after)
{
    conv_walk k = walk_of(c);
    int64_t inputs = w->in, out = w->out;
    int8_t *qw = malloc((size_t)((out + 1) * inputs + 1)), *qx = qw + out * inputs;
    if (!qw)
        return fb_fail(ctx, FB_E_MEMORY, "conv_int8_forward: out of memory");
    for (int64_t i = 0; i < out * inputs; i++)
        qw[i] = (int8_t)fb_int8_round(w->data[i], fb_int8_inverse(scale[i / inputs]));
    for (int64_t row = 0; row < y->dims[0]; row++) {
        float of_window = quantize_window(qx, &k, x->data, row);
        for (int64_t n = 0; n < out; n++) {
            int32_t sum = 0;
            for (int64_t i = 0; i < inputs; i++)
                sum += (int32_t)qx[i] * (int32_t)qw[n * inputs + i];
            float value = (float)sum * (of_window * scale[n]) +
                          (after->bias ? after->bias[n] : 0.0f);
            if (after->residual)
                value += ((const float *)after->residual->data)[row * out + n];
            ((float *)y->data)[row * out + n] =
                after->relu && value < 0.0f ? 0.0f : value; /* NaN stays */
        }
    }
    free(qw);
    return FB_OK;
}

/* sums of f64 to begin with: those of `numbers`, or 0. */
static double *sums_of(fb_context *ctx, const float *numbers, int64_t count)
{
    double *sums = calloc((size_t)count + 1, sizeof *sums);
    if (!sums)
        fb_fail(ctx, FB_E_MEMORY, "convolution: no memory for %lld sums",
                (long long)count);
    for (int64_t i = 0; sums && numbers && i < count; i++)
        sums[i] = (double)numbers[i];
    return sums;
}

static void round_sums(float *numbers, double *sums, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        numbers[i] = (float)sums[i];
    free(sums);
}

fb_status ref_conv_backward_input(fb_context *ctx, fb_backend *be, const fb_tensor *dx,
                                  const fb_tensor *dy, fb_weight *w, const fb_conv *c,
                                  bool accumulate)
{
    conv_walk k = walk_of(c);
    int64_t window = (int64_t)c->kernel * c->kernel, at_x, at_w;
    int64_t count = dx->dims[0] * c->in;
    double *sums = sums_of(ctx, accumulate ? dx->data : NULL, count);
    if (!sums)
        return FB_E_MEMORY;
    for (int64_t i = 0; i < dy->dims[0] * c->out; i++) {
        double g = (double)((const float *)dy->data)[i];
        for (int64_t place = 0; place < window; place++)
            if (places(&k, i / c->out, i % c->out, place, &at_x, &at_w))
                for (int64_t j = 0; j < k.in; j++)
                    sums[at_x + j] += g * (double)w->data[at_w + j * window];
    }
    round_sums(dx->data, sums, count);
    return FB_OK;
}

fb_status ref_conv_backward_weight(fb_context *ctx, fb_backend *be, float *dw,
                                   const fb_tensor *x, const fb_tensor *dy,
                                   const fb_conv *c)
{
    conv_walk k = walk_of(c);
    int64_t window = (int64_t)c->kernel * c->kernel, at_x, at_w;
    int64_t count = c->out * k.in * window;
    const float *xs = x->data;
    double *sums = sums_of(ctx, dw, count);
    if (!sums)
        return FB_E_MEMORY;
    for (int64_t i = 0; i < dy->dims[0] * c->out; i++) {
        double g = (double)((const float *)dy->data)[i];
        for (int64_t place = 0; place < window; place++)
            if (places(&k, i / c->out, i % c->out, place, &at_x, &at_w))
                for (int64_t j = 0; j < k.in; j++)
                    sums[at_w + j * window] += g * (double)xs[at_x + j];
    }
    round_sums(dw, sums, count);
    return FB_OK;
}
