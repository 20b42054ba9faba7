/* cpu_attention.c - attention: one item is one head of one sequence; threads take items
 * as they become free, which is allowed because no two items write the same number.
 */
#include "backend/cpu/cpu_backend.h"
#include <omp.h>
#include <string.h>

/* The sequences of a call; of queries and of keys the same where they see themselves. */
typedef struct sequence_list {
    int32_t count;
    const int32_t *q_offsets, *kv_offsets; /* [count + 1] */
} sequence_list;

static fb_status item_scratch(fb_context *ctx, cpu_backend *c, const sequence_list *s,
                              int64_t head_width, size_t *bytes, void **scratch)
{
    int64_t longest = 0;
    for (int32_t b = 0; b < s->count; b++) {
        int64_t n = s->kv_offsets[b + 1] - s->kv_offsets[b];
        longest = n > longest ? n : longest;
    }
    *bytes = (c->v->attention_scratch(longest, head_width) + 127) / 64 * 64;
    return cpu_scratch(ctx, c, *bytes * (size_t)c->base.threads, scratch);
}

static fb_status run_items(fb_context *ctx, cpu_backend *c,
                           const vector_attention *call, const sequence_list *s,
                           bool backward)
{
    size_t bytes;
    void *scratch;
    if (s->count == 0 || call->heads == 0 ||
        (s->q_offsets[s->count] == 0 && s->kv_offsets[s->count] == 0))
        return FB_OK;
    FB_TRY(item_scratch(ctx, c, s, call->width / call->heads, &bytes, &scratch));
    int64_t items = (int64_t)s->count * call->heads;
#pragma omp parallel for schedule(dynamic, 4) num_threads(c->base.threads)
    for (int64_t i = 0; i < items; i++) {
        int32_t b = (int32_t)(i / call->heads);
        vector_attention item = *call;
        item.first_row = s->q_offsets[b];
        item.length = s->q_offsets[b + 1] - s->q_offsets[b];
        item.first_key = s->kv_offsets[b];
        item.keys = s->kv_offsets[b + 1] - s->kv_offsets[b];
        item.head = (int32_t)(i % call->heads);
        if (item.length == 0 && item.keys == 0)
            continue;
        void *own = (char *)scratch + (size_t)omp_get_thread_num() * bytes;
        if (backward)
            c->v->attention_backward(&item, own);
        else
            c->v->attention_forward(&item, own);
    }
    return FB_OK;
}

/* ---- self-attention ------------------------------------------------------------- */

/* Column `part` of q, k and v side by side. */
static void *part_of(const fb_tensor *qkv, const fb_attention *a, int part)
{
    return (char *)qkv->data +
           (size_t)part * (size_t)a->width * (qkv->dtype == FB_F32 ? sizeof(float) : 2);
}

static vector_attention self_call(const fb_tensor *qkv, const fb_attention *a)
{
    return (vector_attention){.dtype = qkv->dtype,
                              .heads = a->heads,
                              .width = a->width,
                              .dropout = a->dropout,
                              .causal = a->causal,
                              .q_row = 3 * (int64_t)a->width,
                              .kv_row = 3 * (int64_t)a->width,
                              .q = part_of(qkv, a, 0),
                              .k = part_of(qkv, a, 1),
                              .v = part_of(qkv, a, 2)};
}

fb_status cpu_attention_forward(fb_context *ctx, fb_backend *be, const fb_tensor *out,
                                float *lse, const fb_tensor *qkv, const fb_attention *a)
{
    vector_attention call = self_call(qkv, a);
    const sequence_list s = {a->sequences, a->offsets, a->offsets};
    call.out = out->data;
    call.lse = lse;
    return run_items(ctx, cpu_of(be), &call, &s, false);
}

fb_status cpu_attention_backward(fb_context *ctx, fb_backend *be, const fb_tensor *dqkv,
                                 const fb_tensor *dout, const fb_tensor *out,
                                 const float *lse, const fb_tensor *qkv,
                                 const fb_attention *a)
{
    vector_attention call = self_call(qkv, a);
    const sequence_list s = {a->sequences, a->offsets, a->offsets};
    call.out_in = out->data;
    call.dout = dout->data;
    call.dq = part_of(dqkv, a, 0);
    call.dk = part_of(dqkv, a, 1);
    call.dv = part_of(dqkv, a, 2);
    call.lse_in = lse;
    return run_items(ctx, cpu_of(be), &call, &s, true);
}

/* ---- cross-attention ------------------------------------------------------------ */

/* v (parts 1) or k (2), so many widths before a row's end. */
static void *before_end(const fb_tensor *kv, const fb_cross_attention *a, int64_t parts)
{
    int64_t at = kv->dims[1] - parts * a->width;
    return (char *)kv->data + (size_t)at * (kv->dtype == FB_F32 ? sizeof(float) : 2);
}

static void clear_wider(const fb_tensor *t, int64_t width)
{
    if (t->dims[1] > width)
        memset(t->data, 0, fb_tensor_bytes(t));
}

static vector_attention cross_call(const fb_cross_rows *x, const fb_cross_attention *a)
{
    return (vector_attention){.dtype = x->q->dtype,
                              .heads = a->heads,
                              .width = a->width,
                              .dropout = a->dropout,
                              .q_row = x->q->dims[1],
                              .kv_row = x->kv->dims[1],
                              .q = x->q->data,
                              .k = before_end(x->kv, a, 2),
                              .v = before_end(x->kv, a, 1)};
}

fb_status cpu_cross_attention_forward(fb_context *ctx, fb_backend *be,
                                      const fb_tensor *out, float *lse,
                                      const fb_cross_rows *x,
                                      const fb_cross_attention *a)
{
    vector_attention call = cross_call(x, a);
    const sequence_list s = {a->sequences, a->q_offsets, a->kv_offsets};
    call.out = out->data;
    call.lse = lse;
    return run_items(ctx, cpu_of(be), &call, &s, false);
}

fb_status cpu_cross_attention_backward(fb_context *ctx, fb_backend *be,
                                       const fb_cross_rows *dx, const fb_tensor *dout,
                                       const fb_tensor *out, const float *lse,
                                       const fb_cross_rows *x,
                                       const fb_cross_attention *a)
{
    vector_attention call = cross_call(x, a);
    const sequence_list s = {a->sequences, a->q_offsets, a->kv_offsets};
    call.out_in = out->data;
    call.dout = dout->data;
    call.dq = dx->q->data;
    call.dk = before_end(dx->kv, a, 2);
    call.dv = before_end(dx->kv, a, 1);
    call.lse_in = lse;
    clear_wider(dx->q, a->width);
    clear_wider(dx->kv, 2 * (int64_t)a->width);
    return run_items(ctx, cpu_of(be), &call, &s, true);
}
