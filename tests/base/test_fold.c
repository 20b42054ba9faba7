/* test_fold.c - names and values that people take for the same are the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/fold.h"

static void expect_fold(const char *text, const char *wanted)
{
    char *folded = fb_fold(text);
    assert_non_null(folded);
    assert_string_equal(folded, wanted);
    free(folded);
}

static void case_and_composition_say_nothing(void **state)
{
    (void)state;
    expect_fold("", "");
    expect_fold("Red DRESS", "red dress");
    expect_fold("\xc3\x89"
                "COLE",
                "\xc3\xa9"
                "cole"); /* É */
    expect_fold("E\xcc\x81"
                "cole",
                "\xc3\xa9"
                "cole"); /* E and its accent */
    expect_fold("STRASSE", "strasse");
    expect_fold("Stra\xc3\x9f\x65", "strasse");          /* sharp s */
    expect_fold("\xce\xa3\xcf\x82", "\xcf\x83\xcf\x83"); /* sigmas */
    expect_fold("\xd0\x9a", "\xd0\xba");                 /* Cyrillic */
    expect_fold("Caf\xe9", "caf\xe9");                   /* no UTF-8: as it is */
}

static void a_set_has_what_is_alike(void **state)
{
    (void)state;
    static const char *const texts[] = {"Red", "Caf\xc3\xa9", "Stra\xc3\x9f\x65"};
    fb_fold_set set = {0};
    bool has = false;
    char long_text[400];
    assert_int_equal(fb_fold_set_make(NULL, &set, texts, 3), FB_OK);
    static const char *const alike[] = {"rED", "CAFE\xcc\x81", "strasse"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fb_fold_set_has(NULL, &set, alike[i], &has), FB_OK);
        assert_true(has);
    }
    for (size_t i = 0; i < sizeof long_text; i++)
        long_text[i] = 'r';
    long_text[sizeof long_text - 1] = 0;
    static const char *const other[] = {"", "Re", "Redd", "Cafe"};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(fb_fold_set_has(NULL, &set, other[i], &has), FB_OK);
        assert_false(has);
    }
    assert_int_equal(fb_fold_set_has(NULL, &set, long_text, &has), FB_OK);
    assert_false(has);
    fb_fold_set_clear(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_and_composition_say_nothing),
        cmocka_unit_test(a_set_has_what_is_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
