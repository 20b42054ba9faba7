/* op_hinge.c - the hinge loss of matching scores against others, both ways, over all of
 * them or the hardest alone; the formula stands in backend.h at fb_hinge.
 */
#include "ops/ops.h"

typedef struct hinge_node {
    fb_node node;
    fb_var *scores;
    fb_loss *loss;
    fb_hinge hinge;
} hinge_node;

static fb_status hinge_backward(fb_tape *tape, fb_node *node)
{
    hinge_node *n = (hinge_node *)node;
    fb_tensor ds;
    bool fresh;
    if (!(n->loss->seed != 0.0f) || n->loss->rows == 0)
        return FB_OK;
    FB_TRY(fb_tape_grad_begin_as(tape, n->scores, tape->be->dtype, &ds, &fresh));
    FB_TRY(tape->be->k->hinge_backward(tape->ctx, tape->be, &ds, &n->scores->value,
                                       &n->hinge, n->loss->seed));
    return fb_tape_grad_done(tape, n->scores, &ds);
}

static void settle_sum(fb_loss *loss)
{
    loss->value = 0.0;
    for (int64_t i = 0; i < loss->count; i++)
        loss->value += (double)loss->each[i];
}

fb_status fb_op_hinge(fb_tape *tape, fb_loss **loss, fb_var *scores,
                      const fb_hinge *hinge)
{
    double started_s = fb_tape_clock(tape);
    int64_t count = hinge->count;
    const fb_tensor *s = &scores->value;
    if (s->dtype != FB_F32 || s->dims[0] != count || s->dims[1] != count)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "hinge: %s scores [%lld, %lld] for %lld pairs, not f32 of them "
                       "all",
                       fb_dtype_name(s->dtype), (long long)s->dims[0],
                       (long long)s->dims[1], (long long)count);
    fb_hinge on = *hinge;
    float *each;
    FB_TRY(fb_tape_upload_i32(tape, &on.a_group, hinge->a_group, count));
    FB_TRY(fb_tape_upload_i32(tape, &on.b_group, hinge->b_group, count));
    FB_TRY(fb_tape_floats(tape, &each, 2 * count));
    FB_TRY(tape->be->k->hinge_forward(tape->ctx, tape->be, each, s, &on));
    fb_loss *l;
    FB_TRY(fb_tape_new_loss(tape, &l, each, 2 * count, settle_sum));
    l->rows = count;
    FB_TRY(fb_tape_append(tape, &l->node, sizeof(hinge_node), "hinge", "", NULL,
                          hinge_backward));
    hinge_node *n = (hinge_node *)l->node;
    if (n)
        *n = (hinge_node){n->node, scores, l, on};
    *loss = l;
    fb_tape_charge(tape, "hinge", started_s);
    return FB_OK;
}
