/* transformer.c - see transformer.h. */
#include "nn/transformer.h"

#include <string.h>

typedef char fb_name[FB_PARAM_NAME];

fb_status fb_table_declare(fb_params *params, fb_leaf **table, const char *name,
                           int64_t rows, int64_t width, float init_std, bool shared)
{
    return fb_params_add(params, table, &name, (fb_param_shape){1, rows, width},
                         FB_INIT_NORMAL, init_std, shared);
}

fb_status fb_linear_declare(fb_params *params, fb_leaf **weight, fb_leaf **bias,
                            const char *prefix, int64_t out, int64_t in, float init_std,
                            bool shared)
{
    fb_name w, b;
    fb_param_name(w, "%s.weight", prefix);
    fb_param_name(b, "%s.bias", prefix);
    const char *weight_name = w, *bias_name = b;
    FB_TRY(fb_params_add(params, weight, &weight_name, (fb_param_shape){1, out, in},
                         FB_INIT_NORMAL, init_std, shared));
    if (!bias)
        return FB_OK;
    return fb_params_add(params, bias, &bias_name, (fb_param_shape){1, out, 1},
                         FB_INIT_ZERO, 0, shared);
}

fb_status fb_norm_declare(fb_params *params, fb_leaf **gamma, fb_leaf **beta,
                          const char *prefix, int64_t width, bool shared)
{
    fb_name w, b;
    fb_param_name(w, "%s.weight", prefix);
    fb_param_name(b, "%s.bias", prefix);
    const char *gamma_name = w, *beta_name = b;
    FB_TRY(fb_params_add(params, gamma, &gamma_name, (fb_param_shape){1, width, 1},
                         FB_INIT_ONE, 0, shared));
    return fb_params_add(params, beta, &beta_name, (fb_param_shape){1, width, 1},
                         FB_INIT_ZERO, 0, shared);
}

static fb_status declare_qkv(fb_params *params, fb_transformer_layer *l,
                             const char *prefix, const fb_transformer_options *o)
{
    static const char *const part[3] = {"query", "key", "value"};
    fb_name w[3], b[3];
    const char *weight_names[3], *bias_names[3];
    for (int i = 0; i < 3; i++) {
        fb_param_name(w[i], "%s.attention.self.%s.weight", prefix, part[i]);
        fb_param_name(b[i], "%s.attention.self.%s.bias", prefix, part[i]);
        weight_names[i] = w[i];
        bias_names[i] = b[i];
    }
    FB_TRY(fb_params_add(params, &l->qkv_weight, weight_names,
                         (fb_param_shape){3, o->width, o->width}, FB_INIT_NORMAL,
                         o->init_std, true));
    return fb_params_add(params, &l->qkv_bias, bias_names,
                         (fb_param_shape){3, o->width, 1}, FB_INIT_ZERO, 0, true);
}

static fb_status declare_layer(fb_params *params, fb_transformer_layer *l,
                               const char *prefix, const fb_transformer_options *o)
{
    fb_name name;
    FB_TRY(declare_qkv(params, l, prefix, o));
    fb_param_name(name, "%s.attention.output.dense", prefix);
    FB_TRY(fb_linear_declare(params, &l->out_weight, &l->out_bias, name, o->width,
                             o->width, o->init_std, true));
    fb_param_name(name, "%s.attention.output.LayerNorm", prefix);
    FB_TRY(
        fb_norm_declare(params, &l->norm1_gamma, &l->norm1_beta, name, o->width, true));
    fb_param_name(name, "%s.intermediate.dense", prefix);
    FB_TRY(fb_linear_declare(params, &l->inner_weight, &l->inner_bias, name, o->inner,
                             o->width, o->init_std, true));
    fb_param_name(name, "%s.output.dense", prefix);
    FB_TRY(fb_linear_declare(params, &l->outer_weight, &l->outer_bias, name, o->width,
                             o->inner, o->init_std, true));
    fb_param_name(name, "%s.output.LayerNorm", prefix);
    return fb_norm_declare(params, &l->norm2_gamma, &l->norm2_beta, name, o->width,
                           true);
}

fb_status fb_transformer_declare(fb_params *params, fb_transformer *t,
                                 const char *prefix,
                                 const fb_transformer_options *options)
{
    t->options = *options;
    for (int32_t i = 0; i < options->layers; i++) {
        fb_name name;
        fb_param_name(name, "%s.layer.%d", prefix, (int)i);
        FB_TRY(declare_layer(params, &t->layer[i], name, options));
    }
    return FB_OK;
}

/* The rows of a layer: all, or those that are picked. */
typedef struct layer_rows {
    const int32_t *offsets;
    int32_t sequences;
    const fb_picked_rows *picked; /* NULL: all */
} layer_rows;

/* W_o attention(W_qkv x) */
static fb_status attend(fb_tape *tape, fb_var **y, fb_var *x,
                        const fb_transformer_options *o, const fb_transformer_layer *l,
                        const layer_rows *r)
{
    fb_var *qkv, *q, *context;
    const fb_picked_rows *p = r->picked;
    FB_TRY(fb_op_linear(tape, &qkv, x, l->qkv_weight, l->qkv_bias, false));
    if (p) {
        FB_TRY(fb_op_gather(tape, &q, qkv, NULL, p->rows, p->count));
        FB_TRY(fb_op_cross_attention(tape, &context, q, qkv, p->offsets, r->offsets,
                                     r->sequences, o->heads));
    } else {
        FB_TRY(fb_op_attention(tape, &context, qkv, r->offsets, r->sequences, o->heads,
                               o->causal));
    }
    return fb_op_linear(tape, y, context, l->out_weight, l->out_bias, false);
}

