/* test_scan_reference.c - SCAN and PFAN against PyTorch, from the dump of
 * tools/make_scan_dump.py: scores of all pairs, the hinge loss and every gradient, both
 * ways of asking, both ways of pooling; on every backend and dtype, on poison, and without
 * a gradient as validation computes them.
 */
#include "support/model_dump.h"

#include "backend/memory.h"
#include "models/pfan/pfan_system.h"
#include "models/scan/scan_system.h"
#include "support/poison_backend.h"

#include <stdlib.h>
#include <string.h>

enum { ITEMS = 5, TOKENS = 24, LONGEST = 6, SIZE = 8 };

static const char *const path = FB_TEST_DATA "/golden/scan/reference.safetensors";

static const struct {
    const char *name;
    fb_local_direction direction;
    bool lse, sum, pfan;
} cases[] = {{"t2i_avg", FB_LOCAL_T2I, false, false, false},
             {"t2i_lse", FB_LOCAL_T2I, true, false, false},
             {"i2t_avg", FB_LOCAL_I2T, false, false, false},
             {"i2t_lse", FB_LOCAL_I2T, true, false, false},
             {"both", FB_LOCAL_BOTH, false, false, false},
             {"sum", FB_LOCAL_T2I, false, true, false},
             {"pfan", FB_LOCAL_T2I, false, false, true},
             {"pfan_lse", FB_LOCAL_T2I, true, false, true}};
enum { CASES = sizeof cases / sizeof cases[0] };

static fb_model_config config_of(size_t k)
{
    fb_model_config c = {.layers = 1,
                         .width = 6,
                         .heads = 1,
                         .inner = 4,
                         .vocab = 20,
                         .positions = 8,
                         .segments = 2,
                         .init_std = 0.02,
                         .encoder = "pixels",
                         .image_size = SIZE,
                         .grid = 2,
                         .mean = {0.5, 0.4, 0.3},
                         .std = {0.2, 0.3, 0.25},
                         .max_text = 8,
                         .views = 1,
                         .alignment_weight = 1};
    fb_model_config_set_system(&c, cases[k].pfan ? &fb_pfan_system : &fb_scan_system);
    fb_pfan_config *own = (fb_pfan_config *)(void *)&c.own;
    own->local.direction = cases[k].direction;
    own->local.lse = cases[k].lse;
    own->local.word_width = 5;
    if (cases[k].pfan)
        own->position_width = 4;
    return c;
}

static void load_weights(model_dump *d, const char *prefix)
{
    for (fb_param *p = d->matcher->params->first; p; p = p->next)
        model_dump_numbers(d, prefix, p->name[0], d->matcher->params->value + p->offset,
                           p->rows * p->columns);
    fb_params_touch(d->matcher->params);
}

static void load_batch(model_dump *d)
{
    const fb_batch_limits limits = {ITEMS, ITEMS, ITEMS, TOKENS, 4, SIZE};
    int32_t ids[TOKENS], offsets[ITEMS + 1];
    const fb_stored_tensor *pixels = model_dump_entry(d, "batch/pixels");
    int64_t image = (int64_t)SIZE * SIZE * 3;
    assert_int_equal(pixels->count, ITEMS * image);
    assert_int_equal(fb_batch_create(d->ctx, &d->batch, &limits, LONGEST), FB_OK);
    model_dump_ints(d, "batch/token_ids", ids);
    model_dump_ints(d, "batch/text_offsets", offsets);
    fb_batch_clear(d->batch);
    for (int32_t i = 0; i < ITEMS; i++) {
        fb_batch_add_text(d->batch, ids + offsets[i], offsets[i + 1] - offsets[i]);
        memcpy(fb_batch_pixels(d->batch, i), (const uint8_t *)pixels->bytes + i * image,
               (size_t)image);
        fb_batch_add_image(d->batch);
        fb_batch_add_pair(d->batch, -1, i, i, 1);
    }
    fb_batch_pack(d->batch);
    model_dump_ints(d, "batch/text_group", d->batch->text_group);
    model_dump_ints(d, "batch/image_group", d->batch->image_group);
}

static void open_case(model_dump *d, size_t k, const char *backend, const char *dtype)
{
    fb_model_config c = config_of(k);
    *d = (model_dump){.ctx = fb_context_create(), .arena = fb_arena_create(1 << 20)};
    assert_int_equal(test_backend_create(d->ctx, &d->be, backend, dtype, 2), FB_OK);
    assert_int_equal(fb_safetensors_open(d->ctx, &d->file, path), FB_OK);
    assert_int_equal(fb_matcher_create(d->ctx, &d->matcher, &c, FB_MODEL_TRAIN), FB_OK);
    load_weights(d, cases[k].pfan ? "weight/pfan/" : "weight/scan/");
    assert_int_equal(fb_params_move(d->ctx, d->matcher->params, d->be), FB_OK);
    load_batch(d);
}

/* Gradients lie in the backend's memory. */
static void clear_gradients(model_dump *d)
{
    fb_params *p = d->matcher->params;
    size_t bytes = (size_t)p->trained * sizeof(float);
    assert_int_equal(d->be->m->fill(d->ctx, d->be, p->on.grad, 0, bytes), FB_OK);
}

