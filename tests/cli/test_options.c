/* test_options.c - the option parser, on a table that has each type once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/nearest.h"
#include "cli/help.h"
#include "cli/options.h"

typedef struct sample {
    const char *out, *fit, *losses;
    int32_t batch;
    int64_t steps;
    uint64_t seed;
    double lr;
    bool quiet;
    const char *const *texts;
    const char *const *files;
    int32_t text_count, file_count;
} sample;

#define AT(member) offsetof(sample, member)

static const fb_option rows[] = {
    {.name = "out",
     .value = "DIR",
     .help = "where",
     .offset = AT(out),
     .required = true},
    {.name = "fit",
     .value = "HOW",
     .help = "how",
     .type = FB_OPTION_CHOICE,
     .offset = AT(fit),
     .choices = "pad,squash"},
    {.name = "losses",
     .value = "LIST",
     .help = "which",
     .type = FB_OPTION_SET,
     .offset = AT(losses),
     .choices = "mlm,mpm,tia"},
    {.name = "batch",
     .value = "PAIRS",
     .help = "pairs",
     .type = FB_OPTION_INT32,
     .offset = AT(batch),
     .low = 1,
     .high = 512},
    {.name = "checkpoint-every",
     .value = "STEPS",
     .help = "steps",
     .type = FB_OPTION_INT64,
     .offset = AT(steps),
     .low = -1,
     .high = INFINITY},
    {.name = "seed",
     .value = "N",
     .help = "seed",
     .type = FB_OPTION_UINT64,
     .offset = AT(seed),
     .high = INFINITY},
    {.name = "lr",
     .value = "NUMBER",
     .help = "rate",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(lr),
     .high = 1},
    {.name = "quiet", .help = "hush", .type = FB_OPTION_FLAG, .offset = AT(quiet)},
    {.name = "text",
     .value = "TEXT",
     .help = "texts",
     .type = FB_OPTION_LIST,
     .offset = AT(texts),
     .count_offset = AT(text_count)},
    {.name = "files",
     .value = "FILE",
     .help = "files",
     .type = FB_OPTION_LIST,
     .offset = AT(files),
     .count_offset = AT(file_count),
     .positional = true},
};

static void sample_defaults(void *arguments)
{
    *(sample *)arguments = (sample){.fit = "pad",
                                    .losses = "mlm,mpm,tia",
                                    .batch = 64,
                                    .steps = 7,
                                    .seed = 1,
                                    .lr = 0.25};
}

static const fb_verb sample_verb = {.name = "sample",
                                    .summary = "a verb",
                                    .about = "About it.",
                                    .example = "fashionbert sample --out x",
                                    .options = rows,
                                    .option_count = sizeof rows / sizeof rows[0],
                                    .arguments_bytes = sizeof(sample),
                                    .defaults = sample_defaults};

static const char *const variables[] = {
    "FASHIONBERT_OUT",  "FASHIONBERT_FIT",   "FASHIONBERT_LOSSES",
    "FASHIONBERT_SEED", "FASHIONBERT_BATCH", "FASHIONBERT_CHECKPOINT_EVERY",
    "FASHIONBERT_LR",   "FASHIONBERT_QUIET", "FASHIONBERT_TEXT",
    "FASHIONBERT_FILES"};

typedef struct fixture {
    fb_context *ctx;
    fb_arena *arena;
    sample *got;
    bool help;
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->ctx = fb_context_create();
    f->arena = fb_arena_create(4096);
    assert_non_null(f->ctx);
    assert_non_null(f->arena);
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        unsetenv(variables[i]);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    fb_arena_free(f->arena);
    fb_context_free(f->ctx);
    free(f);
    return 0;
}

/* Parse the words; the list ends in NULL. */
static fb_status parse(fixture *f, const char *const *words)
{
    char *copy[32];
    int count = 0;
    for (; words[count]; count++)
        copy[count] = fb_arena_strdup(f->arena, words[count]);
    f->got = fb_verb_arguments(&sample_verb, f->arena);
    assert_non_null(f->got);
    return fb_options_parse(f->ctx, &sample_verb, f->got, f->arena, count, copy,
                            &f->help);
}
#define PARSE(f, ...) parse(f, (const char *const[]){__VA_ARGS__, NULL})

static void assert_told(fixture *f, const char *part)
{
    const char *message = fb_context_message(f->ctx);
    if (!strstr(message, part))
        fail_msg("\"%s\" does not say \"%s\"", message, part);
}

