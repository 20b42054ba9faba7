/* test_qti_reference.c - Query-Title-Image matching against PyTorch, from the dump of
 * tools/make_qti_dump.py, on every backend and dtype: activations, all six losses,
 * every gradient, norms and ten training steps; and gradients against differences.
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

#include "models/fashionbert/fashionbert_parts.h"
#include "nn/optimizer.h"
#include "nn/safetensors.h"
#include "support/qti_world.h"
#include "support/step_numbers.h"

static const char *const dump_path = FB_TEST_DATA "/golden/qti/reference.safetensors";

enum { PLACES = 16, MOST = 4096, STEPS = 10 };

typedef struct golden {
    fb_safetensors *file;
    const char *variant; /* where in the dump: "" all parts from the first layer on,
                            "late/" each text alone through it */
    float want[MOST];
} golden;

static int64_t read_dump(const world *w, golden *g, const char *prefix,
                         const char *name)
{
    char full[160];
    snprintf(full, sizeof full, "%s%s%s", g->variant, prefix, name);
    const fb_stored_tensor *t = fb_safetensors_find(g->file, full);
    if (!t)
        fail_msg("the dump has no %s", full);
    assert_true(t->count <= MOST);
    must(w, fb_safetensors_to_f32(w->ctx, t, g->want));
    return t->count;
}

/* Within tolerance times the root mean square of all. */
static void compare_numbers(const golden *g, const char *name, const double *got,
                            int64_t count, double tolerance)
{
    double squares = 0;
    for (int64_t i = 0; i < count; i++)
        squares += (double)g->want[i] * (double)g->want[i];
    double bound = tolerance * sqrt(squares / (double)count);
    for (int64_t i = 0; i < count; i++)
        if (!(fabs(got[i] - (double)g->want[i]) <= bound))
            fail_msg("%s[%d] is %.7g, PyTorch has %.7g", name, (int)i, got[i],
                     (double)g->want[i]);
}

static void compare(const world *w, golden *g, const char *name, const fb_tensor *t,
                    double tolerance)
{
    double got[MOST];
    int64_t count = read_dump(w, g, "", name);
    assert_int_equal(count, fb_tensor_count(t));
    for (int64_t i = 0; i < count; i++)
        got[i] = number(t, i);
    compare_numbers(g, name, got, count, tolerance);
}

/* The tensor is the picked rows of the dump's. */
static void compare_rows(const world *w, golden *g, const char *name,
                         const fb_tensor *t, const fb_picked_rows *picked,
                         double tolerance)
{
    double got[MOST];
    int64_t width = t->dims[1], count = read_dump(w, g, "", name);
    assert_true(picked->count == t->dims[0] && picked->count < count / width);
    for (int64_t i = 0; i < count; i++)
        got[i] = (double)g->want[i];
    for (int64_t i = 0; i < picked->count * width; i++)
        got[picked->rows[i / width] * width + i % width] = number(t, i);
    compare_numbers(g, name, got, count, tolerance);
}

static void check_forward(world *w, golden *g, double tolerance)
{
    fb_fashionbert_pass pass = forward(w, true);
    double losses[FB_LOSSES_ALL];
    compare(w, g, "text", &pass.text->value, tolerance);
    compare_rows(w, g, "hidden", &pass.hidden->value, &pass.read.picked, tolerance);
    for (int32_t i = 0; i < FB_LOSSES_ALL; i++) {
        char name[32];
        snprintf(name, sizeof name, "logits/%s", fb_loss_name(i));
        if (i != FB_LOSS_MPM)
            compare(w, g, name, &pass.logits[i]->value, tolerance * 4);
        losses[i] = pass.loss[i]->value;
    }
    assert_int_equal(read_dump(w, g, "", "losses"), FB_LOSSES_ALL);
    compare_numbers(g, "losses", losses, FB_LOSSES_ALL, tolerance);
}

/* A key's bias moves all scores of a query alike: 0 but for rounding. */
static bool is_key_bias(const char *name)
{
    return strstr(name, "self.key.bias") != NULL;
}

