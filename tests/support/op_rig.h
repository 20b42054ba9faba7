/* op_rig.h - for tests of operations: a graph of at most two inputs and three leaves,
 * run forwards to a scalar and backwards from it, on the reference backend or on poison
 * (poison_backend.h).
 *
 *     L = sum r * y  (r random, fixed)      or      L = sum seed * loss
 *
 * Inputs, values of leaves and their gradients are the host's; a start puts them into
 * the backend's memory, a backward fetches the gradients.
 */
#ifndef FB_TESTS_OP_RIG_H
#define FB_TESTS_OP_RIG_H

#include "base/random.h"
#include "ops/ops.h"
#include "support/both_backends.h"

enum { INPUTS = 2, LEAVES = 3, MOST = 128 };

typedef struct rig rig;

/* A graph to differentiate. Unused inputs have rows -1, unused leaves out 0. */
typedef struct graph {
    const char *name;
    int64_t rows[INPUTS], columns[INPUTS];
    int64_t out[LEAVES], in[LEAVES];
    fb_status (*build)(rig *r);
    float dropout;
    bool constant[INPUTS];
} graph;

struct rig {
    fb_context *ctx;
    fb_backend *be;
    fb_arena *arena;
    fb_tape tape;
    const graph *g;
    float input[INPUTS][MOST], leaf_value[LEAVES][MOST], leaf_grad[LEAVES][MOST];
    float *value_on[LEAVES], *grad_on[LEAVES]; /* in the backend's memory */
    fb_var *x[INPUTS];
    fb_leaf leaf[LEAVES], *leaves[LEAVES];
    fb_var *y;        /* what build made; or */
    fb_loss *loss[2]; /* losses, with seeds 0.7 and -1.3 */
};

static const float seeds[2] = {0.7f, -1.3f};

static inline float draw(uint64_t stream, int64_t i)
{
    fb_random r = fb_random_start(9, FB_STREAM_TEST, stream * 1000 + (uint64_t)i);
    return (float)(fb_random_uniform(&r) * 2 - 1);
}

static inline void rig_must(const rig *r, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s: %s", r->g->name, fb_context_message(r->ctx));
}

/* ---- numbers from and to the backend's memory ----------------------------------- */

static inline float *rig_alloc(rig *r, int64_t count)
{
    void *memory;
    rig_must(r, r->be->m->alloc(r->ctx, r->be, &memory, (size_t)count * sizeof(float)));
    return memory;
}

static inline void rig_upload(rig *r, void *on, const void *host, size_t bytes)
{
    rig_must(r, r->be->m->upload(r->ctx, r->be, on, host, bytes));
}

static inline void rig_download(rig *r, void *host, const void *on, size_t bytes)
{
    rig_must(r, r->be->m->download(r->ctx, r->be, host, on, bytes));
    rig_must(r, r->be->m->finish(r->ctx, r->be));
}

/* A copy of the host's numbers, until the step's end. */
static inline float *rig_floats(rig *r, const float *host, int64_t count)
{
    float *on;
    rig_must(r, fb_tape_floats(&r->tape, &on, count));
    rig_upload(r, on, host, (size_t)count * sizeof *on);
    return on;
}

/* What t holds, f32, until the step's end. */
static inline const float *rig_read(rig *r, const fb_tensor *t)
{
    const void *host;
    rig_must(r, fb_tape_read(&r->tape, &host, t));
    rig_must(r, fb_tape_fetch(&r->tape));
    return host;
}

/* draw(stream, ..) as the gradient of y. */
static inline void rig_set_gradient(rig *r, fb_var *y, uint64_t stream)
{
    int64_t count = fb_tensor_count(&y->value);
    float *host = fb_arena_alloc(r->arena, (size_t)count * sizeof *host);
    assert_non_null(host);
    for (int64_t i = 0; i < count; i++)
        host[i] = draw(stream, i);
    y->grad = fb_tensor_2d(rig_floats(r, host, count), FB_F32, y->value.dims[0],
                           y->value.dims[1]);
}

/* ---- a rig ---------------------------------------------------------------------- */

