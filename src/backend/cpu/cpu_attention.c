/* cpu_attention.c - attention: one item is one head of one sequence; threads take items
 * as they become free, which is allowed because no two items write the same number.
 */
#include "backend/cpu/cpu_backend.h"
#include <omp.h>

static fb_status item_scratch(fb_context *ctx, cpu_backend *c, const fb_attention *a,
                              size_t *bytes, void **scratch)
{
    int64_t longest = 0;
    for (int32_t b = 0; b < a->sequences; b++) {
        int64_t n = a->offsets[b + 1] - a->offsets[b];
        longest = n > longest ? n : longest;
    }
    *bytes = (c->v->attention_scratch(longest, a->width / a->heads) + 127) / 64 * 64;
    return cpu_scratch(ctx, c, *bytes * (size_t)c->base.threads, scratch);
}

static fb_status run_items(fb_context *ctx, cpu_backend *c,
                           const vector_attention *call, const fb_attention *a,
                           bool backward)
{
    size_t bytes;
    void *scratch;
    if (a->sequences == 0 || a->heads == 0 || a->offsets[a->sequences] == 0)
        return FB_OK;
    FB_TRY(item_scratch(ctx, c, a, &bytes, &scratch));
    int64_t items = (int64_t)a->sequences * a->heads;
#pragma omp parallel for schedule(dynamic, 4) num_threads(c->base.threads)
    for (int64_t i = 0; i < items; i++) {
        int32_t b = (int32_t)(i / a->heads);
        vector_attention item = *call;
        item.first_row = a->offsets[b];
        item.length = a->offsets[b + 1] - a->offsets[b];
        item.head = (int32_t)(i % a->heads);
        if (item.length == 0)
            continue;
        void *own = (char *)scratch + (size_t)omp_get_thread_num() * bytes;
        if (backward)
            c->v->attention_backward(&item, own);
        else
            c->v->attention_forward(&item, own);
    }
    return FB_OK;
}

fb_status cpu_attention_forward(fb_context *ctx, fb_backend *be, const fb_tensor *out,
                                float *lse, const fb_tensor *qkv, const fb_attention *a)
{
    vector_attention call = {.dtype = qkv->dtype,
                             .heads = a->heads,
                             .width = a->width,
                             .dropout = a->dropout,
                             .causal = a->causal,
                             .qkv = qkv->data,
                             .out = out->data,
                             .lse = lse};
    return run_items(ctx, cpu_of(be), &call, a, false);
}

fb_status cpu_attention_backward(fb_context *ctx, fb_backend *be, const fb_tensor *dqkv,
                                 const fb_tensor *dout, const fb_tensor *out,
                                 const float *lse, const fb_tensor *qkv,
                                 const fb_attention *a)
{
    vector_attention call = {.dtype = qkv->dtype,
                             .heads = a->heads,
                             .width = a->width,
                             .dropout = a->dropout,
                             .causal = a->causal,
                             .qkv = qkv->data,
                             .out_in = out->data,
                             .dout = dout->data,
                             .dqkv = dqkv->data,
                             .lse_in = lse};
    return run_items(ctx, cpu_of(be), &call, a, true);
}
