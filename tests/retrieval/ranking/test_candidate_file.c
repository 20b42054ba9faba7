/* test_candidate_file.c - candidate lists on disk: they read back as written, and a
 * file that is cut, foreign or breaks a rule is refused with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "retrieval/ranking/candidate_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N = 300 };

static const fb_candidate_options DEFAULTS = {.negatives = FB_NEGATIVES_CATEGORY,
                                              .negative_count = 100,
                                              .min_candidates = 9,
                                              .draws = 2,
                                              .seed = 1};

/* Pairs of items of one product, every third text shared, four categories. */
static void fill(fb_candidate_item items[N])
{
    for (int32_t i = 0; i < N; i++)
        items[i] = (fb_candidate_item){i / 2, i % 3 ? i : i % 30, i, i % 4, 0};
}

static fb_candidate_set *draw(const fb_candidate_item *items, int32_t count,
                              fb_candidate_options options)
{
    fb_candidate_set *set = NULL;
    assert_int_equal(fb_candidate_set_draw(NULL, &set, items, count, &options), FB_OK);
    return set;
}

static bool same_sets(const fb_candidate_set *a, const fb_candidate_set *b)
{
    if (a->list_count != b->list_count || a->item_count != b->item_count ||
        a->left_out != b->left_out)
        return false;
    for (int64_t i = 0; i < a->list_count; i++)
        if (a->lists[i].query != b->lists[i].query ||
            a->lists[i].positive != b->lists[i].positive ||
            a->lists[i].offset != b->lists[i].offset ||
            a->lists[i].count != b->lists[i].count)
            return false;
    return a->item_count == 0 ||
           memcmp(a->items, b->items, (size_t)a->item_count * sizeof *a->items) == 0;
}

static char ids_text[N][24];
static const char *ids[N];

static fb_candidate_catalog catalog_of(const fb_candidate_item *items, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        snprintf(ids_text[i], sizeof ids_text[i], "images/%d \xc3\xa9\".jpg", i);
        ids[i] = ids_text[i];
    }
    return (fb_candidate_catalog){items, ids, count, "test",
                                  fb_candidate_fingerprint(ids, ids, ids, count)};
}

static void a_set_reads_back_as_it_was_written(void **state)
{
    (void)state;
    static fb_candidate_item items[N];
    fill(items);
    fb_candidate_catalog catalog = catalog_of(items, N);
    fb_candidate_options o = DEFAULTS;
    o.queries = 50;
    o.seed = UINT64_MAX - 5;
    fb_candidate_set *set = draw(items, N, o), *again = NULL;
    char folder[] = "/tmp/fb_candidates_XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/c.jsonl", folder);
    assert_int_equal(fb_candidate_set_write(NULL, set, path, &catalog), FB_OK);
    assert_int_equal(fb_candidate_set_read(NULL, &again, path, &catalog, &o), FB_OK);
    assert_true(same_sets(set, again));
    assert_int_equal(again->options.negatives, o.negatives);
    assert_true(again->options.seed == o.seed);
    for (int32_t d = 0; d < 2; d++)
        for (int way = 0; way < 2; way++) {
            int64_t a, b;
            fb_candidate_set_group(set, d, (fb_direction)way, &a);
            fb_candidate_set_group(again, d, (fb_direction)way, &b);
            assert_int_equal(a, b);
        }
    fb_candidate_set_free(set);
    fb_candidate_set_free(again);
    unlink(path);
    assert_int_equal(rmdir(folder), 0);
}

static void a_failed_write_names_its_path(void **state)
{
    (void)state;
    fb_candidate_item items[1] = {{0, 0, 0, 0, 0}};
    fb_candidate_catalog catalog = catalog_of(items, 1);
    fb_candidate_set *set = draw(items, 1, DEFAULTS);
    fb_context ctx = {0};
    assert_int_not_equal(
        fb_candidate_set_write(&ctx, set, "/nonexistent-fb/c.jsonl", &catalog), FB_OK);
    assert_non_null(strstr(ctx.message, "/nonexistent-fb/c.jsonl"));
    fb_candidate_set_free(set);
}

static void the_fingerprint_sees_every_string_and_their_order(void **state)
{
    (void)state;
    const char *id[] = {"a", "b"}, *product[] = {"p", "q"}, *text[] = {"x", "y"};
    const char *swapped[] = {"y", "x"}, *joined[] = {"xy", ""};
    uint64_t base = fb_candidate_fingerprint(id, product, text, 2);
    assert_true(base == fb_candidate_fingerprint(id, product, text, 2));
    assert_true(base != fb_candidate_fingerprint(id, product, swapped, 2));
    assert_true(base != fb_candidate_fingerprint(id, product, joined, 2));
    assert_true(base != fb_candidate_fingerprint(product, id, text, 2));
    assert_true(base != fb_candidate_fingerprint(id, product, text, 1));
}

