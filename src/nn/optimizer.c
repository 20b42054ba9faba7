/* optimizer.c - see optimizer.h. */
#include "nn/optimizer.h"

#include <math.h>

double fb_schedule_lr(double lr, double warmup, double step, double total)
{
    double warm = ceil(warmup * total - 1e-6); /* 0.07 * 100 is above 7 */
    double up = warm > 0 ? (step + 1) / warm : 1.0;
    double left = total - warm;
    double down = left > 0 ? (total - step) / left : 1.0;
    return lr * fmax(0.0, fmin(1.0, fmin(up, down)));
}

static float clip_scale(double norm, double clip)
{
    return clip > 0 && norm > clip ? (float)(clip / norm) : 1.0f;
}

/* The name of the first parameter whose gradient is not finite, or NULL. */
static fb_status find_nonfinite(fb_context *ctx, const fb_params *params,
                                fb_backend *be, const char **name)
{
    *name = NULL;
    for (const fb_param *p = params->first; p && !*name; p = p->next) {
        int64_t at = -1;
        fb_tensor grad = fb_tensor_1d(p->leaf.grad, FB_F32, p->rows * p->columns);
        if (!p->frozen)
            FB_TRY(be->k->find_nonfinite(ctx, be, &at, &grad));
        if (at >= 0)
            *name = p->name[at / (p->rows / p->parts * p->columns)];
    }
    return FB_OK;
}

fb_status fb_optimizer_step(fb_context *ctx, fb_params *params, fb_backend *be,
                            const fb_optimizer_options *options, int64_t step,
                            int64_t total_steps, float gradient_scale,
                            fb_optimizer_figures *figures)
{
    double lr =
        fb_schedule_lr(options->lr, options->warmup, (double)step, (double)total_steps);
    return fb_optimizer_step_at(ctx, params, be, options, step, lr, gradient_scale,
                                figures);
}

fb_status fb_optimizer_step_at(fb_context *ctx, fb_params *params, fb_backend *be,
                               const fb_optimizer_options *options, int64_t step,
                               double lr, float gradient_scale,
                               fb_optimizer_figures *figures)
{
    double sum = 0;
    fb_tensor all = fb_tensor_1d(params->on.grad, FB_F32, params->trained);
    FB_TRY(be->k->sum_squares(ctx, be, &sum, &all));
    double norm = sqrt(sum) * (double)gradient_scale;
    if (!isfinite(norm)) {
        const char *name = NULL;
        FB_TRY(find_nonfinite(ctx, params, be, &name));
        return fb_fail(
            ctx, FB_E_NUMBER,
            "step %lld: the gradient of %s is not finite; try a smaller --lr",
            (long long)step, name ? name : "all parameters together");
    }
    *figures = (fb_optimizer_figures){norm, lr};
    double t = (double)(step + 1);
    fb_adamw o = {
        .lr = (float)lr,
        .beta1 = (float)options->beta1,
        .beta2 = (float)options->beta2,
        .eps = (float)options->eps,
        .correction1 = (float)(1.0 - pow(options->beta1, t)),
        .correction2 = (float)(1.0 - pow(options->beta2, t)),
        .gradient_scale = gradient_scale * clip_scale(norm, options->clip),
    };
    for (fb_param *p = params->first; p; p = p->next) {
        if (p->frozen)
            continue;
        o.lr = (float)lr * p->lr_scale;
        o.weight_decay = p->decay ? (float)options->weight_decay : 0.0f;
        FB_TRY(be->k->adamw_step(
            ctx, be, params->on.value + p->offset, params->on.moment1 + p->offset,
            params->on.moment2 + p->offset, params->on.grad + p->offset,
            p->rows * p->columns, &o));
    }
    FB_TRY(be->m->fill(ctx, be, params->on.grad, 0,
                       (size_t)params->trained * sizeof(float)));
    fb_params_touch(params);
    return FB_OK;
}
