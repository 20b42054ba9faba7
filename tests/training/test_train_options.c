/* test_train_options.c - every row of training's list of options, in a loop: it makes a
 * run of one's own or every stage of the recipe takes it over, it survives the training
 * state, and fb_train refuses what the command line refuses.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/catalogue_fixture.h"

#include "base/file.h"
#include "training/recipe.h"
#include "training/train_options.h"
#include "training/train_state.h"

static const fb_option_table *const table = &fb_train_option_table;

static bool is_choice(const fb_option *row)
{
    return row->type == FB_OPTION_CHOICE || row->type == FB_OPTION_SET;
}

/* A right value that is not the default, as text. */
static const char *another(const fb_option *row, const fb_train_options *defaults,
                           char text[64])
{
    char choices[FB_OPTION_TEXT_BYTES];
    fb_train_options o = *defaults;
    if (row->type == FB_OPTION_FLAG)
        return fb_option_store(row, &o, "on") && !fb_option_is_default(row, &o) ? "on"
                                                                                : "off";
    if (row->type == FB_OPTION_STRING)
        return "elsewhere";
    if (is_choice(row)) { /* the last word of the range, or else the first */
        fb_option_range(row, choices);
        snprintf(text, 64, "%s", strrchr(choices, ' ') + 1);
        if (fb_option_store(row, &o, text) && fb_option_is_default(row, &o)) {
            const char *first = strstr(choices, "of ") + 3;
            snprintf(text, 64, "%.*s", (int)strcspn(first, ","), first);
        }
        return text;
    }
    double step = row->type != FB_OPTION_DOUBLE ? 1 : isfinite(row->high) ? 0.125 : 0.5;
    if (row->type == FB_OPTION_DOUBLE && isfinite(row->high))
        step *= row->high - row->low;
    for (int i = 1; i < 4; i++) {
        snprintf(text, 64, "%.17g", row->low + i * step);
        assert_true(fb_option_store(row, &o, text));
        if (!fb_option_is_default(row, &o))
            return text;
    }
    fail_msg("no other value of --%s", row->name);
    return NULL;
}

static void same(const fb_option *row, const void *a, const void *b)
{
    char one[FB_OPTION_TEXT_BYTES], other[FB_OPTION_TEXT_BYTES];
    fb_option_format(row, a, one);
    fb_option_format(row, b, other);
    if (strcmp(one, other) != 0)
        fail_msg("--%s: %s and %s", row->name, one, other);
}

static void every_default_is_right(void **state)
{
    fixture *f = *state;
    fb_train_options o;
    fb_train_options_defaults(&o);
    for (int32_t i = 0; i < table->count; i++) {
        fb_train_options fresh = o;
        assert_non_null(table->rows[i].standard);
        assert_int_equal(fb_train_options_set(f->ctx, &fresh, table->rows[i].name,
                                              table->rows[i].standard),
                         FB_OK);
        assert_true(fb_option_is_default(&table->rows[i], &fresh));
    }
    assert_int_equal(fb_options_check(f->ctx, table, &o), FB_OK);
    assert_int_equal(fb_recipe_stages(&o), 3);
}

static void every_option_makes_ones_own_run_or_is_taken_over(void **state)
{
    fixture *f = *state;
    fb_train_options defaults;
    fb_train_options_defaults(&defaults);
    for (int32_t i = 0; i < table->count; i++) {
        const fb_option *row = &table->rows[i];
        fb_train_options o = defaults, stage;
        char text[64];
        if (strcmp(row->name, "objective") == 0) /* below */
            continue;
        assert_int_equal(
            fb_train_options_set(f->ctx, &o, row->name, another(row, &defaults, text)),
            FB_OK);
        if (fb_recipe_stages(&o) == 0) {
            assert_true(fb_train_option_is_own(row));
            continue;
        }
        assert_int_equal(fb_recipe_stages(&o), 3);
        for (int32_t n = 1; n <= 3; n++) {
            assert_int_equal(fb_recipe_stage(f->ctx, &stage, &o, n, 1000), FB_OK);
            if (n == 1 || strcmp(row->name, "vocab") != 0) /* --init brings it */
                same(row, &stage, &o);
        }
    }
}

