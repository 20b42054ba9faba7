/* test_selfie_reference.c - Selfie against PyTorch, from the dump of
 * tools/make_selfie_dump.py, on every backend and dtype; and its gradients against
 * finite differences.
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

#include "nn/safetensors.h"
#include "support/selfie_world.h"
#include "support/step_numbers.h"

static const char *const dump_path =
    FB_TEST_DATA "/golden/selfie/reference.safetensors";

enum { STRIDE = 61, PLACES = 16, MOST = 1024 };

static int64_t read_dump(const world *w, fb_safetensors *dump, const char *prefix,
                         const char *name, float *out)
{
    char full[160];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const fb_stored_tensor *t = fb_safetensors_find(dump, full);
    if (!t)
        fail_msg("the dump has no %s", full);
    assert_true(t->count <= MOST);
    must(w, fb_safetensors_to_f32(w->ctx, t, out));
    return t->count;
}

/* Every stride-th number, within tolerance times the root mean square of all. */
static void compare(const world *w, fb_safetensors *dump, const char *name,
                    const fb_tensor *t, int64_t stride, double tolerance)
{
    float want[MOST];
    double squares = 0;
    int64_t count = read_dump(w, dump, "", name, want);
    assert_int_equal(count, (fb_tensor_count(t) + stride - 1) / stride);
    for (int64_t i = 0; i < count; i++)
        squares += (double)want[i] * (double)want[i];
    double bound = tolerance * sqrt(squares / (double)count);
    for (int64_t i = 0; i < count; i++)
        if (!(fabs(number(t, i * stride) - (double)want[i]) <= bound))
            fail_msg("%s[%d] is %.7g, PyTorch has %.7g", name, (int)i,
                     number(t, i * stride), (double)want[i]);
}

/* A key's bias moves all scores of a query alike: 0 but for rounding. */
static bool is_key_bias(const char *name)
{
    return strstr(name, "self.key.bias") != NULL;
}

static void compare_gradient(const world *w, fb_safetensors *dump, const char *name,
                             const float *got, int64_t count, double tolerance)
{
    float want[MOST];
    double squares = 0;
    assert_int_equal(read_dump(w, dump, "grad/", name, want), PLACES + 1);
    double norm = (double)want[PLACES], bound = tolerance * norm / sqrt((double)count);
    for (int64_t i = 0; i < PLACES; i++) {
        int64_t at = i * (count - 1) / (PLACES - 1);
        double error = fabs((double)got[at] - (double)want[i]);
        if (!(error <= bound + tolerance * fabs((double)want[i])))
            fail_msg("gradient of %s[%d] is %.7g, PyTorch has %.7g", name, (int)at,
                     (double)got[at], (double)want[i]);
    }
    for (int64_t i = 0; i < count; i++)
        squares += (double)got[i] * (double)got[i];
    if (!(fabs(sqrt(squares) - norm) <= tolerance * norm))
        fail_msg("gradient of %s has norm %.7g, PyTorch %.7g", name, sqrt(squares),
                 norm);
}

static void compare_gradients(const world *w, fb_safetensors *dump, double tolerance)
{
    for (const fb_param *p = w->m->params->first; p; p = p->next)
        for (int32_t i = 0; i < p->parts; i++) {
            int64_t count = p->rows / p->parts * p->columns;
            if (!is_key_bias(p->name[i]))
                compare_gradient(w, dump, p->name[i], p->leaf.grad + i * count, count,
                                 tolerance);
        }
}

static void near(const char *what, double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s is %.7g, not %.7g", what, got, want);
}

