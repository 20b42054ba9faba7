/* test_sampler.c - negatives and the batches of a step. */
#include "base/intern.h"
#include "support/sampler_fixture.h"

#include "data/batch/negatives.h"

#include <unistd.h>

/* Says it from the rows alone, without the code under test. */
static bool may_mismatch(const fb_catalogue *cat, int32_t text_item, int32_t image_item)
{
    const fb_catalogue_item *text = fb_catalogue_get(cat, text_item);
    for (int32_t i = 0; i < ITEMS; i++) {
        const fb_catalogue_item *item = fb_catalogue_get(cat, i);
        bool texts = strcmp(item->title, text->title) == 0 ||
                     strcmp(item->product_id, text->product_id) == 0;
        const fb_catalogue_item *image = fb_catalogue_get(cat, image_item);
        bool images = fixture_picture(i) == fixture_picture(image_item) ||
                      strcmp(item->product_id, image->product_id) == 0;
        if (texts && images &&
            (strcmp(item->title, text->title) == 0 ||
             fixture_picture(i) == fixture_picture(image_item) || i == image_item))
            return false;
    }
    return true;
}

static void negatives_never_match(void **state)
{
    fixture *f = *state;
    fb_catalogue *cat = fixture_catalogue(f);
    int32_t count = 0, fallbacks = 0;
    const int32_t *items = fb_catalogue_split_items(cat, FB_SPLIT_TRAIN, &count);
    int32_t elsewhere = 0;
    fb_negatives *negatives = NULL;
    assert_int_equal(fb_negatives_create(f->ctx, &negatives, cat, items, count), FB_OK);
    for (uint64_t n = 0; n < 20000; n++) {
        fb_random random = fb_random_start(11, FB_STREAM_NEGATIVE, n);
        int32_t item = items[n % (uint64_t)count], other = -1;
        bool image = n / 60 % 2 == 0, fell_back = false;
        assert_int_equal(fb_negatives_draw(f->ctx, negatives, &random, item, image,
                                           false, &other, &fell_back),
                         FB_OK);
        if (!may_mismatch(cat, image ? item : other, image ? other : item))
            fail_msg("items %d and %d match, draw %d", item, other, (int)n);
        const fb_catalogue_item *a = fb_catalogue_get(cat, item);
        const fb_catalogue_item *b = fb_catalogue_get(cat, other);
        if (!fell_back && a->category[0] >= 0)
            assert_int_equal(a->category[0], b->category[0]);
        if (item == 30) { /* alone in its category: one level up */
            assert_true(fell_back);
            assert_int_equal(a->category[1], b->category[1]);
        } else {
            assert_false(fell_back);
        }
        fallbacks += fell_back;
        assert_int_equal(fb_negatives_draw(f->ctx, negatives, &random, item, image,
                                           true, &other, &fell_back),
                         FB_OK);
        assert_true(may_mismatch(cat, image ? item : other, image ? other : item));
        assert_false(fell_back);
        elsewhere += fb_catalogue_get(cat, other)->category[0] != a->category[0];
    }
    assert_true(fallbacks > 0);
    assert_true(elsewhere > 1000); /* "anywhere" does leave the category */
    fb_negatives_free(negatives);
    fb_catalogue_close(cat);
}

static void every_other_item_of_the_category_is_drawn(void **state)
{
    fixture *f = *state;
    fb_catalogue *cat = fixture_catalogue(f);
    int32_t count = 0, drawn[ITEMS] = {0};
    const int32_t *items = fb_catalogue_split_items(cat, FB_SPLIT_TRAIN, &count);
    fb_negatives *negatives = NULL;
    assert_int_equal(fb_negatives_create(f->ctx, &negatives, cat, items, count), FB_OK);
    for (uint64_t n = 0; n < 2000; n++) {
        fb_random random = fb_random_start(2, FB_STREAM_NEGATIVE, n);
        int32_t other = -1;
        bool fell_back;
        assert_int_equal(fb_negatives_draw(f->ctx, negatives, &random, 24, true, false,
                                           &other, &fell_back),
                         FB_OK);
        drawn[other]++;
    }
    for (int32_t i = 0; i < ITEMS; i++) {
        bool wanted = i % 6 == 0 && i != 30 && may_mismatch(cat, 24, i);
        assert_int_equal(drawn[i] > 0, wanted);
    }
    fb_negatives_free(negatives);
    fb_catalogue_close(cat);
}

