/* op_conv.c - y = conv(x, w), and act(conv + bias + residual) for frozen encoders.
 *
 *     x [images*height*width, in]    w [out, in/groups * kernel * kernel]
 *     y [images*height'*width', out]
 *
 *     dx = conv's transpose of dy by w      dw += that of x by dy
 */
#include "backend/int8.h"
#include "ops/ops.h"

typedef struct conv_node {
    fb_node node;
    fb_var *x;
    fb_leaf *w;
    fb_conv conv;
} conv_node;

static int64_t rows_in(const fb_conv *c)
{
    return (int64_t)c->images * c->height * c->width;
}

static int64_t rows_out(const fb_conv *c)
{
    return (int64_t)c->images *
           fb_window_out(c->height, c->kernel, c->stride, c->padding) *
           fb_window_out(c->width, c->kernel, c->stride, c->padding);
}

/* The geometry in itself: then outputs have at least one row and column. */
static fb_status check_geometry(fb_tape *tape, const fb_conv *c, const char *name)
{
    if (c->images < 0 || c->height < 1 || c->width < 1 || c->kernel < 1 ||
        c->stride < 1 || c->padding < 0 || c->padding >= c->kernel)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "conv %s: %d images of %d x %d by a kernel of %d, stride %d, "
                       "padding %d; sizes begin at 1, padding is below the kernel",
                       name, c->images, c->height, c->width, c->kernel, c->stride,
                       c->padding);
    if (c->height + 2 * c->padding < c->kernel || c->width + 2 * c->padding < c->kernel)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "conv %s: a picture of %d x %d with padding %d is smaller than "
                       "the kernel of %d",
                       name, c->height, c->width, c->padding, c->kernel);
    if (c->in < 1 || c->out < 1 || c->groups < 1 || c->in % c->groups != 0 ||
        c->out % c->groups != 0)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "conv %s: %d groups do not divide %d input and %d output "
                       "channels",
                       name, c->groups, c->in, c->out);
    return FB_OK;
}

static fb_status check(fb_tape *tape, const fb_var *x, const fb_weight *w,
                       const fb_conv *c, const char *name)
{
    FB_TRY(check_geometry(tape, c, name));
    char text[96];
    if (x->value.dims[0] != rows_in(c) || x->value.dims[1] != c->in)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "conv %s: input is %s, not [%lld, %d], %d images of %d x %d",
                       name, fb_tensor_describe(&x->value, text), (long long)rows_in(c),
                       c->in, c->images, c->height, c->width);
    int64_t inner = (int64_t)(c->in / c->groups) * c->kernel * c->kernel;
    if (w->out != c->out || w->in != inner)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "conv %s: the weight is [%lld, %lld], not [%d, %lld]", name,
                       (long long)w->out, (long long)w->in, c->out, (long long)inner);
    return FB_OK;
}

static fb_status conv_backward(fb_tape *tape, fb_node *node)
{
    conv_node *n = (conv_node *)node;
    fb_backend *be = tape->be;
    const fb_tensor *dy = &node->out->grad;
    if (tape->parameters && n->w->grad)
        FB_TRY(be->k->conv_backward_weight(tape->ctx, be, n->w->grad, &n->x->value, dy,
                                           &n->conv));
    if (!n->x->needs_grad)
        return FB_OK;
    fb_weight *w = &n->w->weight;
    if (n->x->grad.data)
        return be->k->conv_backward_input(tape->ctx, be, &n->x->grad, dy, w, &n->conv,
                                          true);
    fb_tensor dx;
    bool fresh;
    FB_TRY(fb_tape_grad_begin(tape, n->x, &dx, &fresh));
    return be->k->conv_backward_input(tape->ctx, be, &dx, dy, w, &n->conv, false);
}

fb_status fb_op_conv(fb_tape *tape, fb_var **y, fb_var *x, fb_leaf *w,
                     const fb_conv *conv)
{
    double started_s = fb_tape_clock(tape);
    FB_TRY(check(tape, x, &w->weight, conv, w->name));
    fb_backend *be = tape->be;
    fb_var *out;
    FB_TRY(fb_tape_new_var(tape, &out, be->dtype, rows_out(conv), conv->out));
    FB_TRY(be->k->conv_forward(tape->ctx, be, &out->value, &x->value, &w->weight, conv,
                               &(fb_conv_epilogue){0}));
    fb_tape_charge(tape, "conv", started_s);
    fb_node *node;
    FB_TRY(fb_tape_append(tape, &node, sizeof(conv_node), "conv", w->name, out,
                          conv_backward));
    if (node) {
        conv_node *n = (conv_node *)node;
        n->x = x;
        n->w = w;
        n->conv = *conv;
    }
    *y = out;
    return FB_OK;
}

static fb_status folded_forward(fb_tape *tape, const fb_tensor *y, const fb_tensor *x,
                                const fb_folded_conv *f, const fb_conv *conv,
                                const fb_conv_epilogue *after)
{
    fb_backend *be = tape->be;
    if (!f->int8_scale || be->dtype != FB_F32)
        return be->k->conv_forward(tape->ctx, be, y, x, f->w, conv, after);
    if (conv->groups != 1 || f->w->in > FB_INT8_INPUTS)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "conv folded: %d groups and %lld inputs of a window; int8 "
                       "products take one group and at most %d inputs",
                       conv->groups, (long long)f->w->in, (int)FB_INT8_INPUTS);
    return be->k->conv_int8_forward(tape->ctx, be, y, x, f->w, f->int8_scale, conv,
                                    after);
}

fb_status fb_op_conv_folded(fb_tape *tape, fb_var **y, fb_var *x,
                            const fb_folded_conv *folded, fb_var *residual, bool relu,
                            const fb_conv *conv)
{
    double started_s = fb_tape_clock(tape);
    if (tape->recording)
        return fb_fail(tape->ctx, FB_E_USAGE,
                       "conv folded has no backward; the tape must not record");
    FB_TRY(check(tape, x, folded->w, conv, "folded"));
    char text[96];
    if (residual && (residual->value.dims[0] != rows_out(conv) ||
                     residual->value.dims[1] != conv->out))
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "conv folded: residual is %s, not [%lld, %d]",
                       fb_tensor_describe(&residual->value, text),
                       (long long)rows_out(conv), conv->out);
    fb_conv_epilogue after = {folded->bias, residual ? &residual->value : NULL, relu};
    fb_var *out;
    FB_TRY(fb_tape_new_var(tape, &out, tape->be->dtype, rows_out(conv), conv->out));
    FB_TRY(folded_forward(tape, &out->value, &x->value, folded, conv, &after));
    fb_tape_charge(tape, "conv", started_s);
    *y = out;
    return FB_OK;
}
