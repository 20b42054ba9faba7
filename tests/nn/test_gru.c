/* test_gru.c - a layer of gated recurrent units, one way and both ways: states and every
 * gradient against torch.nn.GRU over packed sequences (tools/make_gru_dump.py), on ref
 * and cpu; the last states; how it begins.
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

#include "nn/gru.h"
#include "nn/safetensors.h"

enum { I = 5, H = 7, SEQUENCES = 6, T = 22, MOST = T * H };

typedef struct world {
    fb_context *ctx;
    fb_backend *be;
    fb_arena *arena;
    fb_params *params;
    fb_gru gru;
    fb_tape tape;
    fb_safetensors *file;
    fb_var *x;
    const int32_t *offsets;
} world;

static void must(const world *w, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s", fb_context_message(w->ctx));
}

static int64_t read_numbers(const world *w, const char *prefix, const char *name,
                            float *out)
{
    char full[160];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const fb_stored_tensor *t = fb_safetensors_find(w->file, full);
    if (!t)
        fail_msg("the dump has no %s", full);
    must(w, fb_safetensors_to_f32(w->ctx, t, out));
    return t->count;
}

/* The name behind "gru.". */
static const char *name_of(const fb_param *p)
{
    return p->name[0] + 4;
}

static void world_open(world *w, const char *backend, bool both_ways)
{
    *w = (world){.ctx = fb_context_create(), .arena = fb_arena_create(1 << 20)};
    must(w, fb_backend_create(w->ctx, &w->be, backend, "f32", 2));
    must(w, fb_safetensors_open(w->ctx, &w->file,
                                FB_TEST_DATA "/golden/gru/reference.safetensors"));
    must(w, fb_params_create(w->ctx, &w->params));
    must(w, fb_gru_declare(w->params, &w->gru, "gru", I, H, both_ways));
    must(w, fb_params_allocate(w->params, true));
    for (fb_param *p = w->params->first; p; p = p->next)
        assert_int_equal(read_numbers(w, "weight/", name_of(p),
                                      fb_params_value(w->params, &p->leaf)),
                         p->rows * p->columns);
    fb_params_touch(w->params);
    w->offsets =
        (const int32_t *)(const void *)fb_safetensors_find(w->file, "offsets")->bytes;
    assert_int_equal(w->offsets[SEQUENCES], T);
    fb_tape_begin(&w->tape, w->ctx, w->be, w->arena, true);
    must(w, fb_tape_new_var(&w->tape, &w->x, FB_F32, T, I));
    read_numbers(w, "", "x", w->x->value.data);
}

static void world_close(world *w)
{
    fb_params_free(w->params, w->be);
    fb_safetensors_close(w->file);
    fb_arena_free(w->arena);
    fb_backend_free(w->be);
    fb_context_free(w->ctx);
}

static void expect(const world *w, const char *prefix, const char *name,
                   const float *got)
{
    float want[MOST];
    int64_t count = read_numbers(w, prefix, name, want);
    for (int64_t i = 0; i < count; i++)
        if (!(fabsf(got[i] - want[i]) <= 2e-6f * (1 + fabsf(want[i]))))
            fail_msg("%s%s[%d] is %.8g on %s, torch has %.8g", prefix, name, (int)i,
                     (double)got[i], w->be->name, (double)want[i]);
}

static void check_against_torch(const char *backend, bool both_ways)
{
    const char *what = both_ways ? "both" : "one";
    char prefix[16];
    world w;
    fb_var *y;
    world_open(&w, backend, both_ways);
    must(&w, fb_gru_forward(&w.tape, &y, w.x, &w.gru, w.offsets, SEQUENCES));
    expect(&w, "y/", what, y->value.data);
    float factor[T * H];
    read_numbers(&w, "factor/", what, factor);
    y->grad = fb_tensor_2d(factor, FB_F32, T, H);
    must(&w, fb_tape_backward(&w.tape, NULL, NULL, true));
    snprintf(prefix, sizeof prefix, "%s/", what);
    expect(&w, prefix, "x", w.x->grad.data);
    for (fb_param *p = w.params->first; p; p = p->next)
        expect(&w, prefix, name_of(p), p->leaf.grad);
    world_close(&w);
}

static void states_and_gradients_are_those_of_torch(void **state)
{
    (void)state;
    for (int both_ways = 0; both_ways < 2; both_ways++) {
        check_against_torch("ref", both_ways);
        check_against_torch("cpu", both_ways);
    }
}

static void last_states_are_those_of_the_last_tokens(void **state)
{
    (void)state;
    world w;
    fb_var *all, *last;
    world_open(&w, "ref", false);
    must(&w, fb_gru_forward(&w.tape, &all, w.x, &w.gru, w.offsets, SEQUENCES));
    must(&w, fb_gru_last(&w.tape, &last, w.x, &w.gru, w.offsets, SEQUENCES));
    assert_int_equal(last->value.dims[0], SEQUENCES);
    for (int b = 0; b < SEQUENCES; b++)
        assert_memory_equal((float *)last->value.data + b * H,
                            (float *)all->value.data + (w.offsets[b + 1] - 1) * H,
                            H * sizeof(float));
    world_close(&w);
}

/* Uniform in +-1/sqrt(H): nothing outside, mean near 0, deviation near the bound over
 * sqrt(3). */
static void it_begins_as_torch_does(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_params *params;
    fb_gru gru;
    assert_int_equal(fb_params_create(ctx, &params), FB_OK);
    assert_int_equal(fb_gru_declare(params, &gru, "text.gru", 30, 25, true), FB_OK);
    assert_int_equal(fb_params_allocate(params, false), FB_OK);
    fb_params_initialise(params, 3);
    assert_string_equal(params->first->name[0], "text.gru.weight_ih_l0");
    assert_string_equal(params->last->name[0], "text.gru.bias_hh_l0_reverse");
    for (const fb_param *p = params->first; p; p = p->next) {
        double sum = 0, squares = 0, count = (double)(p->rows * p->columns);
        for (int64_t i = 0; i < p->rows * p->columns; i++) {
            double v = (double)p->leaf.weight.data[i];
            assert_true(fabs(v) <= 0.2);
            sum += v;
            squares += v * v;
        }
        assert_true(fabs(sum / count) < 0.2 * 2 / sqrt(count));
        assert_true(fabs(sqrt(squares / count) - 0.2 / sqrt(3)) < 0.03);
    }
    fb_params_free(params, NULL);
    fb_context_free(ctx);
}

static void flops_are_of_both_products(void **state)
{
    (void)state;
    const fb_gru one = {.input = 10, .width = 4};
    const fb_gru both = {.input = 10, .width = 4, .both_ways = true};
    assert_true(fb_gru_flops(&one, 5) == 5 * 2.0 * 12 * 14);
    assert_true(fb_gru_flops(&both, 5) == 2 * 5 * 2.0 * 12 * 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_and_gradients_are_those_of_torch),
        cmocka_unit_test(last_states_are_those_of_the_last_tokens),
        cmocka_unit_test(it_begins_as_torch_does),
        cmocka_unit_test(flops_are_of_both_products),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
