/* test_vlbert_reference.c - VL-BERT against PyTorch (tools/make_vlbert_dump.py): objects,
 * hidden states, the losses and every gradient of their sum, of pairs judged alone, in a
 * block, and of images of 1 to 4 regions whose classes masked ones are to be; on every
 * backend and dtype. Of the four masked objects some show the mask; boxes are anywhere.
 */
#include <string.h>

#include "support/model_dump.h"

#include "models/vlbert/vlbert_model.h"

enum { IMAGES = 4, TEXTS = 4, TOKENS = 17, PATCHES = 4, SIZE = 8, MOST = 5, KEY = 99 };
enum { REGIONS = 10, FEATURES = 48 };
#define SHOWN 0.5

static const char *const path = FB_TEST_DATA "/golden/vlbert/reference.safetensors";

static fb_model_config config(bool regions)
{
    fb_model_config c = {.layers = 2,
                         .width = 16,
                         .heads = 2,
                         .inner = 24,
                         .vocab = 30,
                         .positions = 10,
                         .segments = 2,
                         .eps = 1e-12,
                         .init_std = 0.02,
                         .encoder = "pixels",
                         .image_size = SIZE,
                         .grid = 2,
                         .mean = {0.485, 0.456, 0.406},
                         .std = {0.229, 0.224, 0.225},
                         .max_text = 8,
                         .views = 1};
    fb_model_config_set_system(&c, &fb_vlbert_system);
    *(fb_vlbert_config *)(void *)&c.own =
        (fb_vlbert_config){.frequencies = 3,
                           .target = regions ? FB_VLBERT_CLASSES : FB_VLBERT_FEATURES,
                           .classes = FEATURES};
    c.regions = regions;
    c.region_width = regions ? FEATURES : 0;
    c.region_most = regions ? PATCHES : 0;
    return c;
}

static void ints(const model_dump *d, const char *set, const char *name, int32_t *out)
{
    char full[64];
    model_dump_ints(d, strcat(strcpy(full, set), name), out);
}

static int32_t count_of(const model_dump *d, const char *set, const char *name)
{
    char full[64];
    return (int32_t)model_dump_entry(d, strcat(strcpy(full, set), name))->count;
}

static void fill_patches(const model_dump *d)
{
    fb_batch *b = d->batch;
    memcpy(b->pixels, model_dump_entry(d, "batch/pixels")->bytes,
           IMAGES * SIZE * SIZE * 3);
    memcpy(b->patch_masked, model_dump_entry(d, "batch/patch_masked")->bytes,
           IMAGES * PATCHES);
    model_dump_numbers(d, "batch/", "boxes", b->boxes, IMAGES * PATCHES * 4);
}

static void fill_regions(const model_dump *d)
{
    fb_batch *b = d->batch;
    float features[REGIONS * FEATURES];
    model_dump_numbers(d, "regions/", "features", features, REGIONS * FEATURES);
    for (int i = 0; i < REGIONS * FEATURES; i++)
        b->features[i] = fb_bf16_from_f32(features[i]);
    model_dump_ints(d, "regions/offsets", b->image_offsets);
    model_dump_ints(d, "regions/classes", b->region_classes);
    model_dump_numbers(d, "regions/", "scores", b->region_scores, REGIONS);
    model_dump_numbers(d, "regions/", "boxes", b->boxes, REGIONS * 4);
    memcpy(b->patch_masked, model_dump_entry(d, "regions/masked")->bytes, REGIONS);
}

/* The batch of the set "pairs/", "block/" or "regions/". */
static void fill(const model_dump *d, const char *set)
{
    fb_batch *b = d->batch;
    int32_t list[MOST * 3];
    b->texts = TEXTS;
    b->images = IMAGES;
    model_dump_ints(d, "batch/text_offsets", b->text_offsets);
    model_dump_ints(d, "batch/token_ids", b->token_ids);
    for (int32_t t = 0; t < TEXTS; t++) {
        b->text_group[t] = b->image_group[t] = t;
        for (int32_t i = b->text_offsets[t]; i < b->text_offsets[t + 1]; i++)
            b->token_positions[i] = i - b->text_offsets[t];
    }
    if (b->regions)
        fill_regions(d);
    else
        fill_patches(d);
    b->pairs = count_of(d, set, "pairs") / 3;
    ints(d, set, "pairs", list);
    for (int32_t p = 0; p < b->pairs; p++) {
        b->pair_text[p] = list[p * 3];
        b->pair_image[p] = list[p * 3 + 1];
        b->pair_label[p] = list[p * 3 + 2];
    }
    fb_batch_pack(b);
    b->mlm_count = count_of(d, set, "mlm_rows");
    b->mpm_count = count_of(d, set, "mpm_rows");
    ints(d, set, "mlm_rows", b->mlm_rows);
    ints(d, set, "mlm_targets", b->mlm_targets);
    ints(d, set, "mpm_rows", b->mpm_rows);
    ints(d, set, "mpm_patches", b->mpm_patches);
}