/* Five items: 0..3 of category 0, 4 of category 1; item 3 has the text of item 0. */
static const fb_candidate_item SMALL[] = {{0, 0, 0, 0, 0},
                                          {1, 1, 1, 0, 0},
                                          {2, 2, 2, 0, 0},
                                          {3, 0, 3, 0, 0},
                                          {4, 4, 4, 1, 0}};
static const char *const SMALL_IDS[] = {"a", "b", "c", "d", "e"};
#define START "{\"format\":\"fashionbert-candidates\",\"version\":1,"
#define MIDDLE                                                                         \
    "\"protocol\":\"sampled\",\"negatives\":\"category\",\"queries\":0,"               \
    "\"negative_count\":2,\"min_candidates\":1,\"draws\":1,\"seed\":1,"
#define ORIGIN        "\"split\":\"test\",\"items\":5,\"catalog\":\"00000000000000ff\","
#define HEADER(lists) START MIDDLE ORIGIN "\"left_out\":1,\"lists\":" lists "}\n"
#define LIST(way, query, positive, negatives)                                          \
    "{\"draw\":0,\"direction\":\"" way "\",\"query\":" query ",\"positive\":" positive \
    ",\"negatives\":" negatives "}\n"
#define I2T  "image_to_text"
#define GOOD LIST(I2T, "\"a\"", "\"a\"", "[\"c\",\"b\"]")

static fb_status parse(fb_context *ctx, const char *text, fb_candidate_set **set)
{
    fb_candidate_catalog catalog = {SMALL, SMALL_IDS, 5, "test", 0xff};
    return fb_candidate_set_parse(ctx, set, "f", text, strlen(text), &catalog, NULL);
}

static void a_file_by_hand_is_read(void **state)
{
    (void)state;
    fb_context ctx = {0};
    fb_candidate_set *set = NULL;
    const char *text = HEADER("3") GOOD LIST(I2T, "\"d\"", "\"a\"", "[\"b\"]")
        LIST("text_to_image", "\"a\"", "\"a\"", "[\"b\"]");
    if (parse(&ctx, text, &set) != FB_OK)
        fail_msg("%s", ctx.message);
    int64_t count;
    const fb_candidate_list *lists =
        fb_candidate_set_group(set, 0, FB_IMAGE_TO_TEXT, &count);
    assert_int_equal(count, 2);
    assert_int_equal(set->left_out, 1);
    assert_int_equal(lists[0].count, 2);
    assert_int_equal(set->items[0], 2);
    assert_int_equal(set->items[1], 1);
    assert_int_equal(lists[1].query, 3);
    assert_int_equal(lists[1].positive, 0); /* of the same text: a right answer */
    fb_candidate_set_free(set);
}

static void hostile_files_are_refused_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
        fb_status status;
    } cases[] = {
        {"", "empty", FB_E_FORMAT},
        {"\n", "f:1", FB_E_FORMAT},
        {"[1]\n", "f:1: not a JSON object", FB_E_FORMAT},
        {"{\"format\":1}\n", "f:1", FB_E_FORMAT},
        {"{\"format\":\"other\"}\n", "not \"fashionbert-candidates\"", FB_E_FORMAT},
        {START "\"split\":\"test\"}\n", "\"protocol\" is missing", FB_E_FORMAT},
        {HEADER("1"), "0 lists, its header promises 1", FB_E_FORMAT},
        {HEADER("0") GOOD, "1 lists, its header promises 0", FB_E_FORMAT},
        {HEADER("-1"), "f:1", FB_E_FORMAT},
        {HEADER("1") "{\"draw\":0", "f:2: the file ends within the line", FB_E_FORMAT},
        {HEADER("1") "nonsense\n", "f:2", FB_E_FORMAT},
        {HEADER("1") LIST("both", "\"a\"", "\"a\"", "[\"b\"]"), "f:2: direction is",
         FB_E_FORMAT},
        {HEADER("1") LIST(I2T, "\"z\"", "\"a\"", "[\"b\"]"),
         "f:2: query \"z\" is no item", FB_E_FORMAT},
        {HEADER("1") LIST(I2T, "7", "\"a\"", "[\"b\"]"), "f:2: query is not",
         FB_E_FORMAT},
        {HEADER("1") LIST(I2T, "\"a\"", "\"b\"", "[\"b\"]"),
         "neither the query's product", FB_E_FORMAT},
        {HEADER("1") LIST(I2T, "\"a\"", "\"a\"", "\"b\""), "is not a list",
         FB_E_FORMAT},
        {HEADER("1") LIST(I2T, "\"a\"", "\"a\"", "[]"), "at least 1", FB_E_FORMAT},
        {HEADER("1") LIST(I2T, "\"a\"", "\"a\"", "[\"b\",\"c\",\"b\"]"), "at most 2",
         FB_E_FORMAT},
        {HEADER("1") LIST(I2T, "\"a\"", "\"a\"", "[\"b\",\"b\"]"), "twice",
         FB_E_FORMAT},
        {HEADER("1") LIST(I2T, "\"a\"", "\"a\"", "[\"d\"]"), "it is no negative",
         FB_E_FORMAT},
        {HEADER("1") LIST(I2T, "\"a\"", "\"a\"", "[\"a\"]"), "it is no negative",
         FB_E_FORMAT},
        {HEADER("1") LIST(I2T, "\"a\"", "\"a\"", "[\"e\"]"),
         "not of the query's category", FB_E_FORMAT},
        {HEADER("2") GOOD GOOD, "f:3: query \"a\" has a list already", FB_E_FORMAT},
        {HEADER("2") LIST("text_to_image", "\"a\"", "\"a\"", "[\"b\"]") GOOD,
         "f:3: lists must stand by draw", FB_E_FORMAT},
        {HEADER("1") "{\"draw\":1}\n", "f:2", FB_E_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fb_context ctx = {0};
        fb_candidate_set *set = NULL;
        fb_status status = parse(&ctx, cases[i].text, &set);
        if (status != cases[i].status || set || !strstr(ctx.message, cases[i].says))
            fail_msg("case %zu: status %d, \"%s\" lacks \"%s\"", i, (int)status,
                     ctx.message, cases[i].says);
    }
}

