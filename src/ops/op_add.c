/* op_add.c - y = dropout(x) + residual: dx += dropout's slope dy, dresidual += dy. */
#include "ops/ops.h"

typedef struct add_node {
    fb_node node;
    fb_var *x, *residual;
    fb_dropout dropout;
} add_node;

static fb_status side(fb_tape *tape, fb_node *node, fb_var *x, fb_dropout dropout)
{
    fb_tensor dx;
    bool fresh;
    if (!x->needs_grad)
        return FB_OK;
    FB_TRY(fb_tape_grad_begin(tape, x, &dx, &fresh));
    FB_TRY(tape->be->k->dropout(tape->ctx, tape->be, &dx, &node->out->grad, dropout));
    return fb_tape_grad_done(tape, x, &dx);
}

static fb_status add_backward(fb_tape *tape, fb_node *node)
{
    add_node *n = (add_node *)node;
    FB_TRY(side(tape, node, n->x, n->dropout));
    return side(tape, node, n->residual, (fb_dropout){0.0f, 0});
}

fb_status fb_op_add(fb_tape *tape, fb_var **y, fb_var *x, fb_var *residual)
{
    double started_s = fb_tape_clock(tape);
    const fb_tensor *p = &x->value, *q = &residual->value;
    if (!fb_tensor_same_shape(p, q) || p->dtype != q->dtype)
        return fb_fail(tape->ctx, FB_E_SHAPE, "add: %s [%lld,%lld] to %s [%lld,%lld]",
                       fb_dtype_name(p->dtype), (long long)p->dims[0],
                       (long long)p->dims[1], fb_dtype_name(q->dtype),
                       (long long)q->dims[0], (long long)q->dims[1]);
    fb_dropout dropout = fb_tape_next_dropout(tape);
    fb_var *out;
    FB_TRY(fb_tape_new_var(tape, &out, p->dtype, p->dims[0], p->dims[1]));
    FB_TRY(tape->be->k->dropout(tape->ctx, tape->be, &out->value, p, dropout));
    FB_TRY(tape->be->k->add(tape->ctx, tape->be, &out->value, q));
    fb_tape_charge(tape, "add", started_s);
    fb_node *node;
    FB_TRY(fb_tape_append(tape, &node, sizeof(add_node), "add", "", out, add_backward));
    if (node) {
        add_node *n = (add_node *)node;
        n->x = x;
        n->residual = residual;
        n->dropout = dropout;
    }
    *y = out;
    return FB_OK;
}
