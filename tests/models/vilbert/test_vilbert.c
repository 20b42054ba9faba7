/* test_vilbert.c - ViLBERT's parts by hand: sizes that follow the text stream's, the
 * packing of ragged images; and the model: ref's bits on a backend with a memory of its
 * own, scores that depend on their own pair alone, masks and losses that are absent.
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

#include "models/vilbert/vilbert_model.h"
#include "nn/optimizer.h"
#include "support/model_world.h"
#include "support/twin_training.h"

/* ---- sizes ----------------------------------------------------------------------- */

static fb_vilbert_config filled(const char *preset, const fb_vilbert_config *said)
{
    fb_model_config c;
    assert_int_equal(fb_model_config_preset(NULL, &c, preset), FB_OK);
    fb_model_config_set_system(&c, &fb_vilbert_system);
    if (said)
        memcpy(&c.own, said, sizeof *said);
    fb_vilbert_fill_sizes(&c);
    return *fb_vilbert_own(&c);
}

static void base_is_the_published_one(void **state)
{
    (void)state;
    const fb_vilbert_config c = filled("base", NULL);
    assert_int_equal(c.visual_layers, 6);
    assert_int_equal(c.visual_width, 1024);
    assert_int_equal(c.visual_heads, 8);
    assert_int_equal(c.visual_inner, 1024);
    assert_int_equal(c.connections, 6);
    assert_int_equal(c.connection_width, 1024);
    assert_int_equal(c.connection_heads, 8);
    assert_int_equal(c.text_connect, 6);
    assert_int_equal(c.visual_connect, 0);
    assert_int_equal(c.target, FB_VILBERT_NCE);
    assert_int_equal(c.classes, 1601);
    assert_true(c.trunk_lr == 1);
}

static void sizes_that_were_said_stay(void **state)
{
    (void)state;
    const fb_vilbert_config mini = filled("mini", NULL);
    assert_int_equal(mini.visual_layers, 2);
    assert_int_equal(mini.visual_width, 256);
    assert_int_equal(mini.connections, 1);
    assert_int_equal(mini.text_connect, 3);
    assert_int_equal(mini.visual_connect, 1);
    fb_vilbert_config said = {.connections = 2, .visual_width = 96, .visual_heads = 3};
    said.text_connect = said.visual_connect = 0;
    const fb_vilbert_config c = filled("mini", &said);
    assert_int_equal(c.connections, 2);
    assert_int_equal(c.visual_inner, 96);
    assert_int_equal(c.connection_width, 96);
    assert_int_equal(c.connection_heads, 3);
    assert_int_equal(c.text_connect, 0);
}

static void refuse(const fb_model_config *c, const char *why)
{
    fb_context *ctx = fb_context_create();
    assert_int_equal(fb_model_config_check(ctx, c, "test"), FB_E_FORMAT);
    if (!strstr(fb_context_message(ctx), why))
        fail_msg("%s", fb_context_message(ctx));
    fb_context_free(ctx);
}

static fb_model_config vilbert_config(void)
{
    fb_model_config c = config();
    fb_model_config_set_system(&c, &fb_vilbert_system);
    c.dropout = 0;
    c.alignment_weight = 1;
    fb_vilbert_config *own = (void *)&c.own;
    own->visual_layers = 2;
    own->visual_width = 24;
    own->visual_heads = 3;
    own->connections = 2;
    own->connection_width = 16;
    own->connection_heads = 2;
    own->text_connect = 0;
    return c;
}

static void streams_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    fb_model_config c = vilbert_config();
    fb_context *ctx = fb_context_create();
    assert_int_equal(fb_model_config_check(ctx, &c, "test"), FB_OK);
    fb_context_free(ctx);
    fb_vilbert_config *own = (void *)&c.own;
    own->text_connect = 1;
    refuse(&c, "2 connections from layer 1 on of the text stream, which has 2");
    own->text_connect = 0;
    own->visual_connect = 1;
    refuse(&c, "of the visual stream, which has 2");
    own->visual_connect = 0;
    own->visual_heads = 5;
    refuse(&c, "visual_width 24 does not divide by visual_heads 5");
    own->visual_heads = 3;
    own->connection_heads = 3;
    refuse(&c, "connection_width 16");
    own->connection_heads = 2;
    c.head = FB_HEAD_PRODUCT;
    refuse(&c, "alignment_head cls");
}

/* ---- packing --------------------------------------------------------------------- */

static void same_ints(const int32_t *got, const int32_t *want, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        if (got[i] != want[i])
            fail_msg("number %d is %d, not %d", (int)i, (int)got[i], (int)want[i]);
}

/* Texts of 2 and 3 tokens, images of 3, 0 and 1 regions, three pairs; region 1 is left
 * out, and guessed at. */
