/* cpu_position.c - where rows lie, rows cut between threads. Each thread sums up its own
 * gradient of the embeddings; they are added in the threads' order.
 */
#include "backend/cpu/cpu_backend.h"

fb_status cpu_position_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                               const fb_tensor *v, const fb_tensor *q,
                               const fb_positions *p)
{
    const vector_positions a = {.dtype = q->dtype,
                                .p = p,
                                .features = v->dims[1],
                                .v = v->data,
                                .q = q->data,
                                .y = y->data};
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(y));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(v->dims[0], 1, t, be->threads);
        cpu_of(be)->v->position_forward(&a, part.from, part.to);
    }
    return FB_OK;
}

fb_status cpu_position_backward(fb_context *ctx, fb_backend *be, const fb_tensor *dv,
                                const fb_tensor *dq, float *dtable, const fb_tensor *dy,
                                const fb_tensor *q, const fb_positions *p)
{
    cpu_backend *c = cpu_of(be);
    int64_t rows = q->dims[0], numbers = p->blocks * p->width;
    void *scratch;
    FB_TRY(
        cpu_scratch(ctx, c, (size_t)(numbers * be->threads) * sizeof(float), &scratch));
    float *sums = scratch;
    const vector_positions call = {.dtype = q->dtype,
                                   .p = p,
                                   .features = dy->dims[1] - p->width,
                                   .q = q->data,
                                   .dy = dy->data,
                                   .dv = dv ? dv->data : NULL,
                                   .dq = dq->data};
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(dy));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        vector_positions a = call;
        cpu_range part = cpu_part(rows, 1, t, be->threads);
        a.dtable = dtable ? sums + t * numbers : NULL;
        memset(sums + t * numbers, 0, (size_t)numbers * sizeof *sums);
        c->v->position_backward(&a, part.from, part.to);
    }
    for (int32_t t = 0; t < be->threads && dtable; t++)
        c->v->add(FB_F32, dtable, sums + t * numbers, numbers);
    return FB_OK;
}
