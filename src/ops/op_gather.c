/* op_gather.c - rows of a (and b behind it) picked by index; backward adds them back.
 */
#include "ops/ops.h"

typedef struct gather_node {
    fb_node node;
    fb_var *a, *b;
    const int32_t *index;
} gather_node;

/* The gradient of an input that has none yet starts at zero when the other one's is
 * added to. */
static fb_status begin_target(fb_tape *tape, fb_var *x, bool accumulate)
{
    fb_tensor grad;
    bool fresh;
    if (x->grad.data)
        return FB_OK;
    FB_TRY(fb_tape_grad_begin(tape, x, &grad, &fresh));
    if (accumulate)
        return tape->be->m->fill(tape->ctx, tape->be, grad.data, 0,
                                 fb_tensor_bytes(&grad));
    return FB_OK;
}

static fb_status gather_backward(fb_tape *tape, fb_node *node)
{
    gather_node *n = (gather_node *)node;
    bool want_b = n->b && n->b->needs_grad;
    if (!n->a->needs_grad && !want_b)
        return FB_OK;
    bool accumulate = n->a->grad.data || (want_b && n->b->grad.data);
    FB_TRY(begin_target(tape, n->a, accumulate));
    if (want_b)
        FB_TRY(begin_target(tape, n->b, accumulate));
    return tape->be->k->scatter_rows(tape->ctx, tape->be, &n->a->grad,
                                     want_b ? &n->b->grad : NULL, &node->out->grad,
                                     n->index, accumulate);
}

fb_status fb_op_gather(fb_tape *tape, fb_var **y, fb_var *a, fb_var *b,
                       const int32_t *index, int64_t rows)
{
    double started_s = fb_tape_clock(tape);
    int64_t limit = a->value.dims[0] + (b ? b->value.dims[0] : 0);
    if (b && a->value.dims[1] != b->value.dims[1])
        return fb_fail(tape->ctx, FB_E_SHAPE, "gather: the two inputs differ in width");
    for (int64_t i = 0; i < rows; i++)
        if (index[i] < 0 || index[i] >= limit)
            return fb_fail(tape->ctx, FB_E_SHAPE, "gather: row %d of %lld",
                           (int)index[i], (long long)limit);
    FB_TRY(fb_tape_upload_i32(tape, &index, index, rows));
    fb_var *out;
    FB_TRY(fb_tape_new_var(tape, &out, a->value.dtype, rows, a->value.dims[1]));
    FB_TRY(tape->be->k->gather_rows(tape->ctx, tape->be, &out->value, &a->value,
                                    b ? &b->value : NULL, index));
    fb_tape_charge(tape, "rows", started_s);
    fb_node *node;
    FB_TRY(fb_tape_append(tape, &node, sizeof(gather_node), "rows", "", out,
                          gather_backward));
    if (node) {
        gather_node *n = (gather_node *)node;
        n->a = a;
        n->b = b;
        n->index = index;
    }
    *y = out;
    return FB_OK;
}
