/* test_region_model.c - FashionBERT on regions: with as many an image as a grid has
 * patches it is the model of patches, number for number; with as many as there are,
 * pairs do not see each other, backends agree, and gradients are differences.
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

#include "support/model_world.h"

enum { GRID = 8, ALL = GRID * GRID, F = 256, RAGGED_MOST = 4 };

static const fb_loss_options fixed_all = {.enabled = {true, true, true},
                                          .mode = FB_ADAPTIVE_FIXED};

static fb_model_config region_config(int32_t width, int32_t most)
{
    fb_model_config c = config();
    c.regions = true;
    c.region_width = width;
    c.region_most = most;
    return c;
}

/* The same network's features in the place of its pixels. */
static fb_model_config patch_config(void)
{
    fb_model_config c = config();
    snprintf(c.encoder, sizeof c.encoder, "thin");
    c.image_size = 96;
    c.grid = GRID;
    return c;
}

/* ---- batches -------------------------------------------------------------------- */

/* Numbers of region r of image i, all at least 0 as a detector's. */
static void draw_regions(fb_bf16 *features, int32_t image, int32_t count, int32_t width)
{
    fb_random r = fb_random_start(31, FB_STREAM_TEST, (uint64_t)image);
    for (int32_t k = 0; k < count * width; k++)
        features[k] = fb_bf16_from_f32((float)fb_random_below(&r, 64) / 32);
}

static void add_texts(fb_batch *b, int32_t first, int32_t count)
{
    fb_random r = fb_random_start(8, FB_STREAM_TEST, 0);
    int32_t ids[TOKENS];
    for (int32_t t = 0; t < TOKENS; t++)
        ids[t] = (int32_t)fb_random_below(&r, VOCAB);
    for (int32_t t = first; t < first + count; t++)
        fb_batch_add_text(b, ids + text_offsets[t],
                          text_offsets[t + 1] - text_offsets[t]);
}

/* Row 1 (or the only one) of each image but the second is masked; matched pairs guess. */
static void finish(fb_batch *b)
{
    fb_batch_pack(b);
    for (int32_t i = 0; i < b->images; i += 2)
        b->patch_masked[b->image_offsets[i] + (fb_batch_image_rows(b, i) > 1)] = 1;
    for (int32_t p = 0; p < b->pairs; p++) {
        int32_t image = b->pair_image[p], rows = fb_batch_image_rows(b, image);
        for (int32_t r = 0; b->pair_label[p] && r < rows; r++) {
            if (!b->patch_masked[b->image_offsets[image] + r])
                continue;
            b->mpm_rows[b->mpm_count] = b->seq_offsets[p + 1] - rows + r;
            b->mpm_patches[b->mpm_count++] = b->image_offsets[image] + r;
        }
        if (!b->pair_label[p])
            continue;
        b->mlm_rows[b->mlm_count] = b->seq_offsets[p] + 1;
        b->mlm_targets[b->mlm_count++] = p;
    }
}

/* All pairs of the world over images of counts[i] regions; `only` >= 0: that pair alone. */
static fb_batch *region_batch(fb_context *ctx, const int32_t *counts, int32_t width,
                              int32_t only)
{
    const fb_batch_limits limits = {PAIRS, TEXTS, IMAGES, TOKENS, ALL, 1};
    const fb_region_kind of = {.width = width};
    fb_bf16 *features = calloc((size_t)ALL * (size_t)width, sizeof *features);
    fb_batch *b = NULL;
    assert_int_equal(fb_batch_create_regions(ctx, &b, &limits, 7, &of), FB_OK);
    fb_batch_clear(b);
    add_texts(b, only < 0 ? 0 : pairs[only][0], only < 0 ? TEXTS : 1);
    for (int32_t i = 0; i < IMAGES; i++) {
        if (only >= 0 && pairs[only][1] != i)
            continue;
        draw_regions(features, i, counts[i], width);
        const fb_regions r = {.count = counts[i], .features = features};
        fb_batch_add_regions(b, &r);
    }
    free(features);
    for (int32_t p = 0; p < PAIRS; p++)
        if (only < 0 || p == only)
            fb_batch_add_pair(b, -1, only < 0 ? pairs[p][0] : 0,
                              only < 0 ? pairs[p][1] : 0, pairs[p][2]);
    if (only >= 0)
        fb_batch_pack(b);
    else
        finish(b);
    return b;
}