static void ragged_images_are_packed_and_guesses_follow(void **state)
{
    (void)state;
    int32_t texts[] = {0, 2, 5}, images[] = {0, 3, 3, 4}, text[] = {1, 0, 0},
            image[] = {0, 1, 2}, labels[] = {1, 1, 0}, sequences[] = {0, 6, 8, 11};
    int32_t mlm_rows[] = {1, 7}, mlm_targets[] = {21, 22}, mpm_rows[] = {4, 3, 10},
            mpm_patches[] = {1, 0, 3};
    uint8_t out[] = {0, 1, 0, 0};
    fb_batch b = {.pairs = 3,
                  .texts = 2,
                  .images = 3,
                  .text_offsets = texts,
                  .image_offsets = images,
                  .pair_text = text,
                  .pair_image = image,
                  .pair_label = labels,
                  .seq_offsets = sequences,
                  .patch_left_out = out,
                  .mlm_count = 2,
                  .mpm_count = 3,
                  .mlm_rows = mlm_rows,
                  .mlm_targets = mlm_targets,
                  .mpm_rows = mpm_rows,
                  .mpm_patches = mpm_patches};
    fb_context *ctx = fb_context_create();
    fb_arena *arena = fb_arena_create(1 << 12);
    fb_backend *be;
    fb_tape tape = {0};
    fb_vilbert_rows rows;
    assert_int_equal(fb_backend_create(ctx, &be, "ref", "f32", 1), FB_OK);
    fb_tape_begin(&tape, ctx, be, arena, true);
    assert_int_equal(fb_vilbert_rows_pack(&tape, &rows, &b, &b), FB_OK);
    assert_int_equal(rows.image_rows, 6);
    same_ints(rows.image_offsets, (const int32_t[]){0, 3, 4, 6}, 4);
    same_ints(rows.shown, (const int32_t[]){-1, 0, 2, -2, -3, 3}, 6);
    assert_int_equal(rows.text_count, 7);
    same_ints(rows.text_offsets, (const int32_t[]){0, 3, 5, 7}, 4);
    same_ints(rows.text_index, (const int32_t[]){2, 3, 4, 0, 1, 0, 1}, 7);
    same_ints(rows.visual_offsets, (const int32_t[]){0, 3, 4, 6}, 4);
    same_ints(rows.visual_index, (const int32_t[]){0, 1, 2, 3, 4, 5}, 6);
    assert_int_equal(rows.mlm_count, 2);
    assert_int_equal(rows.text_picked.count, 5);
    same_ints(rows.text_picked.rows, (const int32_t[]){0, 1, 3, 4, 5}, 5);
    same_ints(rows.text_picked.offsets, (const int32_t[]){0, 2, 4, 5}, 4);
    same_ints(rows.mlm_rows, (const int32_t[]){1, 3}, 2);
    same_ints(rows.mlm_targets, mlm_targets, 2);
    assert_int_equal(rows.mrm_count, 2); /* region 1 is not shown */
    assert_int_equal(rows.visual_picked.count, 5);
    same_ints(rows.visual_picked.rows, (const int32_t[]){0, 1, 3, 4, 5}, 5);
    same_ints(rows.visual_picked.offsets, (const int32_t[]){0, 2, 3, 5}, 4);
    same_ints(rows.mrm_rows, (const int32_t[]){1, 4}, 2);
    same_ints(rows.mrm_regions, (const int32_t[]){0, 3}, 2);
    fb_arena_free(arena);
    fb_backend_free(be);
    fb_context_free(ctx);
}

/* ---- the model ------------------------------------------------------------------- */

static const fb_vilbert_step all_losses = {
    .enabled = {true, true, true}, .patch_keep = 1, .zeroed = 1, .key = 3};

static void open_world(world *w, const char *backend, int32_t target)
{
    const kind k = {backend, "f32", 0};
    fb_model_config c = vilbert_config();
    ((fb_vilbert_config *)(void *)&c.own)->target = target;
    assert_true(world_open_as(w, &k, c, FB_MODEL_TRAIN));
    for (int32_t i = 0; i < TEXTS; i++)
        w->batch->text_group[i] = w->batch->image_group[i] = i;
    w->dropout = 0.3f;
    w->key = 5;
}

/* Every text and image an item, as batches of items have them. */
static void make_items(world *w)
{
    fb_batch *b = w->batch;
    b->pairs = TEXTS;
    for (int32_t i = 0; i < TEXTS; i++) {
        b->pair_text[i] = b->pair_image[i] = i;
        b->pair_label[i] = 1;
    }
    fb_batch_pack(b);
    b->mlm_rows[0] = b->seq_offsets[1] + 1;
    b->mlm_count = 1;
    b->mpm_count = 1;
    b->mpm_rows[0] = b->seq_offsets[2] + 7 + 3;
    b->mpm_patches[0] = 2 * P + 3;
}