static void catalogue_of_one_product_has_no_negative(void **state)
{
    fixture *f = *state;
    fixture_text(f, "a", "1");
    fixture_text(f, "b", "2");
    fixture_text(f, "metadata.jsonl",
                 "{\"file_name\":\"a\",\"title\":\"1\",\"product_id\":\"p\"}\n"
                 "{\"file_name\":\"b\",\"title\":\"2\",\"product_id\":\"p\"}\n");
    fb_catalogue *cat = NULL;
    assert_int_equal(fb_catalogue_open(f->ctx, &cat, f->folder, NULL), FB_OK);
    const int32_t items[] = {0, 1};
    fb_negatives *negatives = NULL;
    assert_int_equal(fb_negatives_create(f->ctx, &negatives, cat, items, 2), FB_OK);
    fb_random random = fb_random_start(1, FB_STREAM_NEGATIVE, 0);
    int32_t other = -1;
    bool fell_back;
    assert_int_equal(fb_negatives_draw(f->ctx, negatives, &random, 1, true, false,
                                       &other, &fell_back),
                     FB_E_FORMAT);
    assert_non_null(strstr(fb_context_message(f->ctx), "metadata.jsonl:2:"));
    fb_negatives_free(negatives);
    fb_catalogue_close(cat);
}

static void check_rows(const fb_batch *b, const fb_token_lists *tokens, bool all)
{
    int32_t mlm = 0, mpm = 0;
    (void)tokens;
    for (int32_t pair = 0; pair < b->pairs; pair++) {
        int32_t text = b->pair_text[pair],
                length = b->text_offsets[text + 1] - b->text_offsets[text];
        assert_int_equal(b->seq_offsets[pair + 1] - b->seq_offsets[pair],
                         length + b->patches);
        bool listed = all || b->pair_label[pair] == 1;
        for (; mlm < b->mlm_count && b->mlm_rows[mlm] < b->seq_offsets[pair + 1];
             mlm++) {
            int32_t place = b->mlm_rows[mlm] - b->seq_offsets[pair];
            assert_true(listed && place > 0 && place < length - 1);
        }
        for (int32_t p = 0; p < b->patches; p++) {
            int32_t patch = b->pair_image[pair] * b->patches + p;
            if (!listed || !b->patch_masked[patch])
                continue;
            assert_int_equal(b->mpm_patches[mpm], patch);
            assert_int_equal(b->mpm_rows[mpm++], b->seq_offsets[pair] + length + p);
        }
    }
    assert_int_equal(mlm, b->mlm_count);
    assert_int_equal(mpm, b->mpm_count);
    assert_true(mlm > 0 && mpm > 0);
}

static void batch_has_halves_and_masked_rows(void **state)
{
    fixture *f = *state;
    for (int all = 0; all < 2; all++) {
        sampling s = sampling_create(f, 13, 5, all);
        fb_batch *b = NULL;
        fb_sampler_cursor *cursor = NULL;
        assert_int_equal(fb_sampler_batch_create(f->ctx, &b, s.sampler), FB_OK);
        assert_int_equal(fb_sampler_cursor_create(f->ctx, &cursor, s.sampler), FB_OK);
        for (uint64_t step = 0; step < 40; step++) {
            assert_int_equal(fb_sampler_fill(f->ctx, s.sampler, cursor, step, NULL, b),
                             FB_OK);
            assert_int_equal(b->pairs, 13);
            for (int32_t i = 0; i < b->pairs; i++)
                assert_int_equal(b->pair_label[i], i < 7);
            check_rows(b, s.tokens, all);
        }
        fb_sampler_cursor_free(cursor);
        fb_batch_free(b);
        sampling_free(&s);
    }
}

static void mismatched_pairs_replace_text_or_image_half_and_half(void **state)
{
    fixture *f = *state;
    sampling s = sampling_create(f, 16, 5, false);
    fb_batch *b = NULL;
    fb_sampler_cursor *cursor = NULL;
    int32_t images = 0, texts = 0;
    assert_int_equal(fb_sampler_batch_create(f->ctx, &b, s.sampler), FB_OK);
    assert_int_equal(fb_sampler_cursor_create(f->ctx, &cursor, s.sampler), FB_OK);
    for (uint64_t step = 0; step < 60; step++) {
        assert_int_equal(fb_sampler_fill(f->ctx, s.sampler, cursor, step, NULL, b),
                         FB_OK);
        for (int32_t i = 0; i < 8; i++) {
            bool same_text = b->pair_text[8 + i] == b->pair_text[i];
            bool same_image = b->pair_image[8 + i] == b->pair_image[i];
            assert_true(same_text != same_image);
            images += same_text;
            texts += same_image;
        }
    }
    assert_true(images > 180 && texts > 180); /* of 480, sigma 11 */
    fb_sampler_cursor_free(cursor);
    fb_batch_free(b);
    sampling_free(&s);
}

