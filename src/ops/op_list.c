/* op_list.c - listwise loss (softmax cross entropy over a list, as ListNet): over each
 * list's margins, its first the right one, or each by its soft label.
 *
 *     d = z[.][1] - z[.][0] - log_q    l = log sum exp d[members] - sum t d[members]
 *     dz = (-dd, dd), dd = seed / lists (softmax - t), summed over a row's lists
 *
 * logits z [R,2] f32    members, targets t [lists, length]    log_q [R], 0 where not
 * given
 *
 * Where members were drawn in proportion to exp(log_q), log_q is subtracted from their
 * margins (logQ correction of a sampled softmax; Bengio and Senecal 2008): without it
 * scores learn only what the drawing did not know.
 */
#include "ops/ops.h"

typedef struct list_node {
    fb_node node;
    fb_var *logits;
    fb_tensor corrected; /* the logits less log_q */
    fb_loss *loss;
    float *lse; /* [lists] */
    fb_lists lists;
} list_node;

static fb_status list_backward(fb_tape *tape, fb_node *node)
{
    list_node *n = (list_node *)node;
    const fb_lists *l = &n->lists;
    if (!(n->loss->seed != 0.0f) || l->count == 0)
        return FB_OK;
    fb_tensor dz;
    bool fresh;
    FB_TRY(fb_tape_grad_begin_as(tape, n->logits, tape->be->dtype, &dz, &fresh));
    FB_TRY(tape->be->k->list_backward(tape->ctx, tape->be, &dz, &n->corrected, n->lse,
                                      l, n->loss->seed / (float)l->count));
    return fb_tape_grad_done(tape, n->logits, &dz);
}

static fb_status check(fb_tape *tape, const fb_var *logits, const fb_lists *l)
{
    int64_t rows = logits->value.dims[0];
    if (logits->value.dims[1] != 2)
        return fb_fail(tape->ctx, FB_E_SHAPE, "list: %lld logits a row, it takes 2",
                       (long long)logits->value.dims[1]);
    if (l->count < 0 || l->length < 1)
        return fb_fail(tape->ctx, FB_E_SHAPE, "list: %d lists of %d rows",
                       (int)l->count, (int)l->length);
    for (int64_t i = 0; i < (int64_t)l->count * l->length; i++)
        if (l->members[i] < 0 || l->members[i] >= rows)
            return fb_fail(tape->ctx, FB_E_SHAPE, "list %lld: row %d of %lld",
                           (long long)(i / l->length), (int)l->members[i],
                           (long long)rows);
    return FB_OK;
}

static void settle(fb_loss *loss)
{
    loss->value = 0;
    for (int64_t i = 0; i < loss->count; i++)
        loss->value += (double)loss->each[i] / (double)loss->count;
}

/* The lists where kernels read them, and the logits less log_q. */
static fb_status place(fb_tape *tape, fb_lists *on, fb_tensor *corrected,
                       const fb_lists *l, const fb_tensor *logits)
{
    int64_t places = (int64_t)l->count * l->length;
    *on = *l;
    *corrected = *logits;
    FB_TRY(fb_tape_upload_i32(tape, &on->members, l->members, places));
    FB_TRY(fb_tape_upload_f32(tape, &on->targets, l->targets, places));
    if (!l->log_q)
        return FB_OK;
    FB_TRY(fb_tape_upload_f32(tape, &on->log_q, l->log_q, logits->dims[0]));
    FB_TRY(fb_tape_values(tape, &corrected->data, fb_tensor_bytes(logits)));
    return tape->be->k->list_correct(tape->ctx, tape->be, corrected, logits, on->log_q);
}

fb_status fb_op_list(fb_tape *tape, fb_loss **loss, fb_var *logits,
                     const fb_lists *lists)
{
    double started_s = fb_tape_clock(tape);
    int64_t count = lists->count;
    FB_TRY(check(tape, logits, lists));
    fb_tensor corrected;
    fb_lists on;
    FB_TRY(place(tape, &on, &corrected, lists, &logits->value));
    float *values;
    FB_TRY(fb_tape_floats(tape, &values, count * 2));
    float *lse = values + count;
    FB_TRY(
        tape->be->k->list_forward(tape->ctx, tape->be, values, lse, &corrected, &on));
    fb_loss *l;
    FB_TRY(fb_tape_new_loss(tape, &l, values, count, settle));
    l->rows = count;
    FB_TRY(fb_tape_append(tape, &l->node, sizeof(list_node), "losses", "", NULL,
                          list_backward));
    list_node *n = (list_node *)l->node;
    if (n)
        *n = (list_node){n->node, logits, corrected, l, lse, on};
    *loss = l;
    fb_tape_charge(tape, "losses", started_s);
    return FB_OK;
}
