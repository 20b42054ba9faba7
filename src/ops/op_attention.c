/* op_attention.c - softmax(Q K^T / sqrt(D)) V within each packed sequence, per head.
 * Forward keeps one number a row and head (log-sum-exp); backward recomputes the rest.
 */
#include "ops/ops.h"

typedef struct attention_node {
    fb_node node;
    fb_var *qkv;
    float *lse; /* [T,H] */
    fb_attention attention;
} attention_node;

static fb_status attention_backward(fb_tape *tape, fb_node *node)
{
    attention_node *n = (attention_node *)node;
    fb_tensor dqkv;
    bool fresh;
    FB_TRY(fb_tape_grad_begin(tape, n->qkv, &dqkv, &fresh));
    FB_TRY(tape->be->k->attention_backward(tape->ctx, tape->be, &dqkv, &node->out->grad,
                                           &node->out->value, n->lse, &n->qkv->value,
                                           &n->attention));
    return fb_tape_grad_done(tape, n->qkv, &dqkv);
}

fb_status fb_op_attention(fb_tape *tape, fb_var **out, fb_var *qkv,
                          const int32_t *offsets, int32_t sequences, int32_t heads,
                          bool causal)
{
    double started_s = fb_tape_clock(tape);
    int64_t rows = qkv->value.dims[0], width = qkv->value.dims[1] / 3;
    if (qkv->value.dims[1] != width * 3 || heads < 1 || width % heads != 0)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "attention: %lld columns do not hold q, k and v of %d heads",
                       (long long)qkv->value.dims[1], (int)heads);
    if (offsets[0] != 0 || offsets[sequences] != rows)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "attention: offsets end at %d, there are %lld rows",
                       (int)offsets[sequences], (long long)rows);
    for (int32_t b = 0; b < sequences; b++)
        if (offsets[b + 1] < offsets[b])
            return fb_fail(tape->ctx, FB_E_SHAPE,
                           "attention: offset %d after %d, they must ascend",
                           (int)offsets[b + 1], (int)offsets[b]);
    fb_var *y;
    FB_TRY(fb_tape_new_var(tape, &y, qkv->value.dtype, rows, width));
    float *lse = NULL;
    if (tape->recording)
        FB_TRY(fb_tape_floats(tape, &lse, rows * heads));
    FB_TRY(fb_tape_upload_i32(tape, &offsets, offsets, (int64_t)sequences + 1));
    fb_attention a = {
        sequences, heads, (int32_t)width, offsets, fb_tape_next_dropout(tape), causal};
    FB_TRY(tape->be->k->attention_forward(tape->ctx, tape->be, &y->value, lse,
                                          &qkv->value, &a));
    fb_tape_charge(tape, "attention", started_s);
    fb_node *node;
    FB_TRY(fb_tape_append(tape, &node, sizeof(attention_node), "attention", "", y,
                          attention_backward));
    if (node) {
        attention_node *n = (attention_node *)node;
        n->qkv = qkv;
        n->lse = lse;
        n->attention = a;
    }
    *out = y;
    return FB_OK;
}
