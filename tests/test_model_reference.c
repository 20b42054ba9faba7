/* test_model_reference.c - the whole model against PyTorch, from the dump of
 * tools/make_model_dump.py: activations, losses, every gradient, gradient norms, and
 * ten training steps; on every backend and dtype.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/fashionbert_model.h"
#include "nn/optimizer.h"
#include "nn/safetensors.h"

#define assert_near(a, b, tolerance)                                                   \
    assert_true(fabs((double)(a) - (double)(b)) <= (tolerance))

static const char *const dump_path = FB_TEST_DATA "/golden/model/reference.safetensors";

typedef struct world {
    fb_context *ctx;
    fb_backend *be;
    fb_safetensors *dump;
    fb_matcher *matcher;
    fb_batch *batch;
    fb_arena *arena;
} world;

static const fb_stored_tensor *entry(const world *w, const char *name)
{
    const fb_stored_tensor *t = fb_safetensors_find(w->dump, name);
    if (!t)
        fail_msg("the dump has no %s", name);
    return t;
}

static void copy_ints(const world *w, const char *name, int32_t *out)
{
    const fb_stored_tensor *t = entry(w, name);
    assert_string_equal(t->dtype, "I32");
    memcpy(out, t->bytes, (size_t)t->count * 4);
}

static fb_model_config dump_config(void)
{
    return (fb_model_config){.layers = 2,
                             .width = 32,
                             .heads = 4,
                             .inner = 64,
                             .vocab = 50,
                             .positions = 12,
                             .segments = 2,
                             .eps = 1e-12,
                             .init_std = 0.02,
                             .encoder = "pixels",
                             .image_size = 16,
                             .grid = 2,
                             .mean = {0.485, 0.456, 0.406},
                             .std = {0.229, 0.224, 0.225},
                             .max_text = 12};
}

static void load_batch(world *w)
{
    const fb_batch_limits limits = {4, 3, 3, 14, 4, 16};
    assert_int_equal(fb_batch_create(w->ctx, &w->batch, &limits, 7), FB_OK);
    fb_batch *b = w->batch;
    int32_t pairs[12];
    b->texts = b->images = 3;
    b->pairs = 4;
    copy_ints(w, "batch/text_offsets", b->text_offsets);
    copy_ints(w, "batch/token_ids", b->token_ids);
    for (int32_t t = 0; t < 3; t++)
        for (int32_t i = b->text_offsets[t]; i < b->text_offsets[t + 1]; i++) {
            b->token_positions[i] = i - b->text_offsets[t];
            b->token_segments[i] = 0;
        }
    memcpy(b->pixels, entry(w, "batch/pixels")->bytes, 3 * 16 * 16 * 3);
    memcpy(b->patch_masked, entry(w, "batch/patch_masked")->bytes, 12);
    copy_ints(w, "batch/pairs", pairs);
    for (int i = 0; i < 4; i++) {
        b->pair_text[i] = pairs[i * 3];
        b->pair_image[i] = pairs[i * 3 + 1];
        b->pair_label[i] = pairs[i * 3 + 2];
    }
    fb_batch_pack(b);
    b->mlm_count = (int32_t)entry(w, "batch/mlm_rows")->count;
    b->mpm_count = (int32_t)entry(w, "batch/mpm_rows")->count;
    copy_ints(w, "batch/mlm_rows", b->mlm_rows);
    copy_ints(w, "batch/mlm_targets", b->mlm_targets);
    copy_ints(w, "batch/mpm_rows", b->mpm_rows);
    copy_ints(w, "batch/mpm_patches", b->mpm_patches);
}

static void read_numbers(const world *w, const char *prefix, const char *name,
                         float *out, int64_t count)
{
    char full[160];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const fb_stored_tensor *t = entry(w, full);
    assert_int_equal(t->count, count);
    assert_int_equal(fb_safetensors_to_f32(w->ctx, t, out), FB_OK);
}

static void load_weights(world *w)
{
    for (fb_param *p = w->matcher->params->first; p; p = p->next)
        for (int32_t i = 0; i < p->parts; i++) {
            int64_t count = p->rows / p->parts * p->columns;
            read_numbers(w, "weight/", p->name[i],
                         w->matcher->params->value + p->offset + i * count, count);
        }
    fb_params_touch(w->matcher->params);
}

static void world_open(world *w, const char *backend, const char *dtype)
{
    *w = (world){.ctx = fb_context_create(), .arena = fb_arena_create(1 << 20)};
    fb_model_config config = dump_config();
    assert_int_equal(fb_backend_create(w->ctx, &w->be, backend, dtype, 2), FB_OK);
    assert_int_equal(fb_safetensors_open(w->ctx, &w->dump, dump_path), FB_OK);
    assert_int_equal(
        fb_fashionbert_create(w->ctx, &w->matcher, &config, FB_MODEL_TRAIN), FB_OK);
    load_batch(w);
    load_weights(w);
}

static void world_close(world *w)
{
    w->matcher->kind->free(w->matcher, w->be);
    fb_batch_free(w->batch);
    fb_safetensors_close(w->dump);
    fb_arena_free(w->arena);
    fb_backend_free(w->be);
    fb_context_free(w->ctx);
}

/* |got - want| <= tolerance * (largest |want| + least), for every number. */
static void compare_above(const char *what, const float *got, const float *want,
                          int64_t count, double tolerance, double least)
{
    double largest = 0;
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)want[i]));
    for (int64_t i = 0; i < count; i++) {
        double error = fabs((double)got[i] - (double)want[i]);
        if (!(error <= tolerance * (largest + least)))
            fail_msg("%s[%lld] is %.9g, PyTorch has %.9g (largest %.3g)", what,
                     (long long)i, (double)got[i], (double)want[i], largest);
    }
}

