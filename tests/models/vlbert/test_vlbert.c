/* test_vlbert.c - VL-BERT's parts by hand: the geometry embedding, the packing of ragged
 * images; and the model: ref's bits on a backend with a memory of its own, the gradient
 * of the image network, scores that depend on their own pair alone.
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

#include "models/vlbert/vlbert_geometry.h"
#include "models/vlbert/vlbert_model.h"
#include "nn/optimizer.h"
#include "support/model_world.h"
#include "support/twin_training.h"

/* ---- geometry -------------------------------------------------------------------- */

static void geometry_is_sines_and_cosines_of_four_numbers(void **state)
{
    (void)state;
    enum { N = 3 };
    const float box[4] = {0.25f, 0.5f, 0.75f, 0.625f};
    const double s[4] = {50, 56.25, 50, 12.5}; /* centre and size times 100 */
    float inverse[N], g[8 * N];
    for (int i = 0; i < N; i++)
        inverse[i] = (float)pow(1000, -i / (double)N);
    fb_vlbert_geometry(g, box, inverse, N);
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < N; i++) {
            double angle = s[k] / pow(1000, i / (double)N);
            assert_true(fabs((double)g[k * 2 * N + i] - sin(angle)) < 1e-5);
            assert_true(fabs((double)g[k * 2 * N + N + i] - cos(angle)) < 1e-5);
        }
}

/* Images of the grid share their numbers; one box elsewhere has its own. */
static void each_row_has_the_geometry_of_its_own_box(void **state)
{
    (void)state;
    enum { N = 2, ROWS = IMAGES * P };
    world w;
    fb_var *rows;
    const float moved[4] = {0.1f, 0.2f, 0.3f, 0.9f}, whole[4] = {0, 0, 1, 1},
                inverse[N] = {1, (float)0.03162277660168379};
    assert_true(world_open(&w, &kinds[0]));
    memcpy(w.batch->boxes + (P + 2) * 4, moved, sizeof moved); /* of image 1 */
    begin(&w, true);
    must(&w, fb_vlbert_geometry_rows(&w.tape, &rows, w.batch, N));
    assert_int_equal(rows->value.dims[0], ROWS + IMAGES);
    assert_false(rows->needs_grad);
    const float *g = rows->value.data;
    for (int r = 0; r < ROWS + IMAGES; r++) {
        float want[8 * N];
        const float *box = r < ROWS ? w.batch->boxes + (ptrdiff_t)r * 4 : whole;
        fb_vlbert_geometry(want, box, inverse, N);
        for (int i = 0; i < 8 * N; i++)
            assert_true(fabsf(g[r * 8 * N + i] - want[i]) < 1e-5f);
    }
    assert_true(g[(P + 2) * 8 * N] != g[2 * 8 * N]);
    float *boxes = w.batch->boxes;
    w.batch->boxes = NULL;
    assert_int_equal(fb_vlbert_geometry_rows(&w.tape, &rows, w.batch, N), FB_E_SHAPE);
    w.batch->boxes = boxes;
    world_close(&w);
}

/* ---- packing --------------------------------------------------------------------- */

/* Texts of 2 and 3 tokens, images of 3, 0 and 1 objects, three pairs. */
typedef struct ragged {
    fb_context *ctx;
    fb_arena *arena;
    fb_backend *be;
    fb_tape tape;
    fb_batch batch;
} ragged;

static int32_t ragged_texts[] = {0, 2, 5}, ragged_images[] = {0, 3, 3, 4},
               ragged_pair_text[] = {1, 0, 0}, ragged_pair_image[] = {0, 1, 2},
               ragged_labels[] = {1, 1, 0}, ragged_seq[] = {0, 6, 8, 11};

static void ragged_open(ragged *w)
{
    *w = (ragged){.ctx = fb_context_create(), .arena = fb_arena_create(1 << 12)};
    assert_int_equal(fb_backend_create(w->ctx, &w->be, "ref", "f32", 1), FB_OK);
    fb_tape_begin(&w->tape, w->ctx, w->be, w->arena, true);
    w->batch = (fb_batch){.pairs = 3,
                          .texts = 2,
                          .images = 3,
                          .text_offsets = ragged_texts,
                          .image_offsets = ragged_images,
                          .pair_text = ragged_pair_text,
                          .pair_image = ragged_pair_image,
                          .pair_label = ragged_labels,
                          .seq_offsets = ragged_seq};
}

static void ragged_close(ragged *w)
{
    fb_arena_free(w->arena);
    fb_backend_free(w->be);
    fb_context_free(w->ctx);
}

