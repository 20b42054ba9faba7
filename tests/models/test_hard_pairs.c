/* test_hard_pairs.c - which pairs are made of a batch of items: own pairs first, the
 * hardest others behind, never a kin of the item. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "models/hard_pairs.h"

enum { ITEMS = 6, P = 4, LENGTH = 3 };

typedef struct world {
    fb_context *ctx;
    fb_backend *be;
    fb_arena *arena;
    fb_tape tape;
    fb_batch *items;
    float similarity[ITEMS * ITEMS];
    fb_tensor matrix;
} world;

static void open_world(world *w)
{
    const fb_batch_limits limits = {ITEMS, ITEMS, ITEMS, ITEMS * LENGTH, P, 8};
    *w = (world){.ctx = fb_context_create(), .arena = fb_arena_create(1 << 16)};
    assert_int_equal(fb_backend_create(w->ctx, &w->be, "ref", "f32", 1), FB_OK);
    assert_int_equal(fb_batch_create(w->ctx, &w->items, &limits, LENGTH), FB_OK);
    fb_tape_begin(&w->tape, w->ctx, w->be, w->arena, true);
    fb_batch *b = w->items;
    b->texts = b->images = b->pairs = ITEMS;
    b->text_offsets[0] = 0;
    for (int32_t i = 0; i < ITEMS; i++) {
        b->text_offsets[i + 1] = (i + 1) * LENGTH;
        b->text_group[i] = b->image_group[i] = i;
        b->pair_text[i] = b->pair_image[i] = i;
        b->pair_label[i] = 1;
    }
    for (int32_t i = 0; i < ITEMS * ITEMS; i++) /* all different, no symmetry */
        w->similarity[i] = (float)((i * 17) % 37) / 37.0f;
    w->matrix = fb_tensor_2d(w->similarity, FB_F32, ITEMS, ITEMS);
}

static void close_world(world *w)
{
    fb_batch_free(w->items);
    fb_arena_free(w->arena);
    fb_backend_free(w->be);
    fb_context_free(w->ctx);
}

static void draw(world *w, fb_hard_pairs *hard, double scale, int32_t negatives,
                 uint64_t key)
{
    assert_int_equal(fb_hard_pairs_draw(&w->tape, hard, w->items, &w->matrix,
                                        &(fb_hard_options){.negatives = negatives,
                                                           .scale = scale,
                                                           .patch_keep = 1,
                                                           .key = key}),
                     FB_OK);
}

static void every_pair_of_an_image_shows_the_same_share_of_its_patches(void **state)
{
    (void)state;
    world w;
    fb_hard_pairs hard;
    open_world(&w);
    assert_int_equal(fb_hard_pairs_draw(
                         &w.tape, &hard, w.items, &w.matrix,
                         &(fb_hard_options){
                             .negatives = 2, .scale = 5, .patch_keep = 0.5, .key = 11}),
                     FB_OK);
    int32_t shown[ITEMS][P], first_of[ITEMS], different = 0;
    for (int32_t i = 0; i < ITEMS; i++)
        first_of[i] = -1;
    for (int32_t p = 0; p < hard.batch.pairs; p++) {
        int32_t row = hard.batch.seq_offsets[p] + LENGTH, count = 0;
        int32_t image = hard.batch.pair_image[p];
        int32_t base = w.items->text_offsets[ITEMS] + image * P, set[P] = {0};
        for (; row < hard.batch.seq_offsets[p + 1]; row++, count++)
            set[hard.batch.row_source[row] - base] = 1;
        assert_int_equal(count, P / 2);
        if (first_of[image] < 0)
            memcpy(shown[image], set, sizeof set);
        assert_memory_equal(shown[image], set, sizeof set);
        first_of[image] = p;
    }
    for (int32_t i = 1; i < ITEMS; i++)
        different += memcmp(shown[0], shown[i], sizeof shown[0]) != 0;
    assert_true(different > 0);
    close_world(&w);
}

