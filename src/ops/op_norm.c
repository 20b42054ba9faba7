/* op_norm.c - y = LayerNorm(dropout(x) + residual), per row of width C.
 *
 * The sum z takes x's place, so a block keeps one tensor for both. Without dropout dz
 * is the gradient of x and of the residual alike.
 */
#include "ops/ops.h"

typedef struct norm_node {
    fb_node node;
    fb_var *x, *residual;
    fb_leaf *gamma, *beta;
    float *stats; /* [T,2] */
    fb_dropout dropout;
} norm_node;

static fb_status norm_backward(fb_tape *tape, fb_node *node)
{
    norm_node *n = (norm_node *)node;
    fb_tensor dx, dresidual;
    bool fresh;
    FB_TRY(fb_tape_grad_begin(tape, n->x, &dx, &fresh));
    if (n->residual)
        FB_TRY(fb_tape_grad_begin(tape, n->residual, &dresidual, &fresh));
    fb_norm_grads d = {&dx, n->residual ? &dresidual : NULL,
                       tape->parameters ? n->gamma->grad : NULL,
                       tape->parameters ? n->beta->grad : NULL};
    fb_norm norm = {.gamma = n->gamma->weight.data, .dropout = n->dropout};
    FB_TRY(tape->be->k->norm_backward(tape->ctx, tape->be, &d, &node->out->grad,
                                      &n->x->value, n->stats, &norm));
    FB_TRY(fb_tape_grad_done(tape, n->x, &dx));
    return n->residual ? fb_tape_grad_done(tape, n->residual, &dresidual) : FB_OK;
}

fb_status fb_op_norm(fb_tape *tape, fb_var **y, fb_var *x, fb_var *residual,
                     fb_leaf *gamma, fb_leaf *beta, float eps)
{
    double started_s = fb_tape_clock(tape);
    int64_t rows = x->value.dims[0], width = x->value.dims[1];
    if (gamma->weight.out != width || beta->weight.out != width)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "norm %s: rows have %lld numbers, it takes %lld and %s %lld",
                       gamma->name, (long long)width, (long long)gamma->weight.out,
                       beta->name, (long long)beta->weight.out);
    if (residual && !fb_tensor_same_shape(&x->value, &residual->value))
        return fb_fail(tape->ctx, FB_E_SHAPE, "norm %s: the residual has another shape",
                       gamma->name);
    fb_var *out;
    FB_TRY(fb_tape_new_var(tape, &out, x->value.dtype, rows, width));
    float *stats = NULL;
    if (tape->recording)
        FB_TRY(fb_tape_floats(tape, &stats, rows * 2));
    fb_norm norm = {gamma->weight.data, beta->weight.data, eps, {0.0f, 0}};
    if (residual)
        norm.dropout = fb_tape_next_dropout(tape);
    FB_TRY(tape->be->k->norm_forward(
        tape->ctx, tape->be, &out->value, tape->recording ? &x->value : NULL, stats,
        &x->value, residual ? &residual->value : NULL, &norm));
    fb_tape_charge(tape, "norm", started_s);
    fb_node *node;
    FB_TRY(fb_tape_append(tape, &node, sizeof(norm_node), "norm", gamma->name, out,
                          norm_backward));
    if (node) {
        norm_node *n = (norm_node *)node;
        n->x = x;
        n->residual = residual;
        n->gamma = gamma;
        n->beta = beta;
        n->stats = stats;
        n->dropout = norm.dropout;
    }
    *y = out;
    return FB_OK;
}