static void compare_gradients(model_dump *d, const char *prefix, double tolerance)
{
    fb_params *p = d->matcher->params;
    size_t bytes = (size_t)p->trained * sizeof(float);
    float *host = malloc(bytes);
    assert_non_null(host);
    assert_int_equal(d->be->m->download(d->ctx, d->be, host, p->on.grad, bytes), FB_OK);
    assert_int_equal(d->be->m->finish(d->ctx, d->be), FB_OK);
    model_dump_compare_block(d, prefix, host, tolerance, NULL);
    free(host);
}

/* The loss of PyTorch is the sum over the batch, the one that is shown its mean. */
static void check_step(model_dump *d, size_t k, bool training, double tolerance)
{
    char prefix[32];
    float want, got;
    fb_tape tape = {0};
    fb_measures measures;
    const fb_local_step step = {.margin = 0.2f, .hardest = !cases[k].sum};
    const fb_system *s = d->matcher->system;
    strcat(strcpy(prefix, cases[k].name), "/");
    clear_gradients(d);
    fb_tape_begin(&tape, d->ctx, d->be, d->arena, training);
    assert_int_equal((training ? s->train_batch : s->losses)(
                         d->matcher, &tape, d->batch, &step, &measures),
                     FB_OK);
    model_dump_numbers(d, prefix, "loss", &want, 1);
    got = (float)measures.total * ITEMS;
    model_dump_compare("loss", &got, &want, 1, tolerance);
    if (training)
        compare_gradients(d, prefix, tolerance * 4);
    fb_arena_reset(d->arena);
}

static void check_scores(model_dump *d, size_t k, double tolerance)
{
    char name[32];
    fb_tape tape = {0};
    fb_local_pass pass;
    strcat(strcpy(name, cases[k].name), "/scores");
    fb_tape_begin(&tape, d->ctx, d->be, d->arena, false);
    assert_int_equal(
        fb_local_forward((fb_local_match *)d->matcher, &tape, d->batch, &pass), FB_OK);
    model_dump_compare_tensor(d, name, &pass.scores->value, tolerance);
    fb_arena_reset(d->arena);
}

/* Words and rows encoded alone, pairs listed in any number, give the same scores. */
static void check_tokens(model_dump *d, size_t k, double tolerance)
{
    static const int32_t text[] = {4, 0, 1, 2, 3, 4, 2, 0, 1, 2, 0, 1, 2},
                         image[] = {0, 1, 1, 1, 1, 1, 2, 3, 3, 3, 4, 4, 4};
    enum { COUNT = sizeof text / sizeof text[0] };
    char prefix[32];
    float words[TOKENS * 6], rows[ITEMS * 4 * 6], margins[COUNT], all[ITEMS * ITEMS];
    fb_tape tape = {0};
    const fb_system *s = d->matcher->system;
    strcat(strcpy(prefix, cases[k].name), "/");
    assert_int_equal(s->token_width(d->matcher), 6);
    fb_tape_begin(&tape, d->ctx, d->be, d->arena, false);
    assert_int_equal(s->tokens(d->matcher, &tape, d->batch, words, rows), FB_OK);
    const fb_token_pairs p = {
        words, rows, ITEMS, ITEMS, d->batch->text_offsets, d->batch->image_offsets,
        COUNT, text, image};
    assert_int_equal(s->score_tokens(d->matcher, &tape, &p, margins), FB_OK);
    model_dump_numbers(d, prefix, "scores", all, ITEMS * ITEMS);
    for (int i = 0; i < COUNT; i++)
        model_dump_compare("margin", margins + i, all + image[i] * ITEMS + text[i], 1,
                           tolerance);
    fb_arena_reset(d->arena);
}

static void check_all(const char *backend, const char *dtype, double tolerance)
{
    for (size_t k = 0; k < CASES; k++) {
        model_dump d;
        open_case(&d, k, backend, dtype);
        check_scores(&d, k, tolerance);
        check_tokens(&d, k, tolerance);
        check_step(&d, k, true, tolerance);
        check_step(&d, k, false, tolerance);
        model_dump_close(&d);
    }
}

static void ref_equals_pytorch(void **state)
{
    (void)state;
    check_all("ref", "f32", 2e-5);
}

/* Nobody above backend/ reaches into its memory. */
static void poison_equals_pytorch(void **state)
{
    (void)state;
    for (size_t k = 0; k < CASES; k++) {
        model_dump d;
        open_case(&d, k, "poison", "f32");
        check_tokens(&d, k, 2e-5);
        check_step(&d, k, true, 2e-5);
        check_step(&d, k, false, 2e-5);
        model_dump_close(&d);
    }
}

static void cpu_f32_equals_pytorch(void **state)
{
    (void)state;
    check_all("cpu", "f32", 3e-5);
}

/* Of bf16 the scores: which negative is the hardest, and so the gradients, may differ. */
static void cpu_bf16_follows_pytorch(void **state)
{
    (void)state;
    if (!fb_backend_cpu_has_bf16())
        skip();
    for (size_t k = 0; k < CASES; k++) {
        model_dump d;
        open_case(&d, k, "cpu", "bf16");
        check_scores(&d, k, 5e-2);
        check_tokens(&d, k, 5e-2);
        model_dump_close(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ref_equals_pytorch),
        cmocka_unit_test(poison_equals_pytorch),
        cmocka_unit_test(cpu_f32_equals_pytorch),
        cmocka_unit_test(cpu_bf16_follows_pytorch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
