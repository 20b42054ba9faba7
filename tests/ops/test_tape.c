/* test_tape.c - the tape itself: stretches of backward, seeds, repeated passes,
 * profile, the first bad number, and memory that a repeated step does not ask for
 * again; on ref and on poison (poison_backend.h).
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "ops/ops.h"
#include "support/both_backends.h"

enum { T = 6, C = 8, V = 5, LAYERS = 3 };

typedef struct parameters {
    float weights[LAYERS][C * C], gamma[C], beta[C], heads[2][V * C];
    float grads[LAYERS][C * C], dgamma[C], dbeta[C], dheads[2][V * C];
} parameters;

/* x -> (linear, gelu, norm on the input) * 3 -> two heads, each with its loss */
typedef struct world {
    fb_context *ctx;
    fb_backend *be;
    fb_arena *arena;
    fb_tape tape;
    parameters p;   /* on the host */
    parameters *on; /* the same in the backend's memory: a place, never read here */
    fb_leaf layer[LAYERS], scale, shift, head[2];
    fb_var *x, *trunk;
    fb_node *mark[2];
    fb_loss *loss[2];
} world;

static const int32_t targets[T] = {0, 4, 2, 2, 1, 3};

static void fill(float *out, int count, uint64_t stream)
{
    fb_random r = fb_random_start(4, FB_STREAM_TEST, stream);
    for (int i = 0; i < count; i++)
        out[i] = 0.5f * (float)fb_random_normal(&r);
}

static void world_open(world *w, const char *backend)
{
    *w = (world){.ctx = fb_context_create(), .arena = fb_arena_create(1 << 10)};
    assert_int_equal(test_backend_create(w->ctx, &w->be, backend, "f32", 1), FB_OK);
    void *memory;
    assert_int_equal(w->be->m->alloc(w->ctx, w->be, &memory, sizeof(parameters)),
                     FB_OK);
    w->on = memory;
    static const char *const names[LAYERS] = {"layer0", "layer1", "layer2"};
    static const char *const head_names[2] = {"head0", "head1"};
    for (int i = 0; i < LAYERS; i++) {
        fill(w->p.weights[i], C * C, 1 + (uint64_t)i);
        w->layer[i] = (fb_leaf){.name = names[i],
                                .weight = {w->on->weights[i], C, C, 1, NULL},
                                .grad = w->on->grads[i]};
    }
    for (int i = 0; i < 2; i++) {
        fill(w->p.heads[i], V * C, 10 + (uint64_t)i);
        w->head[i] = (fb_leaf){.name = head_names[i],
                               .weight = {w->on->heads[i], V, C, 1, NULL},
                               .grad = w->on->dheads[i]};
    }
    for (int i = 0; i < C; i++)
        w->p.gamma[i] = 1;
    w->scale = (fb_leaf){.name = "gamma",
                         .weight = {w->on->gamma, C, 1, 1, NULL},
                         .grad = w->on->dgamma};
    w->shift = (fb_leaf){
        .name = "beta", .weight = {w->on->beta, C, 1, 1, NULL}, .grad = w->on->dbeta};
}

static void world_close(world *w)
{
    fb_arena_free(w->arena);
    w->be->m->free(w->be, w->on);
    if (!w->be->m->host)
        assert_int_equal(poison_backend_live(w->be), 0);
    fb_backend_free(w->be);
    fb_context_free(w->ctx);
}

static void put(world *w, void *on, const void *host, size_t bytes)
{
    assert_int_equal(w->be->m->upload(w->ctx, w->be, on, host, bytes), FB_OK);
}

static const float *read(world *w, const fb_tensor *t)
{
    const void *host;
    assert_int_equal(fb_tape_read(&w->tape, &host, t), FB_OK);
    assert_int_equal(fb_tape_fetch(&w->tape), FB_OK);
    return host;
}

static fb_status backward(world *w, fb_node *from, fb_node *mark)
{
    put(w, w->on, &w->p, sizeof w->p);
    fb_status status = fb_tape_backward(&w->tape, from, mark, true);
    assert_int_equal(w->be->m->download(w->ctx, w->be, &w->p, w->on, sizeof w->p),
                     FB_OK);
    assert_int_equal(w->be->m->finish(w->ctx, w->be), FB_OK);
    return status;
}

