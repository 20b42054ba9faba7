/* op_losses.c - the two losses, each the mean over its M rows:
 *
 *     cross entropy          l = lse(z) - z[t]        dz = (softmax(z) - onehot(t)) / M
 *     KLD, target p first    l = sum p log(p / q),    dz = (q - p) / M
 *                            q = softmax(z)
 *
 * both gradients times the loss's seed. The KLD is FashionBERT's Eq. 2 as it is coded.
 */
#include "ops/ops.h"

typedef struct loss_node {
    fb_node node;
    fb_var *logits;
    fb_loss *loss;
    float *lse;              /* cross entropy: [M] */
    const int32_t *index;    /* targets, or rows of features */
    const fb_tensor *target; /* KLD: features */
} loss_node;

static fb_status loss_backward(fb_tape *tape, fb_node *node)
{
    loss_node *n = (loss_node *)node;
    if (!(n->loss->seed != 0.0f) || n->loss->rows == 0)
        return FB_OK;
    float scale = n->loss->seed / (float)n->loss->rows;
    const fb_tensor *z = &n->logits->value;
    fb_tensor dz;
    bool fresh;
    FB_TRY(fb_tape_grad_begin_as(tape, n->logits, tape->be->dtype, &dz, &fresh));
    if (n->target)
        FB_TRY(tape->be->k->kld_backward(tape->ctx, tape->be, &dz, z, n->target,
                                         n->index, scale));
    else
        FB_TRY(tape->be->k->cross_entropy_backward(tape->ctx, tape->be, &dz, z, n->lse,
                                                   n->index, scale));
    return fb_tape_grad_done(tape, n->logits, &dz);
}

static void settle_mean(fb_loss *loss)
{
    loss->value = 0;
    for (int64_t i = 0; i < loss->count; i++)
        loss->value += loss->each[i];
    if (loss->count)
        loss->value /= (double)loss->count;
}

static fb_status finish(fb_tape *tape, fb_loss **loss, const float *each,
                        fb_var *logits, const char *op, fb_node **node)
{
    int64_t count = logits->value.dims[0];
    fb_loss *l;
    FB_TRY(fb_tape_new_loss(tape, &l, each, count, settle_mean));
    l->rows = count;
    FB_TRY(fb_tape_append(tape, node, sizeof(loss_node), op, "", NULL, loss_backward));
    if (*node) {
        ((loss_node *)*node)->logits = logits;
        ((loss_node *)*node)->loss = l;
        l->node = *node;
    }
    *loss = l;
    return FB_OK;
}

fb_status fb_op_cross_entropy(fb_tape *tape, fb_loss **loss, fb_var *logits,
                              const int32_t *targets)
{
    double started_s = fb_tape_clock(tape);
    int64_t rows = logits->value.dims[0], classes = logits->value.dims[1];
    for (int64_t i = 0; i < rows; i++)
        if (targets[i] < 0 || targets[i] >= classes)
            return fb_fail(tape->ctx, FB_E_SHAPE, "cross entropy: class %d of %lld",
                           (int)targets[i], (long long)classes);
    float *values;
    FB_TRY(fb_tape_floats(tape, &values, rows * 2));
    FB_TRY(fb_tape_upload_i32(tape, &targets, targets, rows));
    float *lse = values + rows;
    FB_TRY(tape->be->k->cross_entropy_forward(tape->ctx, tape->be, values, lse,
                                              &logits->value, targets));
    fb_node *node;
    FB_TRY(finish(tape, loss, values, logits, "losses", &node));
    if (node) {
        ((loss_node *)node)->lse = lse;
        ((loss_node *)node)->index = targets;
    }
    fb_tape_charge(tape, "losses", started_s);
    return FB_OK;
}

fb_status fb_op_kld(fb_tape *tape, fb_loss **loss, fb_var *logits,
                    const fb_tensor *features, const int32_t *rows)
{
    double started_s = fb_tape_clock(tape);
    int64_t count = logits->value.dims[0];
    if (features->dims[1] != logits->value.dims[1])
        return fb_fail(tape->ctx, FB_E_SHAPE, "kld: %lld logits for %lld features",
                       (long long)logits->value.dims[1], (long long)features->dims[1]);
    for (int64_t i = 0; i < count; i++)
        if (rows[i] < 0 || rows[i] >= features->dims[0])
            return fb_fail(tape->ctx, FB_E_SHAPE, "kld: patch %d of %lld", (int)rows[i],
                           (long long)features->dims[0]);
    float *values;
    FB_TRY(fb_tape_floats(tape, &values, count));
    FB_TRY(fb_tape_upload_i32(tape, &rows, rows, count));
    FB_TRY(tape->be->k->kld_forward(tape->ctx, tape->be, values, &logits->value,
                                    features, rows));
    fb_node *node;
    FB_TRY(finish(tape, loss, values, logits, "losses", &node));
    if (node) {
        ((loss_node *)node)->index = rows;
        ((loss_node *)node)->target = features;
    }
    fb_tape_charge(tape, "losses", started_s);
    return FB_OK;
}
