/* op_trace_norm.c - DCCA's loss (Andrew et al. 2013): loss = -sum of the first k singular
 * values of T = C11^-1/2 C12 C22^-1/2 over the rows of h1 and h2.
 *
 * Loss and gradient come from one decomposition (base/canonical.h), small beside the
 * networks, so both are found on the host when the loss is; backward scales them.
 */
#include "base/canonical.h"
#include "ops/ops.h"

#include "backend/memory.h"

typedef struct trace_node {
    fb_node node;
    fb_var *h[2];
    double *grad[2]; /* of the host; NULL: none is needed */
    fb_loss *loss;
} trace_node;

static fb_status side_backward(fb_tape *tape, fb_var *h, const double *grad,
                               double seed)
{
    fb_tensor d;
    bool fresh;
    void *host;
    int64_t count = fb_tensor_count(&h->value);
    if (!grad)
        return FB_OK;
    FB_TRY(fb_tape_grad_begin_as(tape, h, tape->be->dtype, &d, &fresh));
    FB_TRY(fb_tape_alloc(tape, &host, fb_tensor_bytes(&d)));
    float *f32 = host;
    fb_bf16 *bf16 = host;
    for (int64_t i = 0; i < count; i++) {
        float value = (float)(-seed * grad[i]);
        if (d.dtype == FB_BF16)
            bf16[i] = fb_bf16_from_f32(value);
        else
            f32[i] = value;
    }
    FB_TRY(tape->be->m->upload(tape->ctx, tape->be, d.data, host, fb_tensor_bytes(&d)));
    return fb_tape_grad_done(tape, h, &d);
}

static fb_status trace_backward(fb_tape *tape, fb_node *node)
{
    trace_node *n = (trace_node *)node;
    if (!(n->loss->seed > 0) && !(n->loss->seed < 0))
        return FB_OK;
    for (int i = 0; i < 2; i++)
        FB_TRY(side_backward(tape, n->h[i], n->grad[i], (double)n->loss->seed));
    return FB_OK;
}

static void settle(fb_loss *loss)
{
    loss->value = (double)loss->each[0];
}

static fb_status check(fb_tape *tape, const fb_var *h1, const fb_var *h2, int32_t k)
{
    const int64_t *a = h1->value.dims, *b = h2->value.dims;
    if (a[0] != b[0] || a[0] < 2)
        return fb_fail(
            tape->ctx, FB_E_SHAPE,
            "trace norm: %lld rows against %lld, both must be as many and at "
            "least 2",
            (long long)a[0], (long long)b[0]);
    if (k < 1 || k > a[1] || k > b[1])
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "trace norm: %d correlations of %lld and %lld columns", (int)k,
                       (long long)a[1], (long long)b[1]);
    return FB_OK;
}

static fb_status new_matrix(fb_tape *tape, fb_matrix *m, const fb_tensor *t)
{
    void *memory;
    FB_TRY(fb_tape_alloc(tape, &memory, (size_t)fb_tensor_count(t) * sizeof(double)));
    *m = fb_matrix_of(memory, (int32_t)t->dims[0], (int32_t)t->dims[1]);
    return FB_OK;
}

static fb_status read_matrix(fb_tape *tape, fb_matrix *m, const fb_tensor *t)
{
    const void *host;
    int64_t count = fb_tensor_count(t);
    FB_TRY(fb_tape_read(tape, &host, t));
    FB_TRY(fb_tape_fetch(tape));
    FB_TRY(new_matrix(tape, m, t));
    const float *f32 = host;
    const fb_bf16 *bf16 = host;
    for (int64_t i = 0; i < count; i++)
        m->at[i] = (double)(t->dtype == FB_BF16 ? fb_bf16_to_f32(bf16[i]) : f32[i]);
    return FB_OK;
}

static fb_status new_loss(fb_tape *tape, fb_loss **loss, double norm, int64_t rows)
{
    float *each;
    const float value = (float)-norm;
    FB_TRY(fb_tape_floats(tape, &each, 1));
    FB_TRY(tape->be->m->upload(tape->ctx, tape->be, each, &value, sizeof value));
    FB_TRY(fb_tape_new_loss(tape, loss, each, 1, settle));
    (*loss)->rows = rows;
    return FB_OK;
}

fb_status fb_op_trace_norm(fb_tape *tape, fb_loss **loss, fb_var *h1, fb_var *h2,
                           int32_t k, const double r[2])
{
    double started_s = fb_tape_clock(tape), norm;
    fb_var *h[2] = {h1, h2};
    fb_matrix value[2], grad[2] = {{0}, {0}};
    FB_TRY(check(tape, h1, h2, k));
    for (int i = 0; i < 2; i++) {
        FB_TRY(read_matrix(tape, &value[i], &h[i]->value));
        if (tape->recording && h[i]->needs_grad)
            FB_TRY(new_matrix(tape, &grad[i], &h[i]->value));
    }
    FB_TRY(fb_trace_norm(tape->ctx, &norm, grad[0], grad[1], value[0], value[1], k, r));
    fb_loss *l;
    FB_TRY(new_loss(tape, &l, norm, h1->value.dims[0]));
    FB_TRY(fb_tape_append(tape, &l->node, sizeof(trace_node), "trace norm", "", NULL,
                          trace_backward));
    trace_node *n = (trace_node *)l->node;
    if (n)
        *n = (trace_node){n->node, {h1, h2}, {grad[0].at, grad[1].at}, l};
    *loss = l;
    fb_tape_charge(tape, "trace norm", started_s);
    return FB_OK;
}
