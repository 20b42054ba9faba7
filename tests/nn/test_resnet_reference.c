/* test_resnet_reference.c - residual networks against torchvision, from the dump of
 * tools/make_resnet_dump.py: every stage's map, running statistics, every gradient.
 *
 * The dump was computed in f64 and holds no weights: both sides make them, and the
 * pixels, from hashes of (name, place). Of a tensor it holds spread places, channels
 * last, and sums. Errors are relative to a tensor's root mean square.
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

#include "nn/encoders/resnet.h"
#include "nn/safetensors.h"
#include "support/hashed_weights.h"

static const char *const dump_path =
    FB_TEST_DATA "/golden/resnet/reference.safetensors";
static const char prefix[] = "image.resnet.";

enum { IMAGES = 2, EVAL_SIZE = 64, TRAIN_SIZE = 40 };
enum { MAP_PLACES = 64, GRAD_PLACES = 16, RUNNING_PLACES = 4 };

/* Bottlenecks with groups, small enough for plain loops. */
static const fb_resnet_spec grouped = {
    "grouped", true, 4, 16, 3, 2, 16, true, 2, {{1, 16, 1}, {2, 32, 2}}, false};

typedef struct world {
    fb_context *ctx;
    fb_backend *be;
    fb_safetensors *dump;
    fb_params *params;
    fb_resnet *net;
    fb_arena *arena;
    fb_tape tape;
    double tolerance;
} world;

static const fb_resnet_spec *spec_of(const char *name)
{
    const fb_encoder *row = fb_encoder_find(name);
    assert_non_null(row);
    return row->spec;
}

static void world_open(world *w, const fb_resnet_spec *spec, const char *backend,
                       const char *dtype, double tolerance)
{
    *w = (world){.ctx = fb_context_create(),
                 .arena = fb_arena_create(1 << 20),
                 .net = malloc(sizeof(fb_resnet)),
                 .tolerance = tolerance};
    assert_non_null(w->net);
    assert_int_equal(fb_backend_create(w->ctx, &w->be, backend, dtype, 2), FB_OK);
    assert_int_equal(fb_safetensors_open(w->ctx, &w->dump, dump_path), FB_OK);
    assert_int_equal(fb_params_create(w->ctx, &w->params), FB_OK);
    assert_int_equal(fb_resnet_declare(w->params, w->net, "image.resnet", spec), FB_OK);
}

static void world_close(world *w)
{
    fb_resnet_free(w->net, w->be);
    fb_params_free(w->params, w->be);
    fb_safetensors_close(w->dump);
    fb_arena_free(w->arena);
    fb_backend_free(w->be);
    fb_context_free(w->ctx);
    free(w->net);
}

static void check_status(const world *w, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s: %s", w->net->spec.name, fb_context_message(w->ctx));
}

/* A fresh tape and the pictures, normalised. */
static fb_var *start(world *w, bool recording, int32_t size)
{
    uint8_t pixels[IMAGES * EVAL_SIZE * EVAL_SIZE * 3];
    fill_pixels(pixels, "pixels17", (int64_t)IMAGES * size * size * 3);
    const fb_patchify patchify = {
        IMAGES, size, size, {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}, NULL};
    fb_var *x;
    fb_arena_reset(w->arena);
    fb_tape_begin(&w->tape, w->ctx, w->be, w->arena, recording);
    check_status(w, fb_op_patchify(&w->tape, &x, pixels, &patchify));
    return x;
}

/* ---- comparing ------------------------------------------------------------------ */

static void read_dump(const world *w, float *out, int64_t count, const char *kind,
                      const char *name)
{
    char full[160];
    snprintf(full, sizeof full, "%s/%s/%s", w->net->spec.name, kind, name);
    const fb_stored_tensor *t = fb_safetensors_find(w->dump, full);
    if (!t)
        fail_msg("the dump has no %s", full);
    else
        assert_int_equal(t->count, count);
    assert_int_equal(fb_safetensors_to_f32(w->ctx, t, out), FB_OK);
}

