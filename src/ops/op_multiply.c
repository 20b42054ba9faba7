/* op_multiply.c - y = a b, element by element; da += dy b, db += dy a. */
#include "ops/ops.h"

typedef struct multiply_node {
    fb_node node;
    fb_var *a, *b;
} multiply_node;

/* dx += dy other */
static fb_status side(fb_tape *tape, fb_node *node, fb_var *x, const fb_var *other)
{
    fb_tensor dx;
    bool fresh;
    if (!x->needs_grad)
        return FB_OK;
    FB_TRY(fb_tape_grad_begin(tape, x, &dx, &fresh));
    FB_TRY(tape->be->k->multiply(tape->ctx, tape->be, &dx, &node->out->grad,
                                 &other->value));
    return fb_tape_grad_done(tape, x, &dx);
}

static fb_status multiply_backward(fb_tape *tape, fb_node *node)
{
    multiply_node *n = (multiply_node *)node;
    FB_TRY(side(tape, node, n->a, n->b));
    return side(tape, node, n->b, n->a);
}

fb_status fb_op_multiply(fb_tape *tape, fb_var **y, fb_var *a, fb_var *b)
{
    double started_s = fb_tape_clock(tape);
    const fb_tensor *p = &a->value, *q = &b->value;
    if (p->dims[0] != q->dims[0] || p->dims[1] != q->dims[1] || p->dtype != q->dtype)
        return fb_fail(
            tape->ctx, FB_E_SHAPE, "multiply: %s [%lld,%lld] with %s [%lld,%lld]",
            fb_dtype_name(p->dtype), (long long)p->dims[0], (long long)p->dims[1],
            fb_dtype_name(q->dtype), (long long)q->dims[0], (long long)q->dims[1]);
    fb_var *out;
    FB_TRY(fb_tape_new_var(tape, &out, p->dtype, p->dims[0], p->dims[1]));
    FB_TRY(tape->be->k->multiply(tape->ctx, tape->be, &out->value, p, q));
    fb_tape_charge(tape, "multiply", started_s);
    fb_node *node;
    FB_TRY(fb_tape_append(tape, &node, sizeof(multiply_node), "multiply", "", out,
                          multiply_backward));
    if (node) {
        multiply_node *n = (multiply_node *)node;
        n->a = a;
        n->b = b;
    }
    *y = out;
    return FB_OK;
}
