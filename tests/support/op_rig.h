/* op_rig.h - for tests of operations: a graph of at most two inputs and three leaves on
 * the reference backend, run forwards to a scalar and backwards from it.
 *
 *     L = sum r * y  (r random, fixed)      or      L = sum seed * loss
 */
#ifndef FB_TESTS_OP_RIG_H
#define FB_TESTS_OP_RIG_H

#include "base/random.h"
#include "ops/ops.h"

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

static inline void rig_open(rig *r, const graph *g)
{
    static const char *const names[LEAVES] = {"first", "second", "third"};
    *r = (rig){.ctx = fb_context_create(), .arena = fb_arena_create(1 << 16), .g = g};
    assert_int_equal(fb_backend_create(r->ctx, &r->be, "ref", "f32", 1), FB_OK);
    for (int k = 0; k < INPUTS; k++)
        for (int64_t i = 0; i < MOST; i++)
            r->input[k][i] = draw((uint64_t)k, i);
    for (int k = 0; k < LEAVES; k++) {
        for (int64_t i = 0; i < MOST; i++)
            r->leaf_value[k][i] = draw(10 + (uint64_t)k, i);
        r->leaf[k] = (fb_leaf){names[k],
                               {r->leaf_value[k], g->out[k], g->in[k], 1, NULL},
                               r->leaf_grad[k]};
        r->leaves[k] = &r->leaf[k];
    }
}

static inline void rig_close(rig *r)
{
    fb_arena_free(r->arena);
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
    for (int k = 0; k < INPUTS; k++) {
        r->x[k] = NULL;
        if (r->g->rows[k] < 0)
            continue;
        assert_true(r->g->rows[k] * r->g->columns[k] <= MOST);
        assert_int_equal(fb_tape_new_var(&r->tape, &r->x[k], FB_F32, r->g->rows[k],
                                         r->g->columns[k]),
                         FB_OK);
        memcpy(r->x[k]->value.data, r->input[k], fb_tensor_bytes(&r->x[k]->value));
        if (r->g->constant[k])
            r->x[k]->needs_grad = false;
    }
}

static inline double rig_value(rig *r, bool recording)
{
    double sum = 0;
    rig_start(r, recording);
    fb_status status = r->g->build(r);
    if (status != FB_OK)
        fail_msg("%s: %s", r->g->name, fb_context_message(r->ctx));
    for (int k = 0; k < 2; k++)
        if (r->loss[k])
            sum += (double)seeds[k] * r->loss[k]->value;
    for (int64_t i = 0; r->y && i < fb_tensor_count(&r->y->value); i++)
        sum += (double)draw(20, i) * (double)((float *)r->y->value.data)[i];
    return sum;
}

static inline void rig_backward(rig *r, bool parameters)
{
    (void)rig_value(r, true);
    if (r->y) {
        r->y->grad =
            fb_tensor_new(r->arena, FB_F32, r->y->value.dims[0], r->y->value.dims[1]);
        for (int64_t i = 0; i < fb_tensor_count(&r->y->grad); i++)
            ((float *)r->y->grad.data)[i] = draw(20, i);
    }
    for (int k = 0; k < 2; k++)
        if (r->loss[k])
            r->loss[k]->seed = seeds[k];
    fb_status status = fb_tape_backward(&r->tape, NULL, NULL, parameters);
    if (status != FB_OK)
        fail_msg("%s: %s", r->g->name, fb_context_message(r->ctx));
}

#endif
