/* cpu_losses.c - cross entropy and KL divergence, rows cut between threads. */
#include "backend/cpu/cpu_backend.h"

fb_status cpu_cross_entropy_forward(fb_context *ctx, fb_backend *be, float *loss,
                                    float *lse, const fb_tensor *logits,
                                    const int32_t *targets)
{
    cpu_backend *c = cpu_of(be);
    int64_t rows = logits->dims[0], classes = logits->dims[1];
    const float *x = logits->data;
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(logits));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(rows, 1, t, be->threads);
        if (part.to > part.from)
            c->v->cross_entropy_forward(loss + part.from, lse + part.from,
                                        x + part.from * classes, targets + part.from,
                                        part.to - part.from, classes);
    }
    return FB_OK;
}

fb_status cpu_cross_entropy_backward(fb_context *ctx, fb_backend *be,
                                     const fb_tensor *dlogits, const fb_tensor *logits,
                                     const float *lse, const int32_t *targets,
                                     float scale)
{
    cpu_backend *c = cpu_of(be);
    int64_t rows = logits->dims[0], classes = logits->dims[1];
    const float *x = logits->data;
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(logits));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(rows, 1, t, be->threads);
        if (part.to > part.from)
            c->v->cross_entropy_backward(
                dlogits->dtype, cpu_at(dlogits, part.from * classes),
                x + part.from * classes, lse + part.from, targets + part.from,
                part.to - part.from, classes, scale);
    }
    return FB_OK;
}

/* Row m of the logits against row rows[m] of the features. */
static void divergences(fb_backend *be, float *loss, const fb_tensor *dlogits,
                        const fb_tensor *logits, const fb_tensor *features,
                        const int32_t *rows, float scale)
{
    cpu_backend *c = cpu_of(be);
    int64_t count = logits->dims[0], width = logits->dims[1];
    const float *x = logits->data;
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(logits));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int64_t m = 0; m < count; m++)
        c->v->kld(features->dtype, loss ? loss + m : NULL,
                  dlogits ? cpu_at(dlogits, m * width) : NULL, x + m * width,
                  cpu_at(features, rows[m] * width), width, scale);
}

fb_status cpu_kld_forward(fb_context *ctx, fb_backend *be, float *loss,
                          const fb_tensor *logits, const fb_tensor *features,
                          const int32_t *rows)
{
    divergences(be, loss, NULL, logits, features, rows, 0.0f);
    return FB_OK;
}

fb_status cpu_kld_backward(fb_context *ctx, fb_backend *be, const fb_tensor *dlogits,
                           const fb_tensor *logits, const fb_tensor *features,
                           const int32_t *rows, float scale)
{
    divergences(be, NULL, dlogits, logits, features, rows, scale);
    return FB_OK;
}