/* place -1: the norm of all */
static void near(const world *w, const char *what, int64_t place, double got,
                 double want, double scale)
{
    if (!(fabs(got - want) <= w->tolerance * (fabs(want) + scale)))
        fail_msg("%s on %s %s: %s[%lld] is %.9g, torchvision has %.9g",
                 w->net->spec.name, w->be->name, fb_dtype_name(w->be->dtype), what,
                 (long long)place, got, want);
}

static double number(const fb_tensor *t, int64_t i)
{
    return t->dtype == FB_F32 ? (double)((const float *)t->data)[i]
                              : (double)fb_bf16_to_f32(((const fb_bf16 *)t->data)[i]);
}

static void compare_places(const world *w, const char *what, const fb_tensor *t,
                           const float *want, int64_t places, double scale)
{
    int64_t count = fb_tensor_count(t);
    for (int64_t i = 0; i < places; i++) {
        int64_t at = i * (count - 1) / (places - 1);
        near(w, what, at, number(t, at), (double)want[i], scale);
    }
}

static void compare_maps(const world *w, const char *kind, fb_var *const *maps)
{
    for (int32_t s = 0; s <= w->net->spec.stages; s++) {
        float want[MAP_PLACES + 2];
        char name[16];
        const fb_tensor *t = &maps[s]->value;
        int64_t count = fb_tensor_count(t);
        double sum = 0, squares = 0;
        snprintf(name, sizeof name, "%d", (int)s);
        read_dump(w, want, MAP_PLACES + 2, kind, name);
        double scale = (double)want[MAP_PLACES + 1];
        compare_places(w, kind, t, want, MAP_PLACES, scale);
        for (int64_t i = 0; i < count; i++) {
            sum += number(t, i);
            squares += number(t, i) * number(t, i);
        }
        near(w, "mean", s, sum / (double)count, (double)want[MAP_PLACES], scale);
        near(w, "rms", s, sqrt(squares / (double)count), scale, scale);
    }
}

/* In bf16 some ReLUs open that are shut in f64 and send a gradient elsewhere: single
 * numbers may be far off. All samples together, as a fraction of their size, may not.
 */
static void compare_gradients(const world *w)
{
    bool exact = w->be->dtype == FB_F32;
    double errors = 0, sizes = 0;
    for (const fb_param *p = w->params->first; p; p = p->next) {
        float want[GRAD_PLACES + 1];
        int64_t count = p->rows * p->columns;
        fb_tensor got = fb_tensor_1d(p->leaf.grad, FB_F32, count);
        double squares = 0;
        read_dump(w, want, GRAD_PLACES + 1, "grad", p->name[0] + strlen(prefix));
        double norm = (double)want[GRAD_PLACES], scale = norm / sqrt((double)count);
        if (exact)
            compare_places(w, p->name[0], &got, want, GRAD_PLACES, scale);
        for (int64_t i = 0; i < GRAD_PLACES; i++) {
            double g = number(&got, i * (count - 1) / (GRAD_PLACES - 1));
            errors += pow((g - (double)want[i]) / scale, 2);
            sizes += pow((double)want[i] / scale, 2);
        }
        for (int64_t i = 0; i < count; i++)
            squares += number(&got, i) * number(&got, i);
        near(w, p->name[0], -1, sqrt(squares), norm, 0);
    }
    near(w, "error of all gradients", 0, sqrt(errors / sizes), 0, exact ? 1 : 3);
}

static void compare_running(const world *w)
{
    for (const fb_buffer *b = w->params->first_buffer; b; b = b->next) {
        float want[RUNNING_PLACES];
        fb_tensor got = fb_tensor_1d(*b->value, FB_F32, b->count);
        read_dump(w, want, RUNNING_PLACES, "running", b->name + strlen(prefix));
        compare_places(w, b->name, &got, want, RUNNING_PLACES, 0.1);
    }
}

/* ---- checks --------------------------------------------------------------------- */

static void check_maps(world *w, bool recording, fb_encoder_mode mode, const char *kind)
{
    fb_var *y, *maps[FB_RESNET_STAGES + 1];
    fb_var *x = start(w, recording, EVAL_SIZE);
    check_status(w, fb_resnet_forward(&w->tape, &y, w->net,
                                      &(fb_pictures){x, IMAGES, EVAL_SIZE, EVAL_SIZE},
                                      mode, maps));
    assert_ptr_equal(y, maps[w->net->spec.stages]);
    compare_maps(w, kind, maps);
}

