/* test_vilbert_reference.c - a training step of ViLBERT against PyTorch, from the dump of
 * tools/make_vilbert_dump.py: the three losses, every gradient of their sum, scores; of
 * pairs and of a block, with each target of masked regions; on every backend and dtype.
 * The streams, the connections and their heads have widths of their own.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/model_dump.h"

#include "models/vilbert/vilbert_model.h"

enum { ITEMS = 4, PATCHES = 4, SIZE = 8, PAIRS = 8, FEATURES = 48 };

static const char *const path = FB_TEST_DATA "/golden/vilbert/reference.safetensors";

static fb_model_config make_config(int32_t target)
{
    fb_model_config c = {.system = &fb_vilbert_system,
                         .layers = 3,
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
                         .views = 1,
                         .alignment_weight = 1,
                         .max_text = 8};
    fb_vilbert_config *own = (void *)&c.own;
    *own = (fb_vilbert_config){.visual_layers = 3,
                               .visual_width = 12,
                               .visual_heads = 3,
                               .visual_inner = 20,
                               .connections = 2,
                               .connection_width = 8,
                               .connection_heads = 2,
                               .text_connect = 1,
                               .visual_connect = 0,
                               .target = target,
                               .classes = FEATURES,
                               .trunk_lr = 1};
    return c;
}

/* Each product's own pair, then each text beside the next product's image. */
static void open_dump(model_dump *d, int32_t target, const char *backend,
                      const char *dtype)
{
    const fb_batch_limits limits = {PAIRS, ITEMS, ITEMS, 19, PATCHES, SIZE};
    const fb_model_config config = make_config(target);
    model_dump_open(d, path, &config, backend, dtype);
    assert_int_equal(fb_batch_create(d->ctx, &d->batch, &limits, 6), FB_OK);
    fb_batch *b = d->batch;
    b->texts = b->images = ITEMS;
    for (int32_t i = 0; i <= ITEMS; i++)
        b->image_offsets[i] = i * PATCHES;
    model_dump_fill(d);
    b->pairs = PAIRS;
    for (int32_t i = 0; i < PAIRS; i++) {
        b->pair_text[i] = i % ITEMS;
        b->pair_image[i] = (i + i / ITEMS) % ITEMS;
        b->pair_label[i] = i < ITEMS;
    }
    for (int32_t i = 0; i < ITEMS; i++) {
        b->text_group[i] = i;
        b->image_group[i] = i;
    }
    fb_batch_pack(b);
}

static fb_vilbert_step ask(int32_t others)
{
    return (fb_vilbert_step){.enabled = {true, true, true},
                             .others = others,
                             .patch_keep = 1,
                             .zeroed = 1,
                             .key = 7};
}

static void check_losses(model_dump *d, const char *name, int32_t others,
                         double tolerance)
{
    fb_tape tape = {0};
    fb_measures measures;
    const fb_vilbert_step step = ask(others);
    fb_params *params = d->matcher->params;
    memset(params->grad, 0, (size_t)params->total * sizeof(float));
    fb_tape_begin(&tape, d->ctx, d->be, d->arena, true);
    if (d->matcher->system->train_batch(d->matcher, &tape, d->batch, &step, &measures))
        fail_msg("%s", fb_context_message(d->ctx));
    float want[3], got[3], total = (float)measures.total;
    static const char *const words[] = {"mlm", "mrm", "tia"};
    for (int i = 0; i < 3; i++)
        got[i] = (float)fb_measures_find(&measures, words[i])->value;
    model_dump_numbers(d, name, "/losses", want, 3);
    model_dump_compare(name, got, want, 3, tolerance);
    float sum = want[0] + want[1] + want[2];
    model_dump_compare("total", &total, &sum, 1, tolerance);
    assert_int_equal(fb_measures_find(&measures, "accuracy")->rows, 8);
    fb_arena_reset(d->arena);
}

static void check_step(model_dump *d, const char *name, int32_t others,
                       double tolerance)
{
    char gradients[24];
    snprintf(gradients, sizeof gradients, "%s/grad/", name);
    check_losses(d, name, others, tolerance);
    model_dump_compare_block(d, gradients, d->matcher->params->grad, tolerance * 4,
                             NULL);
}

/* Gradients of the regions' head alone. */
static void check_target(const char *name, int32_t target, const char *backend,
                         const char *dtype, double tolerance)
{
    static int32_t classes[ITEMS * PATCHES];
    char gradients[24];
    int compared = 0;
    model_dump d;
    classes[7] = 5; /* of the regions that are masked */
    classes[12] = 0;
    classes[14] = 47;
    open_dump(&d, target, backend, dtype);
    d.batch->region_classes = classes;
    check_losses(&d, name, 0, tolerance);
    snprintf(gradients, sizeof gradients, "%s/grad/", name);
    const fb_params *params = d.matcher->params;
    for (const fb_param *p = params->first; p; p = p->next) {
        float want[FEATURES * 12];
        if (strncmp(p->name[0], "visual.predictions.", 19) != 0)
            continue;
        model_dump_numbers(&d, gradients, p->name[0], want, p->rows * p->columns);
        model_dump_compare(p->name[0], params->grad + p->offset, want,
                           p->rows * p->columns, tolerance * 4);
        compared++;
    }
    assert_int_equal(compared, 6);
    d.batch->region_classes = NULL;
    model_dump_close(&d);
}

/* Nothing is masked in a score. */
static void check_scores(model_dump *d, double tolerance)
{
    fb_tape tape = {0};
    float got[PAIRS], want[PAIRS];
    fb_tape_begin(&tape, d->ctx, d->be, d->arena, false);
    assert_int_equal(d->matcher->system->score(d->matcher, &tape, d->batch, got),
                     FB_OK);
    model_dump_numbers(d, "", "scores", want, PAIRS);
    model_dump_compare("scores", got, want, PAIRS, tolerance);
    fb_arena_reset(d->arena);
}

static void check(const char *backend, const char *dtype, double tolerance)
{
    model_dump d;
    open_dump(&d, FB_VILBERT_NCE, backend, dtype);
    check_step(&d, "pairs", 0, tolerance);
    d.batch->pairs = ITEMS; /* of items */
    fb_batch_pack(d.batch);
    check_step(&d, "list", 3, tolerance);
    d.batch->pairs = PAIRS;
    fb_batch_pack(d.batch);
    check_scores(&d, tolerance);
    model_dump_close(&d);
    check_target("kld", FB_VILBERT_KLD, backend, dtype, tolerance);
    check_target("classes", FB_VILBERT_CLASSES, backend, dtype, tolerance);
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
    check("cpu", "bf16", 0.05);
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
