/* ref_batch_norm.c - batch norm over rows, with an optional sum and ReLU behind it.
 *
 *     u = (x - mean) inv        y = act(gamma u + beta + residual)
 *     mean, inv = 1/sqrt(var + eps) of each column; var divides by T
 *
 *     g = dy where y > 0 (ReLU), else dy
 *     dx = gamma inv (g - mean(g) - u mean(g u)),  without the means when given
 *
 * x, residual, y [T,C]    gamma, beta [C]    stats [2,C] = mean, inv
 */
#include "backend/ref/ref.h"

static void column_statistics(float *stats, const float *x, int64_t rows, int64_t width,
                              float eps)
{
    for (int64_t c = 0; c < width; c++) {
        double sum = 0.0, squares = 0.0;
        for (int64_t t = 0; t < rows; t++)
            sum += (double)x[t * width + c];
        double mean = sum / (double)rows;
        for (int64_t t = 0; t < rows; t++) {
            double centred = (double)x[t * width + c] - mean;
            squares += centred * centred;
        }
        stats[c] = (float)mean;
        stats[width + c] = (float)(1.0 / sqrt(squares / (double)rows + (double)eps));
    }
}

fb_status ref_batch_norm_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                                 float *stats, const fb_tensor *x,
                                 const fb_tensor *residual, const fb_batch_norm *n)
{
    int64_t rows = x->dims[0], width = x->dims[1];
    const float *xs = x->data, *rs = residual ? residual->data : NULL;
    float *ys = y->data;
    if (rows > 0 && !n->given)
        column_statistics(stats, xs, rows, width, n->eps);
    for (int64_t i = 0; i < rows * width; i++) {
        int64_t c = i % width;
        double u = ((double)xs[i] - (double)stats[c]) * (double)stats[width + c];
        double sum =
            (double)n->gamma[c] * u + (double)n->beta[c] + (rs ? (double)rs[i] : 0.0);
        ys[i] = n->relu && sum < 0.0 ? 0.0f : (float)sum; /* NaN stays */
    }
    return FB_OK;
}

fb_status ref_batch_norm_backward(fb_context *ctx, fb_backend *be,
                                  const fb_norm_grads *d, const fb_tensor *dy,
                                  const fb_tensor *y, const fb_tensor *x,
                                  const float *stats, const fb_batch_norm *n)
{
    int64_t rows = x->dims[0], width = x->dims[1];
    const float *dys = dy->data, *ys = y->data, *xs = x->data;
    float *dxs = d->dx->data, *drs = d->dresidual ? d->dresidual->data : NULL;
    for (int64_t c = 0; c < width; c++) {
        double mean = (double)stats[c], inv = (double)stats[width + c];
        double sum = 0.0, sum_u = 0.0;
        for (int64_t i = c; i < rows * width; i += width) {
            double g = n->relu && !(ys[i] > 0.0f) ? 0.0 : (double)dys[i];
            sum += g;
            sum_u += g * ((double)xs[i] - mean) * inv;
        }
        if (d->dgamma)
            d->dgamma[c] = (float)((double)d->dgamma[c] + sum_u);
        if (d->dbeta)
            d->dbeta[c] = (float)((double)d->dbeta[c] + sum);
        double mean_g = n->given ? 0.0 : sum / (double)rows;
        double mean_gu = n->given ? 0.0 : sum_u / (double)rows;
        for (int64_t i = c; i < rows * width; i += width) {
            double g = n->relu && !(ys[i] > 0.0f) ? 0.0 : (double)dys[i];
            double u = ((double)xs[i] - mean) * inv;
            if (drs)
                drs[i] = (float)g;
            dxs[i] = (float)((double)n->gamma[c] * inv * (g - mean_g - u * mean_gu));
        }
    }
    return FB_OK;
}

fb_status ref_batch_norm_running(fb_context *ctx, fb_backend *be, float *stats,
                                 const fb_running *r)
{
    for (int64_t c = 0; c < r->width; c++) {
        stats[c] = r->mean[c];
        stats[r->width + c] = (float)(1.0 / sqrt((double)r->var[c] + (double)r->eps));
    }
    return FB_OK;
}

fb_status ref_batch_norm_move(fb_context *ctx, fb_backend *be, const fb_running *r,
                              const float *stats, int64_t rows, float momentum)
{
    double unbiased = (double)rows / (double)(rows - 1), share = (double)momentum;
    for (int64_t c = 0; c < r->width; c++) {
        double inv = (double)stats[r->width + c];
        double variance = 1.0 / (inv * inv) - (double)r->eps;
        if (variance < 0.0) /* the rounding of inv */
            variance = 0.0;
        float *mean = &r->mean[c], *var = &r->var[c];
        *mean = (float)((1.0 - share) * (double)*mean + share * (double)stats[c]);
        *var = (float)((1.0 - share) * (double)*var + share * variance * unbiased);
    }
    return FB_OK;
}