static void check(const char *backend, const char *dtype, double tolerance,
                  double of_gradients)
{
    world w;
    fb_safetensors *dump;
    fb_measures still, losses;
    float want[MOST];
    if (!world_open(&w, backend, dtype))
        return;
    must(&w, fb_safetensors_open(w.ctx, &dump, dump_path));
    read_dump(&w, dump, "", "losses", want);
    begin(&w, false);
    must(&w, w.m->system->losses(w.m, &w.tape, w.batch, NULL, &still));
    near("the loss of running statistics", measure_named(&still, "selfie").value,
         (double)want[1], tolerance * 4);

    fb_selfie_pass pass = forward(&w, true);
    compare(&w, dump, "h", &pass.features->value, STRIDE, tolerance * 4);
    compare(&w, dump, "u", &pass.pooled->value, 1, tolerance * 4);
    compare(&w, dump, "logits", &pass.logits->value, 1, tolerance * 4);

    begin(&w, true);
    must(&w, w.m->system->train_batch(w.m, &w.tape, w.batch, NULL, &losses));
    fb_measure points = measure_named(&losses, "pointing_accuracy");
    double loss = measure_named(&losses, "selfie").value;
    near("the loss", loss, (double)want[0], tolerance * 4);
    assert_true(losses.total == loss);
    assert_int_equal(points.rows, IMAGES * M);
    near("chance", points.chance, IMAGES, 1e-12);
    if (of_gradients > 0) {
        near("right answers", points.right, (double)want[2], 1e-12);
        compare_gradients(&w, dump, of_gradients);
    }
    fb_safetensors_close(dump);
    world_close(&w);
}

static void ref_equals_pytorch(void **state)
{
    (void)state;
    check("ref", "f32", 2e-5, 1e-3);
}

static void cpu_equals_pytorch(void **state)
{
    (void)state;
    check("cpu", "f32", 2e-5, 1e-3);
}

/* Not its single gradients: in bf16 some ReLUs open that are shut in f64. */
static void cpu_in_bf16_comes_near_pytorch(void **state)
{
    (void)state;
    check("cpu", "bf16", 3e-2, 0);
}

/* ---- finite differences -----------------------------------------------------------
 */

/* The loss of a training step at theta + h d, d the signs of a hash of each number of
 * the parameter, or, NULL, of all of the image encoder's. */
static double loss_at(world *w, const fb_param *only, double h)
{
    fb_params *params = w->m->params;
    float *kept = malloc((size_t)params->total * sizeof(float));
    memcpy(kept, params->value, (size_t)params->total * sizeof(float));
    for (fb_param *p = params->first; p; p = p->next) {
        bool encoder = strncmp(p->name[0], "image.encoder.", 14) == 0;
        if (only ? p != only : !encoder)
            continue;
        for (int64_t i = 0; i < p->rows * p->columns; i++)
            params->value[p->offset + i] +=
                (float)(hashed(key_of(p->name[0]) + 1, i) > 0 ? h : -h);
    }
    fb_params_touch(params);
    double loss = forward(w, true).loss->value;
    memcpy(params->value, kept, (size_t)params->total * sizeof(float));
    fb_params_touch(params);
    free(kept);
    return loss;
}

static double slope_of(const world *w, const fb_param *p)
{
    double sum = 0;
    for (int64_t i = 0; i < p->rows * p->columns; i++)
        sum += (double)w->m->params->grad[p->offset + i] *
               (hashed(key_of(p->name[0]) + 1, i) > 0 ? 1 : -1);
    return sum;
}

static void check_slope(world *w, const fb_param *only, double slope, double h)
{
    double want = (8 * (loss_at(w, only, h) - loss_at(w, only, -h)) -
                   (loss_at(w, only, 2 * h) - loss_at(w, only, -2 * h))) /
                  (12 * h);
    if (!(fabs(slope - want) <= 5e-3 * (1 + fabs(want))))
        fail_msg("%s: the gradient says %.6g, differences %.6g",
                 only ? only->name[0] : "the encoder", slope, want);
}

static void gradients_agree_with_differences(void **state)
{
    (void)state;
    world w;
    double of_encoder = 0;
    assert_true(world_open(&w, "ref", "f32"));
    w.batch->images = 1; /* enough, and faster */
    fb_selfie_pass pass = forward(&w, true);
    pass.loss->seed = 1;
    must(&w, fb_tape_backward(&w.tape, NULL, NULL, true));
    for (const fb_param *p = w.m->params->first; p; p = p->next) {
        if (strncmp(p->name[0], "image.encoder.", 14) == 0)
            of_encoder += slope_of(&w, p);
        else if (!strstr(p->name[0], "layer.0")) /* as layer 1 */
            check_slope(&w, p, slope_of(&w, p), 1e-3);
    }
    check_slope(&w, NULL, of_encoder, 1e-6);
    world_close(&w);
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
