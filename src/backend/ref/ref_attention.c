/* ref_attention.c - scaled dot-product attention inside each packed sequence, per head.
 *
 *     S = Q K^T / sqrt(D)    P = softmax(S) = exp(S - lse)    R = dropout(P)
 *     out = R V
 *
 *     dV = R^T dout          dP = dropout's slope (dout V^T)
 *     dS = P (dP - sum_j P dP)       dQ = dS K / sqrt(D)      dK = dS^T Q / sqrt(D)
 *
 * where sum_j P dP of a row is dout . out. qkv, dqkv [T,3C]: q, k, v side by side, in
 * each the heads side by side; out, dout [T,C]; lse [T,H]; C = H D.
 */
#include "backend/ref/ref.h"

#include <stdlib.h>

/* One row of queries: which, and where the keys that it sees begin and end. */
typedef struct query {
    int64_t row, start, end;
    int64_t width, heads, head, head_width;
    double scale;
    fb_dropout dropout; /* key already that of (row, head) */
} query;

static query make_query(const fb_attention *a, int32_t sequence, int64_t row,
                        int32_t head)
{
    int64_t head_width = a->width / a->heads;
    query q = {row,
               a->offsets[sequence],
               a->causal ? row + 1 : a->offsets[sequence + 1],
               a->width,
               a->heads,
               head,
               head_width,
               1.0 / sqrt((double)head_width),
               a->dropout};
    q.dropout.key = fb_random_mix(a->dropout.key ^ (uint64_t)(row * a->heads + head));
    return q;
}

/* Where q (part 0), k (1) or v (2) of a row lies in qkv or dqkv. */
static int64_t part_at(const query *q, int64_t row, int64_t part)
{
    return row * 3 * q->width + part * q->width + q->head * q->head_width;
}

static int64_t out_at(const query *q)
{
    return q->row * q->width + q->head * q->head_width;
}

static double score(const query *q, const float *qkv, int64_t key_row)
{
    const float *query_part = qkv + part_at(q, q->row, 0);
    const float *key_part = qkv + part_at(q, key_row, 1);
    double sum = 0.0;
    for (int64_t d = 0; d < q->head_width; d++)
        sum += (double)query_part[d] * (double)key_part[d];
    return sum * q->scale;
}

/* What dropout multiplies the probability of this key with: 0 or 1/(1-p). */
static double kept(const query *q, int64_t key_row)
{
    return (double)ref_dropout_value(q->dropout, (uint32_t)(key_row - q->start), 1.0f);
}

/* scores [longest sequence] and sums [D] are scratch. */
static void attend(const query *q, float *out, float *lse, const float *qkv,
                   double *scores, double *sums)
{
    double most = -INFINITY, total = 0.0;
    for (int64_t j = q->start; j < q->end; j++) {
        double s = score(q, qkv, j);
        scores[j - q->start] = s;
        most = s > most || isnan(s) ? s : most;
    }
    for (int64_t j = q->start; j < q->end; j++)
        total += exp(scores[j - q->start] - most);
    double log_sum = most + log(total);
    if (lse)
        lse[q->row * q->heads + q->head] = (float)log_sum;
    for (int64_t d = 0; d < q->head_width; d++)
        sums[d] = 0.0;
    for (int64_t j = q->start; j < q->end; j++) {
        double r = exp(scores[j - q->start] - log_sum) * kept(q, j);
        for (int64_t d = 0; d < q->head_width; d++)
            sums[d] += r * (double)qkv[part_at(q, j, 2) + d];
    }
    for (int64_t d = 0; d < q->head_width; d++)
        out[out_at(q) + d] = (float)sums[d];
}

static int64_t longest_sequence(const fb_attention *a)
{
    int64_t longest = 1;
    for (int32_t b = 0; b < a->sequences; b++)
        if (a->offsets[b + 1] - a->offsets[b] > longest)
            longest = a->offsets[b + 1] - a->offsets[b];
    return longest;
}

fb_status ref_attention_forward(fb_context *ctx, fb_backend *be, const fb_tensor *out,
                                float *lse, const fb_tensor *qkv, const fb_attention *a)
{
    if (out->dims[0] == 0)
        return FB_OK;
    int64_t longest = longest_sequence(a);
    double *scratch = malloc((size_t)(longest + a->width) * sizeof *scratch);
    if (!scratch)
        return fb_fail(ctx, FB_E_MEMORY, "attention_forward: out of memory");
    for (int32_t b = 0; b < a->sequences; b++)
        for (int64_t t = a->offsets[b]; t < a->offsets[b + 1]; t++)
            for (int32_t h = 0; h < a->heads; h++) {
                query q = make_query(a, b, t, h);
                attend(&q, out->data, lse, qkv->data, scratch, scratch + longest);
            }
    free(scratch);
    return FB_OK;
}

/* Add what one query row gives to the gradients of itself, its keys and its values. */
static void attend_backward(const query *q, double *dqkv, const float *dout,
                            const float *out, double lse, const float *qkv)
{
    const float *dout_row = dout + out_at(q), *out_row = out + out_at(q);
    double delta = 0.0;
    for (int64_t d = 0; d < q->head_width; d++)
        delta += (double)dout_row[d] * (double)out_row[d];
    for (int64_t j = q->start; j < q->end; j++) {
        double p = exp(score(q, qkv, j) - lse), slope = kept(q, j), dp = 0.0;
        int64_t query_at = part_at(q, q->row, 0), key_at = part_at(q, j, 1);
        int64_t value_at = part_at(q, j, 2);
        for (int64_t d = 0; d < q->head_width; d++) {
            dp += slope * (double)dout_row[d] * (double)qkv[value_at + d];
            dqkv[value_at + d] += p * slope * (double)dout_row[d];
        }
        double ds = p * (dp - delta) * q->scale;
        for (int64_t d = 0; d < q->head_width; d++) {
            dqkv[query_at + d] += ds * (double)qkv[key_at + d];
            dqkv[key_at + d] += ds * (double)qkv[query_at + d];
        }
    }
}

fb_status ref_attention_backward(fb_context *ctx, fb_backend *be, const fb_tensor *dqkv,
                                 const fb_tensor *dout, const fb_tensor *out,
                                 const float *lse, const fb_tensor *qkv,
                                 const fb_attention *a)
{
    int64_t count = fb_tensor_count(dqkv);
    if (count == 0)
        return FB_OK;
    double *sums = calloc((size_t)count, sizeof *sums);
    if (!sums)
        return fb_fail(ctx, FB_E_MEMORY, "attention_backward: out of memory");
    for (int32_t b = 0; b < a->sequences; b++)
        for (int64_t t = a->offsets[b]; t < a->offsets[b + 1]; t++)
            for (int32_t h = 0; h < a->heads; h++) {
                query q = make_query(a, b, t, h);
                attend_backward(&q, sums, dout->data, out->data,
                                (double)lse[t * a->heads + h], qkv->data);
            }
    for (int64_t i = 0; i < count; i++)
        ((float *)dqkv->data)[i] = (float)sums[i];
    free(sums);
    return FB_OK;
}
