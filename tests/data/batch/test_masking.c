/* test_masking.c - whole words, quota, 80/10/10 and patch masks, over many draws. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "data/batch/masking.h"

/* 0..4 special (4 is [MASK]), even ids continue a word, odd ids begin one. */
enum { VOCAB = 1005, MASK = 4, LENGTH = 22 };

static fb_mask_vocab *make_vocab(void)
{
    uint8_t kinds[VOCAB];
    for (int32_t i = 0; i < VOCAB; i++)
        kinds[i] = i <= MASK    ? FB_TOKEN_SPECIAL
                   : i % 2 == 0 ? FB_TOKEN_CONTINUATION
                                : FB_TOKEN_WORD;
    fb_mask_vocab *vocab = NULL;
    assert_int_equal(fb_mask_vocab_create(NULL, &vocab, kinds, VOCAB, MASK), FB_OK);
    return vocab;
}

/* [CLS] then words of 1 and 2 tokens by turns, then [SEP]. */
static void make_text(int32_t ids[LENGTH])
{
    ids[0] = 2;
    for (int32_t i = 1; i < LENGTH - 1; i++)
        ids[i] = i % 3 == 0 ? 100 + 2 * i : 101 + 2 * i;
    ids[LENGTH - 1] = 3;
}

static int32_t draw(const fb_mask_vocab *vocab, uint64_t step, const int32_t *ids,
                    int32_t count, int32_t *masked, int32_t *targets)
{
    int32_t scratch[2 * LENGTH];
    fb_random random = fb_random_start(7, FB_STREAM_MASK_TEXT, step);
    return fb_mask_text(vocab, &random, ids, count, count, scratch, masked, targets);
}

static void words_are_masked_whole_and_within_the_quota(void **state)
{
    (void)state;
    fb_mask_vocab *vocab = make_vocab();
    int32_t ids[LENGTH], masked[LENGTH], targets[LENGTH];
    make_text(ids);
    for (uint64_t step = 0; step < 2000; step++) {
        int32_t count = draw(vocab, step, ids, LENGTH, masked, targets), seen = 0;
        assert_int_equal(count, 3); /* round(22 * 0.15); 1-token words fill it up */
        for (int32_t i = 0; i < LENGTH; i++) {
            seen += targets[i] >= 0;
            if (targets[i] >= 0)
                assert_int_equal(targets[i], ids[i]);
            else
                assert_int_equal(masked[i], ids[i]);
            if (i > 0 && vocab->kinds[ids[i]] == FB_TOKEN_CONTINUATION)
                assert_int_equal(targets[i] >= 0, targets[i - 1] >= 0);
        }
        assert_int_equal(seen, count);
        assert_true(targets[0] < 0 && targets[LENGTH - 1] < 0);
    }
    fb_mask_vocab_free(vocab);
}

static void tokens_become_mask_random_or_stay_by_80_10_10(void **state)
{
    (void)state;
    fb_mask_vocab *vocab = make_vocab();
    int32_t ids[LENGTH], masked[LENGTH], targets[LENGTH];
    int64_t mask = 0, random = 0, same = 0, all = 0;
    make_text(ids);
    for (uint64_t step = 0; step < 20000; step++) {
        draw(vocab, step, ids, LENGTH, masked, targets);
        for (int32_t i = 0; i < LENGTH; i++) {
            if (targets[i] < 0)
                continue;
            all++;
            mask += masked[i] == MASK;
            same += masked[i] == ids[i];
            random += masked[i] != MASK && masked[i] != ids[i];
            assert_true(masked[i] == MASK ||
                        vocab->kinds[masked[i]] != FB_TOKEN_SPECIAL);
        }
    }
    /* 60,000 draws: five standard deviations of a rate are below 0.009 */
    assert_true(labs((long)(1000 * mask / all) - 800) <= 9);
    assert_true(labs((long)(1000 * random / all) - 100) <= 8);
    assert_true(labs((long)(1000 * same / all) - 100) <= 8);
    fb_mask_vocab_free(vocab);
}