static void compare(const char *what, const float *got, const float *want,
                    int64_t count, double tolerance)
{
    compare_above(what, got, want, count, tolerance, 1e-3);
}

static void compare_var(const world *w, const char *name, const fb_var *var,
                        double tolerance)
{
    int64_t count = fb_tensor_count(&var->value);
    float *want = malloc((size_t)count * 4), *got = malloc((size_t)count * 4);
    read_numbers(w, "", name, want, count);
    for (int64_t i = 0; i < count; i++)
        got[i] = var->value.dtype == FB_F32
                     ? ((const float *)var->value.data)[i]
                     : fb_bf16_to_f32(((const fb_bf16 *)var->value.data)[i]);
    compare(name, got, want, count, tolerance);
    free(got);
    free(want);
}

/* A key's bias moves all scores of a query alike, so its gradient is 0 but for
 * rounding: gradients get a floor, and AdamW, which makes steps of any size out of
 * rounding, leaves nothing there to compare. */
static bool is_key_bias(const char *name)
{
    return strstr(name, "self.key.bias") != NULL;
}

static void compare_block(const world *w, const char *prefix, const float *block,
                          double tolerance)
{
    bool after = strcmp(prefix, "after/") == 0;
    for (const fb_param *p = w->matcher->params->first; p; p = p->next)
        for (int32_t i = 0; i < p->parts; i++) {
            if (after && is_key_bias(p->name[i]))
                continue;
            int64_t count = p->rows / p->parts * p->columns;
            float *want = malloc((size_t)count * 4);
            read_numbers(w, prefix, p->name[i], want, count);
            compare_above(p->name[i], block + p->offset + i * count, want, count,
                          tolerance, 0.02);
            free(want);
        }
}

static const bool all_losses[FB_LOSSES] = {true, true, true};

static void check_forward_and_gradients(const char *backend, const char *dtype,
                                        double tolerance)
{
    world w;
    world_open(&w, backend, dtype);
    fb_tape tape = {0};
    fb_fashionbert_pass pass;
    fb_tape_begin(&tape, w.ctx, w.be, w.arena, true);
    assert_int_equal(fb_fashionbert_forward((fb_fashionbert *)w.matcher, &tape, w.batch,
                                            all_losses, true, &pass),
                     FB_OK);
    compare_var(&w, "features", pass.features, tolerance);
    compare_var(&w, "text", pass.text, tolerance);
    compare_var(&w, "patches", pass.patches, tolerance);
    compare_var(&w, "hidden", pass.hidden, tolerance);
    compare_var(&w, "logits/mlm", pass.logits[FB_LOSS_MLM], tolerance);
    compare_var(&w, "logits/tia", pass.logits[FB_LOSS_TIA], tolerance);
    compare_var(&w, "logits/mpm", pass.logits[FB_LOSS_MPM], tolerance);
    float want[3], got[3];
    read_numbers(&w, "", "losses", want, 3);
    for (int i = 0; i < 3; i++)
        got[i] = (float)pass.loss[i]->value;
    compare("losses", got, want, 3, tolerance);

    fb_loss_options fixed = {.enabled = {true, true, true}, .mode = FB_ADAPTIVE_FIXED};
    fb_step_losses losses;
    fb_arena_reset(w.arena);
    fb_tape_begin(&tape, w.ctx, w.be, w.arena, true);
    assert_int_equal(
        w.matcher->kind->train_batch(w.matcher, &tape, w.batch, &fixed, &losses),
        FB_OK);
    compare_block(&w, "grad/", w.matcher->params->grad, tolerance * 4);
    world_close(&w);
}

