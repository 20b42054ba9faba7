/* op_gru.c - the states of a gated recurrent unit over packed sequences, behind the
 * product of its inputs (a linear layer's, op_linear.c). Forward keeps four numbers a
 * state, the gates; backward goes through time once.
 */
#include "ops/ops.h"

typedef struct gru_node {
    fb_node node;
    fb_var *x;
    fb_leaf *w, *bias;
    fb_tensor gates; /* [T,4H] */
    fb_recurrence recurrence;
} gru_node;

static fb_status gru_backward(fb_tape *tape, fb_node *node)
{
    gru_node *n = (gru_node *)node;
    fb_tensor dx;
    bool fresh;
    FB_TRY(fb_tape_grad_begin_as(tape, n->x, tape->be->dtype, &dx, &fresh));
    const fb_gru_grads d = {&dx, tape->parameters ? n->w->grad : NULL,
                            tape->parameters ? n->bias->grad : NULL};
    FB_TRY(tape->be->k->gru_backward(tape->ctx, tape->be, &d, &node->out->grad,
                                     &node->out->value, &n->gates, &n->w->weight,
                                     &n->recurrence));
    return fb_tape_grad_done(tape, n->x, &dx);
}

static fb_status check(fb_tape *tape, const fb_var *x, const fb_leaf *w,
                       const fb_leaf *bias, const int32_t *offsets, int32_t sequences)
{
    int64_t rows = x->value.dims[0], width = w->weight.in;
    if (w->weight.out != 3 * width || bias->weight.out != 3 * width)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "gru %s: [%lld, %lld] and a bias of %lld, not three of width",
                       w->name, (long long)w->weight.out, (long long)width,
                       (long long)bias->weight.out);
    if (x->value.dtype != FB_F32 || x->value.dims[1] != 3 * width)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "gru %s: input is %s of %lld columns, not f32 of %lld", w->name,
                       fb_dtype_name(x->value.dtype), (long long)x->value.dims[1],
                       (long long)(3 * width));
    if (offsets[0] != 0 || offsets[sequences] != rows)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "gru %s: offsets end at %d, there are %lld rows", w->name,
                       (int)offsets[sequences], (long long)rows);
    for (int32_t b = 0; b < sequences; b++)
        if (offsets[b + 1] < offsets[b])
            return fb_fail(tape->ctx, FB_E_SHAPE,
                           "gru %s: offset %d after %d, they must ascend", w->name,
                           (int)offsets[b + 1], (int)offsets[b]);
    return FB_OK;
}

static int32_t length_of(const int32_t *offsets, int32_t sequence)
{
    return offsets[sequence + 1] - offsets[sequence];
}

/* order [sequences] = longest first, equally long ones as they come: a counting sort. */
static fb_status sort(fb_tape *tape, fb_recurrence *r, const int32_t *offsets)
{
    int32_t *order, *place;
    for (int32_t b = 0; b < r->sequences; b++)
        if (length_of(offsets, b) > r->longest)
            r->longest = length_of(offsets, b);
    FB_TRY(fb_tape_ints(tape, &order, r->sequences));
    FB_TRY(fb_tape_ints(tape, &place, (int64_t)r->longest + 2));
    for (int32_t k = 0; k <= r->longest + 1; k++)
        place[k] = 0;
    for (int32_t b = 0; b < r->sequences; b++) /* counted one place further on */
        place[r->longest - length_of(offsets, b) + 1]++;
    for (int32_t k = 1; k <= r->longest + 1; k++)
        place[k] += place[k - 1];
    for (int32_t b = 0; b < r->sequences; b++)
        order[place[r->longest - length_of(offsets, b)]++] = b;
    FB_TRY(fb_tape_upload_i32(tape, &r->order, order, r->sequences));
    return fb_tape_upload_i32(tape, &r->offsets, offsets, (int64_t)r->sequences + 1);
}

fb_status fb_op_gru(fb_tape *tape, fb_var **y, fb_var *x, fb_leaf *w, fb_leaf *bias,
                    const int32_t *offsets, int32_t sequences, bool backwards)
{
    double started_s = fb_tape_clock(tape);
    FB_TRY(check(tape, x, w, bias, offsets, sequences));
    int64_t rows = x->value.dims[0], width = w->weight.in;
    fb_recurrence r = {.sequences = sequences, .backwards = backwards};
    FB_TRY(sort(tape, &r, offsets));
    fb_var *out;
    FB_TRY(fb_tape_new_var(tape, &out, tape->be->dtype, rows, width));
    fb_tensor gates = fb_tensor_2d(NULL, tape->be->dtype, rows, 4 * width);
    if (tape->recording)
        FB_TRY(fb_tape_values(tape, &gates.data, fb_tensor_bytes(&gates)));
    FB_TRY(tape->be->k->gru_forward(tape->ctx, tape->be, &out->value,
                                    tape->recording ? &gates : NULL, &x->value,
                                    &w->weight, bias->weight.data, &r));
    fb_tape_charge(tape, "gru", started_s);
    fb_node *node;
    FB_TRY(fb_tape_append(tape, &node, sizeof(gru_node), "gru", w->name, out,
                          gru_backward));
    gru_node *n = (gru_node *)node;
    if (n)
        *n = (gru_node){n->node, x, w, bias, gates, r};
    *y = out;
    return FB_OK;
}
