/* test_option.c - a table of options: defaults, values by name, ranges, what is left to
 * the program. The words of the command line are tested in cli/test_options.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/option.h"

typedef struct sample {
    const char *out, *fit, *losses, *kind, *colours;
    int32_t batch;
    int64_t steps;
    uint64_t seed;
    double lr;
    bool quiet;
    const char *const *texts;
    int32_t text_count;
} sample;

static const char *kind_name(int32_t place)
{
    return place == 0 ? "one" : place == 1 ? "two" : NULL;
}

static const char *colour(int32_t place)
{
    return place == 0 ? "red" : place == 1 ? "blue" : NULL;
}

#define FB_OPTION_AT(member) offsetof(sample, member)
/* clang-format off */
static const fb_option rows[] = {
    FB_OPTION_ROW(STRING, out, "out", "DIR", "", "where", FB_REQUIRED)
    FB_OPTION_ROW(CHOICE, fit, "fit", "HOW", "auto", "how", FB_ONE_OF("pad,squash"), FB_AUTO)
    FB_OPTION_ROW(SET, losses, "losses", "LIST", "mlm,tia", "which", FB_SOME_OF("mlm,mpm,tia"))
    FB_OPTION_ROW(CHOICE, kind, "kind", "NAME", "two", "kind", FB_ONE_OF_EACH(kind_name))
    FB_OPTION_ROW(SET, colours, "colours", "LIST", "auto", "colours", FB_SOME_OF_EACH(colour), FB_AUTO)
    FB_OPTION_ROW(INT32, batch, "batch", "PAIRS", "auto", "pairs", FB_RANGE(2, 512), FB_AUTO)
    FB_OPTION_ROW(INT64, steps, "steps", "STEPS", "7", "steps", FB_RANGE(0, 1e12))
    FB_OPTION_ROW(UINT64, seed, "seed", "N", "1", "seed", FB_RANGE(0, FB_SEED_MOST))
    FB_OPTION_ROW(DOUBLE, lr, "lr", "NUMBER", "0.25", "rate", FB_RANGE(0.01, INFINITY))
    FB_OPTION_ROW(FLAG, quiet, "quiet", NULL, "on", "hush", FB_ANY)
    FB_LIST_ROW(texts, text_count, "text", "TEXT", "texts", FB_POSITIONAL)
};
/* clang-format on */
static const fb_option_table table = FB_OPTION_TABLE(rows);

static sample standard(void)
{
    sample s = {0};
    fb_options_defaults(&table, &s);
    return s;
}

static void defaults_are_what_the_rows_say(void **state)
{
    (void)state;
    sample s = standard();
    assert_string_equal(s.out, "");
    assert_string_equal(s.fit, "auto");
    assert_string_equal(s.losses, "mlm,tia");
    assert_string_equal(s.kind, "two");
    assert_int_equal(s.batch, -1);
    assert_true(s.steps == 7 && s.seed == 1 && s.quiet);
    assert_true(s.lr == 0.25);
    assert_int_equal(s.text_count, 0);
    for (int32_t i = 0; i < table.count; i++)
        assert_true(fb_option_is_default(&rows[i], &s));
    fb_context *ctx = fb_context_create();
    assert_int_equal(fb_options_check(ctx, &table, &s), FB_OK);
    fb_context_free(ctx);
}

static void every_row_that_changed_is_seen_and_copied(void **state)
{
    (void)state;
    static const char *const texts[] = {"a"};
    static const fb_option_value changed[] = {
        {"out", "x"},    {"fit", "pad"},          {"losses", ""},
        {"kind", "one"}, {"colours", "blue,red"}, {"batch", "2"},
        {"steps", "0"},  {"seed", "9"},           {"lr", "0.5"},
        {"quiet", "off"}};
    fb_context *ctx = fb_context_create();
    sample s = standard(), copy = standard();
    for (size_t i = 0; i < sizeof changed / sizeof changed[0]; i++)
        assert_int_equal(
            fb_option_set(ctx, &table, &s, changed[i].name, changed[i].value), FB_OK);
    s.texts = texts;
    s.text_count = 1;
    assert_int_equal(fb_options_check(ctx, &table, &s), FB_OK);
    for (int32_t i = 0; i < table.count; i++) {
        char was[FB_OPTION_TEXT_BYTES], is[FB_OPTION_TEXT_BYTES];
        assert_false(fb_option_is_default(&rows[i], &s));
        fb_option_copy(&rows[i], &copy, &s);
        fb_option_format(&rows[i], &s, was);
        fb_option_format(&rows[i], &copy, is);
        assert_string_equal(was, is);
    }
    assert_ptr_equal(copy.texts, texts);
    assert_int_equal(copy.text_count, 1);
    fb_context_free(ctx);
}