static fb_batch *patch_batch(fb_context *ctx)
{
    const fb_batch_limits limits = {PAIRS, TEXTS, IMAGES, TOKENS, ALL, 96};
    fb_batch *b = NULL;
    assert_int_equal(fb_batch_create_features(ctx, &b, &limits, 7, F), FB_OK);
    fb_batch_clear(b);
    add_texts(b, 0, TEXTS);
    for (int32_t i = 0; i < IMAGES; i++)
        draw_regions(b->features + (ptrdiff_t)fb_batch_add_image(b) * ALL * F, i, ALL,
                     F);
    for (int32_t p = 0; p < PAIRS; p++)
        fb_batch_add_pair(b, -1, pairs[p][0], pairs[p][1], pairs[p][2]);
    finish(b);
    return b;
}

/* ---- worlds --------------------------------------------------------------------- */

/* The world's own batch is exchanged for `batch`. */
static bool open_with(world *w, const kind *k, fb_model_config c, fb_model_use use,
                      fb_batch *(*batch)(fb_context *ctx))
{
    if (!world_open_as(w, k, c, use))
        return false;
    fb_batch_free(w->batch);
    w->batch = batch(w->ctx);
    return true;
}

static fb_batch *whole_batch(fb_context *ctx)
{
    const int32_t counts[IMAGES] = {ALL, ALL, ALL};
    return region_batch(ctx, counts, F, -1);
}

static const int32_t ragged[IMAGES] = {3, 1, RAGGED_MOST};
static fb_batch *ragged_batch(fb_context *ctx)
{
    return region_batch(ctx, ragged, 5, -1);
}

/* The parameters that both tables have; every one of `to`'s. */
static void copy_parameters(const world *to, const world *from)
{
    const fb_param *p = to->m->params->first, *q = from->m->params->first;
    for (; p; p = p->next) {
        for (q = from->m->params->first; q; q = q->next)
            if (strcmp(q->name[0], p->name[0]) == 0)
                break;
        assert_non_null(q);
        assert_true(p->offset == q->offset && p->rows == q->rows &&
                    p->columns == q->columns);
        memcpy(to->m->params->value + p->offset, from->m->params->value + q->offset,
               (size_t)(p->rows * p->columns) * sizeof(float));
    }
}

static void regions_of_a_grid_are_its_patches(void **state)
{
    (void)state;
    for (size_t k = 0; k < 3; k++) {
        world patches, regions;
        float a[PAIRS], b[PAIRS];
        if (!open_with(&patches, &kinds[k], patch_config(), FB_MODEL_TRAIN_FROZEN,
                       patch_batch))
            continue;
        assert_true(open_with(&regions, &kinds[k], region_config(F, ALL),
                              FB_MODEL_TRAIN, whole_batch));
        copy_parameters(&regions, &patches);
        score(&patches, patches.batch, a);
        score(&regions, regions.batch, b);
        assert_memory_equal(a, b, sizeof a);
        step_numbers x = train(&patches, &fixed_all), y = train(&regions, &fixed_all);
        assert_memory_equal(x.loss, y.loss, sizeof x.loss);
        assert_int_equal(y.rows[FB_LOSS_MPM], 2);
        assert_int_equal(patches.m->params->trained, regions.m->params->trained);
        float *dx = copy_gradients(&patches), *dy = copy_gradients(&regions);
        assert_memory_equal(dx, dy, block_bytes(&regions));
        assert_true(patches.m->system->forward_flops(patches.m, patches.batch) ==
                    regions.m->system->forward_flops(regions.m, regions.batch));
        free(dx);
        free(dy);
        world_close(&patches);
        world_close(&regions);
    }
}

static void pairs_of_ragged_images_do_not_see_each_other(void **state)
{
    (void)state;
    float reference[PAIRS] = {0};
    for (size_t k = 0; k < 3; k++) {
        world w;
        float together[PAIRS], alone;
        if (!open_with(&w, &kinds[k], region_config(5, RAGGED_MOST), FB_MODEL_TRAIN,
                       ragged_batch))
            continue;
        score(&w, w.batch, together); /* masked rows count as zero */
        memset(w.batch->patch_masked, 0, (size_t)fb_batch_rows(w.batch));
        float masked = together[0];
        score(&w, w.batch, together);
        assert_true(together[0] != masked);
        for (int32_t p = 0; p < PAIRS; p++) {
            fb_batch *one = region_batch(w.ctx, ragged, 5, p);
            score(&w, one, &alone);
            assert_true(fabs((double)(alone - together[p])) <= kinds[k].tolerance);
            fb_batch_free(one);
        }
        if (k == 0)
            memcpy(reference, together, sizeof together);
        for (int32_t p = 0; p < PAIRS; p++)
            assert_true(fabs((double)(reference[p] - together[p])) <=
                        2 * kinds[k].tolerance);
        world_close(&w);
    }
}

