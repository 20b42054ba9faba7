/* test_vocab_learn.c - learnt vocabularies against hand-computed merges. */
#include "base/random.h"
#include "data/text/vocab_learn.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static fb_vocab *learn_least(const char *const *texts, int64_t n, int32_t vocab_size,
                             int32_t least)
{
    fb_context *ctx = fb_context_create();
    fb_vocab *v = NULL;
    if (fb_vocab_learn(ctx, &v, texts, n, vocab_size, least) != FB_OK)
        fail_msg("%s", fb_context_message(ctx));
    fb_context_free(ctx);
    return v;
}

static fb_vocab *learn(const char *const *texts, int64_t n, int32_t vocab_size)
{
    return learn_least(texts, n, vocab_size, 1);
}

static void assert_tokens(const fb_vocab *v, const char *const *tokens, int32_t count)
{
    for (int32_t i = 0; i < count && i < fb_vocab_size(v); i++)
        assert_string_equal(fb_vocab_token(v, i), tokens[i]);
    assert_int_equal(fb_vocab_size(v), count);
}

/* hug x10, pug x5, pun x12, bun x4, hugs x5:
 * ##u ##g 20, ##u ##n 16, h ##u 15 ... -> ##ug 20, ##un 16, hug 15, pun 12, ... */
static void merges_follow_frequency_then_ids(void **state)
{
    (void)state;
    const char *texts[36];
    int32_t n = 0;
    static const struct {
        const char *word;
        int32_t times;
    } words[] = {{"hug", 10}, {"pug", 5}, {"pun", 12}, {"bun", 4}, {"hugs", 5}};
    for (size_t w = 0; w < sizeof words / sizeof *words; w++)
        for (int32_t i = 0; i < words[w].times; i++)
            texts[n++] = words[w].word;
    static const char *const want[] = {
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "b",    "g",   "h",
        "n",     "p",     "s",     "u",     "##g",    "##n",  "##s", "##u",
        "##ug",  "##un",  "hug",   "pun",   "pug",    "hugs", "bun"};
    fb_vocab *v = learn(texts, n, 64);
    assert_tokens(v, want, sizeof want / sizeof *want);
    fb_vocab_free(v);
}

/* ab, cd and ef once each: the pair of the smallest ids comes first. */
static void ties_go_to_smaller_ids_whatever_the_order_of_texts(void **state)
{
    (void)state;
    static const char *const one[] = {"ef cd", "ab"}, *const other[] = {"ab", "cd",
                                                                        "ef"};
    static const char *const want[] = {"ab", "cd", "ef"};
    fb_vocab *a = learn(one, 2, 64), *b = learn(other, 3, 64);
    assert_int_equal(fb_vocab_size(a), fb_vocab_size(b));
    int32_t first = fb_vocab_size(a) - 3;
    for (int32_t id = 0; id < fb_vocab_size(a); id++)
        assert_string_equal(fb_vocab_token(a, id), fb_vocab_token(b, id));
    for (int32_t i = 0; i < 3; i++)
        assert_string_equal(fb_vocab_token(a, first + i), want[i]);
    fb_vocab_free(a);
    fb_vocab_free(b);
}

static void words_are_normalised_before_they_are_counted(void **state)
{
    (void)state;
    static const char *const texts[] = {"\xC3\x89T\xC3\x89", "ete"}; /* ÉTÉ */
    static const char *const want[] = {"[PAD]",  "[UNK]", "[CLS]", "[SEP]",
                                       "[MASK]", "e",     "t",     "##e",
                                       "##t",    "et",    "ete"};
    fb_vocab *v = learn(texts, 2, 64);
    assert_tokens(v, want, sizeof want / sizeof *want);
    fb_vocab_free(v);
}

static void repeated_letters_merge_without_losing_count(void **state)
{
    (void)state;
    static const char *const texts[] = {"aaaaaaa", "aaaaaaa aaaa"};
    fb_vocab *v = learn(texts, 2, 64);
    assert_true(fb_vocab_id(v, "aaaaaaa", 7) > 0);
    assert_true(fb_vocab_id(v, "aaaa", 4) > 0);
    fb_vocab_free(v);
}

/* 200 ideographs, of which the first 27 come twice, in a vocabulary of 64: half of it
 * is characters, the frequent ones first. */
static void characters_take_at_most_half(void **state)
{
    (void)state;
    char text[3 * 300 + 1];
    size_t at = 0;
    for (uint32_t i = 0; i < 227; i++, at += 3) {
        uint32_t code = 0x4E00 + (i < 200 ? i : 199 - (i - 200));
        text[at] = (char)(0xE0 | code >> 12);
        text[at + 1] = (char)(0x80 | (code >> 6 & 0x3F));
        text[at + 2] = (char)(0x80 | (code & 0x3F));
    }
    text[at] = '\0';
    const char *texts[] = {text};
    fb_vocab *v = learn(texts, 1, 64);
    assert_int_equal(fb_vocab_size(v), 5 + 32);
    assert_true(fb_vocab_id(v, text + (size_t)3 * 199, 3) > 0);
    assert_true(fb_vocab_id(v, text + (size_t)3 * 173, 3) > 0);
    assert_true(fb_vocab_id(v, text + (size_t)3 * 4, 3) > 0); /* 27 + the first five */
    assert_int_equal(fb_vocab_id(v, text + (size_t)3 * 5, 3), -1);
    fb_vocab_free(v);
}