static void every_cut_of_a_file_is_refused(void **state)
{
    (void)state;
    static const char text[] = HEADER("2") GOOD LIST(I2T, "\"b\"", "\"b\"", "[\"a\"]");
    char cut[sizeof text];
    for (size_t size = 0; size < sizeof text - 1; size++) {
        fb_candidate_set *set = NULL;
        memcpy(cut, text, size);
        cut[size] = 0;
        if (parse(NULL, cut, &set) == FB_OK)
            fail_msg("cut to %zu of %zu bytes it was read", size, sizeof text - 1);
    }
}

static void another_catalogue_split_or_option_is_refused(void **state)
{
    (void)state;
    const char *text = HEADER("1") GOOD;
    fb_candidate_options same = {FB_NEGATIVES_CATEGORY, 0, 2, 1, 1, 1};
    fb_candidate_catalog good = {SMALL, SMALL_IDS, 5, "test", 0xff};
    fb_candidate_catalog other = good, split = good;
    other.fingerprint = 0xfe;
    split.split = "val";
    fb_context ctx = {0};
    fb_candidate_set *set = NULL;
    size_t size = strlen(text);
    assert_int_equal(fb_candidate_set_parse(&ctx, &set, "f", text, size, &good, &same),
                     FB_OK);
    fb_candidate_set_free(set);
    set = NULL;
    assert_int_equal(fb_candidate_set_parse(&ctx, &set, "f", text, size, &other, &same),
                     FB_E_STATE);
    assert_non_null(strstr(ctx.message, "another catalogue"));
    assert_int_equal(fb_candidate_set_parse(&ctx, &set, "f", text, size, &split, &same),
                     FB_E_STATE);
    fb_candidate_options wrong[6];
    for (int i = 0; i < 6; i++)
        wrong[i] = same;
    wrong[0].negatives = FB_NEGATIVES_ANY;
    wrong[1].queries = 7;
    wrong[2].negative_count = 7;
    wrong[3].min_candidates = 7;
    wrong[4].draws = 7;
    wrong[5].seed = 7;
    for (int i = 0; i < 6; i++)
        assert_int_equal(
            fb_candidate_set_parse(&ctx, &set, "f", text, size, &good, &wrong[i]),
            FB_E_STATE);
    assert_non_null(strstr(ctx.message, "seed 1, not 7"));
    assert_null(set);
}

static void repeated_file_names_are_refused(void **state)
{
    (void)state;
    static const char *const twice[] = {"a", "b", "c", "a", "e"};
    fb_candidate_catalog catalog = {SMALL, twice, 5, "test", 0xff};
    fb_candidate_set *set = NULL;
    fb_context ctx = {0};
    assert_int_equal(fb_candidate_set_parse(&ctx, &set, "f", "", 0, &catalog, NULL),
                     FB_E_FORMAT);
    assert_non_null(strstr(ctx.message, "\"a\" stands twice"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_reads_back_as_it_was_written),
        cmocka_unit_test(a_failed_write_names_its_path),
        cmocka_unit_test(the_fingerprint_sees_every_string_and_their_order),
        cmocka_unit_test(a_file_by_hand_is_read),
        cmocka_unit_test(hostile_files_are_refused_with_their_line),
        cmocka_unit_test(every_cut_of_a_file_is_refused),
        cmocka_unit_test(another_catalogue_split_or_option_is_refused),
        cmocka_unit_test(repeated_file_names_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