static void check_training(const fb_vilbert_step *step, bool items, int32_t target)
{
    world w[2];
    open_world(&w[0], "ref", target);
    open_world(&w[1], "poison", target);
    for (int i = 0; i < 2 && items; i++)
        make_items(&w[i]);
    for (int64_t number = 0; number < 3; number++) {
        fb_measures losses[2];
        for (int i = 0; i < 2; i++) {
            begin(&w[i], true);
            must(&w[i], w[i].m->system->train_batch(w[i].m, &w[i].tape, w[i].batch,
                                                    step, &losses[i]));
            optimize(&w[i], number);
        }
        assert_true(isfinite(losses[0].total));
        assert_true(losses[0].total == losses[1].total);
    }
    same_losses(&w[0], &w[1], step);
    same_models(&w[0], &w[1]);
    world_close(&w[0]);
    close_poison(&w[1]);
}

static void training_has_refs_bits(void **state)
{
    (void)state;
    fb_vilbert_step step = all_losses;
    check_training(&step, false, FB_VILBERT_NCE);
    check_training(&step, false, FB_VILBERT_KLD);
    step.others = 2;
    step.patch_keep = 0.5;
    check_training(&step, true, FB_VILBERT_NCE);
}

static void losses_without_rows_are_absent(void **state)
{
    (void)state;
    world w;
    fb_measures losses;
    open_world(&w, "ref", FB_VILBERT_NCE);
    w.batch->mlm_count = w.batch->mpm_count = 0;
    begin(&w, true);
    must(&w, w.m->system->train_batch(w.m, &w.tape, w.batch, &all_losses, &losses));
    assert_int_equal(fb_measures_find(&losses, "mrm")->rows, 0);
    assert_int_equal(fb_measures_find(&losses, "mlm")->rows, 0);
    assert_true(losses.total == fb_measures_find(&losses, "tia")->value);
    assert_true(isfinite(losses.total));
    world_close(&w);
}

static void classes_that_are_not_there_are_asked_for(void **state)
{
    (void)state;
    world w;
    fb_measures losses;
    open_world(&w, "ref", FB_VILBERT_CLASSES);
    begin(&w, true);
    assert_int_equal(
        w.m->system->train_batch(w.m, &w.tape, w.batch, &all_losses, &losses),
        FB_E_SHAPE);
    assert_non_null(strstr(fb_context_message(w.ctx), "the detector's classes"));
    world_close(&w);
}

static double tia_of(world *w, double zeroed)
{
    fb_measures losses;
    fb_vilbert_step step = all_losses;
    step.zeroed = zeroed;
    w->dropout = 0;
    begin(w, false);
    must(w, w->m->system->losses(w->m, &w->tape, w->batch, &step, &losses));
    return fb_measures_find(&losses, "tia")->value;
}

/* Of ten masked regions one keeps its feature: the step says which share does not. */
static void masked_regions_are_zeroed_by_the_steps_share(void **state)
{
    (void)state;
    world w;
    open_world(&w, "ref", FB_VILBERT_NCE);
    double all = tia_of(&w, 1), none = tia_of(&w, 0);
    memset(w.batch->patch_masked, 0, IMAGES * P);
    assert_true(all != none);
    assert_true(none == tia_of(&w, 1));
    world_close(&w);
}

/* A pair's score is that of the pair alone, whatever stands beside it. */
static void a_score_is_of_its_own_pair(void **state)
{
    (void)state;
    world w;
    float all[PAIRS], one[PAIRS];
    open_world(&w, "ref", FB_VILBERT_NCE);
    w.dropout = 0;
    begin(&w, false);
    must(&w, w.m->system->score(w.m, &w.tape, w.batch, all));
    for (int32_t p = 0; p < PAIRS; p++) {
        w.batch->pairs = 1;
        w.batch->pair_text[0] = pairs[p][0];
        w.batch->pair_image[0] = pairs[p][1];
        fb_batch_pack(w.batch);
        begin(&w, false);
        must(&w, w.m->system->score(w.m, &w.tape, w.batch, one));
        assert_true(fabsf(one[0] - all[p]) < 1e-5f);
        assert_true(p == 0 || fabsf(all[p] - all[0]) > 1e-5f);
    }
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base_is_the_published_one),
        cmocka_unit_test(sizes_that_were_said_stay),
        cmocka_unit_test(streams_that_do_not_fit_are_refused),
        cmocka_unit_test(ragged_images_are_packed_and_guesses_follow),
        cmocka_unit_test(training_has_refs_bits),
        cmocka_unit_test(losses_without_rows_are_absent),
        cmocka_unit_test(classes_that_are_not_there_are_asked_for),
        cmocka_unit_test(masked_regions_are_zeroed_by_the_steps_share),
        cmocka_unit_test(a_score_is_of_its_own_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
