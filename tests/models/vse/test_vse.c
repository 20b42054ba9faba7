/* test_vse.c - what VSE and VSE++ promise: the first steps of VSE++ learn from the sum,
 * recall@1 counts ties against and kin not at all, training on a backend with a memory
 * of its own (poison_backend.h) has ref's bits, images of any number of rows are taken.
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

#include "base/random.h"
#include "models/batch_recall.h"
#include "models/vse/vse.h"
#include "nn/optimizer.h"
#include "support/poison_backend.h"

enum { ITEMS = 4, P = 4, SIZE = 8, TOKENS = 14, VOCAB = 20 };

typedef struct world {
    fb_context *ctx;
    fb_backend *be;
    fb_matcher *m;
    fb_batch *batch;
    fb_arena *arena;
    fb_tape tape;
} world;

static void must(const world *w, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s", fb_context_message(w->ctx));
}

static void begin(world *w, bool recording)
{
    fb_arena_reset(w->arena);
    fb_tape_begin(&w->tape, w->ctx, w->be, w->arena, recording);
}

#include "support/twin_training.h"

static void fill(fb_batch *b)
{
    static const int32_t offsets[] = {0, 5, 7, 10, TOKENS};
    fb_random r = fb_random_start(8, FB_STREAM_TEST, 0);
    b->pairs = b->texts = b->images = ITEMS;
    memcpy(b->text_offsets, offsets, sizeof offsets);
    for (int32_t i = 0; i < TOKENS; i++) {
        b->token_ids[i] = (int32_t)fb_random_below(&r, VOCAB);
        b->token_positions[i] = b->token_segments[i] = 0;
    }
    for (int i = 0; i < ITEMS * SIZE * SIZE * 3; i++)
        b->pixels[i] = (uint8_t)fb_random_below(&r, 256);
    memset(b->patch_masked, 0, ITEMS * P);
    for (int i = 0; i < ITEMS; i++) {
        b->pair_text[i] = b->pair_image[i] = b->text_group[i] = b->image_group[i] = i;
        b->pair_label[i] = 1;
    }
    fb_batch_pack(b);
}

static void world_open(world *w, const fb_system *system, const char *backend)
{
    fb_model_config c = {.layers = 1,
                         .width = 8,
                         .heads = 1,
                         .inner = 8,
                         .vocab = VOCAB,
                         .positions = 8,
                         .segments = 2,
                         .eps = 1e-12,
                         .init_std = 0.02,
                         .encoder = "pixels",
                         .image_size = SIZE,
                         .grid = 2,
                         .std = {1, 1, 1},
                         .max_text = 8,
                         .vector = 10,
                         .views = 1,
                         .score = FB_SCORE_ITC,
                         .similarity_weight = 1};
    const fb_batch_limits limits = {ITEMS, ITEMS, ITEMS, TOKENS, P, SIZE};
    *w = (world){.ctx = fb_context_create(), .arena = fb_arena_create(1 << 16)};
    fb_model_config_set_system(&c, system);
    must(w, fb_model_config_check(w->ctx, &c, "test"));
    must(w, test_backend_create(w->ctx, &w->be, backend, "f32", 1));
    must(w, fb_matcher_create(w->ctx, &w->m, &c, FB_MODEL_TRAIN));
    must(w, fb_batch_create(w->ctx, &w->batch, &limits, 6));
    fb_params_initialise(w->m->params, 12);
    must(w, fb_params_move(w->ctx, w->m->params, w->be));
    fill(w->batch);
}

static void world_close(world *w)
{
    w->m->system->free(w->m, w->be);
    fb_arena_free(w->arena);
    fb_batch_free(w->batch);
    fb_backend_free(w->be);
    fb_context_free(w->ctx);
}

static void training_has_refs_bits_on_poison(void **state)
{
    (void)state;
    const fb_vse_step step = {true, 0.2f};
    world w[2];
    world_open(&w[0], &fb_vsepp_system, "ref");
    world_open(&w[1], &fb_vsepp_system, "poison");
    for (int64_t number = 0; number < 3; number++) {
        fb_measures losses[2];
        for (int i = 0; i < 2; i++) {
            begin(&w[i], true);
            must(&w[i], w[i].m->system->train_batch(w[i].m, &w[i].tape, w[i].batch,
                                                    &step, &losses[i]));
            optimize(&w[i], number);
        }
        assert_true(isfinite(losses[0].total) && losses[0].total > 0);
        assert_true(losses[0].total == losses[1].total);
    }
    same_losses(&w[0], &w[1], &step);
    same_models(&w[0], &w[1]);
    world_close(&w[0]);
    close_poison(&w[1]);
}

static double loss_of(world *w, fb_vse_step step)
{
    fb_measures measures;
    begin(w, false);
    must(w, w->m->system->losses(w->m, &w->tape, w->batch, &step, &measures));
    return measures.total;
}

static void kin_is_no_mismatch(void **state)
{
    (void)state;
    world w;
    world_open(&w, &fb_vse_system, "ref");
    double before = loss_of(&w, (fb_vse_step){false, 0.5f});
    w.batch->text_group[3] = w.batch->text_group[1];
    double one_text = loss_of(&w, (fb_vse_step){false, 0.5f});
    w.batch->image_group[2] = w.batch->image_group[0];
    double one_product = loss_of(&w, (fb_vse_step){false, 0.5f});
    assert_true(before > one_text && one_text > one_product);
    for (int i = 0; i < ITEMS; i++)
        w.batch->image_group[i] = 0;
    assert_true(loss_of(&w, (fb_vse_step){false, 0.5f}) == 0);
    assert_true(loss_of(&w, (fb_vse_step){true, 0.5f}) == 0);
    world_close(&w);
}

/* Rows 0 and 1 are image 0's, the last five image 3's: vectors are of their means. */
static void images_may_have_different_numbers_of_rows(void **state)
{
    (void)state;
    world w;
    float before[ITEMS * 10], after[ITEMS * 10];
    world_open(&w, &fb_vse_system, "ref");
    begin(&w, false);
    must(&w, w.m->system->vectors(w.m, &w.tape, w.batch, NULL, before));
    memcpy(w.batch->image_offsets, (int32_t[]){0, 2, 8, 11, 16}, 5 * sizeof(int32_t));
    begin(&w, false);
    must(&w, w.m->system->vectors(w.m, &w.tape, w.batch, NULL, after));
    for (int i = 0; i < ITEMS; i++) {
        double length = 0;
        for (int k = 0; k < 10; k++)
            length += (double)after[i * 10 + k] * (double)after[i * 10 + k];
        assert_true(fabs(length - 1) < 1e-5);
        assert_memory_not_equal(before + i * 10, after + i * 10, 10 * sizeof(float));
    }
    world_close(&w);
}

