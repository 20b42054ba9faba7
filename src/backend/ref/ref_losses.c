/* ref_losses.c - losses of rows of logits, and their gradients.
 *
 *     lse = log sum_v exp(logits[v])
 *     cross entropy = lse - logits[target]         dlogits = scale (softmax - onehot)
 *     KLD = sum_f p log(p / q)                     dlogits = scale (q - p)
 *         p = softmax(features[row]), a target without gradient; q = softmax(logits)
 *
 * loss, lse [M]    logits, dlogits [M,V] or [M,F]    features [R,F]
 */
#include "backend/ref/ref.h"

static double log_sum_exp(const float *x, int64_t count)
{
    double most = -INFINITY, total = 0.0;
    for (int64_t i = 0; i < count; i++)
        most = (double)x[i] > most || isnan(x[i]) ? (double)x[i] : most;
    for (int64_t i = 0; i < count; i++)
        total += exp((double)x[i] - most);
    return most + log(total);
}

fb_status ref_cross_entropy_forward(fb_context *ctx, fb_backend *be, float *loss,
                                    float *lse, const fb_tensor *logits,
                                    const int32_t *targets)
{
    int64_t rows = logits->dims[0], classes = logits->dims[1];
    for (int64_t m = 0; m < rows; m++) {
        const float *row = (const float *)logits->data + m * classes;
        double sum = log_sum_exp(row, classes);
        lse[m] = (float)sum;
        loss[m] = (float)(sum - (double)row[targets[m]]);
    }
    return FB_OK;
}

fb_status ref_cross_entropy_backward(fb_context *ctx, fb_backend *be,
                                     const fb_tensor *dlogits, const fb_tensor *logits,
                                     const float *lse, const int32_t *targets,
                                     float scale)
{
    int64_t rows = logits->dims[0], classes = logits->dims[1];
    const float *xs = logits->data;
    float *dxs = dlogits->data;
    for (int64_t m = 0; m < rows; m++)
        for (int64_t v = 0; v < classes; v++) {
            double q = exp((double)xs[m * classes + v] - (double)lse[m]);
            dxs[m * classes + v] =
                (float)((double)scale * (q - (v == targets[m] ? 1.0 : 0.0)));
        }
    return FB_OK;
}

fb_status ref_kld_forward(fb_context *ctx, fb_backend *be, float *loss,
                          const fb_tensor *logits, const fb_tensor *features,
                          const int32_t *rows)
{
    int64_t count = logits->dims[0], width = logits->dims[1];
    for (int64_t m = 0; m < count; m++) {
        const float *x = (const float *)logits->data + m * width;
        const float *target = (const float *)features->data + rows[m] * width;
        double lse_q = log_sum_exp(x, width), lse_p = log_sum_exp(target, width);
        double sum = 0.0;
        for (int64_t f = 0; f < width; f++) {
            double log_p = (double)target[f] - lse_p, log_q = (double)x[f] - lse_q;
            sum += exp(log_p) * (log_p - log_q);
        }
        loss[m] = (float)sum;
    }
    return FB_OK;
}

fb_status ref_kld_backward(fb_context *ctx, fb_backend *be, const fb_tensor *dlogits,
                           const fb_tensor *logits, const fb_tensor *features,
                           const int32_t *rows, float scale)
{
    int64_t count = logits->dims[0], width = logits->dims[1];
    for (int64_t m = 0; m < count; m++) {
        const float *x = (const float *)logits->data + m * width;
        const float *target = (const float *)features->data + rows[m] * width;
        float *dx = (float *)dlogits->data + m * width;
        double lse_q = log_sum_exp(x, width), lse_p = log_sum_exp(target, width);
        for (int64_t f = 0; f < width; f++) {
            double q = exp((double)x[f] - lse_q), p = exp((double)target[f] - lse_p);
            dx[f] = (float)((double)scale * (q - p));
        }
    }
    return FB_OK;
}
