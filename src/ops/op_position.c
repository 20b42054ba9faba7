/* op_position.c - y = [v ; p]: a row's own numbers, and beside them where it lies, an
 * attention over the embeddings of the blocks that it overlaps (backend.h,
 * fb_positions).
 */
#include "ops/ops.h"

typedef struct position_node {
    fb_node node;
    fb_var *v, *q;
    fb_leaf *table;
    fb_positions positions;
} position_node;

static fb_status position_backward(fb_tape *tape, fb_node *node)
{
    position_node *n = (position_node *)node;
    fb_tensor dv, dq;
    bool fresh, both = n->v->needs_grad;
    if (both)
        FB_TRY(fb_tape_grad_begin(tape, n->v, &dv, &fresh));
    FB_TRY(fb_tape_grad_begin(tape, n->q, &dq, &fresh));
    FB_TRY(tape->be->k->position_backward(tape->ctx, tape->be, both ? &dv : NULL, &dq,
                                          tape->parameters ? n->table->grad : NULL,
                                          &node->out->grad, &n->q->value,
                                          &n->positions));
    if (both)
        FB_TRY(fb_tape_grad_done(tape, n->v, &dv));
    return fb_tape_grad_done(tape, n->q, &dq);
}

fb_status fb_op_position(fb_tape *tape, fb_var **y, fb_var *v, fb_var *q,
                         fb_leaf *table, const int32_t *ids, const float *overlap)
{
    double started_s = fb_tape_clock(tape);
    int64_t rows = v->value.dims[0], width = table->weight.in;
    fb_node *node;
    if (q->value.dims[0] != rows || q->value.dims[1] != width)
        return fb_fail(
            tape->ctx, FB_E_SHAPE,
            "position %s: queries [%lld, %lld] of %lld rows and embeddings of "
            "%lld numbers",
            table->name, (long long)q->value.dims[0], (long long)q->value.dims[1],
            (long long)rows, (long long)width);
    FB_TRY(fb_tape_new_var(tape, y, v->value.dtype, rows, v->value.dims[1] + width));
    fb_positions p = {
        .table = table->weight.data, .blocks = table->weight.out, .width = width};
    FB_TRY(fb_tape_upload_i32(tape, &p.ids, ids, rows * FB_POSITION_BLOCKS));
    FB_TRY(fb_tape_upload_f32(tape, &p.overlap, overlap, rows * FB_POSITION_BLOCKS));
    FB_TRY(tape->be->k->position_forward(tape->ctx, tape->be, &(*y)->value, &v->value,
                                         &q->value, &p));
    FB_TRY(fb_tape_append(tape, &node, sizeof(position_node), "position", table->name,
                          *y, position_backward));
    if (node)
        *(position_node *)node = (position_node){*node, v, q, table, p};
    fb_tape_charge(tape, "position", started_s);
    return FB_OK;
}