static void check_norms(const char *backend, const char *dtype, double tolerance)
{
    static const char *const names[2] = {"output", "shared"};
    for (int shared = 0; shared < 2; shared++) {
        world w;
        world_open(&w, backend, dtype);
        fb_tape tape = {0};
        fb_loss_options options = {.enabled = {true, true, true},
                                   .mode = FB_ADAPTIVE_GRADIENT,
                                   .detach = false,
                                   .shared_norms = shared == 1};
        fb_step_losses losses;
        fb_tape_begin(&tape, w.ctx, w.be, w.arena, true);
        assert_int_equal(
            w.matcher->kind->train_batch(w.matcher, &tape, w.batch, &options, &losses),
            FB_OK);
        float want[3], got[3];
        double sum = 0, weights = 0;
        read_numbers(&w, "norms/", names[shared], want, 3);
        for (int i = 0; i < 3; i++) {
            got[i] = (float)losses.squared_norm[i];
            sum += losses.squared_norm[i];
        }
        compare(names[shared], got, want, 3, tolerance);
        for (int i = 0; i < 3; i++)
            weights += 1 / (3 - losses.squared_norm[i] / sum);
        for (int i = 0; i < 3; i++)
            assert_near(losses.weight[i],
                        1 / (3 - losses.squared_norm[i] / sum) / weights, 1e-6);
        world_close(&w);
    }
}

static void check_ten_steps(const char *backend, const char *dtype, double tolerance)
{
    world w;
    world_open(&w, backend, dtype);
    fb_loss_options official = {.enabled = {true, true, true},
                                .mode = FB_ADAPTIVE_SOFTMAX};
    fb_optimizer_options adamw = {1e-2, 0.9, 0.98, 1e-8, 0.1, 1.0, 0.0};
    float want[30], got[30];
    read_numbers(&w, "", "steps/losses", want, 30);
    for (int64_t s = 0; s < 10; s++) {
        fb_tape tape = {0};
        fb_step_losses losses;
        double norm, lr;
        fb_arena_reset(w.arena);
        fb_tape_begin(&tape, w.ctx, w.be, w.arena, true);
        assert_int_equal(
            w.matcher->kind->train_batch(w.matcher, &tape, w.batch, &official, &losses),
            FB_OK);
        assert_int_equal(fb_optimizer_step(w.matcher->params, w.be, &adamw, s,
                                           1000000000000, 1.0f, &norm, &lr),
                         FB_OK);
        for (int i = 0; i < 3; i++)
            got[s * 3 + i] = (float)losses.loss[i];
    }
    compare("losses of ten steps", got, want, 30, tolerance);
    if (strcmp(dtype, "f32") == 0)
        compare_block(&w, "after/", w.matcher->params->value, tolerance * 4);
    world_close(&w);
}

static void ref_equals_pytorch(void **state)
{
    (void)state;
    check_forward_and_gradients("ref", "f32", 2e-5);
    check_norms("ref", "f32", 1e-4);
    check_ten_steps("ref", "f32", 1e-3);
}

static void cpu_f32_equals_pytorch(void **state)
{
    (void)state;
    check_forward_and_gradients("cpu", "f32", 2e-5);
    check_norms("cpu", "f32", 1e-4);
    check_ten_steps("cpu", "f32", 1e-3);
}

static void cpu_bf16_follows_pytorch(void **state)
{
    (void)state;
    if (!fb_backend_cpu_has_bf16())
        skip();
    check_forward_and_gradients("cpu", "bf16", 0.03);
    check_norms("cpu", "bf16", 0.1);
    check_ten_steps("cpu", "bf16", 0.05);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ref_equals_pytorch),
        cmocka_unit_test(cpu_f32_equals_pytorch),
        cmocka_unit_test(cpu_bf16_follows_pytorch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
