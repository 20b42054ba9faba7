/* op_gather_ranks.c - the rows of every process, in order of rank: what a contrastive
 * loss over all of them reads (as open_clip's gather with local gradients off).
 *
 *     y [size * rows, C] of x [rows, C]
 *
 * Every process computes the whole loss L from all rows. Its backward keeps the rows of
 * its own x, times size: gradients of parameters are later summed over the processes and
 * divided by size, as those of losses over each process's own rows are, and the sum of
 * each process's share is dL. Alone y is x.
 */
#include "ops/ops.h"

typedef struct gather_ranks_node {
    fb_node node;
    fb_var *x;
} gather_ranks_node;

static fb_status gather_ranks_backward(fb_tape *tape, fb_node *node)
{
    gather_ranks_node *n = (gather_ranks_node *)node;
    if (!n->x->needs_grad)
        return FB_OK;
    fb_tensor dx, own = n->x->value;
    bool fresh;
    size_t bytes = fb_tensor_bytes(&own);
    own.data = (char *)node->out->grad.data + bytes * (size_t)tape->comm->rank;
    FB_TRY(fb_tape_grad_begin(tape, n->x, &dx, &fresh));
    FB_TRY(tape->be->m->copy(tape->ctx, tape->be, dx.data, own.data, bytes));
    for (int32_t r = 1; r < tape->comm->size; r++)
        FB_TRY(tape->be->k->add(tape->ctx, tape->be, &dx, &own));
    return fb_tape_grad_done(tape, n->x, &dx);
}

fb_status fb_op_gather_ranks(fb_tape *tape, fb_var **y, fb_var *x)
{
    double started_s = fb_tape_clock(tape);
    *y = x;
    if (tape->comm->size == 1)
        return FB_OK;
    fb_var *out;
    FB_TRY(fb_tape_new_var(tape, &out, x->value.dtype,
                           x->value.dims[0] * tape->comm->size, x->value.dims[1]));
    FB_TRY(fb_exchange_gather(tape->ctx, tape->be, tape->comm, &out->value, &x->value));
    fb_tape_charge(tape, "rows", started_s);
    fb_node *node;
    FB_TRY(fb_tape_append(tape, &node, sizeof(gather_ranks_node), "rows", "", out,
                          gather_ranks_backward));
    if (node)
        ((gather_ranks_node *)node)->x = x;
    *y = out;
    return FB_OK;
}
