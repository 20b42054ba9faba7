/* test_catalogue.c - the imagefolder reader: fields, keys, levels, splits, and a
 * sentence with file and line for whatever is wrong. */
#include "data/catalogue/catalogue.h"
#include "support/catalogue_fixture.h"

#include <unistd.h>

static fb_catalogue *open_rows(fixture *f, const char *rows)
{
    fixture_text(f, "a.jpg", "A");
    fixture_text(f, "b.jpg", "B");
    fixture_text(f, "c.jpg", "A");
    fixture_text(f, "metadata.jsonl", rows);
    fb_catalogue *cat = NULL;
    if (fb_catalogue_open(f->ctx, &cat, f->folder, NULL) != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
    return cat;
}

static void expect_failure(fixture *f, const char *rows, size_t size, fb_status status,
                           const char *line, const char *words)
{
    char where[128];
    snprintf(where, sizeof where, "%s/metadata.jsonl%s", f->folder, line);
    fixture_text(f, "a.jpg", "A");
    fixture_write(f, "metadata.jsonl", rows, size);
    fb_catalogue *cat = NULL;
    assert_int_equal(fb_catalogue_open(f->ctx, &cat, f->folder, NULL), status);
    assert_null(cat);
    const char *message = fb_context_message(f->ctx);
    if (strncmp(message, where, strlen(where)) != 0 || !strstr(message, words))
        fail_msg("message \"%s\" should begin \"%s\" and have \"%s\"", message, where,
                 words);
}

#define ROW_A "{\"file_name\": \"a.jpg\", \"title\": \"A\"}\n"

static void fields_and_defaults_are_read(void **state)
{
    fixture *f = *state;
    fb_catalogue *cat = open_rows(
        f,
        "{\"file_name\":\"a.jpg\",\"title\":\"Red Dress\",\"product_id\":17,"
        "\"description\":\"long\",\"queries\":[\"red\",\"dress\"],\"split\":\"test\","
        "\"colour\":\"Red\",\"price\":12.5,\"size\":null,\"category\":\"Dress\"}\r\n"
        "\n"
        "{\"file_name\":\"b.jpg\",\"title\":\"Blue Shoe\",\"queries\":\"blue\"}");
    assert_int_equal(fb_catalogue_count(cat), 2);
    const fb_catalogue_item *a = fb_catalogue_get(cat, 0),
                            *b = fb_catalogue_get(cat, 1);
    assert_string_equal(a->product_id, "17");
    assert_string_equal(a->description, "long");
    assert_int_equal(a->query_count, 2);
    assert_string_equal(a->queries[1], "dress");
    assert_int_equal(a->split, FB_SPLIT_TEST);
    assert_string_equal(fb_catalogue_attribute(a, "colour"), "Red");
    assert_string_equal(fb_catalogue_attribute(a, "price"), "12.5");
    assert_null(fb_catalogue_attribute(a, "size"));
    assert_null(fb_catalogue_attribute(a, "title"));
    assert_int_equal(b->line, 3);
    assert_string_equal(b->product_id, "b.jpg");
    assert_string_equal(b->queries[0], "blue");
    assert_int_equal(b->split, FB_SPLIT_TRAIN);
    assert_int_equal(b->category[0], -1);
    int32_t count = 0;
    assert_int_equal(fb_catalogue_split_items(cat, FB_SPLIT_TEST, &count)[0], 0);
    assert_int_equal(count, 1);
    fb_catalogue_split_items(cat, FB_SPLIT_VAL, &count);
    assert_int_equal(count, 0);
    fb_catalogue_close(cat);
}

static void text_key_ignores_case_and_spacing_only(void **state)
{
    fixture *f = *state;
    fb_catalogue *cat = open_rows(
        f, "{\"file_name\":\"a.jpg\",\"title\":\"Red  \\u00c9t\\u00e9\"}\n"
           "{\"file_name\":\"b.jpg\",\"title\":\" red\\u00a0\\u00e9t\\u00e9 \"}\n"
           "{\"file_name\":\"c.jpg\",\"title\":\"red ete\"}\n");
    assert_int_equal(fb_catalogue_get(cat, 0)->text, fb_catalogue_get(cat, 1)->text);
    assert_int_not_equal(fb_catalogue_get(cat, 0)->text,
                         fb_catalogue_get(cat, 2)->text);
    assert_int_equal(fb_catalogue_texts(cat), 2);
    fb_catalogue_close(cat);
}

static void image_key_tells_equal_bytes(void **state)
{
    fixture *f = *state;
    fb_catalogue *cat = open_rows(f, "{\"file_name\":\"a.jpg\",\"title\":\"1\"}\n"
                                     "{\"file_name\":\"b.jpg\",\"title\":\"2\"}\n"
                                     "{\"file_name\":\"c.jpg\",\"title\":\"3\"}\n");
    uint64_t a = 0, b = 0, c = 0;
    assert_int_equal(fb_catalogue_image_key(f->ctx, cat, 0, &a), FB_OK);
    assert_int_equal(fb_catalogue_image_key(f->ctx, cat, 1, &b), FB_OK);
    assert_int_equal(fb_catalogue_image_key(f->ctx, cat, 2, &c), FB_OK);
    assert_true(a == c);
    assert_true(a != b);
    fb_catalogue_close(cat);
}

static void finest_level_is_the_one_with_most_values(void **state)
{
    fixture *f = *state;
    fb_catalogue *cat =
        open_rows(f, "{\"file_name\":\"a.jpg\",\"title\":\"1\",\"category\":\"Skirt\","
                     "\"subcategory\":\"Bottom\",\"master_category\":\"Apparel\"}\n"
                     "{\"file_name\":\"b.jpg\",\"title\":\"2\",\"category\":\"Jeans\","
                     "\"subcategory\":\"Bottom\"}\n"
                     "{\"file_name\":\"c.jpg\",\"title\":\"3\",\"category\":\"Watch\","
                     "\"subcategory\":\"Other\"}\n");
    assert_int_equal(fb_catalogue_levels(cat), 3);
    assert_string_equal(fb_catalogue_level_name(cat, 0), "category");
    assert_string_equal(fb_catalogue_level_name(cat, 1), "subcategory");
    assert_string_equal(fb_catalogue_level_name(cat, 2), "master_category");
    assert_int_equal(fb_catalogue_category_count(cat, 0), 3);
    const fb_catalogue_item *b = fb_catalogue_get(cat, 1);
    assert_string_equal(fb_catalogue_category_name(cat, 0, b->category[0]), "Jeans");
    assert_string_equal(fb_catalogue_category_name(cat, 1, b->category[1]), "Bottom");
    assert_int_equal(b->category[2], -1);
    fb_catalogue_close(cat);
}

static void fingerprint_follows_titles(void **state)
{
    fixture *f = *state;
    fb_catalogue *one = open_rows(f, ROW_A);
    fb_catalogue *two = open_rows(f, ROW_A);
    fb_catalogue *other = open_rows(f, "{\"file_name\":\"a.jpg\",\"title\":\"B\"}\n");
    assert_true(fb_catalogue_fingerprint(one) == fb_catalogue_fingerprint(two));
    assert_true(fb_catalogue_fingerprint(one) != fb_catalogue_fingerprint(other));
    fb_catalogue_close(one);
    fb_catalogue_close(two);
    fb_catalogue_close(other);
}

static void bad_rows_name_file_and_line(void **state)
{
    static const struct {
        const char *rows;
        fb_status status;
        const char *line, *words;
    } cases[] = {
        {ROW_A "{\"file_name\": \"a.jpg\",", FB_E_FORMAT, ":2:", "not JSON"},
        {ROW_A ROW_A "[1]\n", FB_E_FORMAT, ":3:", "not a JSON object"},
        {"{\"title\": \"A\"}", FB_E_FORMAT, ":1:", "\"file_name\" is missing"},
        {ROW_A "\n{\"file_name\": \"a.jpg\"}", FB_E_FORMAT, ":3:", "\"title\" is miss"},
        {"{\"file_name\":\"a.jpg\",\"title\":\" \"}", FB_E_FORMAT, ":1:", "blank"},
        {"{\"file_name\":\"a.jpg\",\"title\":7}", FB_E_FORMAT,
         ":1:", "must be a string"},
        {"{\"file_name\":\"../x\",\"title\":\"A\"}", FB_E_FORMAT, ":1:", "leaves"},
        {"{\"file_name\":\"/etc/passwd\",\"title\":\"A\"}", FB_E_FORMAT,
         ":1:", "leaves"},
        {ROW_A "{\"file_name\":\"no.jpg\",\"title\":\"A\"}", FB_E_MISSING,
         ":2:", "no.jpg"},
        {"{\"file_name\":\".\",\"title\":\"A\"}", FB_E_FORMAT, ":1:", "without a name"},
        {"{\"file_name\":\"a.jpg\",\"title\":\"A\",\"title\":\"B\"}", FB_E_FORMAT,
         ":1:", "duplicate"},
        {"{\"file_name\":\"a.jpg\",\"title\":\"A\\u0000B\"}", FB_E_FORMAT,
         ":1:", "not JSON"},
        {"{\"file_name\":\"a.jpg\",\"title\":\"\xff\"}", FB_E_FORMAT,
         ":1:", "not JSON"},
        {"{\"file_name\":\"a.jpg\",\"title\":\"A\",\"split\":\"dev\"}", FB_E_FORMAT,
         ":1:", "none of train, val, test"},
        {"{\"file_name\":\"a.jpg\",\"title\":\"A\",\"queries\":[1]}", FB_E_FORMAT,
         ":1:", "queries"},
        {"{\"file_name\":\"a.jpg\",\"title\":\"A\",\"product_id\":[]}", FB_E_FORMAT,
         ":1:", "product_id"},
        {"\n \n", FB_E_FORMAT, ":", "no rows"},
        {"", FB_E_FORMAT, ":", "no rows"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_failure(*state, cases[i].rows, strlen(cases[i].rows), cases[i].status,
                       cases[i].line, cases[i].words);
}

static void huge_line_is_refused_by_its_number(void **state)
{
    size_t size = strlen(ROW_A) + FB_METADATA_LINE_BYTES_MAX + 1;
    char *rows = malloc(size);
    memset(rows, '{', size);
    memcpy(rows, ROW_A, strlen(ROW_A));
    expect_failure(*state, rows, size, FB_E_LIMIT, ":2:", "at most");
    free(rows);
}

static void deep_nesting_is_refused(void **state)
{
    enum { DEPTH = 100000 };
    char *rows = malloc(DEPTH);
    memset(rows, '[', DEPTH);
    expect_failure(*state, rows, DEPTH, FB_E_FORMAT, ":1:", "");
    free(rows);
}

static void missing_metadata_is_named(void **state)
{
    fixture *f = *state;
    fb_catalogue *cat = NULL;
    assert_int_equal(fb_catalogue_open(f->ctx, &cat, f->folder, NULL), FB_E_MISSING);
    assert_non_null(strstr(fb_context_message(f->ctx), "metadata.jsonl"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(fields_and_defaults_are_read),
        FIXTURE_TEST(text_key_ignores_case_and_spacing_only),
        FIXTURE_TEST(image_key_tells_equal_bytes),
        FIXTURE_TEST(finest_level_is_the_one_with_most_values),
        FIXTURE_TEST(fingerprint_follows_titles),
        FIXTURE_TEST(bad_rows_name_file_and_line),
        FIXTURE_TEST(huge_line_is_refused_by_its_number),
        FIXTURE_TEST(deep_nesting_is_refused),
        FIXTURE_TEST(missing_metadata_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
