/* test_compare.c - what compare writes, and reads again, without a model: escaping in
 * CSV and LaTeX, result files, and its list of systems. (tests/cli/cli_compare.sh asks
 * the command.) */
#include <math.h>

#include "support/catalogue_fixture.h"

#include "fashionbert.h"
#include "tasks/compare.h"

static void writes(void (*put)(FILE *out, const char *text), const char *text,
                   const char *wanted)
{
    char *got = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&got, &size);
    assert_non_null(out);
    put(out, text);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(got, wanted);
    free(got);
}

static void csv_fields_are_quoted_where_they_must_be(void **state)
{
    (void)state;
    writes(fb_csv_text, "vse++", "vse++");
    writes(fb_csv_text, "a,b", "\"a,b\"");
    writes(fb_csv_text, "say \"no\"", "\"say \"\"no\"\"\"");
    writes(fb_csv_text, "two\nlines", "\"two\nlines\"");
    writes(fb_csv_text, "", "");
}

static void latex_specials_are_characters(void **state)
{
    (void)state;
    writes(fb_latex_text, "vse++", "vse++");
    writes(fb_latex_text, "a_b & 5% of $3 #1 {x}",
           "a\\_b \\& 5\\% of \\$3 \\#1 \\{x\\}");
    writes(fb_latex_text, "~^\\",
           "\\textasciitilde{}\\textasciicircum{}\\textbackslash{}");
    writes(fb_latex_text, "a\nb", "a b");
}

static void fill(fb_compare_result *r, fb_evaluation *e)
{
    static fb_ranked_query ranks[] = {{0, 2, false, 1, 9}, {1, 0, true, 7, 10}};
    static fb_category_result category = {.name = "Dresses & \"more\""};
    static fb_compare_example example = {
        .query = 1, .best = {2, 0, 1, -1, -1}, .rank = 3, .candidates = 3};
    category.text_to_image.r1 = 0.25;
    *e = (fb_evaluation){.items = 3,
                         .score = "tia",
                         .sum_r = 1.75,
                         .accuracy = NAN,
                         .auc = 0.5,
                         .pairs_scored = 20,
                         .seconds = 2,
                         .categories = &category,
                         .category_count = 1,
                         .ranks = ranks,
                         .rank_count = 2};
    e->image_to_text = (fb_ranking){.queries = 1, .r1 = 1.0 / 3, .median_rank = 1};
    *r = (fb_compare_result){.seed = 2,
                             .fingerprint = 0xfedcba9876543210u,
                             .steps = 5,
                             .products = 40,
                             .parameters = 1234,
                             .train_seconds = NAN,
                             .processor_seconds = 12.5,
                             .pairs_per_s = 10,
                             .evaluation = e,
                             .measure = "accuracy",
                             .curve = {{8, 0.5}, {40, 0.625}},
                             .curve_count = 2,
                             .examples = &example,
                             .example_count = 1};
}

static void results_are_read_as_they_were_written(void **state)
{
    fixture *f = *state;
    char path[4096];
    fb_evaluation e;
    fb_compare_result r, back = {0};
    fill(&r, &e);
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, "one.json"), FB_OK);
    assert_int_equal(fb_compare_result_read(f->ctx, path, &back), FB_E_MISSING);
    assert_int_equal(fb_compare_result_write(f->ctx, path, &r), FB_OK);
    assert_int_equal(fb_compare_result_read(f->ctx, path, &back), FB_OK);
    assert_true(back.there);
    assert_true(back.seed == 2 && back.fingerprint == r.fingerprint);
    assert_true(back.steps == 5 && back.products == 40 && back.parameters == 1234);
    assert_true(isnan(back.train_seconds));
    assert_memory_equal(&back.processor_seconds, &r.processor_seconds, sizeof(double));
    assert_string_equal(back.measure, "accuracy");
    assert_int_equal(back.curve_count, 2);
    assert_memory_equal(back.curve, r.curve, 2 * sizeof r.curve[0]);
    assert_int_equal(back.example_count, 1);
    assert_memory_equal(&back.examples[0], &r.examples[0], sizeof r.examples[0]);
    const fb_evaluation *b = back.evaluation;
    assert_true(b->items == 3 && b->rank_count == 2 && b->category_count == 1);
    assert_true(isnan(b->accuracy));
    assert_memory_equal(&b->image_to_text.r1, &e.image_to_text.r1, sizeof(double));
    assert_string_equal(b->categories[0].name, e.categories[0].name);
    assert_memory_equal(&b->categories[0].text_to_image.r1,
                        &e.categories[0].text_to_image.r1, sizeof(double));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(b->ranks[i].query, e.ranks[i].query);
        assert_int_equal(b->ranks[i].draw, e.ranks[i].draw);
        assert_int_equal(b->ranks[i].text_to_image, e.ranks[i].text_to_image);
        assert_true(b->ranks[i].rank == e.ranks[i].rank);
        assert_true(b->ranks[i].candidates == e.ranks[i].candidates);
    }
    fb_compare_result_clear(&back);
}

