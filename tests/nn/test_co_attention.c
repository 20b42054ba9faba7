/* test_co_attention.c - a co-attention layer: rows that several sequences share give what
 * they give when each sequence has its own copy, values and gradients, on every backend;
 * picked rows of a transformer's layer are rows of the whole layer. (Against PyTorch:
 * tests/models/vilbert/test_vilbert_reference.c.)
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "nn/co_attention.h"
#include "nn/transformer.h"

enum { WORDS = 5, REGIONS = 4, TEXT = 8, VISUAL = 6, SHARED = 4, PAIRS = 3 };

/* Texts of 2 and 3 rows, images of 3 and 1; pairs (0,0), (1,0), (1,1). */
static const int32_t text_index[] = {0, 1, 2, 3, 4, 2, 3, 4};
static const int32_t text_offsets[] = {0, 2, 5, 8};
static const int32_t visual_index[] = {0, 1, 2, 0, 1, 2, 3};
static const int32_t visual_offsets[] = {0, 3, 6, 7};

typedef struct world {
    fb_context *ctx;
    fb_backend *be;
    fb_arena *arena;
    fb_params *params;
    fb_co_layer layer;
    fb_transformer net;
    fb_tape tape;
} world;

static float draw(uint64_t stream, int64_t i)
{
    fb_random r = fb_random_start(6, FB_STREAM_TEST, stream * 1000 + (uint64_t)i);
    return (float)(fb_random_uniform(&r) * 2 - 1);
}

static void must(const world *w, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s", fb_context_message(w->ctx));
}

static void world_open(world *w, const char *backend)
{
    const fb_co_options co = {.side = {"text", "visual"},
                              .width = {TEXT, VISUAL},
                              .inner = {12, 10},
                              .shared = SHARED,
                              .heads = 2,
                              .eps = 1e-6f,
                              .init_std = 0.5f,
                              .act = FB_ACT_GELU};
    const fb_transformer_options net = {.layers = 1,
                                        .width = TEXT,
                                        .heads = 2,
                                        .inner = 12,
                                        .eps = 1e-6f,
                                        .init_std = 0.5f,
                                        .act = FB_ACT_GELU};
    *w = (world){.ctx = fb_context_create(), .arena = fb_arena_create(1 << 18)};
    must(w, fb_backend_create(w->ctx, &w->be, backend, "f32", 2));
    must(w, fb_params_create(w->ctx, &w->params));
    must(w, fb_co_layer_declare(w->params, &w->layer, "c", 3, &co));
    must(w, fb_transformer_declare(w->params, &w->net, "t", &net));
    must(w, fb_params_allocate(w->params, true));
    fb_params_initialise(w->params, 3);
}

static void world_close(world *w)
{
    fb_params_free(w->params, w->be);
    fb_arena_free(w->arena);
    fb_backend_free(w->be);
    fb_context_free(w->ctx);
}

static fb_var *input(world *w, uint64_t stream, int64_t rows, int64_t width)
{
    fb_var *x;
    must(w, fb_tape_new_var(&w->tape, &x, FB_F32, rows, width));
    for (int64_t i = 0; i < rows * width; i++)
        ((float *)x->value.data)[i] = draw(stream, i);
    return x;
}

static void set_gradient(world *w, fb_var *y, uint64_t stream)
{
    bool fresh;
    fb_tensor grad;
    must(w, fb_tape_grad_begin(&w->tape, y, &grad, &fresh));
    for (int64_t i = 0; i < fb_tensor_count(&grad); i++)
        ((float *)grad.data)[i] = draw(stream, i);
}

