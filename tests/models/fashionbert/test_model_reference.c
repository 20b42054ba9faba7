/* test_model_reference.c - the whole model against PyTorch, from the dump of
 * tools/make_model_dump.py: activations, losses, every gradient, gradient norms, and
 * ten training steps; on every backend and dtype.
 */
#include <math.h>
#include <string.h>

#include "models/fashionbert/fashionbert_parts.h"
#include "nn/optimizer.h"
#include "support/model_dump.h"
#include "support/step_numbers.h"

#define assert_near(a, b, tolerance)                                                   \
    assert_true(fabs((double)(a) - (double)(b)) <= (tolerance))

static const char *const dump_path = FB_TEST_DATA "/golden/model/reference.safetensors";

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

static void world_open(model_dump *w, const char *backend, const char *dtype)
{
    const fb_batch_limits limits = {4, 3, 3, 14, 4, 16};
    fb_model_config config = dump_config();
    int32_t pairs[12];
    model_dump_open(w, dump_path, &config, backend, dtype);
    assert_int_equal(fb_batch_create(w->ctx, &w->batch, &limits, 7), FB_OK);
    fb_batch *b = w->batch;
    b->texts = b->images = 3;
    b->pairs = 4;
    model_dump_fill(w);
    model_dump_ints(w, "batch/pairs", pairs);
    for (int i = 0; i < 4; i++) {
        b->pair_text[i] = pairs[i * 3];
        b->pair_image[i] = pairs[i * 3 + 1];
        b->pair_label[i] = pairs[i * 3 + 2];
    }
    fb_batch_pack(b);
}

static const bool all_losses[FB_LOSSES] = {true, true, true};

static void check_forward_and_gradients(const char *backend, const char *dtype,
                                        double tolerance)
{
    model_dump w;
    world_open(&w, backend, dtype);
    fb_tape tape = {0};
    fb_fashionbert_pass pass;
    fb_tape_begin(&tape, w.ctx, w.be, w.arena, true);
    assert_int_equal(fb_fashionbert_forward((fb_fashionbert *)w.matcher, &tape, w.batch,
                                            all_losses, true, &pass),
                     FB_OK);
    model_dump_compare_tensor(&w, "features", &pass.features->value, tolerance);
    model_dump_compare_tensor(&w, "text", &pass.text->value, tolerance);
    model_dump_compare_tensor(&w, "patches", &pass.patches->value, tolerance);
    model_dump_compare_rows(&w, "hidden", &pass.hidden->value, pass.read.picked.rows,
                            tolerance);
    model_dump_compare_tensor(&w, "logits/mlm", &pass.logits[FB_LOSS_MLM]->value,
                              tolerance);
    model_dump_compare_tensor(&w, "logits/tia", &pass.logits[FB_LOSS_TIA]->value,
                              tolerance);
    model_dump_compare_tensor(&w, "logits/mpm", &pass.logits[FB_LOSS_MPM]->value,
                              tolerance);
    float want[3], got[3];
    model_dump_numbers(&w, "", "losses", want, 3);
    for (int i = 0; i < 3; i++)
        got[i] = (float)pass.loss[i]->value;
    model_dump_compare("losses", got, want, 3, tolerance);

    fb_loss_options fixed = {.enabled = {true, true, true}, .mode = FB_ADAPTIVE_FIXED};
    fb_measures measures;
    fb_arena_reset(w.arena);
    fb_tape_begin(&tape, w.ctx, w.be, w.arena, true);
    assert_int_equal(
        w.matcher->system->train_batch(w.matcher, &tape, w.batch, &fixed, &measures),
        FB_OK);
    model_dump_compare_block(&w, "grad/", w.matcher->params->grad, tolerance * 4, NULL);
    model_dump_close(&w);
}

static void check_norms(const char *backend, const char *dtype, double tolerance)
{
    static const char *const names[2] = {"output", "shared"};
    for (int shared = 0; shared < 2; shared++) {
        model_dump w;
        world_open(&w, backend, dtype);
        fb_tape tape = {0};
        fb_loss_options options = {.enabled = {true, true, true},
                                   .mode = FB_ADAPTIVE_GRADIENT,
                                   .detach = false,
                                   .shared_norms = shared == 1};
        fb_fashionbert *m = (fb_fashionbert *)w.matcher;
        fb_fashionbert_pass pass;
        fb_pass_losses losses;
        fb_tape_begin(&tape, w.ctx, w.be, w.arena, true);
        assert_int_equal(
            fb_fashionbert_forward_training(m, &tape, w.batch, &options, &pass), FB_OK);
        assert_int_equal(fb_fashionbert_record(&tape, &pass, &losses), FB_OK);
        assert_int_equal(fb_fashionbert_weigh(m, &tape, &pass, &options, &losses),
                         FB_OK);
        float want[3], got[3];
        double sum = 0, weights = 0;
        model_dump_numbers(&w, "norms/", names[shared], want, 3);
        for (int i = 0; i < 3; i++) {
            got[i] = (float)losses.squared_norm[i];
            sum += losses.squared_norm[i];
        }
        model_dump_compare(names[shared], got, want, 3, tolerance);
        for (int i = 0; i < 3; i++)
            weights += 1 / (3 - losses.squared_norm[i] / sum);
        for (int i = 0; i < 3; i++)
            assert_near(losses.weight[i],
                        1 / (3 - losses.squared_norm[i] / sum) / weights, 1e-6);
        model_dump_close(&w);
    }
}

static void check_ten_steps(const char *backend, const char *dtype, double tolerance)
{
    model_dump w;
    world_open(&w, backend, dtype);
    fb_loss_options official = {.enabled = {true, true, true},
                                .mode = FB_ADAPTIVE_SOFTMAX};
    fb_optimizer_options adamw = {1e-2, 0.9, 0.98, 1e-8, 0.1, 1.0, 0.0};
    float want[30], got[30];
    model_dump_numbers(&w, "", "steps/losses", want, 30);
    for (int64_t s = 0; s < 10; s++) {
        fb_tape tape = {0};
        fb_measures measures;
        fb_optimizer_figures figures;
        fb_arena_reset(w.arena);
        fb_tape_begin(&tape, w.ctx, w.be, w.arena, true);
        assert_int_equal(w.matcher->system->train_batch(w.matcher, &tape, w.batch,
                                                        &official, &measures),
                         FB_OK);
        assert_int_equal(fb_optimizer_step(w.ctx, w.matcher->params, w.be, &adamw, s,
                                           1000000000000, 1.0f, &figures),
                         FB_OK);
        for (int i = 0; i < 3; i++)
            got[s * 3 + i] = (float)step_numbers_of(&measures).loss[i];
    }
    model_dump_compare("losses of ten steps", got, want, 30, tolerance);
    /* AdamW makes steps of any size out of the rounding of a gradient of 0. */
    if (strcmp(dtype, "f32") == 0)
        model_dump_compare_block(&w, "after/", w.matcher->params->value, tolerance * 4,
                                 "self.key.bias");
    model_dump_close(&w);
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