static void same_ints(const int32_t *got, const int32_t *want, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        if (got[i] != want[i])
            fail_msg("number %d is %d, not %d", i, got[i], want[i]);
}

/* R = 4 objects, R + I = 7 with the whole images, none is 10; words of pair b begin at
 * 5 + 3 b: [IMG], masked, [END]. */
static void ragged_images_are_packed_behind_their_text(void **state)
{
    (void)state;
    static const int32_t offsets[] = {0, 8, 12, 17};
    static const int32_t word[] = {2, 3, 4,  5,  5, 6, 5, 7, /* text 1, image 0 */
                                   0, 1, 8,  10,      /* text 0, image 1: empty */
                                   0, 1, 11, 11, 13}; /* text 0, image 2 */
    static const int32_t visual[] = {7, 7, 7,  4, 0, 1, 2, 10, 8,
                                     8, 5, 10, 9, 9, 6, 3, 10};
    static const int32_t positions[] = {3, 3, 4, 2, 2, 3, 2, 2, 3};
    uint8_t hidden[4] = {0, 1, 0, 0};
    int32_t mlm_rows[] = {1, 7}, mlm_targets[] = {21, 22}, mpm_rows[] = {4, 10},
            mpm_patches[] = {1, 3};
    ragged w;
    fb_vlbert_rows rows;
    ragged_open(&w);
    w.batch.mlm_count = w.batch.mpm_count = 2;
    w.batch.mlm_rows = mlm_rows;
    w.batch.mlm_targets = mlm_targets;
    w.batch.mpm_rows = mpm_rows;
    w.batch.mpm_patches = mpm_patches;
    assert_int_equal(fb_vlbert_rows_pack(&w.tape, &rows, &w.batch, &w.batch, hidden),
                     FB_OK);
    assert_int_equal(rows.count, 17);
    same_ints(rows.offsets, offsets, 4);
    same_ints(rows.word, word, 17);
    same_ints(rows.visual, visual, 17);
    assert_int_equal(rows.other_count, 9);
    same_ints(rows.other_positions, positions, 9);
    assert_int_equal(rows.mlm_count, 2);
    same_ints(rows.mlm_rows, (const int32_t[]){1, 9}, 2);
    same_ints(rows.mlm_targets, mlm_targets, 2);
    assert_int_equal(rows.mvrc_count, 2);
    same_ints(rows.mvrc_rows, (const int32_t[]){5, 15}, 2);
    same_ints(rows.mvrc_objects, mpm_patches, 2);
    ragged_close(&w);
}

/* Object 0 of image 0 is left out; the batch of items has a pair that the blocks lack.
 */
static void rows_to_guess_follow_their_item_or_are_dropped(void **state)
{
    (void)state;
    int32_t item_text[] = {0, 1}, item_label[] = {1, 1}, item_seq[] = {0, 5, 8};
    int32_t mlm_rows[] = {1, 6}, mlm_targets[] = {21, 22}, mpm_rows[] = {2, 3},
            mpm_patches[] = {0, 1}, text[] = {1, 0}, image[] = {0, 0},
            labels[] = {0, 1};
    uint8_t out[4] = {1, 0, 0, 0};
    ragged w;
    fb_vlbert_rows rows;
    ragged_open(&w);
    w.batch.pairs = 2;
    w.batch.pair_text = text;
    w.batch.pair_image = image;
    w.batch.pair_label = labels;
    w.batch.patch_left_out = out;
    fb_batch items = w.batch;
    items.pair_text = items.pair_image = item_text;
    items.pair_label = item_label;
    items.seq_offsets = item_seq;
    items.mlm_count = items.mpm_count = 2;
    items.mlm_rows = mlm_rows;
    items.mlm_targets = mlm_targets;
    items.mpm_rows = mpm_rows;
    items.mpm_patches = mpm_patches;
    assert_int_equal(fb_vlbert_rows_pack(&w.tape, &rows, &w.batch, &items, NULL),
                     FB_OK);
    /* pair 0: text 1 (3 tokens), whole, objects 1 and 2, [END]; pair 1: text 0 */
    assert_int_equal(rows.count, 7 + 6);
    assert_int_equal(rows.visual[4], 1);
    assert_int_equal(rows.mlm_count, 1); /* item 1 has no matched pair */
    assert_int_equal(rows.mlm_rows[0], 7 + 1);
    assert_int_equal(rows.mlm_targets[0], 21);
    assert_int_equal(rows.mvrc_count, 1); /* object 0 is not shown */
    assert_int_equal(rows.mvrc_rows[0], 7 + 2 + 1);
    assert_int_equal(rows.mvrc_objects[0], 1);
    ragged_close(&w);
}