static void clear_gradients(world *w)
{
    memset(w->p.grads, 0, sizeof w->p.grads);
    memset(w->p.dgamma, 0, sizeof w->p.dgamma);
    memset(w->p.dbeta, 0, sizeof w->p.dbeta);
    memset(w->p.dheads, 0, sizeof w->p.dheads);
}

static void forward(world *w, bool recording)
{
    fb_tape *t = &w->tape;
    float x[T * C];
    put(w, w->on, &w->p, sizeof w->p);
    fb_tape_begin(t, w->ctx, w->be, w->arena, recording);
    assert_int_equal(fb_tape_new_var(t, &w->x, FB_F32, T, C), FB_OK);
    fill(x, T * C, 30);
    put(w, w->x->value.data, x, sizeof x);
    fb_var *h = w->x;
    for (int i = 0; i < LAYERS; i++) {
        fb_var *inner, *next;
        assert_int_equal(
            fb_op_linear_act(t, &inner, h, &w->layer[i], NULL, FB_ACT_GELU), FB_OK);
        assert_int_equal(fb_op_norm(t, &next, inner, h, &w->scale, &w->shift, 1e-5f),
                         FB_OK);
        h = next;
    }
    w->trunk = h;
    for (int i = 0; i < 2; i++) {
        fb_var *logits;
        w->mark[i] = t->last;
        assert_int_equal(fb_op_linear(t, &logits, h, &w->head[i], NULL, true), FB_OK);
        assert_int_equal(fb_op_cross_entropy(t, &w->loss[i], logits, targets), FB_OK);
    }
    assert_int_equal(fb_tape_fetch(t), FB_OK);
}

static bool all_zero(const float *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (numbers[i] != 0.0f)
            return false;
    return true;
}

static void backward_of_a_stretch_stops_at_its_mark(void **state)
{
    world w;
    world_open(&w, *state);
    forward(&w, true);
    w.loss[0]->seed = 1;
    w.loss[1]->seed = 1;
    assert_int_equal(backward(&w, w.loss[0]->node, w.mark[0]), FB_OK);
    assert_false(all_zero(w.p.dheads[0], V * C));
    assert_true(all_zero(w.p.dheads[1], V * C));             /* behind `from` */
    assert_true(all_zero(&w.p.grads[0][0], LAYERS * C * C)); /* before the mark */
    assert_non_null(w.trunk->grad.data);
    assert_null(w.x->grad.data);
    world_close(&w);
}

static void heads_gradient_then_the_rest_equals_one_pass(void **state)
{
    world a, b;
    world_open(&a, *state);
    world_open(&b, *state);
    forward(&a, true);
    forward(&b, true);
    a.loss[0]->seed = b.loss[0]->seed = 0.75f;
    assert_int_equal(backward(&a, NULL, NULL), FB_OK);
    assert_int_equal(backward(&b, b.loss[0]->node, b.mark[0]), FB_OK);
    assert_int_equal(backward(&b, b.mark[0], NULL), FB_OK);
    assert_memory_equal(a.p.grads, b.p.grads, sizeof a.p.grads);
    assert_memory_equal(a.p.dgamma, b.p.dgamma, sizeof a.p.dgamma);
    assert_memory_equal(a.p.dheads, b.p.dheads, sizeof a.p.dheads);
    assert_memory_equal(read(&a, &a.x->grad), read(&b, &b.x->grad),
                        T * C * sizeof(float));
    world_close(&b);
    world_close(&a);
}

static void loss_with_seed_zero_moves_nothing(void **state)
{
    world w;
    world_open(&w, *state);
    forward(&w, true);
    assert_true(w.loss[0]->seed == 0.0f && w.loss[1]->seed == 0.0f);
    assert_int_equal(backward(&w, NULL, NULL), FB_OK);
    assert_true(all_zero(&w.p.grads[0][0], LAYERS * C * C));
    assert_true(all_zero(&w.p.dheads[0][0], 2 * V * C));
    assert_null(w.x->grad.data);
    w.loss[1]->seed = 1;
    assert_int_equal(backward(&w, NULL, NULL), FB_OK);
    assert_true(all_zero(w.p.dheads[0], V * C));
    assert_false(all_zero(w.p.dheads[1], V * C));
    assert_false(all_zero(w.p.grads[0], C * C));
    world_close(&w);
}