static void own_pairs_come_first_and_lists_name_their_pairs(void **state)
{
    (void)state;
    world w;
    fb_hard_pairs hard;
    open_world(&w);
    draw(&w, &hard, 5, 2, 11);
    assert_int_equal(hard.batch.pairs, ITEMS * 5);
    assert_int_equal(hard.lists, ITEMS * 2);
    assert_int_equal(hard.length, 3);
    for (int32_t p = 0; p < hard.batch.pairs; p++) {
        assert_int_equal(hard.batch.pair_label[p], p < ITEMS);
        assert_int_equal(hard.batch.pair_text[p] == hard.batch.pair_image[p],
                         p < ITEMS);
        assert_int_equal(hard.batch.seq_offsets[p], p * (LENGTH + P));
    }
    for (int32_t l = 0; l < hard.lists; l++) {
        const int32_t *m = hard.members + l * hard.length;
        int32_t item = l % ITEMS;
        assert_int_equal(m[0], item);
        for (int32_t k = 0; k < hard.length; k++)
            assert_int_equal(l < ITEMS ? hard.batch.pair_image[m[k]]
                                       : hard.batch.pair_text[m[k]],
                             item);
        assert_int_not_equal(m[1], m[2]); /* without replacement */
    }
    int32_t last = ITEMS * 5 - 1; /* its rows: a text's tokens, an image's patches */
    const int32_t *rows = hard.batch.row_source + hard.batch.seq_offsets[last];
    assert_int_equal(rows[0], hard.batch.pair_text[last] * LENGTH);
    assert_int_equal(rows[LENGTH], ITEMS * LENGTH + hard.batch.pair_image[last] * P);
    close_world(&w);
}

static void large_scale_takes_the_most_similar_best_first(void **state)
{
    (void)state;
    world w;
    fb_hard_pairs hard;
    open_world(&w);
    draw(&w, &hard, 1e6, 2, 5);
    for (int32_t l = 0; l < hard.lists; l++) {
        int32_t i = l % ITEMS, side = l / ITEMS;
        float before = 2;
        int32_t larger = 0;
        for (int32_t k = 1; k <= 2; k++) {
            int32_t pair = hard.members[l * hard.length + k];
            int32_t image = hard.batch.pair_image[pair];
            int32_t text = hard.batch.pair_text[pair];
            float s = w.similarity[image * ITEMS + text];
            assert_true(s < before);
            before = s;
        }
        for (int32_t j = 0; j < ITEMS; j++) {
            float s = w.similarity[side ? j * ITEMS + i : i * ITEMS + j];
            larger += j != i && s > before;
        }
        assert_int_equal(larger, 1); /* only the first of the two */
    }
    close_world(&w);
}

static void kin_are_never_drawn_and_few_others_repeat(void **state)
{
    (void)state;
    world w;
    fb_hard_pairs hard;
    open_world(&w);
    for (int32_t i = 0; i < 4; i++)
        w.items->text_group[i] = 0; /* 0 to 3 have one text */
    w.items->image_group[5] = 4;    /* 4 and 5 are one product */
    for (uint64_t key = 0; key < 50; key++) {
        draw(&w, &hard, 1, 3, key);
        for (int32_t p = ITEMS; p < hard.batch.pairs; p++) {
            int32_t text = hard.batch.pair_text[p], image = hard.batch.pair_image[p];
            assert_true(text != image);
            assert_true((text < 4) != (image < 4));
        }
        for (int32_t k = 2; k <= 3; k++) /* image 0 may only meet texts 4 and 5 */
            assert_true(hard.batch.pair_text[hard.members[k]] >= 4);
        assert_int_equal(hard.batch.pair_text[hard.members[3]],
                         hard.batch.pair_text[hard.members[2]]);
    }
    for (int32_t i = 0; i < ITEMS; i++)
        w.items->text_group[i] = 0; /* nobody may be opposed */
    draw(&w, &hard, 1, 2, 1);
    for (int32_t p = 0; p < hard.batch.pairs; p++)
        assert_int_equal(hard.batch.pair_label[p], 1);
    close_world(&w);
}

