/* op_join.c - each `count` rows of x end to end: [R,C] as [R/count, count C]. The same
 * numbers in the same place, so nothing is computed. */
#include "ops/ops.h"

typedef struct join_node {
    fb_node node;
    fb_var *x;
} join_node;

static fb_status join_backward(fb_tape *tape, fb_node *node)
{
    join_node *n = (join_node *)node;
    fb_tensor dx;
    bool fresh;
    if (!n->x->needs_grad)
        return FB_OK;
    FB_TRY(fb_tape_grad_begin(tape, n->x, &dx, &fresh));
    FB_TRY(tape->be->m->copy(tape->ctx, tape->be, dx.data, node->out->grad.data,
                             fb_tensor_bytes(&dx)));
    return fb_tape_grad_done(tape, n->x, &dx);
}

fb_status fb_op_join(fb_tape *tape, fb_var **y, fb_var *x, int32_t count)
{
    void *memory;
    int64_t rows = x->value.dims[0], columns = x->value.dims[1];
    if (count < 1 || rows % count != 0)
        return fb_fail(tape->ctx, FB_E_SHAPE, "join: %lld rows by %d", (long long)rows,
                       (int)count);
    FB_TRY(fb_tape_alloc(tape, &memory, sizeof(fb_var)));
    fb_var *out = memory;
    *out = (fb_var){.needs_grad = tape->recording};
    out->value =
        fb_tensor_2d(x->value.data, x->value.dtype, rows / count, columns * count);
    fb_node *node;
    FB_TRY(
        fb_tape_append(tape, &node, sizeof(join_node), "rows", "", out, join_backward));
    if (node)
        ((join_node *)node)->x = x;
    *y = out;
    return FB_OK;
}
