/* ref_gru.c - a gated recurrent unit's recurrence, one sequence after the other.
 *
 *     dn = dh (1 - z) (1 - n^2)        dx = dr, dz, dn
 *     dz = dh (h_before - n) z (1 - z) dg = dr, dz, r dn
 *     dr = dn g_n r (1 - r)            dh_before = z dh + dg w
 *     dw += dg^T h_before              dbias += dg
 *
 * x, dx [T,3H]    y, dy [T,H]    gates [T,4H] = r, z, n, g_n    w [3H,H]
 */
#include "backend/ref/ref.h"

#include <stdlib.h>

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

/* The row of a sequence's step, 0 its first. */
static int64_t row_of(const fb_recurrence *r, int32_t sequence, int64_t step)
{
    return r->backwards ? r->offsets[sequence + 1] - 1 - step
                        : r->offsets[sequence] + step;
}

/* g of unit `n` of 3H. before NULL: zeros */
static double product(const fb_weight *w, const float *bias, const float *before,
                      int64_t n)
{
    double sum = (double)bias[n];
    for (int64_t k = 0; before && k < w->in; k++)
        sum += (double)before[k] * (double)w->data[n * w->in + k];
    return sum;
}

fb_status ref_gru_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                          const fb_tensor *gates, const fb_tensor *x, fb_weight *w,
                          const float *bias, const fb_recurrence *r)
{
    int64_t width = w->in;
    float *ys = y->data, *kept = gates ? gates->data : NULL;
    for (int32_t s = 0; s < r->sequences; s++) {
        const float *before = NULL;
        for (int64_t t = 0; t < r->offsets[s + 1] - r->offsets[s]; t++) {
            int64_t row = row_of(r, s, t);
            const float *in = (const float *)x->data + row * 3 * width;
            float *h = ys + row * width;
            for (int64_t i = 0; i < width; i++) {
                double g = product(w, bias, before, 2 * width + i);
                double reset = sigmoid((double)in[i] + product(w, bias, before, i));
                double z = sigmoid((double)in[width + i] +
                                   product(w, bias, before, width + i));
                double n = tanh((double)in[2 * width + i] + reset * g);
                h[i] = (float)((1.0 - z) * n + (before ? z * (double)before[i] : 0.0));
                const double gate[4] = {reset, z, n, g};
                for (int64_t k = 0; kept && k < 4; k++)
                    kept[(row * 4 + k) * width + i] = (float)gate[k];
            }
            before = h;
        }
    }
    return FB_OK;
}

/* dx and dg of unit i; returns z dh. */
static double unit_backward(float *dx, double *dg, const float *gates, double before,
                            double dh, int64_t i, int64_t width)
{
    double r = (double)gates[i], z = (double)gates[width + i];
    double n = (double)gates[2 * width + i], g = (double)gates[3 * width + i];
    double dn = dh * (1.0 - z) * (1.0 - n * n);
    double dr = dn * g * r * (1.0 - r);
    double dz = dh * (before - n) * z * (1.0 - z);
    dx[i] = (float)(dg[i] = dr);
    dx[width + i] = (float)(dg[width + i] = dz);
    dx[2 * width + i] = (float)dn;
    dg[2 * width + i] = dn * r;
    return z * dh;
}

static void add_products(const fb_gru_grads *d, double *dh, const double *dg,
                         const float *before, const fb_weight *w)
{
    for (int64_t n = 0; n < w->out; n++) {
        if (d->dbias)
            d->dbias[n] += (float)dg[n];
        for (int64_t k = 0; before && k < w->in; k++) {
            dh[k] += dg[n] * (double)w->data[n * w->in + k];
            if (d->dw)
                d->dw[n * w->in + k] += (float)(dg[n] * (double)before[k]);
        }
    }
}

fb_status ref_gru_backward(fb_context *ctx, fb_backend *be, const fb_gru_grads *d,
                           const fb_tensor *dy, const fb_tensor *y,
                           const fb_tensor *gates, fb_weight *w, const fb_recurrence *r)
{
    int64_t width = w->in;
    const float *ys = y->data, *dys = dy->data, *kept = gates->data;
    double *dh = malloc((size_t)(4 * width + 1) * sizeof *dh), *dg = dh + width;
    if (!dh)
        return fb_fail(ctx, FB_E_MEMORY, "gru_backward: out of memory");
    for (int32_t s = 0; s < r->sequences; s++) {
        for (int64_t i = 0; i < width; i++)
            dh[i] = 0.0;
        for (int64_t t = r->offsets[s + 1] - r->offsets[s] - 1; t >= 0; t--) {
            int64_t row = row_of(r, s, t);
            const float *before = t > 0 ? ys + row_of(r, s, t - 1) * width : NULL;
            float *dx = (float *)d->dx->data + row * 3 * width;
            for (int64_t i = 0; i < width; i++)
                dh[i] = unit_backward(dx, dg, kept + row * 4 * width,
                                      before ? (double)before[i] : 0.0,
                                      dh[i] + (double)dys[row * width + i], i, width);
            add_products(d, dh, dg, before, w);
        }
    }
    free(dh);
    return FB_OK;
}
