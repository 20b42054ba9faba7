/* cpu_optimizer.c - AdamW, the sum of squares for clipping, the search for NaN. */
#include "backend/cpu/cpu_backend.h"

enum { STEP = 1024 };

fb_status cpu_sum_squares(fb_context *ctx, fb_backend *be, double *sum,
                          const fb_tensor *x)
{
    cpu_backend *c = cpu_of(be);
    int64_t n = fb_tensor_count(x);
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(x));
    void *scratch;
    FB_TRY(cpu_scratch(ctx, c, (size_t)be->threads * sizeof(double), &scratch));
    double *part_sum = scratch, total = 0.0;
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(n, STEP, t, be->threads);
        part_sum[t] =
            c->v->sum_squares(x->dtype, cpu_at(x, part.from), part.to - part.from);
    }
    for (int32_t t = 0; t < be->threads; t++)
        total += part_sum[t];
    *sum = total;
    return FB_OK;
}

fb_status cpu_find_nonfinite(fb_context *ctx, fb_backend *be, int64_t *index,
                             const fb_tensor *x)
{
    cpu_backend *c = cpu_of(be);
    int64_t n = fb_tensor_count(x), first = INT64_MAX;
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(x));
#pragma omp parallel for schedule(static) num_threads(be->threads)                     \
    reduction(min                                                                      \
              : first) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(n, STEP, t, be->threads);
        int64_t found =
            c->v->find_nonfinite(x->dtype, cpu_at(x, part.from), part.to - part.from);
        if (found >= 0 && part.from + found < first)
            first = part.from + found;
    }
    *index = first == INT64_MAX ? -1 : first;
    return FB_OK;
}

fb_status cpu_adamw_step(fb_context *ctx, fb_backend *be, float *x, float *m, float *v,
                         const float *grad, int64_t n, const fb_adamw *options)
{
    cpu_backend *c = cpu_of(be);
    bool large = cpu_is_large(n * (int64_t)sizeof *x);
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(n, STEP, t, be->threads);
        if (part.to > part.from)
            c->v->adamw(x + part.from, m + part.from, v + part.from, grad + part.from,
                        part.to - part.from, options);
    }
    return FB_OK;
}