static void compare_gradient(const world *w, golden *g, const char *name,
                             const float *got, int64_t count, double tolerance)
{
    double squares = 0;
    assert_int_equal(read_dump(w, g, "grad/", name), PLACES + 1);
    double norm = (double)g->want[PLACES];
    double bound = tolerance * norm / sqrt((double)count);
    for (int64_t i = 0; i < PLACES; i++) {
        int64_t at = i * (count - 1) / (PLACES - 1);
        double want = (double)g->want[i], error = fabs((double)got[at] - want);
        if (!(error <= bound + tolerance * fabs(want)))
            fail_msg("gradient of %s[%d] is %.7g, PyTorch has %.7g", name, (int)at,
                     (double)got[at], want);
    }
    for (int64_t i = 0; i < count; i++)
        squares += (double)got[i] * (double)got[i];
    if (!(fabs(sqrt(squares) - norm) <= tolerance * norm))
        fail_msg("gradient of %s has norm %.7g, PyTorch %.7g", name, sqrt(squares),
                 norm);
}

static step_numbers train(world *w, fb_adaptive_mode mode)
{
    fb_loss_options o = {.mode = mode};
    fb_measures measures;
    memcpy(o.enabled, every_loss, sizeof every_loss);
    begin(w, true);
    must(w, w->m->system->train_batch(w->m, &w->tape, w->batch, &o, &measures));
    return step_numbers_of(&measures);
}

static void check_gradients(world *w, golden *g, double tolerance)
{
    step_numbers losses = train(w, FB_ADAPTIVE_FIXED);
    for (int32_t i = 0; i < FB_LOSSES_ALL; i++)
        assert_true(fabs(losses.weight[i] - 1.0 / FB_LOSSES_ALL) < 1e-12);
    for (const fb_param *p = w->m->params->first; p; p = p->next)
        for (int32_t i = 0; i < p->parts; i++) {
            int64_t count = p->rows / p->parts * p->columns;
            if (!is_key_bias(p->name[i]))
                compare_gradient(w, g, p->name[i], p->leaf.grad + i * count, count,
                                 tolerance);
        }
    memset(w->m->params->grad, 0, (size_t)w->m->params->trained * sizeof(float));
}

static void check_norms(world *w, golden *g, double tolerance)
{
    const fb_loss_options o = {.mode = FB_ADAPTIVE_GRADIENT};
    fb_fashionbert_pass pass = forward(w, true);
    fb_pass_losses losses;
    must(w, fb_fashionbert_record(&w->tape, &pass, &losses));
    must(w,
         fb_fashionbert_weigh(&((fb_qti *)w->m)->base, &w->tape, &pass, &o, &losses));
    assert_int_equal(read_dump(w, g, "", "norms"), FB_LOSSES_ALL);
    for (int32_t i = 0; i < FB_LOSSES_ALL; i++)
        if (!(fabs(losses.squared_norm[i] - (double)g->want[i]) <=
              tolerance * (double)g->want[i]))
            fail_msg("the norm of %s is %.6g, PyTorch has %.6g", fb_loss_name(i),
                     losses.squared_norm[i], (double)g->want[i]);
    memset(w->m->params->grad, 0, (size_t)w->m->params->trained * sizeof(float));
}

static void check_steps(world *w, golden *g, double tolerance)
{
    fb_optimizer_options adamw = {1e-2, 0.9, 0.98, 1e-8, 0.1, 1.0, 0.0};
    double got[STEPS * FB_LOSSES_ALL];
    for (int64_t s = 0; s < STEPS; s++) {
        fb_optimizer_figures figures;
        step_numbers losses = train(w, FB_ADAPTIVE_GRADIENT);
        must(w, fb_optimizer_step(w->ctx, w->m->params, w->be, &adamw, s, 1000000000000,
                                  1.0f, &figures));
        memcpy(got + s * FB_LOSSES_ALL, losses.loss, sizeof losses.loss);
    }
    assert_int_equal(read_dump(w, g, "", "steps"), STEPS * FB_LOSSES_ALL);
    compare_numbers(g, "losses of ten steps", got, STEPS * FB_LOSSES_ALL, tolerance);
}