static inline void rig_open(rig *r, const graph *g, const char *backend)
{
    static const char *const names[LEAVES] = {"first", "second", "third"};
    *r = (rig){.ctx = fb_context_create(), .arena = fb_arena_create(1 << 16), .g = g};
    rig_must(r, test_backend_create(r->ctx, &r->be, backend, "f32", 1));
    for (int k = 0; k < INPUTS; k++)
        for (int64_t i = 0; i < MOST; i++)
            r->input[k][i] = draw((uint64_t)k, i);
    for (int k = 0; k < LEAVES; k++) {
        for (int64_t i = 0; i < MOST; i++)
            r->leaf_value[k][i] = draw(10 + (uint64_t)k, i);
        r->value_on[k] = rig_alloc(r, MOST);
        r->grad_on[k] = rig_alloc(r, MOST);
        r->leaf[k] = (fb_leaf){.name = names[k],
                               .weight = {r->value_on[k], g->out[k], g->in[k], 1, NULL},
                               .grad = r->grad_on[k]};
        r->leaves[k] = &r->leaf[k];
    }
}

/* Nothing that was allocated on poison may be left. */
static inline void rig_close(rig *r)
{
    fb_arena_free(r->arena);
    for (int k = 0; k < LEAVES; k++) {
        r->be->m->free(r->be, r->value_on[k]);
        r->be->m->free(r->be, r->grad_on[k]);
    }
    if (!r->be->m->host)
        assert_int_equal(poison_backend_live(r->be), 0);
    fb_backend_free(r->be);
    fb_context_free(r->ctx);
}

/* A new step: inputs as variables, nothing else. */
static inline void rig_start(rig *r, bool recording)
{
    fb_arena_reset(r->arena);
    fb_tape_begin(&r->tape, r->ctx, r->be, r->arena, recording);
    fb_tape_set_dropout(&r->tape, r->g->dropout, 77);
    r->y = NULL;
    r->loss[0] = r->loss[1] = NULL;
    for (int k = 0; k < LEAVES; k++) {
        rig_upload(r, r->value_on[k], r->leaf_value[k], sizeof r->leaf_value[k]);
        rig_upload(r, r->grad_on[k], r->leaf_grad[k], sizeof r->leaf_grad[k]);
    }
    for (int k = 0; k < INPUTS; k++) {
        r->x[k] = NULL;
        if (r->g->rows[k] < 0)
            continue;
        assert_true(r->g->rows[k] * r->g->columns[k] <= MOST);
        assert_int_equal(fb_tape_new_var(&r->tape, &r->x[k], FB_F32, r->g->rows[k],
                                         r->g->columns[k]),
                         FB_OK);
        rig_upload(r, r->x[k]->value.data, r->input[k],
                   fb_tensor_bytes(&r->x[k]->value));
        if (r->g->constant[k])
            r->x[k]->needs_grad = false;
    }
}

static inline double rig_value(rig *r, bool recording)
{
    double sum = 0;
    rig_start(r, recording);
    rig_must(r, r->g->build(r));
    rig_must(r, fb_tape_fetch(&r->tape));
    for (int k = 0; k < 2; k++)
        if (r->loss[k])
            sum += (double)seeds[k] * r->loss[k]->value;
    const float *y = r->y ? rig_read(r, &r->y->value) : NULL;
    for (int64_t i = 0; y && i < fb_tensor_count(&r->y->value); i++)
        sum += (double)draw(20, i) * (double)y[i];
    return sum;
}

/* Backward from what gradients and seeds there are. */
static inline void rig_play_back(rig *r, bool parameters)
{
    rig_must(r, fb_tape_backward(&r->tape, NULL, NULL, parameters));
    for (int k = 0; k < LEAVES; k++)
        rig_download(r, r->leaf_grad[k], r->grad_on[k], sizeof r->leaf_grad[k]);
}

/* L, and its gradients. */
static inline double rig_backward(rig *r, bool parameters)
{
    double value = rig_value(r, true);
    if (r->y)
        rig_set_gradient(r, r->y, 20);
    for (int k = 0; k < 2; k++)
        if (r->loss[k])
            r->loss[k]->seed = seeds[k];
    rig_play_back(r, parameters);
    return value;
}

#endif