static void second_pass_over_a_tape_gives_the_same_gradients(void **state)
{
    world w;
    world_open(&w, *state);
    forward(&w, true);
    w.loss[0]->seed = 0.5f;
    w.loss[1]->seed = -2;
    assert_int_equal(backward(&w, NULL, NULL), FB_OK);
    world first = w;
    float dx[T * C];
    memcpy(dx, read(&w, &w.x->grad), sizeof dx);
    fb_tape_grad_release(&w.tape, w.x); /* no op made x, so nobody else does */
    clear_gradients(&w);
    assert_int_equal(backward(&w, NULL, NULL), FB_OK);
    assert_memory_equal(w.p.grads, first.p.grads, sizeof w.p.grads);
    assert_memory_equal(w.p.dgamma, first.p.dgamma, sizeof w.p.dgamma);
    assert_memory_equal(w.p.dbeta, first.p.dbeta, sizeof w.p.dbeta);
    assert_memory_equal(w.p.dheads, first.p.dheads, sizeof w.p.dheads);
    assert_memory_equal(read(&w, &w.x->grad), dx, sizeof dx);
    world_close(&w);
}

static void gradients_are_linear_in_the_seeds(void **state)
{
    world w;
    float want[LAYERS][C * C] = {0};
    const float seed[2] = {0.3f, 1.7f};
    world_open(&w, *state);
    forward(&w, true);
    for (int i = 0; i < 2; i++) {
        clear_gradients(&w);
        w.loss[i]->seed = 1;
        w.loss[1 - i]->seed = 0;
        assert_int_equal(backward(&w, NULL, NULL), FB_OK);
        for (int k = 0; k < LAYERS; k++)
            for (int n = 0; n < C * C; n++)
                want[k][n] += seed[i] * w.p.grads[k][n];
    }
    clear_gradients(&w);
    w.loss[0]->seed = seed[0];
    w.loss[1]->seed = seed[1];
    assert_int_equal(backward(&w, NULL, NULL), FB_OK);
    for (int k = 0; k < LAYERS; k++)
        for (int n = 0; n < C * C; n++)
            assert_true(fabsf(w.p.grads[k][n] - want[k][n]) <= 1e-6f);
    world_close(&w);
}

static void tape_that_did_not_record_refuses_backward(void **state)
{
    world w;
    world_open(&w, *state);
    forward(&w, true);
    double recorded = w.loss[1]->value;
    forward(&w, false);
    assert_null(w.tape.last);
    assert_null(w.loss[0]->node);
    assert_true(fabs(w.loss[1]->value - recorded) <=
                1e-5); /* GELU fused: other rounding */
    assert_int_equal(backward(&w, NULL, NULL), FB_E_STATE);
    assert_true(fb_context_message(w.ctx)[0] != 0);
    world_close(&w);
}

static void profile_sums_the_seconds_of_each_class(void **state)
{
    world w;
    fb_profile profile = {0};
    world_open(&w, *state);
    w.tape.profile = &profile;
    forward(&w, true); /* begin keeps the profile */
    assert_ptr_equal(w.tape.profile, &profile);
    int32_t forward_classes = profile.count;
    assert_int_equal(forward_classes, 4); /* linear, gelu, norm, losses */
    double before = 0, after = 0;
    for (int32_t i = 0; i < profile.count; i++)
        before += profile.op[i].seconds;
    w.loss[0]->seed = 1;
    assert_int_equal(backward(&w, NULL, NULL), FB_OK);
    assert_int_equal(profile.count, forward_classes);
    for (int32_t i = 0; i < profile.count; i++) {
        assert_true(profile.op[i].seconds >= 0);
        after += profile.op[i].seconds;
        for (int32_t k = 0; k < i; k++)
            assert_string_not_equal(profile.op[i].name, profile.op[k].name);
    }
    assert_true(after >= before);
    world_close(&w);
}

static void charges_of_one_class_add_up(void **state)
{
    world w;
    fb_profile profile = {0};
    world_open(&w, *state);
    w.tape.profile = &profile;
    double now = fb_tape_clock(&w.tape);
    fb_tape_charge(&w.tape, "a", now - 3);
    fb_tape_charge(&w.tape, "b", now - 10);
    fb_tape_charge(&w.tape, "a", now - 4);
    assert_int_equal(profile.count, 2);
    assert_true(profile.op[0].seconds >= 7 && profile.op[1].seconds >= 10);
    static char names[40][4];
    for (int i = 0; i < 40; i++) { /* more classes than fit: the rest is left out */
        snprintf(names[i], sizeof names[i], "c%d", i);
        fb_tape_charge(&w.tape, names[i], now);
    }
    assert_int_equal(profile.count, FB_PROFILE_OPS);
    w.tape.profile = NULL;
    assert_true(fb_tape_clock(&w.tape) == 0.0);
    world_close(&w);
}

