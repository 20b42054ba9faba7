/* op_group_products.c - each row of a against the rows of b of its own group.
 *
 *     rows g M .. g M + M - 1 are group g
 *     y[gM + i][j] = a[gM + i] . b[gM + j]
 *     dA_g = dY_g B_g    dB_g = dY_g^T A_g
 *
 * a, b [R,C], R a multiple of M    y [R,M] f32, its gradient in the compute dtype
 */
#include "ops/ops.h"

typedef struct group_node {
    fb_node node;
    fb_var *a, *b;
    int64_t size; /* M */
} group_node;

/* Rows of one group. */
static fb_tensor group_of(const fb_tensor *t, int64_t group, int64_t size)
{
    size_t bytes = (size_t)(size * t->dims[1]) * fb_dtype_size(t->dtype);
    return fb_tensor_2d((char *)t->data + (size_t)group * bytes, t->dtype, size,
                        t->dims[1]);
}

/* d of a or of b: dY, for b sideways, times the other one. */
static fb_status side_backward(fb_tape *tape, fb_var *to, const fb_tensor *dy,
                               bool sideways, const fb_tensor *other, int64_t size)
{
    fb_tensor grad;
    bool fresh;
    if (!to->needs_grad)
        return FB_OK;
    FB_TRY(fb_tape_grad_begin(tape, to, &grad, &fresh));
    for (int64_t g = 0; g < dy->dims[0] / size; g++) {
        fb_tensor target = group_of(&grad, g, size), from = group_of(dy, g, size),
                  with = group_of(other, g, size);
        FB_TRY(tape->be->k->matmul(tape->ctx, tape->be, &target, &from, sideways, &with,
                                   false));
    }
    return fb_tape_grad_done(tape, to, &grad);
}

static fb_status group_backward(fb_tape *tape, fb_node *node)
{
    group_node *n = (group_node *)node;
    const fb_tensor *dy = &node->out->grad;
    FB_TRY(side_backward(tape, n->a, dy, false, &n->b->value, n->size));
    return side_backward(tape, n->b, dy, true, &n->a->value, n->size);
}

fb_status fb_op_group_products(fb_tape *tape, fb_var **y, fb_var *a, fb_var *b,
                               int64_t size)
{
    double started_s = fb_tape_clock(tape);
    int64_t rows = a->value.dims[0];
    if (!fb_tensor_same_shape(&a->value, &b->value))
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "group products: [%lld, %lld] against [%lld, %lld], both must "
                       "be one shape",
                       (long long)rows, (long long)a->value.dims[1],
                       (long long)b->value.dims[0], (long long)b->value.dims[1]);
    if (size < 1 || rows % size != 0)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "group products: %lld rows do not divide into groups of %lld",
                       (long long)rows, (long long)size);
    FB_TRY(fb_tape_new_var(tape, y, FB_F32, rows, size));
    for (int64_t g = 0; g < rows / size; g++) {
        fb_tensor target = group_of(&(*y)->value, g, size),
                  left = group_of(&a->value, g, size),
                  right = group_of(&b->value, g, size);
        FB_TRY(tape->be->k->matmul(tape->ctx, tape->be, &target, &left, false, &right,
                                   true));
    }
    fb_node *node;
    FB_TRY(fb_tape_append(tape, &node, sizeof(group_node), "products", "", *y,
                          group_backward));
    if (node)
        *(group_node *)node = (group_node){*node, a, b, size};
    fb_tape_charge(tape, "products", started_s);
    return FB_OK;
}
