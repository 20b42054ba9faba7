/* test_optimizer.c - the schedule by hand and AdamW against the paper's formulas in
 * double precision. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nn/optimizer.h"

#define assert_near(a, b, tolerance)                                                   \
    assert_true(fabs((double)(a) - (double)(b)) <= (tolerance))

static void schedule_warms_up_then_decays_to_the_last_step(void **state)
{
    (void)state;
    /* 10 steps, 2 of them warm-up: 1/2, 1, 1, 7/8, ... 1/8 */
    const double want[10] = {0.5, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125};
    for (int64_t s = 0; s < 10; s++)
        assert_near(fb_schedule_lr(3.0, 0.2, (double)s, 10), 3.0 * want[s], 1e-12);
}

static void schedule_without_warmup_starts_at_the_full_rate(void **state)
{
    (void)state;
    assert_near(fb_schedule_lr(2.0, 0.0, 0, 4), 2.0, 1e-12);
    assert_near(fb_schedule_lr(2.0, 0.0, 1, 4), 1.5, 1e-12);
    assert_near(fb_schedule_lr(2.0, 0.0, 3, 4), 0.5, 1e-12);
    assert_near(fb_schedule_lr(2.0, 0.0, 0, 1), 2.0, 1e-12);
}

static void schedule_that_is_all_warmup_only_rises(void **state)
{
    (void)state;
    for (int64_t s = 0; s < 5; s++)
        assert_near(fb_schedule_lr(1.0, 1.0, (double)s, 5), (double)(s + 1) / 5, 1e-12);
}

static void schedule_is_zero_past_its_end(void **state)
{
    (void)state;
    assert_true(fb_schedule_lr(1.0, 0.1, 10, 10) == 0.0);
    assert_true(fb_schedule_lr(1.0, 0.1, 1000, 10) == 0.0);
}

static void warmup_steps_are_the_fraction_rounded_up_but_not_by_noise(void **state)
{
    (void)state;
    /* 0.07 * 100 is 7.000000000000001 in binary: 7 steps all the same */
    assert_near(fb_schedule_lr(1.0, 0.07, 0, 100), 1.0 / 7, 1e-12);
    assert_near(fb_schedule_lr(1.0, 0.071, 0, 100), 1.0 / 8, 1e-12);
    assert_near(fb_schedule_lr(1.0, 0.01, 0, 3), 1.0, 1e-12);
}

/* ---- AdamW ---------------------------------------------------------------------- */

enum { MATRIX = 6, VECTOR = 3, TABLE = 4, NUMBERS = MATRIX + VECTOR + TABLE };

typedef struct world {
    fb_context *ctx;
    fb_backend *be;
    fb_params *params;
    fb_leaf *matrix, *vector, *table;
    double x[NUMBERS], m[NUMBERS], v[NUMBERS]; /* the same by hand */
} world;

static float *number(const world *w, float *block, int i)
{
    const fb_param *p = w->params->first;
    for (; i >= p->rows * p->columns; p = p->next)
        i -= (int)(p->rows * p->columns);
    return block + p->offset + i;
}

static void world_open(world *w, const char *backend)
{
    const char *names[3] = {"matrix", "vector", "table"};
    *w = (world){.ctx = fb_context_create()};
    assert_int_equal(fb_backend_create(w->ctx, &w->be, backend, "f32", 1), FB_OK);
    assert_int_equal(fb_params_create(w->ctx, &w->params), FB_OK);
    assert_int_equal(fb_params_add(w->params, &w->matrix, &names[0],
                                   (fb_param_shape){1, 2, 3}, FB_INIT_NORMAL, 1, true),
                     FB_OK);
    assert_int_equal(fb_params_add(w->params, &w->vector, &names[1],
                                   (fb_param_shape){1, VECTOR, 1}, FB_INIT_ONE, 0,
                                   true),
                     FB_OK);
    assert_int_equal(fb_params_add(w->params, &w->table, &names[2],
                                   (fb_param_shape){1, 2, 2}, FB_INIT_NORMAL, 1, true),
                     FB_OK);
    assert_int_equal(fb_params_allocate(w->params, true), FB_OK);
    fb_params_initialise(w->params, 5);
    for (int i = 0; i < NUMBERS; i++)
        w->x[i] = (double)*number(w, w->params->value, i);
}

static void world_close(world *w)
{
    fb_params_free(w->params, w->be);
    fb_backend_free(w->be);
    fb_context_free(w->ctx);
}

static float gradient(int64_t step, int i)
{
    return (float)sin((double)(step * 17 + i * 3 + 1)) * (i % 4 ? 1.0f : 0.01f);
}

static void set_gradients(world *w, int64_t step)
{
    for (int i = 0; i < NUMBERS; i++)
        *number(w, w->params->grad, i) = gradient(step, i);
}

/* Decoupled Weight Decay Regularization, Algorithm 2, with clipping before it. */
static double step_by_hand(world *w, const fb_optimizer_options *o, int64_t step,
                           double lr, double scale)
{
    double norm = 0;
    for (int i = 0; i < NUMBERS; i++)
        norm += pow(scale * (double)gradient(step, i), 2);
    norm = sqrt(norm);
    if (o->clip > 0 && norm > o->clip)
        scale *= o->clip / norm;
    for (int i = 0; i < NUMBERS; i++) {
        double g = scale * (double)gradient(step, i);
        bool decays = i < MATRIX || i >= MATRIX + VECTOR;
        w->m[i] = o->beta1 * w->m[i] + (1 - o->beta1) * g;
        w->v[i] = o->beta2 * w->v[i] + (1 - o->beta2) * g * g;
        double m = w->m[i] / (1 - pow(o->beta1, (double)step + 1));
        double v = w->v[i] / (1 - pow(o->beta2, (double)step + 1));
        w->x[i] -=
            lr * (m / (sqrt(v) + o->eps) + (decays ? o->weight_decay : 0) * w->x[i]);
    }
    return norm;
}