/* Cut at any place, or with a number that cannot be: refused, nothing kept. */
static void spoilt_results_are_refused(void **state)
{
    fixture *f = *state;
    char path[4096];
    fb_evaluation e;
    fb_compare_result r, back = {0};
    uint8_t *bytes;
    size_t size;
    fill(&r, &e);
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, "one.json"), FB_OK);
    assert_int_equal(fb_compare_result_write(f->ctx, path, &r), FB_OK);
    assert_int_equal(fb_file_read(f->ctx, path, 1 << 20, &bytes, &size), FB_OK);
    for (size_t cut = 0; cut + 2 < size; cut += 37) {
        assert_int_equal(fb_file_write(f->ctx, path, bytes, cut), FB_OK);
        assert_int_not_equal(fb_compare_result_read(f->ctx, path, &back), FB_OK);
        assert_null(back.evaluation);
        assert_false(back.there);
    }
    static const char *const spoil[][2] = {{"\"query\": [2", "\"query\": [3"},
                                           {"\"rank\": [1", "\"rank\": [0"},
                                           {"\"version\": 1", "\"version\": 2"},
                                           {"[[1, 3, 3, 2", "[[1, 3, 3, 5"}};
    for (size_t i = 0; i < sizeof spoil / sizeof spoil[0]; i++) {
        char *copy = strdup((const char *)bytes);
        assert_non_null(copy);
        char *at = strstr(copy, spoil[i][0]);
        if (!at)
            fail_msg("%s is not in %s", spoil[i][0], copy);
        memcpy(at, spoil[i][1], strlen(spoil[i][1]));
        assert_int_equal(fb_file_write(f->ctx, path, copy, size), FB_OK);
        assert_int_equal(fb_compare_result_read(f->ctx, path, &back), FB_E_FORMAT);
        free(copy);
    }
    free(bytes);
}

static fb_status list(fixture *f, const char *systems, fb_compare_run *c)
{
    static fb_compare_options o;
    fb_compare_options_defaults(&o);
    o.systems = systems;
    *c = (fb_compare_run){.ctx = f->ctx, .options = &o};
    return fb_compare_list(c);
}

static void all_are_those_that_score_titles_with_images(void **state)
{
    fixture *f = *state;
    fb_compare_run c;
    assert_int_equal(list(f, "all", &c), FB_OK);
    assert_string_equal(c.entries[0].name, fb_systems_get(0)->name);
    for (int32_t i = 0; i < c.entry_count; i++) {
        const fb_system *s = c.entries[i].system;
        assert_true(s->gives & (FB_GIVES_SCORE | FB_GIVES_VECTORS));
        assert_false(s->reads & FB_READS_QUERY);
    }
    free(c.entries);
    static const char *const wrong[] = {"qti",
                                        "selfie",
                                        "nothing",
                                        "fashionbert,,",
                                        "fashionbert,fashionbert",
                                        "all,fashionbert",
                                        ""};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(list(f, wrong[i], &c), FB_E_USAGE);
        assert_non_null(strstr(fb_context_message(f->ctx), "--systems"));
        free(c.entries);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_fields_are_quoted_where_they_must_be),
        cmocka_unit_test(latex_specials_are_characters),
        FIXTURE_TEST(results_are_read_as_they_were_written),
        FIXTURE_TEST(spoilt_results_are_refused),
        FIXTURE_TEST(all_are_those_that_score_titles_with_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