/* ---- the model ------------------------------------------------------------------- */

static fb_model_config vlbert_config(const char *encoder)
{
    fb_model_config c = config();
    fb_model_config_set_system(&c, &fb_vlbert_system);
    if (strcmp(encoder, "thin") == 0) {
        c.image_size = 48;
        c.grid = 4;
    }
    strcpy(c.encoder, encoder);
    c.max_text = 10;
    c.dropout = 0;
    return c;
}

/* The norms of looks begin at 0: no image would be seen. */
static void open_eyes(fb_params *params)
{
    for (fb_param *p = params->first; p; p = p->next)
        for (int64_t i = 0; i < p->rows; i++)
            if (strstr(p->name[0], ".visual.LayerNorm.weight"))
                params->value[p->offset + i] = 0.5f;
    fb_params_touch(params);
}

static void open_world(world *w, const char *backend)
{
    const kind k = {backend, "f32", 0};
    assert_true(world_open_as(w, &k, vlbert_config("pixels"), FB_MODEL_TRAIN));
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

static void check_training(const fb_vlbert_step *step, bool items)
{
    world w[2];
    open_world(&w[0], "ref");
    open_world(&w[1], "poison");
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
    fb_vlbert_step step = {
        .enabled = {true, true, true}, .patch_keep = 1, .visual_mask = 1, .key = 3};
    check_training(&step, false);
    step.others = 2;
    step.patch_keep = 0.5;
    check_training(&step, true);
}

/* A pair's score is that of the pair alone, whatever stands beside it. */
static void a_score_is_of_its_own_pair(void **state)
{
    (void)state;
    world w;
    float all[PAIRS], one[PAIRS];
    open_world(&w, "ref");
    open_eyes(w.m->params);
    w.dropout = 0;
    memset(w.batch->patch_masked, 0, IMAGES * P);
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
        assert_true(p == 0 || fabsf(all[p] - all[0]) > 1e-4f);
    }
    world_close(&w);
}

/* ---- the image network ----------------------------------------------------------- */

enum { THIN_SIDE = 48, THIN_GRID = 4, THIN_P = THIN_GRID * THIN_GRID };

typedef struct thin_world {
    fb_context *ctx;
    fb_backend *be;
    fb_matcher *m;
    fb_batch *batch;
    fb_arena *arena;
} thin_world;

static void thin_open(thin_world *w)
{
    const fb_batch_limits limits = {PAIRS, TEXTS, IMAGES, TOKENS, THIN_P, THIN_SIDE};
    const fb_model_config c = vlbert_config("thin");
    fb_random r = fb_random_start(9, FB_STREAM_TEST, 0);
    *w = (thin_world){.ctx = fb_context_create(), .arena = fb_arena_create(1 << 20)};
    assert_int_equal(fb_model_config_check(w->ctx, &c, "test"), FB_OK);
    assert_int_equal(fb_backend_create(w->ctx, &w->be, "ref", "f32", 1), FB_OK);
    assert_int_equal(fb_matcher_create(w->ctx, &w->m, &c, FB_MODEL_TRAIN), FB_OK);
    assert_int_equal(fb_batch_create(w->ctx, &w->batch, &limits, 7), FB_OK);
    fb_params_initialise(w->m->params, 12);
    open_eyes(w->m->params);
    fb_batch *b = w->batch;
    fill_batch(b); /* in model_world.h's shape; pixels and masks are set anew */
    for (int i = 0; i < IMAGES * THIN_SIDE * THIN_SIDE * 3; i++)
        b->pixels[i] = (uint8_t)fb_random_below(&r, 256);
    b->mlm_count = 0;
    b->mpm_count = 0;
    b->patch_masked[3] = 1;
}

static double thin_loss(thin_world *w, bool backward)
{
    static const fb_vlbert_step step = {
        .enabled = {[FB_VLBERT_TIA] = true}, .patch_keep = 1, .visual_mask = 1};
    fb_tape tape = {0};
    fb_measures measures;
    fb_vlbert_pass pass;
    fb_arena_reset(w->arena);
    fb_tape_begin(&tape, w->ctx, w->be, w->arena, true);
    if (backward) {
        assert_int_equal(
            w->m->system->train_batch(w->m, &tape, w->batch, &step, &measures), FB_OK);
        return measures.total;
    }
    assert_int_equal(
        fb_vlbert_forward((fb_vlbert *)w->m, &tape, w->batch, &step, true, &pass),
        FB_OK);
    return pass.loss[FB_VLBERT_TIA]->value;
}