/* W_2 act(W_1 x) */
static fb_status feed_forward(fb_tape *tape, fb_var **y, fb_var *x,
                              const fb_transformer_options *o,
                              const fb_transformer_layer *l)
{
    fb_var *inner;
    FB_TRY(fb_op_linear_act(tape, &inner, x, l->inner_weight, l->inner_bias, o->act));
    return fb_op_linear(tape, y, inner, l->outer_weight, l->outer_bias, false);
}

static fb_status layer_forward(fb_tape *tape, fb_var **y, fb_var *x,
                               const fb_transformer *t, const fb_transformer_layer *l,
                               const layer_rows *r)
{
    const fb_transformer_options *o = &t->options;
    const fb_picked_rows *p = r->picked;
    fb_var *normed, *sum, *a, *own = x;
    if (p)
        FB_TRY(fb_op_gather(tape, &own, x, NULL, p->rows, p->count));
    if (o->pre_norm) {
        FB_TRY(
            fb_op_norm(tape, &normed, x, NULL, l->norm1_gamma, l->norm1_beta, o->eps));
        FB_TRY(attend(tape, &sum, normed, o, l, r));
        FB_TRY(fb_op_add(tape, &a, sum, own));
        FB_TRY(
            fb_op_norm(tape, &normed, a, NULL, l->norm2_gamma, l->norm2_beta, o->eps));
        FB_TRY(feed_forward(tape, &sum, normed, o, l));
        return fb_op_add(tape, y, sum, a);
    }
    FB_TRY(attend(tape, &sum, x, o, l, r));
    FB_TRY(fb_op_norm(tape, &a, sum, own, l->norm1_gamma, l->norm1_beta, o->eps));
    FB_TRY(feed_forward(tape, &sum, a, o, l));
    return fb_op_norm(tape, y, sum, a, l->norm2_gamma, l->norm2_beta, o->eps);
}

/* Two tensors take turns at holding the layers' inputs; all else is given back. */
static fb_status forward_lean(fb_tape *tape, fb_var **y, fb_var *x,
                              const fb_transformer *t, int32_t first, int32_t count,
                              const int32_t *offsets, int32_t sequences)
{
    const layer_rows all = {offsets, sequences, NULL};
    fb_var *state;
    FB_TRY(fb_tape_new_var(tape, &state, x->value.dtype, x->value.dims[0],
                           x->value.dims[1]));
    for (int32_t i = 0; i < count; i++) {
        fb_tape_mark mark = fb_tape_save(tape);
        fb_var *out;
        FB_TRY(layer_forward(tape, &out, i ? state : x, t, &t->layer[first + i], &all));
        FB_TRY(tape->be->m->copy(tape->ctx, tape->be, state->value.data,
                                 out->value.data, fb_tensor_bytes(&out->value)));
        fb_tape_restore(tape, mark);
    }
    *y = count ? state : x;
    return FB_OK;
}

fb_status fb_transformer_forward_layers(fb_tape *tape, fb_var **y, fb_var *x,
                                        const fb_transformer *t, int32_t first,
                                        int32_t count, const int32_t *offsets,
                                        int32_t sequences)
{
    const layer_rows all = {offsets, sequences, NULL};
    if (!tape->recording)
        return forward_lean(tape, y, x, t, first, count, offsets, sequences);
    for (int32_t i = 0; i < count; i++)
        FB_TRY(layer_forward(tape, &x, x, t, &t->layer[first + i], &all));
    *y = x;
    return FB_OK;
}

fb_status fb_transformer_forward_picked(fb_tape *tape, fb_var **y, fb_var *x,
                                        const fb_transformer *t, int32_t layer,
                                        const fb_picked_rows *picked,
                                        const int32_t *offsets, int32_t sequences)
{
    const layer_rows some = {offsets, sequences, picked};
    if (t->options.causal)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "picked rows of a causal encoder: they would see those behind");
    return layer_forward(tape, y, x, t, &t->layer[layer], &some);
}

fb_status fb_transformer_forward(fb_tape *tape, fb_var **y, fb_var *x,
                                 const fb_transformer *t, const int32_t *offsets,
                                 int32_t sequences)
{
    return fb_transformer_forward_layers(tape, y, x, t, 0, t->options.layers, offsets,
                                         sequences);
}

double fb_transformer_flops(const fb_transformer_options *o, double tokens)
{
    double products = (double)o->width * o->width * 4 + (double)o->width * o->inner * 2;
    double seen = o->causal ? (tokens + 1) / 2 : tokens; /* on average */
    return o->layers * tokens * 2 * (products + 2 * seen * o->width);
}

double fb_transformer_picked_flops(const fb_transformer_options *o, double tokens,
                                   double picked)
{
    double width = o->width;
    double products =
        tokens * 3 * width * width + picked * (width * width + 2 * width * o->inner);
    return 2 * (products + 2 * picked * tokens * width);
}
