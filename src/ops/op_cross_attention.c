/* op_cross_attention.c - softmax(Q K^T / sqrt(D)) V, the queries of one packed set of
 * sequences over the keys and values of another, per head (the encoder-decoder attention
 * of Vaswani et al. 2017; co-attention of Lu et al. 2019 is one each way). Forward keeps
 * the log-sum-exp of each row and head; backward recomputes the rest.
 */
#include "ops/ops.h"

typedef struct cross_node {
    fb_node node;
    fb_var *q, *kv;
    float *lse; /* [Tq,H] */
    fb_cross_attention attention;
} cross_node;

static fb_status cross_backward(fb_tape *tape, fb_node *node)
{
    cross_node *n = (cross_node *)node;
    fb_tensor dq, dkv;
    bool fresh;
    FB_TRY(fb_tape_grad_begin(tape, n->q, &dq, &fresh));
    FB_TRY(fb_tape_grad_begin(tape, n->kv, &dkv, &fresh));
    const fb_cross_rows dx = {&dq, &dkv}, x = {&n->q->value, &n->kv->value};
    FB_TRY(tape->be->k->cross_attention_backward(tape->ctx, tape->be, &dx,
                                                 &node->out->grad, &node->out->value,
                                                 n->lse, &x, &n->attention));
    FB_TRY(fb_tape_grad_done(tape, n->q, &dq));
    return fb_tape_grad_done(tape, n->kv, &dkv);
}

static fb_status check_offsets(fb_tape *tape, const char *what, const int32_t *offsets,
                               int32_t sequences, int64_t rows)
{
    if (offsets[0] != 0 || offsets[sequences] != rows)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "cross-attention: offsets of %s end at %d, there are %lld rows",
                       what, (int)offsets[sequences], (long long)rows);
    for (int32_t b = 0; b < sequences; b++)
        if (offsets[b + 1] < offsets[b])
            return fb_fail(
                tape->ctx, FB_E_SHAPE,
                "cross-attention: offset %d of %s after %d, they must ascend",
                (int)offsets[b + 1], what, (int)offsets[b]);
    return FB_OK;
}

static fb_status check_shapes(fb_tape *tape, const fb_tensor *q, const fb_tensor *kv,
                              const fb_cross_attention *a)
{
    bool parts = kv->dims[1] == q->dims[1] && q->dims[1] == 3 * (int64_t)a->width;
    if (a->heads < 1 || a->width % a->heads != 0 || q->dtype != kv->dtype ||
        !(parts || kv->dims[1] == 2 * q->dims[1]))
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "cross-attention: %s [%lld,%lld] over %s [%lld,%lld] is not q "
                       "over k and v of %d heads",
                       fb_dtype_name(q->dtype), (long long)q->dims[0],
                       (long long)q->dims[1], fb_dtype_name(kv->dtype),
                       (long long)kv->dims[0], (long long)kv->dims[1], (int)a->heads);
    FB_TRY(check_offsets(tape, "queries", a->q_offsets, a->sequences, q->dims[0]));
    return check_offsets(tape, "keys", a->kv_offsets, a->sequences, kv->dims[0]);
}

fb_status fb_op_cross_attention(fb_tape *tape, fb_var **out, fb_var *q, fb_var *kv,
                                const int32_t *q_offsets, const int32_t *kv_offsets,
                                int32_t sequences, int32_t heads)
{
    double started_s = fb_tape_clock(tape);
    int64_t rows = q->value.dims[0], width = q->value.dims[1];
    if (kv->value.dims[1] == width && width % 3 == 0)
        width /= 3;
    fb_cross_attention a = {.sequences = sequences,
                            .heads = heads,
                            .width = (int32_t)width,
                            .q_offsets = q_offsets,
                            .kv_offsets = kv_offsets};
    FB_TRY(check_shapes(tape, &q->value, &kv->value, &a));
    fb_var *y;
    FB_TRY(fb_tape_new_var(tape, &y, q->value.dtype, rows, width));
    float *lse = NULL;
    if (tape->recording)
        FB_TRY(fb_tape_floats(tape, &lse, rows * heads));
    int64_t offsets = (int64_t)sequences + 1;
    FB_TRY(fb_tape_upload_i32(tape, &a.q_offsets, q_offsets, offsets));
    FB_TRY(fb_tape_upload_i32(tape, &a.kv_offsets, kv_offsets, offsets));
    a.dropout = fb_tape_next_dropout(tape);
    const fb_cross_rows x = {&q->value, &kv->value};
    FB_TRY(tape->be->k->cross_attention_forward(tape->ctx, tape->be, &y->value, lse, &x,
                                                &a));
    fb_tape_charge(tape, "attention", started_s);
    fb_node *node;
    FB_TRY(fb_tape_append(tape, &node, sizeof(cross_node), "attention", "", y,
                          cross_backward));
    if (node) {
        cross_node *n = (cross_node *)node;
        n->q = q;
        n->kv = kv;
        n->lse = lse;
        n->attention = a;
    }
    *out = y;
    return FB_OK;
}