static void options_that_are_not_about_learning_keep_the_recipe(void **state)
{
    fixture *f = *state;
    static const char *const keep[] = {"catalog",
                                       "out",
                                       "resume",
                                       "preset",
                                       "vocab",
                                       "vocab-size",
                                       "vocab-least",
                                       "max-text",
                                       "layers",
                                       "dropout",
                                       "seed",
                                       "backend",
                                       "dtype",
                                       "minutes",
                                       "checkpoint-every",
                                       "validate-every",
                                       "validate-pairs",
                                       "threads",
                                       "loader-threads",
                                       "quiet"};
    fb_train_options defaults;
    fb_train_options_defaults(&defaults);
    int32_t kept = 0;
    for (int32_t i = 0; i < table->count; i++) {
        fb_train_options o = defaults;
        char text[64];
        bool named = false;
        for (size_t k = 0; k < sizeof keep / sizeof keep[0]; k++)
            named = named || strcmp(keep[k], table->rows[i].name) == 0;
        assert_int_equal(
            fb_train_options_set(f->ctx, &o, table->rows[i].name,
                                 another(&table->rows[i], &defaults, text)),
            FB_OK);
        if (named && fb_recipe_stages(&o) != 3)
            fail_msg("--%s leaves the recipe", table->rows[i].name);
        if (!named && fb_recipe_stages(&o) != 0)
            fail_msg("--%s keeps the recipe", table->rows[i].name);
        kept += named;
    }
    assert_int_equal(kept, sizeof keep / sizeof keep[0]);
}

static void the_objective_says_how_many_stages(void **state)
{
    (void)state;
    fb_train_options o;
    fb_train_options_defaults(&o);
    o.objective = "itc";
    assert_int_equal(fb_recipe_stages(&o), 2);
    o.objective = "match";
    assert_int_equal(fb_recipe_stages(&o), 0);
}

/* Options of a stage that is begun come back as they were; what the caller says of one
 * start, and where files are now, is the caller's. */
static void every_option_survives_the_training_state(void **state)
{
    fixture *f = *state;
    char path[4096], text[64];
    fb_train_state saved = {.step = 3, .total_steps = 9, .stage = 2, .stages = 3}, read;
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, "last"), FB_OK);
    assert_int_equal(fb_folder_make(f->ctx, path), FB_OK);
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, "last/training_state.json"),
                     FB_OK);
    fb_train_options defaults;
    fb_train_options_defaults(&defaults);
    for (int32_t i = 0; i < table->count; i++) {
        const fb_option *row = &table->rows[i];
        fb_train_options o = defaults, back = defaults;
        fb_arena *strings = fb_arena_create(4096);
        assert_non_null(strings);
        assert_int_equal(
            fb_train_options_set(f->ctx, &o, row->name, another(row, &defaults, text)),
            FB_OK);
        assert_int_equal(fb_train_state_write(f->ctx, path, &saved, &o), FB_OK);
        assert_int_equal(fb_train_state_read(f->ctx, f->folder, &read, &back, strings),
                         FB_OK);
        for (int32_t j = 0; j < table->count; j++)
            same(&table->rows[j], &back, row->start ? &defaults : &o);
        assert_int_equal(read.stage, 2);
        assert_int_equal(read.stages, 3);
        if (row->path) {
            assert_int_equal(fb_train_options_set(f->ctx, &back, row->name, "moved"),
                             FB_OK);
            assert_int_equal(
                fb_train_state_read(f->ctx, f->folder, &read, &back, strings), FB_OK);
            char found[FB_OPTION_TEXT_BYTES];
            fb_option_format(row, &back, found);
            assert_string_equal(found, "moved");
        }
        fb_arena_free(strings);
    }
}