/* red x3, rod x2: r ##e 3, then re ##d 3 are there often enough, ##o ##d 2 is not. */
static void a_pair_that_is_rare_stays_two_pieces(void **state)
{
    (void)state;
    static const char *const texts[] = {"red red rod", "red", "rod"};
    static const char *const tokens[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]",
                                         "d",     "e",     "o",     "r",     "##d",
                                         "##e",   "##o",   "re",    "red"};
    fb_vocab *v = learn_least(texts, 3, 100, 3);
    assert_tokens(v, tokens, sizeof tokens / sizeof *tokens);
    fb_vocab_free(v);
    v = learn_least(texts, 3, 100, 2);
    assert_true(fb_vocab_id(v, "rod", 3) > 0);
    fb_vocab_free(v);
}

/* Words made of random syllables: the size asked for comes out, twice the same, and
 * each word of the texts can be encoded without [UNK]. */
static void a_learnt_vocabulary_has_its_size_and_covers_its_texts(void **state)
{
    (void)state;
    enum { TEXTS = 3000, ROOM = 64 };
    static const char *const syllables[] = {"li", "nen", "ro", "be",  "sa", "ri", "kur",
                                            "ta", "po",  "lo", "den", "im", "x",  "9"};
    char(*store)[ROOM] = calloc(TEXTS, sizeof *store);
    const char **texts = calloc(TEXTS, sizeof *texts);
    assert_non_null(store);
    assert_non_null(texts);
    fb_random r = {.key = 7};
    for (int32_t i = 0; i < TEXTS; i++) {
        for (int32_t s = 0; s < 12; s++) {
            strcat(store[i], syllables[fb_random_below(&r, 14)]);
            if (fb_random_below(&r, 4) == 0)
                strcat(store[i], " ");
        }
        texts[i] = store[i];
    }
    fb_vocab *v = learn(texts, TEXTS, 1000), *again = learn(texts, TEXTS, 1000);
    assert_int_equal(fb_vocab_size(v), 1000);
    assert_int_equal(fb_vocab_size(again), 1000);
    for (int32_t id = 0; id < 1000; id++)
        assert_string_equal(fb_vocab_token(v, id), fb_vocab_token(again, id));
    for (int32_t i = 0; i < TEXTS; i++) {
        int32_t ids[ROOM], count = 0;
        assert_int_equal(
            fb_wordpiece_encode(NULL, v, texts[i], strlen(texts[i]), ROOM, ids, &count),
            FB_OK);
        for (int32_t t = 0; t < count; t++)
            assert_int_not_equal(ids[t], fb_vocab_unk(v));
    }
    fb_vocab_free(v);
    fb_vocab_free(again);
    free(texts);
    free(store);
}

static void nothing_to_learn_from_and_impossible_sizes_are_refused(void **state)
{
    (void)state;
    static const char *const blank[] = {"", " \t\xff\x01"}, *const word[] = {"red"};
    fb_context *ctx = fb_context_create();
    fb_vocab *v = NULL;
    assert_int_equal(fb_vocab_learn(ctx, &v, blank, 2, 100, 1), FB_E_USAGE);
    assert_non_null(strstr(fb_context_message(ctx), "no words in 2 texts"));
    assert_int_equal(fb_vocab_learn(ctx, &v, blank, 0, 100, 1), FB_E_USAGE);
    assert_int_equal(fb_vocab_learn(ctx, &v, word, 1, FB_VOCAB_LEARN_LEAST - 1, 1),
                     FB_E_USAGE);
    assert_int_equal(fb_vocab_learn(ctx, &v, word, 1, FB_VOCAB_TOKENS + 1, 1),
                     FB_E_USAGE);
    assert_int_equal(fb_vocab_learn(ctx, &v, word, 1, 100, 0), FB_E_USAGE);
    assert_null(v);
    fb_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_follow_frequency_then_ids),
        cmocka_unit_test(a_pair_that_is_rare_stays_two_pieces),
        cmocka_unit_test(ties_go_to_smaller_ids_whatever_the_order_of_texts),
        cmocka_unit_test(words_are_normalised_before_they_are_counted),
        cmocka_unit_test(repeated_letters_merge_without_losing_count),
        cmocka_unit_test(characters_take_at_most_half),
        cmocka_unit_test(a_learnt_vocabulary_has_its_size_and_covers_its_texts),
        cmocka_unit_test(nothing_to_learn_from_and_impossible_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