static void check_folded(const fb_resnet_spec *spec, const char *backend,
                         const char *dtype, double tolerance)
{
    world w;
    world_open(&w, spec, backend, dtype, tolerance);
    assert_int_equal(fb_params_allocate(w.params, false), FB_OK);
    fill_parameters(w.params, strlen(prefix));
    check_maps(&w, false, FB_ENCODER_FROZEN, "eval");
    world_close(&w);
}

/* Unfolded running statistics; then a training step: maps, gradients, statistics; and
 * folded again, from the statistics that the step moved. */
static void check_training(const fb_resnet_spec *spec, const char *backend,
                           const char *dtype, double tolerance, double grad_factor)
{
    world w;
    world_open(&w, spec, backend, dtype, tolerance);
    assert_int_equal(fb_params_allocate(w.params, true), FB_OK);
    fill_parameters(w.params, strlen(prefix));
    check_maps(&w, true, FB_ENCODER_TUNE, "eval");
    check_maps(&w, true, FB_ENCODER_FROZEN, "eval");

    fb_var *y, *maps[FB_RESNET_STAGES + 1];
    fb_var *x = start(&w, true, TRAIN_SIZE);
    check_status(&w,
                 fb_resnet_forward(&w.tape, &y, w.net,
                                   &(fb_pictures){x, IMAGES, TRAIN_SIZE, TRAIN_SIZE},
                                   FB_ENCODER_TRAIN, maps));
    compare_maps(&w, "train", maps);
    compare_running(&w);
    y->grad =
        fb_tensor_new(w.arena, y->value.dtype, y->value.dims[0], y->value.dims[1]);
    for (int64_t i = 0; i < fb_tensor_count(&y->grad); i++) {
        float r = (float)hashed(key_of("loss"), i);
        if (y->grad.dtype == FB_F32)
            ((float *)y->grad.data)[i] = r;
        else
            ((fb_bf16 *)y->grad.data)[i] = fb_bf16_from_f32(r);
    }
    check_status(&w, fb_tape_backward(&w.tape, NULL, NULL, true));
    w.tolerance *= grad_factor;
    compare_gradients(&w);
    world_close(&w);
}

static void small_networks_train_as_in_torchvision_on_ref(void **state)
{
    (void)state;
    check_folded(&grouped, "ref", "f32", 1e-5);
    check_training(&grouped, "ref", "f32", 1e-5, 10);
    check_training(spec_of("thin"), "ref", "f32", 1e-5, 10);
}

static void small_networks_train_as_in_torchvision_on_cpu(void **state)
{
    (void)state;
    check_training(&grouped, "cpu", "f32", 1e-5, 10);
    check_training(spec_of("thin"), "cpu", "f32", 1e-5, 10);
}

static void resnet18_trains_as_in_torchvision(void **state)
{
    (void)state;
    check_training(spec_of("resnet18"), "cpu", "f32", 5e-5, 4);
}

static void resnet18_on_ref_equals_torchvision(void **state)
{
    (void)state;
    check_folded(spec_of("resnet18"), "ref", "f32", 1e-5);
}

static void every_network_equals_torchvision(void **state)
{
    (void)state;
    static const char *const names[] = {"resnet18",  "resnet34",  "resnet50",
                                        "resnet101", "resnet152", "resnext101"};
    for (int i = 0; i < 6; i++)
        check_folded(spec_of(names[i]), "cpu", "f32", 5e-5);
}

static void bf16_follows_torchvision(void **state)
{
    (void)state;
    if (!fb_backend_cpu_has_bf16())
        skip();
    check_folded(spec_of("resnet50"), "cpu", "bf16", 0.05);
    check_training(spec_of("thin"), "cpu", "bf16", 0.05, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_networks_train_as_in_torchvision_on_ref),
        cmocka_unit_test(small_networks_train_as_in_torchvision_on_cpu),
        cmocka_unit_test(resnet18_trains_as_in_torchvision),
        cmocka_unit_test(resnet18_on_ref_equals_torchvision),
        cmocka_unit_test(every_network_equals_torchvision),
        cmocka_unit_test(bf16_follows_torchvision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
