/* op_contrast.c - InfoNCE both ways over a batch of pairs (Radford et al. 2021):
 *
 *     S = A B^T    loss = mean of the 2B cross entropies of exp(log_scale) S
 *     dA = dS B    dB = dS^T A    dlog_scale += dscale scale
 *
 * With a margin m (additive margin softmax; Wang et al. 2018) S_ii counts as S_ii - m:
 * a pair must be more alike than others by m before its loss is small. The similarities
 * handed out are without it.
 *
 * Where the scale is bounded and beyond its bound, the bound is used in its place, and
 * log_scale moves back only.
 *
 * A, B [B,C], rows of unit length    S [B,B] f32    dS [B,B] compute dtype
 */
#include "ops/ops.h"

#include <math.h>

typedef struct contrast_node {
    fb_node node;
    fb_var *a, *b;
    fb_leaf *log_scale;
    fb_loss *loss;
    fb_tensor similarity;
    float *lse; /* [2B] */
    fb_contrast contrast;
} contrast_node;

/* d of a or of b: dS times the other one. One after the other, so that a may be b. */
static fb_status side_backward(fb_tape *tape, fb_var *to, const fb_tensor *ds,
                               bool sideways, const fb_tensor *other)
{
    fb_tensor grad;
    bool fresh;
    if (!to->needs_grad)
        return FB_OK;
    FB_TRY(fb_tape_grad_begin(tape, to, &grad, &fresh));
    FB_TRY(tape->be->k->matmul(tape->ctx, tape->be, &grad, ds, sideways, other, false));
    return fb_tape_grad_done(tape, to, &grad);
}

/* S_ii + by. */
static fb_status shift_diagonal(fb_tape *tape, const fb_tensor *similarity, float by)
{
    if (!(by != 0.0f))
        return FB_OK;
    return tape->be->k->add_diagonal(tape->ctx, tape->be, similarity, by);
}

static fb_status contrast_backward(fb_tape *tape, fb_node *node)
{
    contrast_node *n = (contrast_node *)node;
    int64_t count = n->contrast.count;
    if (!(n->loss->seed != 0.0f) || count == 0)
        return FB_OK;
    fb_tensor ds = fb_tensor_2d(NULL, tape->be->dtype, count, count);
    FB_TRY(fb_tape_values(tape, &ds.data, fb_tensor_bytes(&ds)));
    float *dlog_scale = tape->parameters ? n->log_scale->grad : NULL;
    FB_TRY(shift_diagonal(tape, &n->similarity, -n->contrast.margin));
    FB_TRY(tape->be->k->contrast_backward(tape->ctx, tape->be, &ds, dlog_scale,
                                          &n->similarity, n->lse, &n->contrast,
                                          n->loss->seed));
    FB_TRY(shift_diagonal(tape, &n->similarity, n->contrast.margin));
    FB_TRY(side_backward(tape, n->a, &ds, false, &n->b->value));
    return side_backward(tape, n->b, &ds, true, &n->a->value);
}

static fb_status check(fb_tape *tape, const fb_var *a, const fb_var *b,
                       const fb_leaf *log_scale, const fb_contrast *contrast)
{
    if (!fb_tensor_same_shape(&a->value, &b->value))
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "contrast: [%lld, %lld] against [%lld, %lld], both must be one "
                       "shape",
                       (long long)a->value.dims[0], (long long)a->value.dims[1],
                       (long long)b->value.dims[0], (long long)b->value.dims[1]);
    if (contrast->count != a->value.dims[0])
        return fb_fail(tape->ctx, FB_E_SHAPE, "contrast: groups of %d pairs for %lld",
                       (int)contrast->count, (long long)a->value.dims[0]);
    if (log_scale->weight.out != 1 || log_scale->weight.in != 1)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "contrast %s: the scale has [%lld, %lld] numbers, not one",
                       log_scale->name, (long long)log_scale->weight.out,
                       (long long)log_scale->weight.in);
    return FB_OK;
}

static void settle(fb_loss *loss)
{
    double sum = 0.0;
    for (int64_t i = 0; i < loss->count; i++)
        sum += (double)loss->each[i];
    loss->value = loss->count ? sum / (double)loss->count : 0.0;
}

/* The pairs as kernels read them, with the scale as it stands. */
static fb_status place(fb_tape *tape, fb_contrast *on, const fb_contrast *given,
                       const fb_leaf *log_scale)
{
    const float *logarithm;
    *on = *given;
    FB_TRY(fb_tape_upload_i32(tape, &on->a_group, given->a_group, given->count));
    FB_TRY(fb_tape_upload_i32(tape, &on->b_group, given->b_group, given->count));
    FB_TRY(fb_tape_read_f32(tape, &logarithm, log_scale->weight.data, 1));
    FB_TRY(fb_tape_fetch(tape));
    on->scale = expf(logarithm[0]);
    on->only_down = given->scale > 0.0f && on->scale > given->scale;
    if (on->only_down)
        on->scale = given->scale;
    on->slope = on->scale; /* d exp(log_scale) */
    return FB_OK;
}

fb_status fb_op_contrast(fb_tape *tape, fb_loss **loss, fb_tensor *similarity,
                         fb_var *a, fb_var *b, fb_leaf *log_scale,
                         const fb_contrast *contrast)
{
    double started_s = fb_tape_clock(tape);
    FB_TRY(check(tape, a, b, log_scale, contrast));
    int64_t count = contrast->count;
    fb_contrast pairs;
    FB_TRY(place(tape, &pairs, contrast, log_scale));
    float *values;
    FB_TRY(fb_tape_floats(tape, &values, count * count));
    fb_tensor s = fb_tensor_2d(values, FB_F32, count, count);
    FB_TRY(fb_tape_floats(tape, &values, 4 * count));
    float *lse = values + 2 * count;
    FB_TRY(tape->be->k->matmul(tape->ctx, tape->be, &s, &a->value, false, &b->value,
                               true));
    FB_TRY(shift_diagonal(tape, &s, -pairs.margin));
    FB_TRY(tape->be->k->contrast_forward(tape->ctx, tape->be, values, lse, &s, &pairs));
    FB_TRY(shift_diagonal(tape, &s, pairs.margin));
    fb_loss *l;
    FB_TRY(fb_tape_new_loss(tape, &l, values, 2 * count, settle));
    l->rows = count;
    FB_TRY(fb_tape_append(tape, &l->node, sizeof(contrast_node), "contrast",
                          log_scale->name, NULL, contrast_backward));
    contrast_node *n = (contrast_node *)l->node;
    if (n)
        *n = (contrast_node){n->node, a, b, log_scale, l, s, lse, pairs};
    if (similarity)
        *similarity = s;
    *loss = l;
    fb_tape_charge(tape, "contrast", started_s);
    return FB_OK;
}
