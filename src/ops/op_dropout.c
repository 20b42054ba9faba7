/* op_dropout.c - y = x with each element dropped with probability p, the rest / (1 -
 * p). The mask is recomputed from its key in backward, never stored. */
#include "ops/ops.h"

typedef struct dropout_node {
    fb_node node;
    fb_var *x;
    fb_dropout dropout;
} dropout_node;

static fb_status dropout_backward(fb_tape *tape, fb_node *node)
{
    dropout_node *n = (dropout_node *)node;
    if (!n->x->needs_grad)
        return FB_OK;
    fb_tensor dx;
    bool fresh;
    FB_TRY(fb_tape_grad_begin(tape, n->x, &dx, &fresh));
    FB_TRY(
        tape->be->k->dropout(tape->ctx, tape->be, &dx, &node->out->grad, n->dropout));
    return fb_tape_grad_done(tape, n->x, &dx);
}

fb_status fb_op_dropout(fb_tape *tape, fb_var **y, fb_var *x)
{
    fb_dropout dropout = fb_tape_next_dropout(tape);
    if (!(dropout.p > 0.0f)) {
        *y = x;
        return FB_OK;
    }
    double started_s = fb_tape_clock(tape);
    fb_var *out;
    FB_TRY(fb_tape_new_var(tape, &out, x->value.dtype, x->value.dims[0],
                           x->value.dims[1]));
    out->needs_grad = x->needs_grad;
    FB_TRY(tape->be->k->dropout(tape->ctx, tape->be, &out->value, &x->value, dropout));
    fb_tape_charge(tape, "dropout", started_s);
    fb_node *node;
    FB_TRY(fb_tape_append(tape, &node, sizeof(dropout_node), "dropout", "", out,
                          dropout_backward));
    if (node) {
        ((dropout_node *)node)->x = x;
        ((dropout_node *)node)->dropout = dropout;
    }
    *y = out;
    return FB_OK;
}
