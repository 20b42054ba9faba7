/* op_linear.c - y = x w^T + bias, and the same under an activation.
 *
 *     dx = dy w      dw += dy^T x      dbias += sum over rows of dy
 *
 * The logits of a loss are f32 (as_f32); their gradient comes in the compute dtype, so
 * the variable carries a gradient of another dtype than its value.
 */
#include "backend/int8.h"
#include "ops/ops.h"

typedef struct linear_node {
    fb_node node;
    fb_var *x, *pre; /* pre: input of the activation, [T,N]; NULL without one */
    fb_activation act;
    fb_leaf *w, *bias;
} linear_node;

static fb_status check(fb_tape *tape, const fb_var *x, const fb_leaf *w,
                       const fb_leaf *bias)
{
    if (x->value.dims[1] != w->weight.in)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "linear %s: input has %lld columns, the weight takes %lld",
                       w->name, (long long)x->value.dims[1], (long long)w->weight.in);
    if (bias && bias->weight.out != w->weight.out)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "linear %s: bias has %lld numbers, not %lld", w->name,
                       (long long)bias->weight.out, (long long)w->weight.out);
    return FB_OK;
}

static fb_status linear_backward(fb_tape *tape, fb_node *node)
{
    linear_node *n = (linear_node *)node;
    fb_backend *be = tape->be;
    const fb_tensor *dy = &node->out->grad;
    if (n->pre)
        FB_TRY(be->k->act_backward(tape->ctx, be, dy, dy, &n->pre->value, n->act));
    float *dw = tape->parameters ? n->w->grad : NULL;
    float *dbias = tape->parameters && n->bias ? n->bias->grad : NULL;
    if (dw || dbias)
        FB_TRY(
            be->k->linear_backward_weight(tape->ctx, be, dw, dbias, &n->x->value, dy));
    if (!n->x->needs_grad)
        return FB_OK;
    if (n->x->grad.data)
        return be->k->linear_backward_input(tape->ctx, be, &n->x->grad, dy,
                                            &n->w->weight, true);
    fb_tensor dx;
    bool fresh;
    FB_TRY(fb_tape_grad_begin(tape, n->x, &dx, &fresh));
    return be->k->linear_backward_input(tape->ctx, be, &dx, dy, &n->w->weight, false);
}

/* Whether the product is of int8 numbers: nothing is recorded, and values are f32. */
static bool is_int8(const fb_tape *tape, const fb_leaf *w, fb_dtype dtype)
{
    return w->int8_scale && !tape->recording && tape->be->dtype == FB_F32 &&
           dtype == FB_F32;
}

static fb_status forward(fb_tape *tape, const fb_tensor *y, const fb_tensor *x,
                         fb_leaf *w, const float *bias, fb_activation act)
{
    fb_backend *be = tape->be;
    if (!is_int8(tape, w, y->dtype))
        return be->k->linear_forward(tape->ctx, be, y, x, &w->weight, bias, act);
    if (w->weight.in > FB_INT8_INPUTS)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "linear %s: %lld inputs, more than the %d of an int8 product",
                       w->name, (long long)w->weight.in, (int)FB_INT8_INPUTS);
    return be->k->linear_int8_forward(tape->ctx, be, y, x, &w->weight, w->int8_scale,
                                      bias, act);
}

static fb_status linear(fb_tape *tape, fb_var **y, fb_var *x, fb_leaf *w, fb_leaf *bias,
                        fb_dtype dtype, fb_activation act)
{
    static const char *const names[] = {"", "gelu", "gelu", "gelu", "relu"};
    double started_s = fb_tape_clock(tape);
    FB_TRY(check(tape, x, w, bias));
    int64_t rows = x->value.dims[0];
    fb_backend *be = tape->be;
    fb_var *out, *pre = NULL;
    FB_TRY(fb_tape_new_var(tape, &out, dtype, rows, w->weight.out));
    bool keep_pre = act != FB_ACT_NONE && tape->recording;
    if (keep_pre)
        FB_TRY(fb_tape_new_var(tape, &pre, dtype, rows, w->weight.out));
    w->multiplied = true;
    FB_TRY(forward(tape, keep_pre ? &pre->value : &out->value, &x->value, w,
                   bias ? bias->weight.data : NULL, keep_pre ? FB_ACT_NONE : act));
    fb_tape_charge(tape, "linear", started_s);
    if (keep_pre) {
        started_s = fb_tape_clock(tape);
        FB_TRY(be->k->act_forward(tape->ctx, be, &out->value, &pre->value, act));
        fb_tape_charge(tape, names[act], started_s);
    }
    fb_node *node;
    FB_TRY(fb_tape_append(tape, &node, sizeof(linear_node), "linear", w->name, out,
                          linear_backward));
    if (node) {
        linear_node *n = (linear_node *)node;
        n->x = x;
        n->pre = pre;
        n->act = act;
        n->w = w;
        n->bias = bias;
    }
    *y = out;
    return FB_OK;
}

fb_status fb_op_linear(fb_tape *tape, fb_var **y, fb_var *x, fb_leaf *w, fb_leaf *bias,
                       bool as_f32)
{
    return linear(tape, y, x, w, bias, as_f32 ? FB_F32 : tape->be->dtype, FB_ACT_NONE);
}

fb_status fb_op_linear_act(fb_tape *tape, fb_var **y, fb_var *x, fb_leaf *w,
                           fb_leaf *bias, fb_activation act)
{
    return linear(tape, y, x, w, bias, tape->be->dtype, act);
}
