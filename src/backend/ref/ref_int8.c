/* ref_int8.c - a linear layer whose products are of int8 numbers (backend/int8.h).
 *
 *     x [T,K]    w [N,K]    scale, bias [N]    y [T,N]
 */
#include "backend/int8.h"
#include "backend/ref/ref.h"

#include <stdlib.h>

/* A row's numbers on their grid; returns the scale. */
static float quantize_row(int8_t *q, const float *x, int64_t n)
{
    float inverse, scale = fb_int8_scale(fb_int8_magnitude(x, n), &inverse);
    for (int64_t k = 0; k < n; k++)
        q[k] = isfinite(scale) ? (int8_t)fb_int8_round(x[k], inverse) : 0;
    return scale;
}

fb_status ref_int8_begin(fb_context *ctx, fb_backend *be, const char **by)
{
    *by = "plain loops";
    return FB_OK;
}

fb_status ref_linear_int8_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                                  const fb_tensor *x, fb_weight *w, const float *scale,
                                  const float *bias, fb_activation act)
{
    int64_t rows = x->dims[0], in = w->in, out = w->out;
    const float *xs = x->data;
    float *ys = y->data;
    int8_t *qx = malloc((size_t)((rows + 1) * in + 1)), *qw = qx + rows * in;
    float *row = malloc((size_t)(rows + 1) * sizeof *row);
    if (!qx || !row) {
        free(qx);
        free(row);
        return fb_fail(ctx, FB_E_MEMORY, "linear_int8_forward: out of memory");
    }
    for (int64_t t = 0; t < rows; t++)
        row[t] = quantize_row(qx + t * in, xs + t * in, in);
    for (int64_t n = 0; n < out; n++) {
        float inverse = fb_int8_inverse(scale[n]);
        for (int64_t k = 0; k < in; k++)
            qw[k] = (int8_t)fb_int8_round(w->data[n * in + k], inverse);
        for (int64_t t = 0; t < rows; t++) {
            int32_t sum = 0;
            for (int64_t k = 0; k < in; k++)
                sum += (int32_t)qx[t * in + k] * (int32_t)qw[k];
            float value = (float)sum * (row[t] * scale[n]) + (bias ? bias[n] : 0.0f);
            ys[t * out + n] = (float)ref_activation(act, (double)value);
        }
    }
    free(qx);
    free(row);
    return FB_OK;
}
