/* op_batch_norm.c - y = act(gamma (x - mean) inv + beta + residual), statistics of each
 * column over the rows (training) or the running ones.
 *
 *     running = (1 - momentum) running + momentum batch,  the variance unbiased
 *
 * Backward masks dy in place: that is the residual's gradient; without a residual dx
 * takes dy's place. Nothing may overwrite x or, with ReLU, y before.
 */
#include "ops/ops.h"

typedef struct batch_norm_node {
    fb_node node;
    fb_var *x, *residual; /* residual NULL: none, or it wants no gradient */
    fb_leaf *gamma, *beta;
    float *stats; /* [2,C] */
    fb_batch_norm norm;
} batch_norm_node;

/* Add a gradient that lies in out's buffer to x, or hand the buffer on. */
static fb_status hand_on(fb_tape *tape, fb_var *x, fb_var *out)
{
    if (!x->needs_grad)
        return FB_OK;
    if (x->grad.data)
        return tape->be->k->add(tape->ctx, tape->be, &x->grad, &out->grad);
    x->grad = out->grad;
    out->grad.data = NULL;
    return FB_OK;
}

static fb_status batch_norm_backward(fb_tape *tape, fb_node *node)
{
    batch_norm_node *n = (batch_norm_node *)node;
    fb_var *out = node->out;
    float *dgamma = tape->parameters ? n->gamma->grad : NULL;
    float *dbeta = tape->parameters ? n->beta->grad : NULL;
    if (!n->x->needs_grad && !n->residual && !dgamma && !dbeta)
        return FB_OK;
    fb_tensor dx = out->grad;
    bool fresh;
    if (n->residual)
        FB_TRY(fb_tape_grad_begin(tape, n->x, &dx, &fresh));
    fb_norm_grads d = {&dx, n->residual ? &out->grad : NULL, dgamma, dbeta};
    FB_TRY(tape->be->k->batch_norm_backward(tape->ctx, tape->be, &d, &out->grad,
                                            &out->value, &n->x->value, n->stats,
                                            &n->norm));
    if (!n->residual)
        return hand_on(tape, n->x, out);
    FB_TRY(fb_tape_grad_done(tape, n->x, &dx));
    if (!n->x->needs_grad)
        fb_tape_grad_release(tape, n->x);
    return hand_on(tape, n->residual, out);
}

static fb_status check(fb_tape *tape, const fb_var *x, const fb_var *residual,
                       const fb_batch_norm_leaves *leaves, bool training)
{
    const char *name = leaves->gamma->name;
    int64_t width = x->value.dims[1];
    if (leaves->gamma->weight.out != width || leaves->beta->weight.out != width)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "batch norm %s: rows have %lld numbers, it takes %lld and %s "
                       "%lld",
                       name, (long long)width, (long long)leaves->gamma->weight.out,
                       leaves->beta->name, (long long)leaves->beta->weight.out);
    if (residual && !fb_tensor_same_shape(&x->value, &residual->value))
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "batch norm %s: the residual has another shape", name);
    if (training && x->value.dims[0] == 1)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "batch norm %s: one row has no variance, training takes 2 rows "
                       "or more",
                       name);
    return FB_OK;
}

fb_status fb_op_batch_norm(fb_tape *tape, fb_var **y, fb_var *x, fb_var *residual,
                           const fb_batch_norm_leaves *leaves,
                           fb_batch_norm_options options)
{
    const float eps = options.eps, momentum = options.momentum;
    const bool relu = options.relu, training = options.training;
    double started_s = fb_tape_clock(tape);
    FB_TRY(check(tape, x, residual, leaves, training));
    int64_t rows = x->value.dims[0], width = x->value.dims[1];
    fb_batch_norm norm = {leaves->gamma->weight.data, leaves->beta->weight.data, eps,
                          relu, !training};
    fb_var *out;
    float *stats;
    fb_running running = {leaves->running_mean, leaves->running_var, width, eps};
    FB_TRY(fb_tape_new_var(tape, &out, x->value.dtype, rows, width));
    FB_TRY(fb_tape_floats(tape, &stats, 2 * width));
    if (!training)
        FB_TRY(tape->be->k->batch_norm_running(tape->ctx, tape->be, stats, &running));
    FB_TRY(tape->be->k->batch_norm_forward(tape->ctx, tape->be, &out->value, stats,
                                           &x->value,
                                           residual ? &residual->value : NULL, &norm));
    if (training && tape->recording && rows > 0)
        FB_TRY(tape->be->k->batch_norm_move(tape->ctx, tape->be, &running, stats, rows,
                                            momentum));
    fb_tape_charge(tape, "batch norm", started_s);
    fb_node *node;
    FB_TRY(fb_tape_append(tape, &node, sizeof(batch_norm_node), "batch norm",
                          leaves->gamma->name, out, batch_norm_backward));
    if (node) {
        batch_norm_node *n = (batch_norm_node *)node;
        n->x = x;
        n->residual = residual && residual->needs_grad ? residual : NULL;
        n->gamma = leaves->gamma;
        n->beta = leaves->beta;
        n->stats = stats;
        n->norm = norm;
    }
    *y = out;
    return FB_OK;
}
