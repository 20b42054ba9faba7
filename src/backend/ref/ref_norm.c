/* ref_norm.c - layer normalisation of dropout(x) + residual, row by row.
 *
 *     z = dropout(x) + residual     u = (z - mean) r,  r = 1/sqrt(var + eps)
 *     y = gamma u + beta            var divides by C, as in torch
 *
 *     dz = r (g - mean(g) - u mean(g u)),  g = gamma dy
 *
 * x, residual, z, y [T,C]    gamma, beta [C]    stats [T,2] = mean, r
 */
#include "backend/ref/ref.h"

static void row_statistics(const float *z, int64_t width, float eps, double *mean,
                           double *rstd)
{
    double sum = 0.0, squares = 0.0;
    for (int64_t c = 0; c < width; c++)
        sum += (double)z[c];
    *mean = sum / (double)width;
    for (int64_t c = 0; c < width; c++)
        squares += ((double)z[c] - *mean) * ((double)z[c] - *mean);
    *rstd = 1.0 / sqrt(squares / (double)width + (double)eps);
}

fb_status ref_norm_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                           const fb_tensor *z, float *stats, const fb_tensor *x,
                           const fb_tensor *residual, const fb_norm *n)
{
    int64_t rows = x->dims[0], width = x->dims[1];
    const float *xs = x->data, *rs = residual ? residual->data : NULL;
    float *ys = y->data, *zs = z ? z->data : NULL;
    for (int64_t t = 0; t < rows; t++) {
        float *row = ys + t * width; /* holds z until y takes its place */
        for (int64_t c = 0; c < width; c++) {
            int64_t i = t * width + c;
            row[c] =
                ref_dropout_value(n->dropout, (uint32_t)i, xs[i]) + (rs ? rs[i] : 0.0f);
            if (zs)
                zs[i] = row[c];
        }
        double mean, rstd;
        row_statistics(row, width, n->eps, &mean, &rstd);
        for (int64_t c = 0; c < width; c++)
            row[c] = (float)(((double)row[c] - mean) * rstd * (double)n->gamma[c] +
                             (double)n->beta[c]);
        if (stats) {
            stats[2 * t] = (float)mean;
            stats[2 * t + 1] = (float)rstd;
        }
    }
    return FB_OK;
}

fb_status ref_norm_backward(fb_context *ctx, fb_backend *be, const fb_norm_grads *d,
                            const fb_tensor *dy, const fb_tensor *z, const float *stats,
                            const fb_norm *n)
{
    int64_t rows = z->dims[0], width = z->dims[1];
    const float *dys = dy->data, *zs = z->data;
    float *dxs = d->dx->data, *drs = d->dresidual ? d->dresidual->data : NULL;
    for (int64_t t = 0; t < rows; t++) {
        double mean = (double)stats[2 * t], rstd = (double)stats[2 * t + 1];
        double mean_g = 0.0, mean_gu = 0.0;
        for (int64_t c = 0; c < width; c++) {
            double g = (double)n->gamma[c] * (double)dys[t * width + c];
            mean_g += g / (double)width;
            mean_gu += g * ((double)zs[t * width + c] - mean) * rstd / (double)width;
        }
        for (int64_t c = 0; c < width; c++) {
            int64_t i = t * width + c;
            double u = ((double)zs[i] - mean) * rstd;
            double g = (double)n->gamma[c] * (double)dys[i];
            float dz = (float)(rstd * (g - mean_g - u * mean_gu));
            if (drs)
                drs[i] = dz;
            dxs[i] = ref_dropout_value(n->dropout, (uint32_t)i, dz);
        }
    }
    for (int64_t c = 0; c < width; c++) {
        double sum_gamma = 0.0, sum_beta = 0.0;
        for (int64_t t = 0; t < rows; t++) {
            double dv = (double)dys[t * width + c];
            double centred = (double)zs[t * width + c] - (double)stats[2 * t];
            sum_gamma += dv * centred * (double)stats[2 * t + 1];
            sum_beta += dv;
        }
        if (d->dgamma)
            d->dgamma[c] = (float)((double)d->dgamma[c] + sum_gamma);
        if (d->dbeta)
            d->dbeta[c] = (float)((double)d->dbeta[c] + sum_beta);
    }
    return FB_OK;
}
