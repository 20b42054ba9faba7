/* test_vse_reference.c - VSE and VSE++ against PyTorch, from the dump of
 * tools/make_vse_dump.py: vectors, the loss and every gradient, on every backend and
 * dtype. In the batch two items are one text and two one product.
 */
#include <string.h>

#include "models/vse/vse.h"
#include "support/model_dump.h"

enum { ITEMS = 5, PATCHES = 4, SIZE = 8, E = 9, D = 6 };

static const char *const path = FB_TEST_DATA "/golden/vse/reference.safetensors";

static fb_model_config config_of(const fb_system *system)
{
    fb_model_config c = {.layers = 1,
                         .width = 8,
                         .heads = 1,
                         .inner = 8,
                         .vocab = 30,
                         .positions = 8,
                         .segments = 2,
                         .eps = 1e-12,
                         .init_std = 0.02,
                         .encoder = "pixels",
                         .image_size = SIZE,
                         .grid = 2,
                         .mean = {0.485, 0.456, 0.406},
                         .std = {0.229, 0.224, 0.225},
                         .max_text = 8,
                         .vector = D,
                         .views = 1,
                         .score = FB_SCORE_ITC,
                         .similarity_weight = 1};
    fb_model_config_set_system(&c, system);
    ((fb_vse_config *)(void *)&c.own)->words = E;
    return c;
}

static void open_items(model_dump *d, const fb_system *system, const char *backend,
                       const char *dtype)
{
    const fb_batch_limits limits = {ITEMS, ITEMS, ITEMS, 23, PATCHES, SIZE};
    const fb_model_config c = config_of(system);
    model_dump_open(d, path, &c, backend, dtype);
    assert_int_equal(fb_batch_create(d->ctx, &d->batch, &limits, 6), FB_OK);
    fb_batch *b = d->batch;
    b->texts = b->images = b->pairs = ITEMS;
    model_dump_fill(d);
    model_dump_ints(d, "batch/text_group", b->text_group);
    model_dump_ints(d, "batch/image_group", b->image_group);
    for (int32_t i = 0; i < ITEMS; i++) {
        b->pair_text[i] = b->pair_image[i] = i;
        b->pair_label[i] = 1;
    }
    fb_batch_pack(b);
}

static void check_vectors(model_dump *d, double tolerance)
{
    fb_tape tape = {0};
    float texts[ITEMS * D], images[ITEMS * D];
    fb_tape_begin(&tape, d->ctx, d->be, d->arena, false);
    assert_int_equal(
        d->matcher->system->vectors(d->matcher, &tape, d->batch, texts, images), FB_OK);
    fb_tensor t = fb_tensor_2d(texts, FB_F32, ITEMS, D);
    model_dump_compare_tensor(d, "text_vectors", &t, tolerance);
    t.data = images;
    model_dump_compare_tensor(d, "image_vectors", &t, tolerance);
    fb_arena_reset(d->arena);
}

static void check_step(model_dump *d, double tolerance)
{
    fb_tape tape = {0};
    fb_measures measures, again;
    fb_params *params = d->matcher->params;
    char name[32];
    const fb_vse_step step = {d->matcher->system == &fb_vsepp_system, 0.2f};
    fb_tape_begin(&tape, d->ctx, d->be, d->arena, true);
    assert_int_equal(
        d->matcher->system->train_batch(d->matcher, &tape, d->batch, &step, &measures),
        FB_OK);
    float want, got = (float)measures.total * ITEMS;
    snprintf(name, sizeof name, "%s/", d->matcher->system->name);
    model_dump_numbers(d, name, "loss", &want, 1);
    model_dump_compare("loss", &got, &want, 1, tolerance);
    assert_true(fb_measures_find(&measures, "hinge")->value == measures.total);
    snprintf(name, sizeof name, "%s/grad/", d->matcher->system->name);
    model_dump_compare_block(d, name, params->grad, tolerance * 4, NULL);
    fb_arena_reset(d->arena);
    fb_tape_begin(&tape, d->ctx, d->be, d->arena, false);
    assert_int_equal(
        d->matcher->system->losses(d->matcher, &tape, d->batch, &step, &again), FB_OK);
    assert_true(again.total == measures.total);
    fb_arena_reset(d->arena);
}

static void check(const char *backend, const char *dtype, double tolerance)
{
    const fb_system *const systems[] = {&fb_vse_system, &fb_vsepp_system};
    for (int i = 0; i < 2; i++) {
        model_dump d;
        open_items(&d, systems[i], backend, dtype);
        check_vectors(&d, tolerance);
        check_step(&d, tolerance);
        model_dump_close(&d);
    }
}

static void ref_equals_pytorch(void **state)
{
    (void)state;
    check("ref", "f32", 2e-5);
}

static void cpu_f32_equals_pytorch(void **state)
{
    (void)state;
    check("cpu", "f32", 2e-5);
}

/* Its hinges are others' where two scores differ by less than bf16 does: the vectors
 * alone. */
static void cpu_bf16_follows_pytorch(void **state)
{
    (void)state;
    if (!fb_backend_cpu_has_bf16())
        skip();
    model_dump d;
    open_items(&d, &fb_vse_system, "cpu", "bf16");
    check_vectors(&d, 0.03);
    model_dump_close(&d);
}

static void a_batch_that_is_not_of_items_is_refused(void **state)
{
    (void)state;
    model_dump d;
    fb_tape tape = {0};
    fb_measures measures;
    const fb_vse_step step = {false, 0.2f};
    open_items(&d, &fb_vse_system, "ref", "f32");
    d.batch->images = ITEMS - 1;
    fb_tape_begin(&tape, d.ctx, d.be, d.arena, true);
    assert_int_equal(
        d.matcher->system->train_batch(d.matcher, &tape, d.batch, &step, &measures),
        FB_E_SHAPE);
    assert_non_null(strstr(fb_context_message(d.ctx),
                           "vse needs a batch of items, not 5 texts and 4 images"));
    model_dump_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ref_equals_pytorch),
        cmocka_unit_test(cpu_f32_equals_pytorch),
        cmocka_unit_test(cpu_bf16_follows_pytorch),
        cmocka_unit_test(a_batch_that_is_not_of_items_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
