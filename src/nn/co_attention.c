/* co_attention.c - see co_attention.h. */
#include "nn/co_attention.h"

#include "nn/transformer.h"

typedef char fb_name[FB_PARAM_NAME];

/* Keys and values as one matrix of two parts. */
static fb_status declare_kv(fb_params *params, fb_co_side *s, const char *prefix,
                            const fb_co_options *o, int64_t width)
{
    static const char *const part[2] = {"key", "value"};
    fb_name w[2], b[2];
    const char *weight_names[2], *bias_names[2];
    for (int i = 0; i < 2; i++) {
        fb_param_name(w[i], "%s.%s.weight", prefix, part[i]);
        fb_param_name(b[i], "%s.%s.bias", prefix, part[i]);
        weight_names[i] = w[i];
        bias_names[i] = b[i];
    }
    FB_TRY(fb_params_add(params, &s->kv_weight, weight_names,
                         (fb_param_shape){2, o->shared, width}, FB_INIT_NORMAL,
                         o->init_std, true));
    return fb_params_add(params, &s->kv_bias, bias_names,
                         (fb_param_shape){2, o->shared, 1}, FB_INIT_ZERO, 0, true);
}

static fb_status declare_side(fb_params *params, fb_co_side *s, const char *prefix,
                              const fb_co_options *o, int side)
{
    int64_t width = o->width[side], inner = o->inner[side];
    fb_name name;
    fb_param_name(name, "%s.query", prefix);
    FB_TRY(fb_linear_declare(params, &s->query_weight, &s->query_bias, name, o->shared,
                             width, o->init_std, true));
    FB_TRY(declare_kv(params, s, prefix, o, width));
    fb_param_name(name, "%s.output.dense", prefix);
    FB_TRY(fb_linear_declare(params, &s->out_weight, &s->out_bias, name, width,
                             o->shared, o->init_std, true));
    fb_param_name(name, "%s.output.LayerNorm", prefix);
    FB_TRY(fb_norm_declare(params, &s->norm1_gamma, &s->norm1_beta, name, width, true));
    fb_param_name(name, "%s.intermediate.dense", prefix);
    FB_TRY(fb_linear_declare(params, &s->inner_weight, &s->inner_bias, name, inner,
                             width, o->init_std, true));
    fb_param_name(name, "%s.feed.dense", prefix);
    FB_TRY(fb_linear_declare(params, &s->outer_weight, &s->outer_bias, name, width,
                             inner, o->init_std, true));
    fb_param_name(name, "%s.feed.LayerNorm", prefix);
    return fb_norm_declare(params, &s->norm2_gamma, &s->norm2_beta, name, width, true);
}

fb_status fb_co_layer_declare(fb_params *params, fb_co_layer *layer, const char *prefix,
                              int32_t number, const fb_co_options *options)
{
    layer->options = *options;
    for (int i = 0; i < FB_CO_SIDES; i++) {
        fb_name name;
        fb_param_name(name, "%s.layer.%d.%s", prefix, (int)number, options->side[i]);
        FB_TRY(declare_side(params, &layer->side[i], name, options, i));
    }
    return FB_OK;
}

/* Rows of x as the sequences have them. */
static fb_status pack(fb_tape *tape, fb_var **y, fb_var *x, const fb_co_rows *rows)
{
    *y = x;
    if (!rows->index)
        return FB_OK;
    return fb_op_gather(tape, y, x, NULL, rows->index, rows->rows);
}

/* y = W x + b, packed. */
static fb_status project(fb_tape *tape, fb_var **y, fb_var *x, fb_leaf *weight,
                         fb_leaf *bias, const fb_co_rows *rows)
{
    fb_var *projected;
    FB_TRY(fb_op_linear(tape, &projected, x, weight, bias, false));
    return pack(tape, y, projected, rows);
}

/* What follows the attention of one side. */
static fb_status close_side(fb_tape *tape, fb_var **y, fb_var *context, fb_var *x,
                            const fb_co_side *s, const fb_co_options *o)
{
    fb_var *sum, *a, *inner;
    FB_TRY(fb_op_linear(tape, &sum, context, s->out_weight, s->out_bias, false));
    FB_TRY(fb_op_norm(tape, &a, sum, x, s->norm1_gamma, s->norm1_beta, o->eps));
    FB_TRY(fb_op_linear_act(tape, &inner, a, s->inner_weight, s->inner_bias, o->act));
    FB_TRY(fb_op_linear(tape, &sum, inner, s->outer_weight, s->outer_bias, false));
    return fb_op_norm(tape, y, sum, a, s->norm2_gamma, s->norm2_beta, o->eps);
}

fb_status fb_co_layer_forward(fb_tape *tape, fb_var *y[FB_CO_SIDES],
                              fb_var *const x[FB_CO_SIDES], const fb_co_layer *layer,
                              const fb_co_rows rows[FB_CO_SIDES], int32_t sequences)
{
    const fb_co_options *o = &layer->options;
    fb_var *q[FB_CO_SIDES], *kv[FB_CO_SIDES], *packed[FB_CO_SIDES];
    for (int i = 0; i < FB_CO_SIDES; i++) {
        const fb_co_side *s = &layer->side[i];
        FB_TRY(project(tape, &q[i], x[i], s->query_weight, s->query_bias, &rows[i]));
        FB_TRY(project(tape, &kv[i], x[i], s->kv_weight, s->kv_bias, &rows[i]));
        FB_TRY(pack(tape, &packed[i], x[i], &rows[i]));
    }
    for (int i = 0; i < FB_CO_SIDES; i++) {
        int other = 1 - i;
        fb_var *context;
        FB_TRY(fb_op_cross_attention(tape, &context, q[i], kv[other], rows[i].offsets,
                                     rows[other].offsets, sequences, o->heads));
        FB_TRY(close_side(tape, &y[i], context, packed[i], &layer->side[i], o));
    }
    return FB_OK;
}

double fb_co_layer_flops(const fb_co_options *o, double rows0, double rows1)
{
    const double rows[FB_CO_SIDES] = {rows0, rows1};
    double products =
        2 * 2 * rows0 * rows1 * o->shared; /* scores and sums, both ways */
    for (int i = 0; i < FB_CO_SIDES; i++)
        products += rows[i] * o->width[i] * (4.0 * o->shared + 2.0 * o->inner[i]);
    return 2 * products;
}