static double total(world *w)
{
    fb_measures measures;
    begin(w, false);
    must(w, w->m->system->losses(w->m, &w->tape, w->batch, &fixed_all, &measures));
    step_numbers n = step_numbers_of(&measures);
    return (n.loss[FB_LOSS_MLM] + n.loss[FB_LOSS_MPM] + n.loss[FB_LOSS_TIA]) / 3;
}

/* Along the gradient the loss changes by its norm; along noise by their product. */
static void gradients_of_ragged_images_are_differences(void **state)
{
    (void)state;
    world w;
    assert_true(open_with(&w, &kinds[0], region_config(5, RAGGED_MOST), FB_MODEL_TRAIN,
                          ragged_batch));
    int64_t count = w.m->params->trained;
    clear_gradients(&w);
    (void)train(&w, &fixed_all);
    float *gradient = copy_gradients(&w), *value = w.m->params->value;
    float *before = malloc((size_t)count * sizeof *before);
    memcpy(before, value, (size_t)count * sizeof *before);
    for (int turn = 0; turn < 4; turn++) {
        const double step = 2e-3;
        fb_random r = fb_random_start(5, FB_STREAM_TEST, (uint64_t)turn);
        double expected = 0, side[2];
        for (int k = 0; k < 2; k++) {
            r = fb_random_start(5, FB_STREAM_TEST, (uint64_t)turn);
            expected = 0;
            for (int64_t i = 0; i < count; i++) {
                double d = fb_random_uniform(&r) * 2 - 1;
                d = turn == 0 ? (double)gradient[i] : d * fabs((double)gradient[i]);
                value[i] = (float)((double)before[i] + (k ? step : -step) * d);
                expected += d * (double)gradient[i];
            }
            for (fb_param *p = w.m->params->first; p; p = p->next)
                p->leaf.weight.version++;
            side[k] = total(&w);
        }
        double found = (side[1] - side[0]) / (2 * step);
        if (!(fabs(found - expected) <= 2e-2 * fabs(expected) + 1e-3))
            fail_msg("turn %d: %g, the gradient says %g", turn, found, expected);
    }
    free(gradient);
    free(before);
    world_close(&w);
}

static void batches_of_the_other_kind_are_refused(void **state)
{
    (void)state;
    world w;
    float margins[PAIRS];
    assert_true(open_with(&w, &kinds[0], region_config(6, RAGGED_MOST), FB_MODEL_SCORE,
                          ragged_batch));
    begin(&w, false);
    assert_int_equal(w.m->system->score(w.m, &w.tape, w.batch, margins), FB_E_SHAPE);
    assert_non_null(strstr(fb_context_message(w.ctx), "regions of width 5"));
    fb_batch *patches = patch_batch(w.ctx);
    begin(&w, false);
    assert_int_equal(w.m->system->score(w.m, &w.tape, patches, margins), FB_E_SHAPE);
    fb_batch_free(patches);
    world_close(&w);
    assert_true(open_with(&w, &kinds[0], patch_config(), FB_MODEL_SCORE, whole_batch));
    begin(&w, false);
    assert_int_equal(w.m->system->score(w.m, &w.tape, w.batch, margins), FB_E_SHAPE);
    world_close(&w);
}

static void sizes_of_regions_are_checked(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_model_config c = region_config(0, 4);
    assert_int_equal(fb_model_config_check(ctx, &c, "x"), FB_E_FORMAT);
    assert_non_null(strstr(fb_context_message(ctx), "region_width"));
    c = region_config(5, 4);
    assert_int_equal(fb_model_config_check(ctx, &c, "x"), FB_OK);
    assert_int_equal(fb_model_config_features(&c), 5);
    assert_int_equal(fb_model_config_patches(&c), 4);
    c.system = fb_systems_find("selfie");
    assert_int_equal(fb_model_config_check(ctx, &c, "x"), FB_E_FORMAT);
    fb_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions_of_a_grid_are_its_patches),
        cmocka_unit_test(pairs_of_ragged_images_do_not_see_each_other),
        cmocka_unit_test(gradients_of_ragged_images_are_differences),
        cmocka_unit_test(batches_of_the_other_kind_are_refused),
        cmocka_unit_test(sizes_of_regions_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
