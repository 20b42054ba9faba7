/* cpu_norm.c - LayerNorm with dropout and residual, rows cut between threads. The
 * gradients of gamma and beta are summed per thread and then in the threads' order.
 *
 * Scratch: a thread has 2 C floats for a row and 2 C for its dgamma and dbeta.
 */
#include "backend/cpu/cpu_backend.h"

static int64_t thread_floats(int64_t width)
{
    return (4 * width + 15) / 16 * 16 + 16; /* whole cache lines, none shared */
}

static fb_status thread_scratch(fb_context *ctx, cpu_backend *c, int64_t width,
                                float **scratch)
{
    void *bytes;
    size_t floats = (size_t)(thread_floats(width) * c->base.threads);
    FB_TRY(cpu_scratch(ctx, c, floats * sizeof(float), &bytes));
    *scratch = bytes;
    return FB_OK;
}

fb_status cpu_norm_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                           const fb_tensor *z, float *stats, const fb_tensor *x,
                           const fb_tensor *residual, const fb_norm *n)
{
    cpu_backend *c = cpu_of(be);
    int64_t rows = x->dims[0], width = x->dims[1];
    if (width == 0)
        return FB_OK;
    vector_norm a = {.dtype = x->dtype,
                     .width = width,
                     .y = y->data,
                     .stats = stats,
                     .x = x->data,
                     .gamma = n->gamma,
                     .beta = n->beta,
                     .eps = n->eps,
                     .dropout = n->dropout};
    a.z = z ? z->data : NULL;
    a.residual = residual ? residual->data : NULL;
    float *scratch;
    FB_TRY(thread_scratch(ctx, c, width, &scratch));
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(x));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(rows, 1, t, be->threads);
        c->v->norm_forward(&a, part.from, part.to - part.from,
                           scratch + t * thread_floats(width));
    }
    return FB_OK;
}

fb_status cpu_norm_backward(fb_context *ctx, fb_backend *be, const fb_norm_grads *d,
                            const fb_tensor *dy, const fb_tensor *z, const float *stats,
                            const fb_norm *n)
{
    cpu_backend *c = cpu_of(be);
    int64_t rows = dy->dims[0], width = dy->dims[1];
    if (width == 0)
        return FB_OK;
    vector_norm a = {.dtype = dy->dtype,
                     .width = width,
                     .gamma = n->gamma,
                     .dropout = n->dropout,
                     .dy = dy->data,
                     .z_in = z->data,
                     .stats_in = stats};
    a.dx = d->dx ? d->dx->data : NULL;
    a.dresidual = d->dresidual ? d->dresidual->data : NULL;
    float *scratch;
    FB_TRY(thread_scratch(ctx, c, width, &scratch));
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(dy));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(rows, 1, t, be->threads);
        float *own = scratch + t * thread_floats(width);
        memset(own + 2 * width, 0, 2 * (size_t)width * sizeof(float));
        c->v->norm_backward(&a, part.from, part.to - part.from, own, own + 2 * width,
                            own + 3 * width);
    }
    for (int32_t t = 0; t < be->threads; t++) {
        const float *own = scratch + t * thread_floats(width) + 2 * width;
        if (d->dgamma)
            c->v->add(FB_F32, d->dgamma, own, width);
        if (d->dbeta)
            c->v->add(FB_F32, d->dbeta, own + width, width);
    }
    return FB_OK;
}