static void every_type_is_stored(void **state)
{
    fixture *f = *state;
    assert_int_equal(PARSE(f, "--out", "x", "--fit", "squash", "--losses", "tia,mlm",
                           "--batch", "512", "--checkpoint-every", "-1", "--seed",
                           "18446744073709551615", "--lr", "1e-3", "--quiet"),
                     FB_OK);
    assert_string_equal(f->got->out, "x");
    assert_string_equal(f->got->fit, "squash");
    assert_string_equal(f->got->losses, "tia,mlm");
    assert_int_equal(f->got->batch, 512);
    assert_true(f->got->steps == -1);
    assert_true(f->got->seed == UINT64_MAX);
    assert_true(f->got->lr == 1e-3);
    assert_true(f->got->quiet);
}

static void defaults_stay_where_nothing_is_said(void **state)
{
    fixture *f = *state;
    assert_int_equal(PARSE(f, "--out", "x"), FB_OK);
    assert_string_equal(f->got->fit, "pad");
    assert_int_equal(f->got->batch, 64);
    assert_true(f->got->lr == 0.25);
    assert_false(f->got->quiet);
    assert_int_equal(f->got->text_count, 0);
}

static void equals_sign_gives_the_value(void **state)
{
    fixture *f = *state;
    assert_int_equal(PARSE(f, "--out=--odd=name", "--batch=3", "--quiet=false"), FB_OK);
    assert_string_equal(f->got->out, "--odd=name");
    assert_int_equal(f->got->batch, 3);
    assert_false(f->got->quiet);
}

static void last_value_of_an_option_wins(void **state)
{
    fixture *f = *state;
    assert_int_equal(PARSE(f, "--out", "a", "--out", "b"), FB_OK);
    assert_string_equal(f->got->out, "b");
}

static void list_takes_words_to_the_next_option_and_repeats(void **state)
{
    fixture *f = *state;
    assert_int_equal(
        PARSE(f, "--text", "a", "-", "-b", "--out", "x", "--text", "c", "--text=--d"),
        FB_OK);
    assert_int_equal(f->got->text_count, 5);
    const char *const expected[] = {"a", "-", "-b", "c", "--d"};
    for (int i = 0; i < 5; i++)
        assert_string_equal(f->got->texts[i], expected[i]);
}

static void loose_words_go_to_the_positional_list(void **state)
{
    fixture *f = *state;
    assert_int_equal(PARSE(f, "a", "--out", "x", "b", "--", "--help", "--"), FB_OK);
    assert_false(f->help);
    assert_int_equal(f->got->file_count, 4);
    assert_string_equal(f->got->files[1], "b");
    assert_string_equal(f->got->files[2], "--help");
    assert_string_equal(f->got->files[3], "--");
}

static void environment_gives_values_and_words_win(void **state)
{
    fixture *f = *state;
    setenv("FASHIONBERT_OUT", "env", 1);
    setenv("FASHIONBERT_CHECKPOINT_EVERY", "99", 1);
    setenv("FASHIONBERT_BATCH", "8", 1);
    setenv("FASHIONBERT_QUIET", "1", 1);
    setenv("FASHIONBERT_FIT", "", 1);
    assert_int_equal(PARSE(f, "--batch", "9"), FB_OK);
    assert_string_equal(f->got->out, "env");
    assert_true(f->got->steps == 99);
    assert_int_equal(f->got->batch, 9);
    assert_true(f->got->quiet);
    assert_string_equal(f->got->fit, "pad");
}

static void environment_list_has_one_value_a_line(void **state)
{
    fixture *f = *state;
    setenv("FASHIONBERT_TEXT", "red dress\n\nblue hat\n", 1);
    assert_int_equal(PARSE(f, "--out", "x"), FB_OK);
    assert_int_equal(f->got->text_count, 2);
    assert_string_equal(f->got->texts[1], "blue hat");
    assert_int_equal(PARSE(f, "--out", "x", "--text", "green"), FB_OK);
    assert_int_equal(f->got->text_count, 1);
    assert_string_equal(f->got->texts[0], "green");
}

static void bad_environment_is_named(void **state)
{
    fixture *f = *state;
    setenv("FASHIONBERT_CHECKPOINT_EVERY", "soon", 1);
    assert_int_equal(PARSE(f, "--out", "x"), FB_E_USAGE);
    assert_told(f, "FASHIONBERT_CHECKPOINT_EVERY");
    assert_told(f, "soon");
}

