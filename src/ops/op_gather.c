/* op_gather.c - rows of a (and b behind it) picked by index; backward adds them back.
 */
#include "ops/ops.h"

typedef struct gather_node {
    fb_node node;
    fb_var *a, *b;
    const int32_t *index;
} gather_node;

static fb_status gather_backward(fb_tape *tape, fb_node *node)
{
    gather_node *n = (gather_node *)node;
    fb_var *in[2] = {n->a, n->b};
    const fb_tensor *target[2] = {NULL, NULL};
    bool accumulate = n->a->grad.data != NULL;
    for (int i = 0; i < 2; i++) {
        if (!in[i] || !in[i]->needs_grad)
            continue;
        fb_tensor grad;
        bool fresh = false;
        if (!in[i]->grad.data)
            FB_TRY(fb_tape_grad_begin(tape, in[i], &grad, &fresh));
        if (fresh == accumulate)
            return fb_fail(tape->ctx, FB_E_STATE,
                           "gather: one input has a gradient already, the other none");
        target[i] = &in[i]->grad;
    }
    return tape->be->k->scatter_rows(tape->be, target[0], target[1], &node->out->grad,
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
    fb_var *out;
    FB_TRY(fb_tape_new_var(tape, &out, a->value.dtype, rows, a->value.dims[1]));
    FB_TRY(tape->be->k->gather_rows(tape->be, &out->value, &a->value,
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