/* Values of both sides, then gradients of all parameters and of both inputs. */
static void run(world *w, bool share, float *numbers)
{
    const int32_t *const index[2] = {text_index, visual_index};
    const int32_t *const offsets[2] = {text_offsets, visual_offsets};
    const int64_t rows[2] = {8, 7};
    fb_var *x[2], *given[2], *y[2];
    fb_co_rows r[2];
    fb_arena_reset(w->arena);
    memset(w->params->grad, 0, (size_t)w->params->total * sizeof(float));
    fb_tape_begin(&w->tape, w->ctx, w->be, w->arena, true);
    x[0] = given[0] = input(w, 1, WORDS, TEXT);
    x[1] = given[1] = input(w, 2, REGIONS, VISUAL);
    for (int s = 0; s < 2; s++) {
        r[s] = (fb_co_rows){share ? index[s] : NULL, rows[s], offsets[s]};
        if (!share)
            must(w, fb_op_gather(&w->tape, &x[s], x[s], NULL, index[s], rows[s]));
    }
    must(w, fb_co_layer_forward(&w->tape, y, x, &w->layer, r, PAIRS));
    for (int s = 0; s < 2; s++) {
        size_t bytes = fb_tensor_bytes(&y[s]->value);
        memcpy(numbers, y[s]->value.data, bytes);
        numbers += bytes / sizeof(float);
        set_gradient(w, y[s], 3 + (uint64_t)s);
    }
    must(w, fb_tape_backward(&w->tape, NULL, NULL, true));
    for (int s = 0; s < 2; s++) {
        size_t bytes = fb_tensor_bytes(&given[s]->grad);
        memcpy(numbers, given[s]->grad.data, bytes);
        numbers += bytes / sizeof(float);
    }
    memcpy(numbers, w->params->grad, (size_t)w->params->total * sizeof(float));
}

static void compare(const char *what, const float *got, const float *want,
                    int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (!(fabsf(got[i] - want[i]) <= 2e-5f * (1 + fabsf(want[i]))))
            fail_msg("%s: number %lld is %g, not %g", what, (long long)i,
                     (double)got[i], (double)want[i]);
}

static void shared_rows_give_what_copies_give(void **state)
{
    (void)state;
    static const char *const backends[] = {"ref", "cpu"};
    float *want = NULL;
    for (int b = 0; b < 2; b++) {
        world w;
        world_open(&w, backends[b]);
        int64_t count =
            8 * TEXT + 7 * VISUAL + WORDS * TEXT + REGIONS * VISUAL + w.params->total;
        float *copies = malloc((size_t)count * sizeof *copies);
        float *shared = malloc((size_t)count * sizeof *shared);
        run(&w, false, copies);
        run(&w, true, shared);
        compare(backends[b], shared, copies, count);
        if (b == 1)
            compare("cpu against ref", copies, want, count);
        free(want);
        want = copies;
        free(shared);
        world_close(&w);
    }
    free(want);
}

static void picked_rows_are_rows_of_the_layer(void **state)
{
    (void)state;
    static const int32_t rows[] = {0, 3, 5}, picked[] = {0, 1, 3, 3};
    world w;
    fb_var *x, *all, *some;
    world_open(&w, "cpu");
    fb_tape_begin(&w.tape, w.ctx, w.be, w.arena, true);
    x = input(&w, 7, 8, TEXT);
    const fb_picked_rows p = {rows, picked, 3};
    must(&w, fb_transformer_forward_layers(&w.tape, &all, x, &w.net, 0, 1,
                                           (const int32_t[]){0, 2, 6, 8}, 3));
    must(&w, fb_transformer_forward_picked(&w.tape, &some, x, &w.net, 0, &p,
                                           (const int32_t[]){0, 2, 6, 8}, 3));
    assert_int_equal(some->value.dims[0], 3);
    for (int i = 0; i < 3; i++)
        compare("picked", (float *)some->value.data + (ptrdiff_t)i * TEXT,
                (float *)all->value.data + (ptrdiff_t)rows[i] * TEXT, TEXT);
    w.net.options.causal = true;
    assert_int_equal(fb_transformer_forward_picked(&w.tape, &some, x, &w.net, 0, &p,
                                                   (const int32_t[]){0, 2, 6, 8}, 3),
                     FB_E_SHAPE);
    world_close(&w);
}

static void cost_is_counted_by_hand(void **state)
{
    (void)state;
    const fb_co_options o = {.width = {2, 3}, .inner = {5, 7}, .shared = 4, .heads = 1};
    /* 6 words, 10 regions: q, k, v and output, feed-forward, scores and sums each way */
    double words = 6 * (4 * 2 * 4 + 2 * 2 * 5), regions = 10 * (4 * 3 * 4 + 2 * 3 * 7);
    double attention = 2 * (2 * 6 * 10 * 4);
    assert_true(fb_co_layer_flops(&o, 6, 10) == 2 * (words + regions + attention));
    const fb_transformer_options t = {.layers = 1, .width = 3, .inner = 5};
    assert_true(fb_transformer_picked_flops(&t, 6, 6) == fb_transformer_flops(&t, 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_rows_give_what_copies_give),
        cmocka_unit_test(picked_rows_are_rows_of_the_layer),
        cmocka_unit_test(cost_is_counted_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