static void unknown_option_gets_the_nearest(void **state)
{
    fixture *f = *state;
    assert_int_equal(PARSE(f, "--out", "x", "--bacth", "3"), FB_E_USAGE);
    assert_told(f, "--bacth");
    assert_told(f, "did you mean --batch");
    assert_int_equal(PARSE(f, "--checkpoint=3"), FB_E_USAGE);
    assert_told(f, "--checkpoint-every");
    assert_int_equal(PARSE(f, "--frobnicate"), FB_E_USAGE);
    assert_told(f, "--frobnicate");
    assert_null(strstr(fb_context_message(f->ctx), "did you mean"));
}

static void a_name_cut_short_is_not_taken(void **state)
{
    assert_int_equal(PARSE(*state, "--ou", "x"), FB_E_USAGE);
}

static void bad_values_name_option_word_and_range(void **state)
{
    static const struct {
        const char *option, *word, *range;
    } cases[] = {
        {"--batch", "many", "1 to 512"},
        {"--batch", "", "1 to 512"},
        {"--batch", "0", "1 to 512"},
        {"--batch", "513", "1 to 512"},
        {"--batch", "4294967297", "1 to 512"},
        {"--batch", "3.5", "1 to 512"},
        {"--batch", "0x10", "1 to 512"},
        {"--batch", " 7", "1 to 512"},
        {"--batch", "-", "1 to 512"},
        {"--checkpoint-every", "9223372036854775808", "9223372036854775807"},
        {"--seed", "-1", "0 to 18446744073709551615"},
        {"--seed", "18446744073709551616", "0 to 18446744073709551615"},
        {"--lr", "nan", "0 to 1"},
        {"--lr", "inf", "0 to 1"},
        {"--lr", "1e999", "0 to 1"},
        {"--lr", "0.1x", "0 to 1"},
        {"--lr", "1.1", "0 to 1"},
        {"--lr", "-0.1", "0 to 1"},
        {"--fit", "pa", "pad, squash"},
        {"--fit", "pad,squash", "pad, squash"},
        {"--losses", "mlm,", "mlm, mpm, tia"},
        {"--losses", "mlm,itm", "mlm, mpm, tia"},
        {"--losses", "", "mlm, mpm, tia"},
    };
    fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char quoted[64];
        snprintf(quoted, sizeof quoted, "\"%s\"", cases[i].word);
        assert_int_equal(PARSE(f, "--out", "x", cases[i].option, cases[i].word),
                         FB_E_USAGE);
        assert_told(f, cases[i].option);
        assert_told(f, quoted);
        assert_told(f, cases[i].range);
    }
}

static void bad_flag_value_is_refused_and_not_stored(void **state)
{
    fixture *f = *state;
    assert_int_equal(PARSE(f, "--out", "x", "--quiet", "--quiet=maybe"), FB_E_USAGE);
    assert_told(f, "--quiet");
    assert_told(f, "true or false");
    assert_true(f->got->quiet);
}

static void missing_value_is_told(void **state)
{
    fixture *f = *state;
    assert_int_equal(PARSE(f, "--out"), FB_E_USAGE);
    assert_told(f, "--out needs a value");
    assert_int_equal(PARSE(f, "--out", "--batch", "3"), FB_E_USAGE);
    assert_told(f, "--out needs a value before --batch");
    assert_int_equal(PARSE(f, "--text", "--out", "x"), FB_E_USAGE);
    assert_told(f, "--text needs a value");
}

static void missing_required_option_is_told(void **state)
{
    fixture *f = *state;
    assert_int_equal(PARSE(f, "--batch", "3"), FB_E_USAGE);
    assert_told(f, "--out DIR");
}

static void a_flag_can_excuse_a_required_option(void **state)
{
    fb_option table[2] = {rows[0], rows[7]};
    fb_verb verb = sample_verb;
    fixture *f = *state;
    table[0].unless = "quiet";
    verb.options = table;
    verb.option_count = 2;
    char quiet[] = "--quiet", loud[] = "--quiet=false";
    char *words[] = {quiet, loud};
    f->got = fb_verb_arguments(&verb, f->arena);
    assert_int_equal(
        fb_options_parse(f->ctx, &verb, f->got, f->arena, 1, words, &f->help), FB_OK);
    assert_int_equal(
        fb_options_parse(f->ctx, &verb, f->got, f->arena, 2, words, &f->help),
        FB_E_USAGE);
}

