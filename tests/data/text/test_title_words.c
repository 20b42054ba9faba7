/* test_title_words.c - what counts as a word of a title. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/text/title_words.h"

/* The words of text t, a blank between. */
static void expect(const fb_title_words *lists, int32_t t, const char *expected)
{
    char joined[512] = "";
    for (int64_t k = lists->offsets[t]; k < lists->offsets[t + 1]; k++) {
        if (joined[0])
            strcat(joined, " ");
        strcat(joined, fb_string_table_get(&lists->words, lists->ids[k]));
    }
    assert_string_equal(joined, expected);
}

static void words_are_lower_case_without_marks(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"Red Summer-Dress, 2 pcs. (XL)", "red summer dress 2 pcs xl"},
        {"Caf\xc3\x89 & t\xc3\xb6te!", "cafe tote"},
        {"\xe8\xbf\x9e\xe8\xa1\xa3\xe8\xa3\x99 red",
         "\xe8\xbf\x9e \xe8\xa1\xa3 \xe8\xa3\x99 red"},
        {"...", ""},
        {"red RED red", "red red red"}};
    enum { N = sizeof texts / sizeof *texts };
    fb_title_words lists = {0};
    assert_int_equal(fb_title_words_open(NULL, &lists, N), FB_OK);
    for (int i = 0; i < N; i++)
        assert_int_equal(fb_title_words_add(NULL, &lists, texts[i][0]), FB_OK);
    assert_int_equal(lists.count, N);
    for (int i = 0; i < N; i++)
        expect(&lists, i, texts[i][1]);
    assert_int_equal(lists.ids[lists.offsets[4]], 0); /* "red" came first */
    fb_title_words_close(&lists);
}

/* A text at its longest: one word, cut; and thousands of words. */
static void long_texts_are_taken(void **state)
{
    (void)state;
    char *text = malloc(40001);
    assert_non_null(text);
    memset(text, 'a', 20000);
    for (int i = 20000; i < 40000; i += 2)
        memcpy(text + i, " b", 2);
    text[40000] = 0;
    fb_title_words lists = {0};
    assert_int_equal(fb_title_words_open(NULL, &lists, 1), FB_OK);
    assert_int_equal(fb_title_words_add(NULL, &lists, text), FB_OK);
    assert_int_equal(lists.offsets[1], 10001);
    assert_int_equal(lists.words.count, 2);
    assert_int_equal(fb_string_table_size(&lists.words, 0), 100);
    fb_title_words_close(&lists);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_lower_case_without_marks),
        cmocka_unit_test(long_texts_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