static void without_scale_all_others_are_as_likely(void **state)
{
    (void)state;
    enum { KEYS = 3000 };
    world w;
    int32_t seen[ITEMS] = {0};
    open_world(&w);
    for (uint64_t key = 0; key < KEYS; key++) {
        fb_hard_pairs hard;
        fb_arena_reset(w.arena);
        fb_tape_begin(&w.tape, w.ctx, w.be, w.arena, true);
        draw(&w, &hard, 0, 1, key * 7919);
        seen[hard.batch.pair_text[hard.members[1]]]++;
    }
    assert_int_equal(seen[0], 0);
    for (int32_t j = 1; j < ITEMS; j++) /* 600 expected; five deviations are 110 */
        assert_in_range(seen[j], 490, 710);
    close_world(&w);
}

static void one_key_is_one_draw_and_another_another(void **state)
{
    (void)state;
    world w;
    fb_hard_pairs a, b, c;
    open_world(&w);
    draw(&w, &a, 1, 3, 21);
    draw(&w, &b, 1, 3, 21);
    draw(&w, &c, 1, 3, 22);
    size_t bytes = (size_t)a.batch.pairs * sizeof(int32_t);
    assert_memory_equal(a.batch.pair_text, b.batch.pair_text, bytes);
    assert_memory_equal(a.batch.pair_image, b.batch.pair_image, bytes);
    assert_true(memcmp(a.batch.pair_text, c.batch.pair_text, bytes) != 0 ||
                memcmp(a.batch.pair_image, c.batch.pair_image, bytes) != 0);
    close_world(&w);
}

/* The first items make pairs among themselves; the rest of the batch has none. The best
 * others are those of the first rows and columns of the whole batch's matrix. */
static void pairs_of_the_first_items_stay_among_them(void **state)
{
    enum { FIRST = 4 };
    (void)state;
    world w;
    fb_hard_pairs hard;
    open_world(&w);
    fb_hard_options options = {
        .negatives = 2, .items = FIRST, .scale = 1e6, .patch_keep = 1, .key = 11};
    assert_int_equal(fb_hard_pairs_draw(&w.tape, &hard, w.items, &w.matrix, &options),
                     FB_OK);
    assert_int_equal(hard.batch.pairs, FIRST * 5);
    assert_int_equal(hard.lists, FIRST * 2);
    for (int32_t p = 0; p < hard.batch.pairs; p++) {
        int32_t text = hard.batch.pair_text[p], image = hard.batch.pair_image[p];
        assert_true(text < FIRST && image < FIRST);
        assert_int_equal(hard.batch.pair_label[p], p < FIRST);
        assert_float_equal(hard.log_q[p], 1e6 * w.similarity[image * ITEMS + text],
                           0.1);
    }
    for (int32_t l = 0; l < hard.lists; l++) {
        const int32_t *m = hard.members + l * hard.length;
        int32_t item = l % FIRST, side = l / FIRST, best = -1;
        float most = -1;
        for (int32_t j = 0; j < FIRST; j++) {
            float s = w.similarity[side ? j * ITEMS + item : item * ITEMS + j];
            if (j != item && s > most) {
                most = s;
                best = j;
            }
        }
        assert_int_equal(
            side ? hard.batch.pair_image[m[1]] : hard.batch.pair_text[m[1]], best);
    }
    close_world(&w);
}

static fb_hard_pairs draw_blocks(world *w, double scale, int32_t negatives)
{
    fb_hard_pairs hard;
    const fb_hard_options o = {.negatives = negatives,
                               .scale = scale,
                               .patch_keep = 1,
                               .key = 3,
                               .blocks = true};
    assert_int_equal(fb_hard_pairs_draw(&w->tape, &hard, w->items, &w->matrix, &o),
                     FB_OK);
    return hard;
}

