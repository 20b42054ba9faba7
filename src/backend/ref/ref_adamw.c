/* ref_adamw.c - one AdamW step, decay decoupled (Loshchilov & Hutter 2019).
 *
 *     g = scale grad    m = b1 m + (1 - b1) g    v = b2 v + (1 - b2) g^2
 *     x -= lr (m/c1 / (sqrt(v/c2) + eps) + wd x)             x, m, v, grad [n]
 */
#include "backend/ref/ref.h"

fb_status ref_adamw_step(fb_context *ctx, fb_backend *be, float *x, float *m, float *v,
                         const float *grad, int64_t n, const fb_adamw *options)
{
    double lr = (double)options->lr, eps = (double)options->eps;
    double beta1 = (double)options->beta1, beta2 = (double)options->beta2;
    double decay = (double)options->weight_decay;
    for (int64_t i = 0; i < n; i++) {
        double g = (double)options->gradient_scale * (double)grad[i];
        m[i] = (float)(beta1 * (double)m[i] + (1.0 - beta1) * g);
        v[i] = (float)(beta2 * (double)v[i] + (1.0 - beta2) * g * g);
        double mean = (double)m[i] / (double)options->correction1;
        double spread = sqrt((double)v[i] / (double)options->correction2) + eps;
        double step = mean / spread + decay * (double)x[i];
        x[i] = (float)((double)x[i] - lr * step);
    }
    return FB_OK;
}