static void check_steps(const char *backend, double clip, float scale)
{
    world w;
    world_open(&w, backend);
    const fb_optimizer_options o = {0.05, 0.9, 0.98, 1e-6, 0.1, clip, 0.25};
    for (int64_t step = 0; step < 8; step++) {
        fb_optimizer_figures f;
        set_gradients(&w, step);
        uint64_t version = w.table->weight.version;
        assert_int_equal(
            fb_optimizer_step(w.ctx, w.params, w.be, &o, step, 8, scale, &f), FB_OK);
        assert_true(w.table->weight.version > version);
        double want_lr = fb_schedule_lr(0.05, 0.25, (double)step, 8);
        assert_near(f.lr, want_lr, 1e-15);
        double want_norm = step_by_hand(&w, &o, step, want_lr, (double)scale);
        assert_near(f.norm, want_norm, 1e-6 * want_norm);
        for (int i = 0; i < NUMBERS; i++) {
            double got = (double)*number(&w, w.params->value, i);
            if (!(fabs(got - w.x[i]) <= 2e-6 * (1 + fabs(w.x[i]))))
                fail_msg("%s step %d number %d is %.9g, by hand %.9g", backend,
                         (int)step, i, got, w.x[i]);
            assert_true(*number(&w, w.params->grad, i) == 0.0f);
        }
    }
    world_close(&w);
}

static void adamw_follows_the_paper_on_every_backend(void **state)
{
    (void)state;
    check_steps("ref", 0, 1.0f);
    check_steps("cpu", 0, 1.0f);
}

static void gradients_above_the_clip_are_scaled_down_to_it(void **state)
{
    (void)state;
    check_steps("ref", 0.5, 1.0f);
    check_steps("cpu", 0.5, 1.0f);
    check_steps("ref", 1000, 1.0f); /* never reached: nothing is scaled up */
}

static void gradient_scale_comes_before_the_norm_and_the_clip(void **state)
{
    (void)state;
    check_steps("ref", 0, 0.25f);
    check_steps("ref", 0.5, 0.25f);
    check_steps("cpu", 0.5, 4.0f);
}

static void vectors_do_not_decay_and_matrices_do(void **state)
{
    (void)state;
    world w;
    world_open(&w, "ref");
    const fb_optimizer_options o = {0.5, 0.9, 0.98, 1e-6, 0.1, 0, 0};
    fb_optimizer_figures f;
    float matrix = w.matrix->weight.data[1];
    assert_int_equal(fb_optimizer_step(w.ctx, w.params, w.be, &o, 0, 10, 1, &f),
                     FB_OK); /* gradients are zero */
    assert_true(f.norm == 0.0);
    for (int i = 0; i < VECTOR; i++)
        assert_true(w.vector->weight.data[i] == 1.0f);
    assert_near(w.matrix->weight.data[1], matrix * (1 - 0.5f * 0.1f), 1e-7);
    world_close(&w);
}

static void check_bad_gradient(float bad)
{
    static const char *const names[3] = {"matrix", "vector", "table"};
    for (int which = 0; which < 3; which++) {
        world w;
        world_open(&w, "ref");
        const fb_optimizer_options o = {0.5, 0.9, 0.98, 1e-6, 0.1, 1, 0};
        size_t bytes = (size_t)w.params->total * sizeof(float);
        float *before = malloc(bytes);
        memcpy(before, w.params->value, bytes);
        uint64_t version = w.matrix->weight.version;
        fb_optimizer_figures f;
        set_gradients(&w, 0);
        *number(&w, w.params->grad, which == 0 ? 5 : which == 1 ? 6 : 12) = bad;
        assert_int_equal(fb_optimizer_step(w.ctx, w.params, w.be, &o, 41, 100, 1, &f),
                         FB_E_NUMBER);
        assert_non_null(strstr(fb_context_message(w.ctx), names[which]));
        assert_non_null(strstr(fb_context_message(w.ctx), "41"));
        assert_memory_equal(w.params->value, before, bytes);
        for (int i = 0; i < NUMBERS; i++)
            assert_true(*number(&w, w.params->moment1, i) == 0.0f &&
                        *number(&w, w.params->moment2, i) == 0.0f);
        assert_int_equal(w.matrix->weight.version, version);
        free(before);
        world_close(&w);
    }
}

static void gradient_that_is_not_finite_is_named_and_nothing_moves(void **state)
{
    (void)state;
    check_bad_gradient(NAN);
    check_bad_gradient(-INFINITY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedule_warms_up_then_decays_to_the_last_step),
        cmocka_unit_test(schedule_without_warmup_starts_at_the_full_rate),
        cmocka_unit_test(schedule_that_is_all_warmup_only_rises),
        cmocka_unit_test(schedule_is_zero_past_its_end),
        cmocka_unit_test(warmup_steps_are_the_fraction_rounded_up_but_not_by_noise),
        cmocka_unit_test(adamw_follows_the_paper_on_every_backend),
        cmocka_unit_test(gradients_above_the_clip_are_scaled_down_to_it),
        cmocka_unit_test(gradient_scale_comes_before_the_norm_and_the_clip),
        cmocka_unit_test(vectors_do_not_decay_and_matrices_do),
        cmocka_unit_test(gradient_that_is_not_finite_is_named_and_nothing_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
