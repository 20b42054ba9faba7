/* op_unit_rows.c - y = x / |x| per row; dx = (dy - y (y . dy)) / |x|. */
#include "ops/ops.h"

typedef struct unit_node {
    fb_node node;
    fb_var *x;
    float *lengths; /* [rows] */
} unit_node;

static fb_status unit_backward(fb_tape *tape, fb_node *node)
{
    unit_node *n = (unit_node *)node;
    fb_tensor dx;
    bool fresh;
    if (!n->x->needs_grad)
        return FB_OK;
    FB_TRY(fb_tape_grad_begin(tape, n->x, &dx, &fresh));
    FB_TRY(tape->be->k->unit_rows_backward(tape->ctx, tape->be, &dx, &node->out->grad,
                                           &node->out->value, n->lengths));
    return fb_tape_grad_done(tape, n->x, &dx);
}

fb_status fb_op_unit_rows(fb_tape *tape, fb_var **y, fb_var *x)
{
    double started_s = fb_tape_clock(tape);
    int64_t rows = x->value.dims[0];
    fb_var *out;
    FB_TRY(fb_tape_new_var(tape, &out, x->value.dtype, rows, x->value.dims[1]));
    float *lengths = NULL;
    if (tape->recording)
        FB_TRY(fb_tape_floats(tape, &lengths, rows));
    FB_TRY(tape->be->k->unit_rows_forward(tape->ctx, tape->be, &out->value, lengths,
                                          &x->value));
    fb_tape_charge(tape, "unit rows", started_s);
    fb_node *node;
    FB_TRY(fb_tape_append(tape, &node, sizeof(unit_node), "unit rows", "", out,
                          unit_backward));
    if (node) {
        ((unit_node *)node)->x = x;
        ((unit_node *)node)->lengths = lengths;
    }
    *y = out;
    return FB_OK;
}