static void check_variant(bool late, const char *backend, const char *dtype,
                          double tolerance, double of_gradients, double of_steps)
{
    world w;
    golden *g = calloc(1, sizeof *g);
    g->variant = late ? "late/" : "";
    if (!world_open(&w, late, backend, dtype)) {
        free(g);
        skip();
    }
    must(&w, fb_safetensors_open(w.ctx, &g->file, dump_path));
    check_forward(&w, g, tolerance);
    check_gradients(&w, g, of_gradients);
    check_norms(&w, g, of_gradients);
    check_steps(&w, g, of_steps);
    fb_safetensors_close(g->file);
    free(g);
    world_close(&w);
}

static void check(const char *backend, const char *dtype, double tolerance,
                  double of_gradients, double of_steps)
{
    check_variant(false, backend, dtype, tolerance, of_gradients, of_steps);
    check_variant(true, backend, dtype, tolerance, of_gradients, of_steps);
}

static void ref_equals_pytorch(void **state)
{
    (void)state;
    check("ref", "f32", 2e-5, 1e-3, 2e-3);
}

static void cpu_equals_pytorch(void **state)
{
    (void)state;
    check("cpu", "f32", 2e-5, 1e-3, 2e-3);
}

static void cpu_in_bf16_comes_near_pytorch(void **state)
{
    (void)state;
    check("cpu", "bf16", 3e-2, 0.3, 0.1);
}

/* ---- finite differences -----------------------------------------------------------
 */

/* The sum of all losses at theta + h d, d the signs of a hash of each number of one
 * parameter. */
static double loss_at(world *w, const fb_param *p, double h)
{
    float *values = w->m->params->value + p->offset;
    size_t bytes = (size_t)(p->rows * p->columns) * sizeof(float);
    float *kept = malloc(bytes);
    memcpy(kept, values, bytes);
    for (int64_t i = 0; i < p->rows * p->columns; i++)
        values[i] += (float)(hashed(key_of(p->name[0]) + 1, i) > 0 ? h : -h);
    fb_params_touch(w->m->params);
    double sum = 0;
    fb_fashionbert_pass pass = forward(w, false);
    for (int32_t i = 0; i < FB_LOSSES_ALL; i++)
        sum += pass.loss[i]->value;
    memcpy(values, kept, bytes);
    fb_params_touch(w->m->params);
    free(kept);
    return sum;
}

static void check_differences(int32_t patches_from)
{
    world w;
    const double h = 1e-3;
    assert_true(world_open(&w, patches_from, "ref", "f32"));
    (void)train(&w, FB_ADAPTIVE_FIXED);
    for (const fb_param *p = w.m->params->first; p; p = p->next) {
        double slope = 0;
        for (int64_t i = 0; i < p->rows * p->columns; i++)
            slope += (double)p->leaf.grad[i] *
                     (hashed(key_of(p->name[0]) + 1, i) > 0 ? 1 : -1);
        slope *= FB_LOSSES_ALL; /* the mean was played backwards */
        double want = (8 * (loss_at(&w, p, h) - loss_at(&w, p, -h)) -
                       (loss_at(&w, p, 2 * h) - loss_at(&w, p, -2 * h))) /
                      (12 * h);
        if (!(fabs(slope - want) <= 5e-3 * (1 + fabs(want))))
            fail_msg("%s: the gradient says %.6g, differences %.6g", p->name[0], slope,
                     want);
    }
    world_close(&w);
}

static void gradients_agree_with_differences(void **state)
{
    (void)state;
    check_differences(0);
    check_differences(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ref_equals_pytorch),
        cmocka_unit_test(cpu_equals_pytorch),
        cmocka_unit_test(cpu_in_bf16_comes_near_pytorch),
        cmocka_unit_test(gradients_agree_with_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
