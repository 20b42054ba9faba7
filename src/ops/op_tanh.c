/* op_tanh.c - y = tanh(x), elementwise; dx = dy (1 - y^2). */
#include "ops/ops.h"

typedef struct tanh_node {
    fb_node node;
    fb_var *x;
} tanh_node;

static fb_status tanh_backward(fb_tape *tape, fb_node *node)
{
    tanh_node *n = (tanh_node *)node;
    fb_tensor dx;
    bool fresh;
    FB_TRY(fb_tape_grad_begin(tape, n->x, &dx, &fresh));
    FB_TRY(tape->be->k->tanh_backward(tape->ctx, tape->be, &dx, &node->out->grad,
                                      &node->out->value));
    return fb_tape_grad_done(tape, n->x, &dx);
}

fb_status fb_op_tanh(fb_tape *tape, fb_var **y, fb_var *x)
{
    double started_s = fb_tape_clock(tape);
    fb_var *out;
    FB_TRY(fb_tape_new_var(tape, &out, x->value.dtype, x->value.dims[0],
                           x->value.dims[1]));
    FB_TRY(tape->be->k->tanh_forward(tape->ctx, tape->be, &out->value, &x->value));
    fb_tape_charge(tape, "tanh", started_s);
    fb_node *node;
    FB_TRY(
        fb_tape_append(tape, &node, sizeof(tanh_node), "tanh", "", out, tanh_backward));
    if (node)
        ((tanh_node *)node)->x = x;
    *y = out;
    return FB_OK;
}