static fb_vlbert_step step(bool block)
{
    return (fb_vlbert_step){.enabled = {true, true, true},
                            .others = block ? IMAGES - 1 : 0,
                            .patch_keep = 1,
                            .visual_mask = SHOWN,
                            .key = KEY};
}

static void check_states(const model_dump *d, double tolerance)
{
    fb_tape tape = {0};
    fb_vlbert_pass pass;
    const fb_vlbert_step s = step(false);
    fill(d, "pairs/");
    fb_tape_begin(&tape, d->ctx, d->be, d->arena, true);
    assert_int_equal(
        fb_vlbert_forward((fb_vlbert *)d->matcher, &tape, d->batch, &s, true, &pass),
        FB_OK);
    model_dump_compare_tensor(d, "objects", &pass.objects->value, tolerance);
    model_dump_compare_rows(d, "states", &pass.hidden_states->value,
                            pass.read.picked.rows, tolerance);
    fb_arena_reset(d->arena);
}

static void check_step(const model_dump *d, const char *set, double tolerance)
{
    fb_tape tape = {0};
    fb_measures measures;
    fb_params *params = d->matcher->params;
    bool block = strcmp(set, "block/") == 0;
    const fb_vlbert_step s = step(block);
    char gradients[24];
    float want[FB_VLBERT_LOSSES], sum = 0;
    fill(d, set);
    memset(params->grad, 0, (size_t)params->total * sizeof(float));
    fb_tape_begin(&tape, d->ctx, d->be, d->arena, true);
    assert_int_equal(
        d->matcher->system->train_batch(d->matcher, &tape, d->batch, &s, &measures),
        FB_OK);
    model_dump_numbers(d, set, "losses", want, FB_VLBERT_LOSSES);
    for (int i = 0; i < FB_VLBERT_LOSSES; i++) {
        const fb_measure *m =
            fb_measures_find(&measures, fb_vlbert_system.loss_names[i]);
        float got = (float)m->value;
        model_dump_compare(m->name, &got, &want[i], 1, tolerance);
        sum += want[i];
    }
    float total = (float)measures.total;
    model_dump_compare("total", &total, &sum, 1, tolerance);
    assert_int_equal(fb_measures_find(&measures, "accuracy")->rows,
                     block ? 2 * IMAGES : 5);
    model_dump_compare_block(d, strcat(strcpy(gradients, set), "grad/"), params->grad,
                             tolerance * 4, NULL);
    fb_arena_reset(d->arena);
}

static void open_dump(model_dump *d, bool regions, const char *backend,
                      const char *dtype)
{
    const fb_batch_limits limits = {MOST, TEXTS, IMAGES, TOKENS, PATCHES, SIZE};
    const fb_region_kind kind = {FEATURES, true, true};
    const fb_model_config c = config(regions);
    model_dump_open(d, path, &c, backend, dtype);
    assert_int_equal(fb_model_config_check(d->ctx, &c, "test"), FB_OK);
    if (regions)
        assert_int_equal(fb_batch_create_regions(d->ctx, &d->batch, &limits, 7, &kind),
                         FB_OK);
    else
        assert_int_equal(fb_batch_create(d->ctx, &d->batch, &limits, 7), FB_OK);
}

static void check(const char *backend, const char *dtype, double tolerance)
{
    model_dump d;
    open_dump(&d, false, backend, dtype);
    check_states(&d, tolerance);
    check_step(&d, "pairs/", tolerance);
    check_step(&d, "block/", tolerance);
    model_dump_close(&d);
    open_dump(&d, true, backend, dtype);
    check_step(&d, "regions/", tolerance);
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