static void every_word_has_its_turn(void **state)
{
    (void)state;
    fb_mask_vocab *vocab = make_vocab();
    int32_t ids[LENGTH], masked[LENGTH], targets[LENGTH], hits[LENGTH] = {0};
    make_text(ids);
    for (uint64_t step = 0; step < 3000; step++) {
        draw(vocab, step, ids, LENGTH, masked, targets);
        for (int32_t i = 0; i < LENGTH; i++)
            hits[i] += targets[i] >= 0;
    }
    for (int32_t i = 1; i < LENGTH - 1; i++)
        assert_true(hits[i] > 200 && hits[i] < 900); /* expected 450 */
    fb_mask_vocab_free(vocab);
}

static void short_text_masks_one_token_or_skips_a_long_word(void **state)
{
    (void)state;
    fb_mask_vocab *vocab = make_vocab();
    int32_t masked[4], targets[4];
    const int32_t one[] = {2, 101, 3}, split_word[] = {2, 101, 102, 3}, none[] = {2, 3};
    for (uint64_t step = 0; step < 100; step++) {
        assert_int_equal(draw(vocab, step, one, 3, masked, targets), 1);
        assert_int_equal(draw(vocab, step, split_word, 4, masked, targets), 0);
        assert_int_equal(draw(vocab, step, none, 2, masked, targets), 0);
    }
    fb_mask_vocab_free(vocab);
}