static void wrong_values_are_told_and_not_stored(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *told;
    } cases[] = {
        {"batch", "1", "--batch: \"1\" is not a whole number from 2 to 512"},
        {"batch", "-1", "--batch"},
        {"lr", "0", "--lr: \"0\" is not a number of 0.01 or more"},
        {"lr", "auto", "--lr"},
        {"fit", "crop", "one of auto, pad, squash"},
        {"kind", "three", "one of one, two"},
        {"colours", "blue,green", "a comma-separated list out of auto, red, blue"},
        {"losses", "auto", "a comma-separated list out of mlm, mpm, tia"},
        {"losses", "mlm,,tia", "list out of"},
        {"losses", "mlm,", "list out of"},
        {"steps", "1000000000001", "1000000000000"},
        {"quiet", "maybe", "true or false"},
        {"text", "a", "--text"},
        {"bacth", "3", "unknown option \"bacth\"; did you mean batch?"},
        {"frobnicate", "3", "unknown option \"frobnicate\""},
    };
    fb_context *ctx = fb_context_create();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sample s = standard(), before = s;
        assert_int_equal(fb_option_set(ctx, &table, &s, cases[i].name, cases[i].text),
                         FB_E_USAGE);
        assert_non_null(strstr(fb_context_message(ctx), cases[i].told));
        assert_memory_equal(&s, &before, sizeof s);
    }
    fb_context_free(ctx);
}

/* What the text cannot say, a caller may still have put into the struct. */
static void a_struct_out_of_range_is_refused(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    sample bad[9];
    for (int i = 0; i < 9; i++)
        bad[i] = standard();
    bad[0].batch = -2;
    bad[1].batch = 513;
    bad[2].lr = NAN;
    bad[3].lr = INFINITY;
    bad[4].fit = NULL;
    bad[5].fit = "crop";
    bad[6].losses = "mlm,itm";
    bad[7].out = NULL;
    bad[8].seed = UINT64_MAX;
    for (int i = 0; i < 9; i++)
        assert_int_equal(fb_options_check(ctx, &table, &bad[i]), FB_E_USAGE);
    fb_context_free(ctx);
}

static void only_what_is_left_open_is_filled(void **state)
{
    (void)state;
    static const fb_option_value given[] = {{"fit", "squash"}, {"batch", "64"}};
    fb_context *ctx = fb_context_create();
    sample s = standard();
    assert_true(fb_option_is_automatic(fb_option_find(&table, "fit"), &s));
    assert_int_equal(fb_option_set(ctx, &table, &s, "batch", "8"), FB_OK);
    assert_int_equal(fb_options_fill(ctx, &table, &s, given, 2), FB_OK);
    assert_string_equal(s.fit, "squash");
    assert_int_equal(s.batch, 8);
    assert_int_equal(fb_option_set(ctx, &table, &s, "batch", "auto"), FB_OK);
    assert_int_equal(fb_options_fill(ctx, &table, &s, given, 2), FB_OK);
    assert_int_equal(s.batch, 64);
    assert_null(fb_option_find(&table, "text_weight"));
    fb_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_what_the_rows_say),
        cmocka_unit_test(every_row_that_changed_is_seen_and_copied),
        cmocka_unit_test(wrong_values_are_told_and_not_stored),
        cmocka_unit_test(a_struct_out_of_range_is_refused),
        cmocka_unit_test(only_what_is_left_open_is_filled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