/* Along its own gradient g the loss changes by |g|^2 a step. */
static void the_image_network_gets_the_gradient_of_the_loss(void **state)
{
    (void)state;
    thin_world w;
    thin_open(&w);
    fb_params *params = w.m->params;
    double squares = 0, ends[2];
    thin_loss(&w, true);
    float *g = malloc((size_t)params->trained * sizeof *g);
    memcpy(g, params->grad, (size_t)params->trained * sizeof *g);
    for (fb_param *p = params->first; p; p = p->next) {
        bool network = strncmp(p->name[0], "image.encoder.", 14) == 0;
        for (int64_t i = p->offset; i < p->offset + p->rows * p->columns; i++) {
            g[i] = network ? g[i] : 0;
            squares += (double)g[i] * (double)g[i];
        }
    }
    assert_true(squares > 0);
    float h = (float)(1e-3 / sqrt(squares));
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < params->trained; i++)
            params->value[i] += (side ? -2 : 1) * h * g[i];
        fb_params_touch(params);
        ends[side] = thin_loss(&w, false);
    }
    double slope = (ends[0] - ends[1]) / (2 * (double)h);
    if (!(fabs(slope - squares) < 0.03 * squares))
        fail_msg("differences say %g, the gradient %g", slope, squares);
    free(g);
    w.m->system->free(w.m, w.be);
    fb_batch_free(w.batch);
    fb_arena_free(w.arena);
    fb_backend_free(w.be);
    fb_context_free(w.ctx);
}

/* ---- what is refused ------------------------------------------------------------- */

static void refuse(const fb_model_config *c, const char *why)
{
    fb_context *ctx = fb_context_create();
    assert_int_equal(fb_model_config_check(ctx, c, "test"), FB_E_FORMAT);
    assert_non_null(strstr(fb_context_message(ctx), why));
    fb_context_free(ctx);
}

static void positions_behind_the_text_must_be_there(void **state)
{
    (void)state;
    fb_model_config c = vlbert_config("pixels");
    c.max_text = 11; /* of 12 positions; [END] is the second behind them */
    refuse(&c, "max_position_embeddings of 13");
    c.max_text = 10;
    c.patches_from = 1;
    refuse(&c, "patches_from of 0");
}

static void classes_must_be_there_and_known(void **state)
{
    (void)state;
    static const fb_vlbert_step step = {
        .enabled = {true, true, true}, .patch_keep = 1, .visual_mask = 1, .key = 3};
    const kind k = {"ref", "f32", 0};
    int32_t classes[IMAGES * P] = {0};
    fb_measures measures;
    world w;
    fb_model_config c = vlbert_config("pixels");
    ((fb_vlbert_config *)(void *)&c.own)->target = FB_VLBERT_CLASSES;
    ((fb_vlbert_config *)(void *)&c.own)->classes = 7;
    assert_true(world_open_as(&w, &k, c, FB_MODEL_TRAIN));
    begin(&w, true);
    assert_int_equal(w.m->system->train_batch(w.m, &w.tape, w.batch, &step, &measures),
                     FB_E_SHAPE);
    assert_non_null(strstr(fb_context_message(w.ctx), "and the images have none"));
    w.batch->region_classes = classes;
    classes[2 * P + 3] = 7; /* a masked one */
    begin(&w, true);
    assert_int_equal(w.m->system->train_batch(w.m, &w.tape, w.batch, &step, &measures),
                     FB_E_SHAPE);
    assert_non_null(
        strstr(fb_context_message(w.ctx), "class 7, the model knows 0 to 6"));
    classes[2 * P + 3] = 6;
    begin(&w, true);
    must(&w, w.m->system->train_batch(w.m, &w.tape, w.batch, &step, &measures));
    w.batch->region_classes = NULL;
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(geometry_is_sines_and_cosines_of_four_numbers),
        cmocka_unit_test(each_row_has_the_geometry_of_its_own_box),
        cmocka_unit_test(ragged_images_are_packed_behind_their_text),
        cmocka_unit_test(rows_to_guess_follow_their_item_or_are_dropped),
        cmocka_unit_test(training_has_refs_bits),
        cmocka_unit_test(a_score_is_of_its_own_pair),
        cmocka_unit_test(the_image_network_gets_the_gradient_of_the_loss),
        cmocka_unit_test(positions_behind_the_text_must_be_there),
        cmocka_unit_test(classes_must_be_there_and_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