static void a_choice_can_excuse_a_required_option(void **state)
{
    fb_option table[2] = {rows[0], rows[1]};
    fb_verb verb = sample_verb;
    fixture *f = *state;
    table[0].unless = "fit=squash";
    verb.options = table;
    verb.option_count = 2;
    char squash[] = "--fit=squash", pad[] = "--fit=pad";
    char *words[] = {squash, pad};
    f->got = fb_verb_arguments(&verb, f->arena);
    assert_int_equal(
        fb_options_parse(f->ctx, &verb, f->got, f->arena, 1, words, &f->help), FB_OK);
    assert_int_equal(
        fb_options_parse(f->ctx, &verb, f->got, f->arena, 1, words + 1, &f->help),
        FB_E_USAGE);
}

static void help_among_the_words_is_seen_first(void **state)
{
    fixture *f = *state;
    assert_int_equal(PARSE(f, "--batch", "wrong", "--help"), FB_OK);
    assert_true(f->help);
    assert_int_equal(PARSE(f, "--out", "x", "--", "--help"), FB_OK);
    assert_false(f->help);
}

static void nearest_name_allows_swaps_but_not_strangers(void **state)
{
    (void)state;
    const char *const names[] = {"train", "evaluate", "match"};
    assert_string_equal(fb_nearest_name("tarin", names, 3, sizeof names[0]), "train");
    assert_string_equal(fb_nearest_name("eval", names, 3, sizeof names[0]), "evaluate");
    assert_string_equal(fb_nearest_name("matching", names, 3, sizeof names[0]),
                        "match");
    assert_null(fb_nearest_name("serve", names, 3, sizeof names[0]));
    assert_null(fb_nearest_name("", names, 3, sizeof names[0]));
}

static void help_and_man_show_every_option_with_its_default(void **state)
{
    fixture *f = *state;
    static const char *const parts[] = {"pad, squash; default pad",
                                        "default mlm,mpm,tia",
                                        "1 to 512; default 64",
                                        "default 7",
                                        "default 0.25",
                                        "default off",
                                        "required"};
    void *arguments = fb_verb_arguments(&sample_verb, f->arena);
    const fb_verb *const verbs[] = {&sample_verb};
    char *text[2] = {NULL, NULL};
    size_t size[2];
    FILE *stream = open_memstream(&text[0], &size[0]);
    assert_non_null(stream);
    fb_help_verb(stream, &sample_verb, arguments);
    fclose(stream);
    stream = open_memstream(&text[1], &size[1]);
    assert_non_null(stream);
    fb_help_man(stream, verbs, &arguments, 1);
    fclose(stream);
    for (int32_t i = 0; i < sample_verb.option_count; i++) {
        assert_non_null(strstr(text[0], rows[i].name));
        char name[FB_OPTION_NAME_BYTES + 16];
        fb_option_environment(&rows[i], name);
        assert_non_null(strstr(text[1], name));
    }
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        assert_non_null(strstr(text[0], parts[i]));
        assert_non_null(strstr(text[1], parts[i]));
    }
    free(text[0]);
    free(text[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_type_is_stored),
        TEST(defaults_stay_where_nothing_is_said),
        TEST(equals_sign_gives_the_value),
        TEST(last_value_of_an_option_wins),
        TEST(list_takes_words_to_the_next_option_and_repeats),
        TEST(loose_words_go_to_the_positional_list),
        TEST(environment_gives_values_and_words_win),
        TEST(environment_list_has_one_value_a_line),
        TEST(bad_environment_is_named),
        TEST(unknown_option_gets_the_nearest),
        TEST(a_name_cut_short_is_not_taken),
        TEST(bad_values_name_option_word_and_range),
        TEST(bad_flag_value_is_refused_and_not_stored),
        TEST(missing_value_is_told),
        TEST(missing_required_option_is_told),
        TEST(a_flag_can_excuse_a_required_option),
        TEST(a_choice_can_excuse_a_required_option),
        TEST(help_among_the_words_is_seen_first),
        TEST(nearest_name_allows_swaps_but_not_strangers),
        TEST(help_and_man_show_every_option_with_its_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
