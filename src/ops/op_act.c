/* op_act.c - y = act(x), elementwise; dx = dy act'(x). */
#include "ops/ops.h"

typedef struct act_node {
    fb_node node;
    fb_var *x;
    fb_activation act;
} act_node;

static fb_status act_backward(fb_tape *tape, fb_node *node)
{
    act_node *n = (act_node *)node;
    fb_tensor dx;
    bool fresh;
    if (!n->x->needs_grad)
        return FB_OK;
    FB_TRY(fb_tape_grad_begin(tape, n->x, &dx, &fresh));
    FB_TRY(tape->be->k->act_backward(tape->ctx, tape->be, &dx, &node->out->grad,
                                     &n->x->value, n->act));
    return fb_tape_grad_done(tape, n->x, &dx);
}

fb_status fb_op_act(fb_tape *tape, fb_var **y, fb_var *x, fb_activation act)
{
    double started_s = fb_tape_clock(tape);
    fb_var *out;
    FB_TRY(fb_tape_new_var(tape, &out, x->value.dtype, x->value.dims[0],
                           x->value.dims[1]));
    FB_TRY(tape->be->k->act_forward(tape->ctx, tape->be, &out->value, &x->value, act));
    fb_tape_charge(tape, "act", started_s);
    fb_node *node;
    FB_TRY(fb_tape_append(tape, &node, sizeof(act_node), "act", "", out, act_backward));
    if (node) {
        ((act_node *)node)->x = x;
        ((act_node *)node)->act = act;
    }
    *y = out;
    return FB_OK;
}
