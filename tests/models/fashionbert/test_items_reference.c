/* test_items_reference.c - a training step on a batch of items against PyTorch, from
 * the dump of tools/make_items_dump.py: vectors, the contrastive loss, alignment with
 * hard negatives pair by pair and as lists, and with patches that join late, are
 * multiplied with the words and learn from the similarities; every gradient of their
 * weighted sum; on every backend and dtype. In the batch two items are one text and two
 * one product, so each has exactly the two others that are drawn.
 */
#include <string.h>

#include "support/model_dump.h"
#include "support/step_numbers.h"

enum { ITEMS = 4, NEGATIVES = 2, PATCHES = 4, SIZE = 8, PAIRS = 20 };
#define ITC_WEIGHT 0.7
#define SOFT       0.4

static const char *const path = FB_TEST_DATA "/golden/items/reference.safetensors";

static const fb_model_config config = {.layers = 2,
                                       .width = 16,
                                       .heads = 2,
                                       .inner = 24,
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
                                       .vector = 6,
                                       .text_layers = 1};

static void open_items(model_dump *d, bool late, const char *backend, const char *dtype)
{
    const fb_batch_limits limits = {ITEMS, ITEMS, ITEMS, 19, PATCHES, SIZE};
    fb_model_config c = config;
    c.patches_from = late;
    c.head = late ? FB_HEAD_PRODUCT : FB_HEAD_CLS;
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

static fb_loss_options ask(bool listwise, bool late)
{
    return (fb_loss_options){.enabled = {true, true, true},
                             .mode = FB_ADAPTIVE_FIXED,
                             .itc = ITC_WEIGHT,
                             .negatives = NEGATIVES,
                             .patch_keep = 1,
                             .listwise = listwise,
                             .soft_targets = late ? SOFT : 0,
                             .key = 5};
}

static void check_vectors(model_dump *d, double tolerance)
{
    fb_tape tape = {0};
    fb_fashionbert_pass pass;
    const fb_loss_options options = ask(true, false);
    fb_tape_begin(&tape, d->ctx, d->be, d->arena, true);
    assert_int_equal(fb_fashionbert_forward_training((fb_fashionbert *)d->matcher,
                                                     &tape, d->batch, &options, &pass),
                     FB_OK);
    model_dump_compare_tensor(d, "text_vectors", &pass.text_vectors->value, tolerance);
    model_dump_compare_tensor(d, "image_vectors", &pass.image_vectors->value,
                              tolerance);
    model_dump_compare_tensor(d, "similarity", &pass.similarity, tolerance);
    assert_int_equal(pass.batch->pairs, PAIRS);
    fb_arena_reset(d->arena);
}

static void check_step(model_dump *d, const char *prefix, bool listwise,
                       double tolerance)
{
    fb_tape tape = {0};
    fb_measures measures;
    fb_params *params = d->matcher->params;
    const fb_loss_options options = ask(listwise, strcmp(prefix, "late/") == 0);
    memset(params->grad, 0, (size_t)params->total * sizeof(float));
    fb_tape_begin(&tape, d->ctx, d->be, d->arena, true);
    assert_int_equal(d->matcher->system->train_batch(d->matcher, &tape, d->batch,
                                                     &options, &measures),
                     FB_OK);
    const step_numbers losses = step_numbers_of(&measures);
    float want[4], got[4] = {0, 0, 0, (float)losses.itc};
    for (int i = 0; i < FB_LOSSES; i++)
        got[i] = (float)losses.loss[i];
    model_dump_numbers(d, prefix, "losses", want, 4);
    model_dump_compare("losses", got, want, 4, tolerance);
    float total = (float)losses.total, mean = (want[0] + want[1] + want[2]) / 3,
          sum = mean + (float)ITC_WEIGHT * want[3];
    model_dump_compare("total", &total, &sum, 1, tolerance);
    assert_int_equal(losses.pairs, listwise ? 2 * ITEMS : PAIRS);
    char gradients[16] = "";
    strcat(strcpy(gradients, prefix), "grad/");
    model_dump_compare_block(d, gradients, params->grad, tolerance * 4, NULL);
    fb_arena_reset(d->arena);
}

static void check(const char *backend, const char *dtype, double tolerance)
{
    model_dump d;
    open_items(&d, false, backend, dtype);
    check_vectors(&d, tolerance);
    check_step(&d, "pairs/", false, tolerance);
    check_step(&d, "list/", true, tolerance);
    model_dump_close(&d);
    open_items(&d, true, backend, dtype);
    check_vectors(&d, tolerance);
    check_step(&d, "late/", true, tolerance);
    model_dump_close(&d);
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

static void cpu_bf16_follows_pytorch(void **state)
{
    (void)state;
    if (!fb_backend_cpu_has_bf16())
        skip();
    check("cpu", "bf16", 0.03);
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