static void first_bad_value_is_named(void **state)
{
    world w;
    char where[160] = "?";
    world_open(&w, *state);
    forward(&w, true);
    assert_int_equal(fb_tape_find_nonfinite(&w.tape, where, sizeof where), FB_OK);
    assert_string_equal(where, "");
    w.p.weights[1][C * 2] = NAN; /* row 2 of layer1; layer0 and all before is fine */
    forward(&w, true);
    assert_int_equal(fb_tape_find_nonfinite(&w.tape, where, sizeof where), FB_OK);
    assert_string_equal(where, "the output of linear layer1 at element 2");
    w.p.beta[3] = INFINITY; /* comes before it */
    forward(&w, true);
    assert_int_equal(fb_tape_find_nonfinite(&w.tape, where, sizeof where), FB_OK);
    assert_string_equal(where, "the output of norm gamma at element 3");
    char small[8];
    assert_int_equal(fb_tape_find_nonfinite(&w.tape, small, sizeof small), FB_OK);
    assert_string_equal(small, "the out");
    world_close(&w);
}

static void step(world *w)
{
    fb_arena_reset(w->arena);
    clear_gradients(w);
    forward(w, true);
    w->loss[0]->seed = 1;
    w->loss[1]->seed = 1;
    assert_int_equal(backward(w, NULL, NULL), FB_OK);
}

static void repeated_step_asks_the_system_for_no_memory(void **state)
{
    world w;
    world_open(&w, *state);
    step(&w);
    fb_arena *arenas[] = {w.arena, w.tape.values}; /* one on ref */
    int64_t allocations[2];
    size_t peak[2];
    assert_true(fb_arena_system_allocations(w.arena) > 1); /* chunks of 1 KiB */
    for (int k = 0; k < 2; k++)
        peak[k] = fb_arena_peak_bytes(arenas[k]);
    fb_arena_reset(w.arena); /* merges the chunks into one */
    for (int k = 0; k < 2; k++)
        allocations[k] = fb_arena_system_allocations(arenas[k]);
    for (int i = 0; i < 3; i++) {
        step(&w);
        for (int k = 0; k < 2; k++)
            assert_int_equal(fb_arena_system_allocations(arenas[k]), allocations[k]);
    }
    for (int k = 0; k < 2; k++)
        assert_int_equal(fb_arena_peak_bytes(arenas[k]), peak[k]);
    world_close(&w);
}

static void gradient_buffers_are_used_again(void **state)
{
    world w;
    world_open(&w, *state);
    forward(&w, true);
    w.loss[0]->seed = 1;
    size_t before = fb_arena_peak_bytes(w.tape.values);
    assert_int_equal(backward(&w, NULL, NULL), FB_OK);
    size_t grown = fb_arena_peak_bytes(w.tape.values) - before;
    /* Seven variables of [T,C] get gradients; with reuse at most four lie there at
     * once, beside one of logits. */
    size_t one = (T * C * sizeof(float) + 63) / 64 * 64;
    size_t logits = (T * V * sizeof(float) + 63) / 64 * 64;
    assert_true(grown <= 4 * one + logits);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backward_of_a_stretch_stops_at_its_mark),
        cmocka_unit_test(heads_gradient_then_the_rest_equals_one_pass),
        cmocka_unit_test(loss_with_seed_zero_moves_nothing),
        cmocka_unit_test(second_pass_over_a_tape_gives_the_same_gradients),
        cmocka_unit_test(gradients_are_linear_in_the_seeds),
        cmocka_unit_test(tape_that_did_not_record_refuses_backward),
        cmocka_unit_test(profile_sums_the_seconds_of_each_class),
        cmocka_unit_test(charges_of_one_class_add_up),
        cmocka_unit_test(first_bad_value_is_named),
        cmocka_unit_test(repeated_step_asks_the_system_for_no_memory),
        cmocka_unit_test(gradient_buffers_are_used_again),
    };
    return RUN_ON_BOTH(tests);
}
