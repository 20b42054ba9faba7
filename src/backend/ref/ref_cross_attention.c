/* ref_cross_attention.c - attention of the queries of one packed set of sequences over
 * the keys and values of another, sequence by sequence, per head: ref_attention.c's
 * formulas with
 *
 *     q, dq, out, dout  [Tq,C]      kv, dkv  [Tk,2C]: k and v side by side
 *     lse               [Tq,H]      C = H D
 *
 * Rows of q may go on behind C numbers, those of kv begin before 2C; that is not read.
 */
#include "backend/ref/ref.h"

#include <stdlib.h>

/* One row of queries and one head: where its numbers lie, and the keys that it sees. */
typedef struct query {
    int64_t at, out_at;     /* of the row's head in q, in out */
    int64_t key_at, kv_row; /* of row 0's head in kv; from row to row */
    int64_t start, end;     /* keys */
    int64_t width, head_width, lse_at;
    double scale;
    fb_dropout dropout; /* key already that of (row, head) */
} query;

static query make_query(const fb_cross_rows *x, const fb_cross_attention *a,
                        int32_t sequence, int64_t row, int32_t head)
{
    int64_t head_width = a->width / a->heads;
    query q = {row * x->q->dims[1] + head * head_width,
               row * a->width + head * head_width,
               x->kv->dims[1] - 2 * (int64_t)a->width + head * head_width,
               x->kv->dims[1],
               a->kv_offsets[sequence],
               a->kv_offsets[sequence + 1],
               a->width,
               head_width,
               row * a->heads + head,
               1.0 / sqrt((double)head_width),
               a->dropout};
    q.dropout.key = fb_random_mix(a->dropout.key ^ (uint64_t)q.lse_at);
    return q;
}

static int64_t key_at(const query *q, int64_t j)
{
    return j * q->kv_row + q->key_at;
}

static double score(const query *q, const float *queries, const float *kv, int64_t j)
{
    double sum = 0.0;
    for (int64_t d = 0; d < q->head_width; d++)
        sum += (double)queries[q->at + d] * (double)kv[key_at(q, j) + d];
    return sum * q->scale;
}

static double kept(const query *q, int64_t j)
{
    return (double)ref_dropout_value(q->dropout, (uint32_t)(j - q->start), 1.0f);
}

static double log_sum_exp(const query *q, const float *queries, const float *kv)
{
    double most = -INFINITY, total = 0.0;
    for (int64_t j = q->start; j < q->end; j++) {
        double s = score(q, queries, kv, j);
        most = s > most || isnan(s) ? s : most;
    }
    for (int64_t j = q->start; j < q->end; j++)
        total += exp(score(q, queries, kv, j) - most);
    return q->start < q->end ? most + log(total) : 0.0;
}

static void attend(const query *q, float *out, double lse, const float *queries,
                   const float *kv)
{
    for (int64_t d = 0; d < q->head_width; d++) {
        double sum = 0.0;
        for (int64_t j = q->start; j < q->end; j++)
            sum += exp(score(q, queries, kv, j) - lse) * kept(q, j) *
                   (double)kv[key_at(q, j) + q->width + d];
        out[q->out_at + d] = (float)sum;
    }
}

fb_status ref_cross_attention_forward(fb_context *ctx, fb_backend *be,
                                      const fb_tensor *out, float *lse,
                                      const fb_cross_rows *x,
                                      const fb_cross_attention *a)
{
    (void)ctx;
    (void)be;
    for (int32_t b = 0; b < a->sequences; b++)
        for (int64_t t = a->q_offsets[b]; t < a->q_offsets[b + 1]; t++)
            for (int32_t h = 0; h < a->heads; h++) {
                query q = make_query(x, a, b, t, h);
                double sum = log_sum_exp(&q, x->q->data, x->kv->data);
                attend(&q, out->data, sum, x->q->data, x->kv->data);
                if (lse)
                    lse[q.lse_at] = (float)sum;
            }
    return FB_OK;
}

/* Sums of gradients, as dq and dkv lie. */
typedef struct gradient_sums {
    double *dq, *dkv;
} gradient_sums;

/* Add what one query row gives to the gradients of itself, its keys and its values. */
static void attend_backward(const query *q, gradient_sums to, const float *dout,
                            const float *out, double lse, const fb_cross_rows *x)
{
    const float *queries = x->q->data, *kv = x->kv->data;
    double delta = 0.0;
    for (int64_t d = 0; d < q->head_width; d++)
        delta += (double)dout[q->out_at + d] * (double)out[q->out_at + d];
    for (int64_t j = q->start; j < q->end; j++) {
        double p = exp(score(q, queries, kv, j) - lse), slope = kept(q, j), dp = 0.0;
        int64_t key = key_at(q, j), value = key + q->width;
        for (int64_t d = 0; d < q->head_width; d++) {
            dp += slope * (double)dout[q->out_at + d] * (double)kv[value + d];
            to.dkv[value + d] += p * slope * (double)dout[q->out_at + d];
        }
        double ds = p * (dp - delta) * q->scale;
        for (int64_t d = 0; d < q->head_width; d++) {
            to.dq[q->at + d] += ds * (double)kv[key + d];
            to.dkv[key + d] += ds * (double)queries[q->at + d];
        }
    }
}

static void round_to(const fb_tensor *t, const double *sums)
{
    for (int64_t i = 0; i < fb_tensor_count(t); i++)
        ((float *)t->data)[i] = (float)sums[i];
}

fb_status ref_cross_attention_backward(fb_context *ctx, fb_backend *be,
                                       const fb_cross_rows *dx, const fb_tensor *dout,
                                       const fb_tensor *out, const float *lse,
                                       const fb_cross_rows *x,
                                       const fb_cross_attention *a)
{
    (void)be;
    int64_t queries = fb_tensor_count(dx->q), all = queries + fb_tensor_count(dx->kv);
    double *sums = calloc((size_t)all + 1, sizeof *sums);
    if (!sums)
        return fb_fail(ctx, FB_E_MEMORY, "cross_attention_backward: out of memory");
    const gradient_sums to = {sums, sums + queries};
    for (int32_t b = 0; b < a->sequences; b++)
        for (int64_t t = a->q_offsets[b]; t < a->q_offsets[b + 1]; t++)
            for (int32_t h = 0; h < a->heads; h++) {
                query q = make_query(x, a, b, t, h);
                attend_backward(&q, to, dout->data, out->data, (double)lse[q.lse_at],
                                x);
            }
    round_to(dx->q, to.dq);
    round_to(dx->kv, to.dkv);
    free(sums);
    return FB_OK;
}
