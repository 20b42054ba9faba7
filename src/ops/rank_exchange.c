/* rank_exchange.c - see rank_exchange.h. */
#include "ops/rank_exchange.h"

#include <stdlib.h>

enum { STAGED = 1 << 20 }; /* numbers of a device that are on the host at once */

static fb_status sum_staged(fb_context *ctx, fb_backend *be, const fb_comm *comm,
                            float *values, int64_t count, float *stage)
{
    for (int64_t at = 0; at < count; at += STAGED) {
        int64_t n = count - at < STAGED ? count - at : STAGED;
        size_t bytes = (size_t)n * sizeof(float);
        FB_TRY(be->m->download(ctx, be, stage, values + at, bytes));
        FB_TRY(be->m->finish(ctx, be));
        FB_TRY(fb_comm_sum_f32(ctx, comm, stage, n));
        FB_TRY(be->m->upload(ctx, be, values + at, stage, bytes));
    }
    return FB_OK;
}

fb_status fb_exchange_sum(fb_context *ctx, fb_backend *be, const fb_comm *comm,
                          float *values, int64_t count)
{
    if (comm->size == 1)
        return FB_OK;
    FB_TRY(be->m->finish(ctx, be));
    if (be->m->host)
        return fb_comm_sum_f32(ctx, comm, values, count);
    float *stage = malloc(STAGED * sizeof *stage);
    if (!stage)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to add up over processes");
    fb_status status = sum_staged(ctx, be, comm, values, count, stage);
    free(stage);
    return status;
}

static fb_status mean_staged(fb_context *ctx, fb_backend *be, const fb_comm *comm,
                             float *values, int64_t count, float *stage)
{
    size_t bytes = (size_t)count * sizeof(float);
    FB_TRY(be->m->download(ctx, be, stage, values, bytes));
    FB_TRY(be->m->finish(ctx, be));
    FB_TRY(fb_comm_sum_f32(ctx, comm, stage, count));
    for (int64_t i = 0; i < count; i++)
        stage[i] /= (float)comm->size;
    return be->m->upload(ctx, be, values, stage, bytes);
}

fb_status fb_exchange_mean(fb_context *ctx, fb_backend *be, const fb_comm *comm,
                           float *values, int64_t count)
{
    if (comm->size == 1)
        return FB_OK;
    float *stage = malloc((size_t)count * sizeof *stage + 1);
    if (!stage)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a mean over processes");
    fb_status status = mean_staged(ctx, be, comm, values, count, stage);
    free(stage);
    return status;
}

fb_status fb_exchange_gather(fb_context *ctx, fb_backend *be, const fb_comm *comm,
                             const fb_tensor *all, const fb_tensor *own)
{
    size_t own_bytes = fb_tensor_bytes(own), all_bytes = fb_tensor_bytes(all);
    int64_t rows = own->dims[0];
    size_t row_bytes = rows ? own_bytes / (size_t)rows : 0;
    FB_TRY(be->m->finish(ctx, be));
    if (be->m->host)
        return fb_comm_gather_rows(ctx, comm, all->data, own->data, rows, row_bytes);
    char *stage = malloc(all_bytes + 1);
    if (!stage)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to gather over processes");
    char *mine = stage + own_bytes * (size_t)comm->rank;
    fb_status status = be->m->download(ctx, be, mine, own->data, own_bytes);
    if (status == FB_OK)
        status = be->m->finish(ctx, be);
    if (status == FB_OK)
        status = fb_comm_gather_rows(ctx, comm, stage, mine, rows, row_bytes);
    if (status == FB_OK)
        status = be->m->upload(ctx, be, all->data, stage, all_bytes);
    free(stage);
    return status;
}
