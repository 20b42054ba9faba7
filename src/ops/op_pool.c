/* op_pool.c - the largest number of each window of pixels, and the mean of rows.
 *
 * Max pooling keeps one byte an output number when recording: which input it was.
 */
#include "ops/ops.h"

typedef struct max_pool_node {
    fb_node node;
    fb_var *x;
    uint8_t *which; /* [rows of y, C] */
    fb_max_pool pool;
} max_pool_node;

static fb_status max_pool_backward(fb_tape *tape, fb_node *node)
{
    max_pool_node *n = (max_pool_node *)node;
    if (!n->x->needs_grad)
        return FB_OK;
    fb_tensor dx;
    bool fresh;
    FB_TRY(fb_tape_grad_begin(tape, n->x, &dx, &fresh));
    FB_TRY(tape->be->k->max_pool_backward(tape->ctx, tape->be, &dx, &node->out->grad,
                                          n->which, &n->pool));
    return fb_tape_grad_done(tape, n->x, &dx);
}

static fb_status check_pool(fb_tape *tape, const fb_var *x, const fb_max_pool *p)
{
    if (p->kernel < 1 || p->kernel > 16 || p->stride < 1 || p->padding < 0 ||
        p->padding > p->kernel / 2)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "max pool: window %d, stride %d, padding %d; want a window of 1 "
                       "to 16, a stride from 1, a padding of at most half the window",
                       (int)p->kernel, (int)p->stride, (int)p->padding);
    if (p->images < 0 || p->height < 1 || p->width < 1 ||
        p->height + 2 * p->padding < p->kernel || p->width + 2 * p->padding < p->kernel)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "max pool: images of %d x %d pixels with padding %d are smaller "
                       "than the window %d",
                       (int)p->height, (int)p->width, (int)p->padding, (int)p->kernel);
    if (x->value.dims[0] != (int64_t)p->images * p->height * p->width)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "max pool: %lld rows are not %d images of %d x %d pixels",
                       (long long)x->value.dims[0], (int)p->images, (int)p->height,
                       (int)p->width);
    return FB_OK;
}

fb_status fb_op_max_pool(fb_tape *tape, fb_var **y, fb_var *x, const fb_max_pool *pool)
{
    double started_s = fb_tape_clock(tape);
    FB_TRY(check_pool(tape, x, pool));
    int64_t height =
        fb_window_out(pool->height, pool->kernel, pool->stride, pool->padding);
    int64_t width =
        fb_window_out(pool->width, pool->kernel, pool->stride, pool->padding);
    int64_t rows = pool->images * height * width, channels = x->value.dims[1];
    fb_var *out;
    FB_TRY(fb_tape_new_var(tape, &out, x->value.dtype, rows, channels));
    void *which = NULL;
    if (tape->recording)
        FB_TRY(fb_tape_values(tape, &which, (size_t)(rows * channels)));
    FB_TRY(tape->be->k->max_pool_forward(tape->ctx, tape->be, &out->value, which,
                                         &x->value, pool));
    fb_tape_charge(tape, "max pool", started_s);
    fb_node *node;
    FB_TRY(fb_tape_append(tape, &node, sizeof(max_pool_node), "max pool", "", out,
                          max_pool_backward));
    if (node) {
        max_pool_node *n = (max_pool_node *)node;
        n->x = x;
        n->which = which;
        n->pool = *pool;
    }
    *y = out;
    return FB_OK;
}

typedef struct mean_rows_node {
    fb_node node;
    fb_var *x;
    const int32_t *offsets; /* [S + 1] */
} mean_rows_node;

static fb_status mean_rows_backward(fb_tape *tape, fb_node *node)
{
    mean_rows_node *n = (mean_rows_node *)node;
    if (!n->x->needs_grad)
        return FB_OK;
    fb_tensor dx;
    bool fresh;
    FB_TRY(fb_tape_grad_begin(tape, n->x, &dx, &fresh));
    FB_TRY(tape->be->k->mean_rows_backward(tape->ctx, tape->be, &dx, &node->out->grad,
                                           n->offsets));
    return fb_tape_grad_done(tape, n->x, &dx);
}

fb_status fb_op_mean_rows(fb_tape *tape, fb_var **y, fb_var *x, const int32_t *offsets,
                          int32_t sequences)
{
    double started_s = fb_tape_clock(tape);
    int64_t rows = x->value.dims[0];
    if (offsets[0] != 0 || offsets[sequences] != rows)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "mean of rows: offsets run from %d to %d, there are %lld rows",
                       (int)offsets[0], (int)offsets[sequences], (long long)rows);
    for (int32_t s = 0; s < sequences; s++)
        if (offsets[s + 1] < offsets[s])
            return fb_fail(tape->ctx, FB_E_SHAPE,
                           "mean of rows: offset %d after %d, they must ascend",
                           (int)offsets[s + 1], (int)offsets[s]);
    FB_TRY(fb_tape_upload_i32(tape, &offsets, offsets, (int64_t)sequences + 1));
    fb_var *out;
    FB_TRY(fb_tape_new_var(tape, &out, x->value.dtype, sequences, x->value.dims[1]));
    FB_TRY(tape->be->k->mean_rows_forward(tape->ctx, tape->be, &out->value, &x->value,
                                          offsets));
    fb_tape_charge(tape, "mean of rows", started_s);
    fb_node *node;
    FB_TRY(fb_tape_append(tape, &node, sizeof(mean_rows_node), "mean of rows", "", out,
                          mean_rows_backward));
    if (node) {
        mean_rows_node *n = (mean_rows_node *)node;
        n->x = x;
        n->offsets = offsets;
    }
    *y = out;
    return FB_OK;
}