static void vsepp_begins_with_the_sum(void **state)
{
    (void)state;
    fb_vse_step step = {0};
    fb_train_plan plan;
    fb_train_options o;
    fb_train_options_defaults(&o);
    o.hard_warmup = 0.25;
    o.margin = 0.2;
    assert_int_equal(fb_vsepp_system.plan(NULL, &o, &plan, &step), FB_OK);
    assert_true(plan.items && plan.whole_texts && plan.whole_images);
    assert_true(step.margin == 0.2f);
    for (int64_t i = 0; i < 8; i++) {
        const fb_step_clock clock = {.number = i, .total = 8};
        fb_vsepp_system.step(&step, &o, &clock);
        assert_true(step.hardest == (i >= 2));
    }
    const fb_step_clock validation = {.number = 0, .total = 8, .validation = true};
    fb_vsepp_system.step(&step, &o, &validation);
    assert_true(step.hardest);
    assert_int_equal(fb_vse_system.plan(NULL, &o, &plan, &step), FB_OK);
    assert_true(!step.hardest && !fb_vse_system.step);
}

static void recall_counts_ties_against_and_kin_not_at_all(void **state)
{
    (void)state;
    static const int32_t apart[] = {0, 1, 2}, kin[] = {0, 0, 2};
    static const float ties[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const float scores[9] = {.5f, .9f, .1f, .3f, .6f, .2f, .4f, .7f, .8f};
    fb_measures measures = {0};
    assert_int_equal(fb_batch_recall(ties, apart, apart, 3), 0);
    /* Image 0 prefers text 1, text 1 image 0. */
    assert_int_equal(fb_batch_recall(scores, apart, apart, 3), 4);
    /* Which show one product: text 1 still prefers image 2. */
    assert_int_equal(fb_batch_recall(scores, kin, apart, 3), 5);
    fb_batch_recall_put(&measures, 4, 3);
    const fb_measure *m = fb_measures_find(&measures, "recall@1");
    assert_true(m && m->rows == 6 && m->right == 4 && m->chance == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_has_refs_bits_on_poison),
        cmocka_unit_test(kin_is_no_mismatch),
        cmocka_unit_test(images_may_have_different_numbers_of_rows),
        cmocka_unit_test(vsepp_begins_with_the_sum),
        cmocka_unit_test(recall_counts_ties_against_and_kin_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