static void refuse(fixture *f, const fb_option *row, fb_train_options *o, double value)
{
    char name[80], text[64];
    fb_train_report report;
    switch (row->type) {
    case FB_OPTION_INT32:
        *(int32_t *)(void *)((char *)o + row->offset) = (int32_t)value;
        break;
    case FB_OPTION_INT64:
        *(int64_t *)(void *)((char *)o + row->offset) = (int64_t)value;
        break;
    case FB_OPTION_UINT64:
        *(uint64_t *)(void *)((char *)o + row->offset) = (uint64_t)value;
        break;
    default:
        *(double *)(void *)((char *)o + row->offset) = value;
    }
    snprintf(name, sizeof name, "--%s: ", row->name);
    snprintf(text, sizeof text, "%.17g", value);
    assert_int_equal(fb_train(f->ctx, o, &report), FB_E_USAGE);
    if (!strstr(fb_context_message(f->ctx), name))
        fail_msg("--%s = %g: %s", row->name, value, fb_context_message(f->ctx));
    assert_false(fb_option_store(row, o, text)); /* as on the command line */
}

static void numbers_out_of_range_are_refused_by_library_and_command(void **state)
{
    fixture *f = *state;
    int32_t tried = 0;
    for (int32_t i = 0; i < table->count; i++) {
        const fb_option *row = &table->rows[i];
        fb_train_options o;
        fb_train_options_defaults(&o);
        o.catalog = o.out = f->folder;
        if (row->type == FB_OPTION_STRING || row->type == FB_OPTION_FLAG)
            continue;
        if (is_choice(row)) {
            *(const char **)(void *)((char *)&o + row->offset) = "strange";
            fb_train_report report;
            assert_int_equal(fb_train(f->ctx, &o, &report), FB_E_USAGE);
            assert_non_null(strstr(fb_context_message(f->ctx), row->name));
            continue;
        }
        bool whole = row->type != FB_OPTION_DOUBLE;
        double most =
            row->type == FB_OPTION_INT32 ? (double)INT32_MAX : (double)INFINITY;
        if (row->high < most)
            refuse(f, row, &o, whole ? row->high + 2 : nextafter(row->high, INFINITY));
        if (row->type != FB_OPTION_UINT64)
            refuse(f, row, &o, row->automatic ? -2 : row->low - 1);
        if (!whole) {
            refuse(f, row, &o, NAN);
            refuse(f, row, &o, INFINITY);
        }
        tried++;
    }
    assert_true(tried > 30);
}

static void the_bounds_of_library_and_command_are_one(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *name, *right, *wrong;
    } cases[] = {{"loader-threads", "64", "65"},     {"loader-threads", "1", "0"},
                 {"patch-keep", "0.01", "0"},        {"lr", "10", "11"},
                 {"weight-decay", "10", "11"},       {"beta1", "0.999999", "1"},
                 {"beta2", "0.999999", "0.9999999"}, {"batch", "2", "1"},
                 {"steps", "1000000000000", "1e12"}, {"epochs", "1000000", "1000001"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fb_train_options o;
        fb_train_options_defaults(&o);
        assert_int_equal(
            fb_train_options_set(f->ctx, &o, cases[i].name, cases[i].right), FB_OK);
        assert_int_equal(
            fb_train_options_set(f->ctx, &o, cases[i].name, cases[i].wrong),
            FB_E_USAGE);
    }
}

static void a_recipe_begun_does_not_go_on_as_another_run(void **state)
{
    fixture *f = *state;
    char path[4096];
    fb_train_report report;
    fb_train_options o;
    fb_train_options_defaults(&o);
    o.catalog = o.out = f->folder;
    o.resume = true;
    o.lr = 1e-3;
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, "stages"), FB_OK);
    assert_int_equal(fb_folder_make(f->ctx, path), FB_OK);
    assert_int_equal(fb_train(f->ctx, &o, &report), FB_E_USAGE);
    assert_non_null(strstr(fb_context_message(f->ctx), "was begun as a recipe"));
}

#define TEST(name) FIXTURE_TEST(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_default_is_right),
        TEST(every_option_makes_ones_own_run_or_is_taken_over),
        TEST(options_that_are_not_about_learning_keep_the_recipe),
        TEST(the_objective_says_how_many_stages),
        TEST(every_option_survives_the_training_state),
        TEST(numbers_out_of_range_are_refused_by_library_and_command),
        TEST(the_bounds_of_library_and_command_are_one),
        TEST(a_recipe_begun_does_not_go_on_as_another_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
