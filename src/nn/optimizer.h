/* optimizer.h - AdamW (Loshchilov & Hutter 2019) with clipping, linear warm-up and
 * decay.
 *
 *     lr(s) = lr * min(1, (s+1)/W, (S-s)/(S-W))   s = 0..S-1
 *     W = warm-up steps: the fraction of S, rounded up
 *     gradients are scaled by min(1, clip/norm), norm over all parameters
 *     no decay on biases and norms (vectors); frozen parameters stay
 */
#ifndef FB_NN_OPTIMIZER_H
#define FB_NN_OPTIMIZER_H

#include "nn/param.h"

typedef struct fb_optimizer_options {
    double lr, beta1, beta2, eps, weight_decay;
    double clip;   /* greatest global norm; 0: off */
    double warmup; /* fraction of all steps */
} fb_optimizer_options;

/* Learning rate of step (0-based) of total, which may lie between two. */
double fb_schedule_lr(double lr, double warmup, double step, double total);

typedef struct fb_optimizer_figures {
    double norm; /* the global gradient norm before clipping, after the scale */
    double lr;   /* of this step */
} fb_optimizer_figures;

/* One step from the accumulated gradients times gradient_scale; zeroes the gradients
 * and bumps the versions. FB_E_NUMBER names the first parameter whose gradient is not finite; then
 * nothing moved.
 */
fb_status fb_optimizer_step(fb_context *ctx, fb_params *params, fb_backend *be,
                            const fb_optimizer_options *options, int64_t step,
                            int64_t total_steps, float gradient_scale,
                            fb_optimizer_figures *figures);
/* The same at a learning rate that the caller took from its schedule. */
fb_status fb_optimizer_step_at(fb_context *ctx, fb_params *params, fb_backend *be,
                               const fb_optimizer_options *options, int64_t step,
                               double lr, float gradient_scale,
                               fb_optimizer_figures *figures);

#endif