static void an_epoch_takes_each_item_once(void **state)
{
    fixture *f = *state;
    sampling s = sampling_create(f, 8, 9, false); /* 4 items a step, 15 steps */
    fb_sampler_options options = {
        .batch = 8, .seed = 9, .patches = 16, .image_size = 32, .whole_texts = true};
    fb_sampler_free(s.sampler);
    assert_int_equal(
        fb_sampler_create(f->ctx, &s.sampler, s.catalogue, s.tokens, s.vocab, &options),
        FB_OK);
    fb_batch *b = NULL;
    fb_sampler_cursor *cursor = NULL;
    assert_int_equal(fb_sampler_batch_create(f->ctx, &b, s.sampler), FB_OK);
    assert_int_equal(fb_sampler_cursor_create(f->ctx, &cursor, s.sampler), FB_OK);
    int32_t seen[FIXTURE_VOCAB] = {0}, wanted[FIXTURE_VOCAB] = {0};
    for (uint64_t step = 0; step < 15; step++) {
        assert_int_equal(fb_sampler_fill(f->ctx, s.sampler, cursor, step, NULL, b),
                         FB_OK);
        assert_int_equal(b->mlm_count, 0);
        for (int32_t i = 0; i < 4; i++) /* the token behind [CLS] tells the title */
            seen[b->token_ids[b->text_offsets[b->pair_text[i]] + 1]]++;
    }
    for (int32_t i = 0; i < ITEMS; i++)
        wanted[s.tokens->ids[s.tokens->offsets[i] + 1]]++;
    assert_memory_equal(seen, wanted, sizeof seen);
    fb_sampler_cursor_free(cursor);
    fb_batch_free(b);
    sampling_free(&s);
}

static uint64_t hash_of_step(fixture *f, const sampling *s, fb_sampler_cursor *cursor,
                             uint64_t step)
{
    fb_batch *b = NULL;
    assert_int_equal(fb_sampler_batch_create(f->ctx, &b, s->sampler), FB_OK);
    assert_int_equal(fb_sampler_fill(f->ctx, s->sampler, cursor, step, NULL, b), FB_OK);
    uint64_t hash = batch_hash(b);
    fb_batch_free(b);
    return hash;
}

static void any_step_alone_equals_the_step_in_a_run(void **state)
{
    fixture *f = *state;
    sampling s = sampling_create(f, 7, 21, false);
    fb_sampler_cursor *run = NULL;
    assert_int_equal(fb_sampler_cursor_create(f->ctx, &run, s.sampler), FB_OK);
    uint64_t hashes[40];
    for (uint64_t step = 0; step < 40; step++)
        hashes[step] = hash_of_step(f, &s, run, step);
    for (uint64_t step = 40; step-- > 0;) {
        fb_sampler_cursor *alone = NULL;
        assert_int_equal(fb_sampler_cursor_create(f->ctx, &alone, s.sampler), FB_OK);
        assert_true(hash_of_step(f, &s, alone, step) == hashes[step]);
        if (step > 0)
            assert_true(hashes[step] != hashes[step - 1]);
        fb_sampler_cursor_free(alone);
    }
    sampling other = sampling_create(f, 7, 22, false);
    fb_sampler_cursor *cursor = NULL;
    assert_int_equal(fb_sampler_cursor_create(f->ctx, &cursor, other.sampler), FB_OK);
    assert_true(hash_of_step(f, &other, cursor, 0) != hashes[0]);
    fb_sampler_cursor_free(cursor);
    fb_sampler_cursor_free(run);
    sampling_free(&other);
    sampling_free(&s);
}

static void fallbacks_are_counted_and_equal_texts_lie_once(void **state)
{
    fixture *f = *state;
    sampling s = sampling_create(f, 120, 5, false); /* every item, every step */
    fb_batch *b = NULL;
    fb_sampler_cursor *cursor = NULL;
    assert_int_equal(fb_sampler_batch_create(f->ctx, &b, s.sampler), FB_OK);
    assert_int_equal(fb_sampler_cursor_create(f->ctx, &cursor, s.sampler), FB_OK);
    assert_int_equal(fb_sampler_fill(f->ctx, s.sampler, cursor, 3, NULL, b), FB_OK);
    assert_int_equal(b->fallbacks, 1);
    assert_int_equal(b->texts, ITEMS - 2); /* three items share a title */
    assert_int_equal(b->images, ITEMS);
    fb_sampler_cursor_free(cursor);
    fb_batch_free(b);
    sampling_free(&s);
}

static void empty_split_is_refused(void **state)
{
    fixture *f = *state;
    sampling s = sampling_create(f, 4, 5, false);
    fb_sampler *sampler = NULL;
    fb_sampler_options options = {
        .split = FB_SPLIT_TEST, .batch = 4, .patches = 16, .image_size = 32};
    assert_int_equal(
        fb_sampler_create(f->ctx, &sampler, s.catalogue, s.tokens, s.vocab, &options),
        FB_E_USAGE);
    assert_non_null(strstr(fb_context_message(f->ctx), "test is empty"));
    sampling_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(negatives_never_match),
        FIXTURE_TEST(every_other_item_of_the_category_is_drawn),
        FIXTURE_TEST(catalogue_of_one_product_has_no_negative),
        FIXTURE_TEST(batch_has_halves_and_masked_rows),
        FIXTURE_TEST(mismatched_pairs_replace_text_or_image_half_and_half),
        FIXTURE_TEST(an_epoch_takes_each_item_once),
        FIXTURE_TEST(any_step_alone_equals_the_step_in_a_run),
        FIXTURE_TEST(fallbacks_are_counted_and_equal_texts_lie_once),
        FIXTURE_TEST(empty_split_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