/* A block's pairs are its texts against its images, each in one list of each kind. */
static void blocks_have_all_their_pairs(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    fb_hard_pairs hard = draw_blocks(&w, 5, 2);
    assert_int_equal(hard.batch.pairs, ITEMS * 3);
    assert_int_equal(hard.lists, ITEMS * 2);
    assert_null(hard.log_q);
    int32_t block_of[ITEMS], times[ITEMS * 3] = {0};
    for (int32_t i = 0; i < ITEMS; i++) {
        assert_int_equal(hard.batch.pair_label[i], 1);
        block_of[hard.batch.pair_text[i]] = i / 3;
    }
    for (int32_t l = 0; l < hard.lists; l++) {
        const int32_t *m = hard.members + l * 3;
        int32_t item = hard.batch.pair_text[l % ITEMS];
        assert_int_equal(m[0], l % ITEMS);
        for (int32_t k = 0; k < 3; k++) {
            const fb_batch *b = &hard.batch;
            bool of_image = l < ITEMS;
            int32_t own = of_image ? b->pair_image[m[k]] : b->pair_text[m[k]];
            int32_t other = of_image ? b->pair_text[m[k]] : b->pair_image[m[k]];
            assert_int_equal(own, item);
            assert_int_equal(block_of[other], block_of[item]);
            assert_int_equal(other == item, k == 0);
            times[m[k]]++;
        }
        assert_int_not_equal(m[1], m[2]);
    }
    for (int32_t p = 0; p < hard.batch.pairs; p++)
        assert_int_equal(times[p], 2);
    close_world(&w);
}

static void blocks_are_of_the_most_similar_and_of_no_kin(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    for (int32_t i = 0; i < ITEMS; i++)
        for (int32_t j = 0; j < ITEMS; j++) /* 0 2 4 and 1 3 5 are alike */
            w.similarity[i * ITEMS + j] = i % 2 == j % 2 ? 1 : 0;
    fb_hard_pairs hard = draw_blocks(&w, 1000, 2);
    for (int32_t p = 0; p < hard.batch.pairs; p++)
        assert_int_equal(hard.batch.pair_text[p] % 2, hard.batch.pair_image[p] % 2);
    w.items->text_group[2] = w.items->text_group[0];
    w.items->image_group[3] = w.items->image_group[1];
    hard = draw_blocks(&w, 1000, 1);
    assert_int_equal(hard.batch.pairs, ITEMS * 2);
    for (int32_t p = ITEMS; p < hard.batch.pairs; p++) {
        int32_t a = hard.batch.pair_text[p], b = hard.batch.pair_image[p];
        assert_false((a == 0 && b == 2) || (a == 2 && b == 0));
        assert_false((a == 1 && b == 3) || (a == 3 && b == 1));
    }
    for (int32_t i = 0; i < ITEMS; i++) /* all kin: no block, no pair */
        w.items->text_group[i] = 0;
    hard = draw_blocks(&w, 1, 2);
    assert_int_equal(hard.batch.pairs, 0);
    assert_int_equal(hard.lists, 0);
    for (int32_t i = 0; i < ITEMS; i++)
        w.items->text_group[i] = w.items->image_group[i] = i;
    hard = draw_blocks(&w, 1, 7); /* more than there are: blocks of half as many */
    assert_int_equal(hard.length, 4);
    assert_int_equal(hard.batch.pairs, 16);
    close_world(&w);
}

static void batch_that_is_not_of_items_is_refused(void **state)
{
    (void)state;
    world w;
    fb_hard_pairs hard;
    open_world(&w);
    w.items->texts = ITEMS - 1;
    assert_int_equal(
        fb_hard_pairs_draw(
            &w.tape, &hard, w.items, &w.matrix,
            &(fb_hard_options){.negatives = 2, .scale = 1, .patch_keep = 1, .key = 1}),
        FB_E_SHAPE);
    w.items->texts = ITEMS;
    assert_int_equal(
        fb_hard_pairs_draw(
            &w.tape, &hard, w.items, &w.matrix,
            &(fb_hard_options){.negatives = 0, .scale = 1, .patch_keep = 1, .key = 1}),
        FB_E_SHAPE);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_of_an_image_shows_the_same_share_of_its_patches),
        cmocka_unit_test(own_pairs_come_first_and_lists_name_their_pairs),
        cmocka_unit_test(large_scale_takes_the_most_similar_best_first),
        cmocka_unit_test(kin_are_never_drawn_and_few_others_repeat),
        cmocka_unit_test(without_scale_all_others_are_as_likely),
        cmocka_unit_test(one_key_is_one_draw_and_another_another),
        cmocka_unit_test(pairs_of_the_first_items_stay_among_them),
        cmocka_unit_test(blocks_have_all_their_pairs),
        cmocka_unit_test(blocks_are_of_the_most_similar_and_of_no_kin),
        cmocka_unit_test(batch_that_is_not_of_items_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