static void quota_rounds_half_to_even(void **state)
{
    (void)state;
    fb_mask_vocab *vocab = make_vocab();
    int32_t ids[30], masked[30], targets[30], scratch[60];
    for (int32_t i = 0; i < 30; i++)
        ids[i] = 101 + 2 * i;
    const int32_t cases[][2] = {{10, 2}, {11, 2}, {17, 3}, {30, 4}, {3, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fb_random random = fb_random_start(1, FB_STREAM_TEST, i);
        assert_int_equal(fb_mask_text(vocab, &random, ids, cases[i][0], 100, scratch,
                                      masked, targets),
                         cases[i][1]);
    }
    fb_random random = fb_random_start(1, FB_STREAM_TEST, 9);
    assert_int_equal(fb_mask_text(vocab, &random, ids, 30, 2, scratch, masked, targets),
                     2);
    fb_mask_vocab_free(vocab);
}

static void a_share_of_words_becomes_mask_and_one_stays(void **state)
{
    (void)state;
    const fb_word_mask fifth = {.share = 0.2}, all = {.share = 1};
    fb_mask_vocab *vocab = make_vocab();
    int32_t ids[LENGTH], masked[LENGTH], scratch[LENGTH], words = 0, taken = 0;
    make_text(ids);
    for (uint64_t step = 0; step < 2000; step++) {
        fb_random random = fb_random_start(7, FB_STREAM_MASK_TEXT, step);
        int32_t count =
            fb_mask_words(vocab, &random, &fifth, ids, LENGTH, scratch, masked);
        for (int32_t i = 0; i < LENGTH; i++) {
            bool gone = masked[i] != ids[i];
            count -= gone;
            assert_true(!gone || masked[i] == MASK);
            assert_true(!gone || vocab->kinds[ids[i]] != FB_TOKEN_SPECIAL);
            if (vocab->kinds[ids[i]] == FB_TOKEN_CONTINUATION)
                assert_int_equal(gone, masked[i - 1] != ids[i - 1]);
            words += vocab->kinds[ids[i]] == FB_TOKEN_WORD;
            taken += gone && vocab->kinds[ids[i]] == FB_TOKEN_WORD;
        }
        assert_int_equal(count, 0);
    }
    double share = (double)taken / words; /* of 28,000, sigma 0.0024 */
    assert_true(share > 0.19 && share < 0.21);
    const int32_t text[] = {2, 101, 102, 103, 3};
    int32_t first = 0;
    for (uint64_t step = 0; step < 200; step++) {
        fb_random random = fb_random_start(7, FB_STREAM_MASK_TEXT, step);
        int32_t count = fb_mask_words(vocab, &random, &all, text, 5, scratch, masked);
        assert_int_equal(count, masked[1] == MASK ? 2 : 1);
        assert_int_equal(masked[1] == MASK, masked[3] != MASK);
        first += masked[1] == MASK;
    }
    assert_true(first > 60 && first < 140);
    fb_mask_vocab_free(vocab);
}

static void rare_words_become_mask_more_often(void **state)
{
    (void)state;
    enum { STEPS = 4000, WORDS = 4 };
    fb_mask_vocab *vocab = make_vocab();
    int32_t *titles = calloc((size_t)vocab->size, sizeof *titles);
    const int32_t text[] = {2, 101, 103, 105, 107, 108, 3};
    titles[101] = 3;                            /* 2 in 5 */
    titles[103] = titles[107] = 998;            /* the share */
    titles[105] = 18;                           /* 1 in 10, as the share */
    const fb_word_mask mask = {0.1, 2, titles}; /* 108, a word's end, is in none */
    int32_t masked[7], scratch[7], gone[WORDS] = {0}, noise[WORDS] = {0};
    for (uint64_t step = 0; step < STEPS; step++) {
        fb_random random = fb_random_start(7, FB_STREAM_MASK_TEXT, step);
        fb_mask_words(vocab, &random, &mask, text, 7, scratch, masked);
        assert_int_equal(masked[4] == MASK, masked[5] == MASK); /* a word is whole */
        for (int32_t w = 0; w < WORDS; w++) {
            bool other = masked[w + 1] != MASK && masked[w + 1] != text[w + 1];
            gone[w] += masked[w + 1] == MASK || other;
            noise[w] += other;
            assert_true(vocab->kinds[masked[w + 1]] != FB_TOKEN_SPECIAL ||
                        masked[w + 1] == MASK);
        }
    }
    assert_in_range(gone[0], STEPS * 0.37, STEPS * 0.43);
    assert_in_range(noise[0], STEPS * 0.18, STEPS * 0.22);
    for (int32_t w = 1; w < 3; w++) {
        assert_in_range(gone[w], STEPS * 0.08, STEPS * 0.12);
        assert_int_equal(noise[w], 0); /* the share took them */
    }
    /* but where it is the one to stay, or chance draws the same token */
    assert_in_range(gone[3], STEPS * 0.97, STEPS);
    assert_in_range(noise[3], STEPS * 0.46, STEPS * 0.54);
    free(titles);
    fb_mask_vocab_free(vocab);
}

static void one_patch_in_ten_is_masked_evenly(void **state)
{
    (void)state;
    int32_t hits[64] = {0};
    for (uint64_t step = 0; step < 6400; step++) {
        uint8_t masked[64];
        fb_random random = fb_random_start(3, FB_STREAM_MASK_PATCH, step);
        assert_int_equal(fb_mask_patches(&random, FB_MASK_PATCHES, 64, masked), 6);
        int32_t sum = 0;
        for (int32_t p = 0; p < 64; p++) {
            sum += masked[p];
            hits[p] += masked[p];
        }
        assert_int_equal(sum, 6);
    }
    for (int32_t p = 0; p < 64; p++)
        assert_true(hits[p] > 480 && hits[p] < 720); /* expected 600, sigma 23 */
    uint8_t masked[1];
    fb_random random = fb_random_start(3, FB_STREAM_MASK_PATCH, 0);
    assert_int_equal(fb_mask_patches(&random, FB_MASK_PATCHES, 1, masked), 1);
    assert_int_equal(masked[0], 1);
}

static void vocabulary_without_mask_is_refused(void **state)
{
    (void)state;
    fb_mask_vocab *vocab = NULL;
    const uint8_t kinds[] = {FB_TOKEN_SPECIAL, FB_TOKEN_SPECIAL};
    assert_int_equal(fb_mask_vocab_create(NULL, &vocab, kinds, 2, -1), FB_E_USAGE);
    assert_int_equal(fb_mask_vocab_create(NULL, &vocab, kinds, 2, 1), FB_E_USAGE);
    assert_null(vocab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_masked_whole_and_within_the_quota),
        cmocka_unit_test(tokens_become_mask_random_or_stay_by_80_10_10),
        cmocka_unit_test(every_word_has_its_turn),
        cmocka_unit_test(rare_words_become_mask_more_often),
        cmocka_unit_test(short_text_masks_one_token_or_skips_a_long_word),
        cmocka_unit_test(quota_rounds_half_to_even),
        cmocka_unit_test(a_share_of_words_becomes_mask_and_one_stays),
        cmocka_unit_test(one_patch_in_ten_is_masked_evenly),
        cmocka_unit_test(vocabulary_without_mask_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
