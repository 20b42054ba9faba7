/* gru.c - see gru.h. */
#include "nn/gru.h"

#include <math.h>

static fb_status declare_one(fb_params *params, fb_leaf **leaf, const char *prefix,
                             const char *name, const char *way, fb_param_shape shape,
                             float bound)
{
    char full[FB_PARAM_NAME];
    const char *names = full;
    fb_param_name(full, "%s.%s_l0%s", prefix, name, way);
    return fb_params_add(params, leaf, &names, shape, FB_INIT_UNIFORM, bound, false);
}

fb_status fb_gru_declare(fb_params *params, fb_gru *gru, const char *prefix,
                         int32_t input, int32_t width, bool both_ways)
{
    static const char *const ways[2] = {"", "_reverse"};
    float bound = 1.0f / sqrtf((float)width);
    const int64_t gates = 3 * (int64_t)width;
    *gru = (fb_gru){.input = input, .width = width, .both_ways = both_ways};
    for (int i = 0; i < (both_ways ? 2 : 1); i++) {
        fb_gru_leaves *l = &gru->way[i];
        FB_TRY(declare_one(params, &l->input_weight, prefix, "weight_ih", ways[i],
                           (fb_param_shape){1, gates, input}, bound));
        FB_TRY(declare_one(params, &l->state_weight, prefix, "weight_hh", ways[i],
                           (fb_param_shape){1, gates, width}, bound));
        FB_TRY(declare_one(params, &l->input_bias, prefix, "bias_ih", ways[i],
                           (fb_param_shape){1, gates, 1}, bound));
        FB_TRY(declare_one(params, &l->state_bias, prefix, "bias_hh", ways[i],
                           (fb_param_shape){1, gates, 1}, bound));
    }
    return FB_OK;
}

static fb_status one_way(fb_tape *tape, fb_var **y, fb_var *x, const fb_gru *gru,
                         const int32_t *offsets, int32_t sequences, bool backwards)
{
    const fb_gru_leaves *l = &gru->way[backwards];
    fb_var *gates;
    FB_TRY(fb_op_linear(tape, &gates, x, l->input_weight, l->input_bias, true));
    return fb_op_gru(tape, y, gates, l->state_weight, l->state_bias, offsets, sequences,
                     backwards);
}

/* y = (a + b) / 2: their rows side by side, then the mean of each two. */
static fb_status mean_of(fb_tape *tape, fb_var **y, fb_var *a, fb_var *b)
{
    int32_t rows = (int32_t)a->value.dims[0], *index, *offsets;
    fb_var *pairs;
    FB_TRY(fb_tape_ints(tape, &index, 2 * (int64_t)rows));
    FB_TRY(fb_tape_ints(tape, &offsets, (int64_t)rows + 1));
    for (int32_t i = 0; i < rows; i++) {
        index[2 * i] = i;
        index[2 * i + 1] = rows + i;
        offsets[i] = 2 * i;
    }
    offsets[rows] = 2 * rows;
    FB_TRY(fb_op_gather(tape, &pairs, a, b, index, 2 * (int64_t)rows));
    return fb_op_mean_rows(tape, y, pairs, offsets, rows);
}

fb_status fb_gru_forward(fb_tape *tape, fb_var **y, fb_var *x, const fb_gru *gru,
                         const int32_t *offsets, int32_t sequences)
{
    fb_var *forwards, *backwards;
    FB_TRY(one_way(tape, &forwards, x, gru, offsets, sequences, false));
    *y = forwards;
    if (!gru->both_ways)
        return FB_OK;
    FB_TRY(one_way(tape, &backwards, x, gru, offsets, sequences, true));
    return mean_of(tape, y, forwards, backwards);
}

fb_status fb_gru_last(fb_tape *tape, fb_var **y, fb_var *x, const fb_gru *gru,
                      const int32_t *offsets, int32_t sequences)
{
    fb_var *states;
    int32_t *last;
    FB_TRY(one_way(tape, &states, x, gru, offsets, sequences, false));
    FB_TRY(fb_tape_ints(tape, &last, sequences));
    for (int32_t b = 0; b < sequences; b++)
        last[b] = offsets[b + 1] - 1;
    return fb_op_gather(tape, y, states, NULL, last, sequences);
}

double fb_gru_flops(const fb_gru *gru, double tokens)
{
    double products = 3.0 * gru->width * ((double)gru->input + gru->width);
    return (gru->both_ways ? 2 : 1) * tokens * 2 * products;
}
