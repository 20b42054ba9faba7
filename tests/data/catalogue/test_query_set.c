/* test_query_set.c - queries of a click log or of a catalogue, and what mismatches
 * them: never a product that the query wants, nor one with its title or image. */
#include "base/intern.h"
#include "support/query_fixture.h"

static fb_query_set *open_set(const fixture *f, const fb_catalogue *cat,
                              const char *clicks)
{
    fb_query_set *set = NULL;
    if (fb_query_set_open(f->ctx, &set, cat, clicks) != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
    return set;
}

static fb_query_split *open_split(const fixture *f, const fb_query_set *set,
                                  const fb_catalogue *cat, fb_split which)
{
    fb_query_split *split = NULL;
    if (fb_query_split_create(f->ctx, &split, set, cat, which) != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
    return split;
}

static void a_log_says_what_was_wanted_and_what_skipped(void **state)
{
    fixture *f = *state;
    fb_catalogue *cat = fixture_catalogue(f);
    fixture_clicks(f, "clicks.tsv");
    fb_query_set *set = open_set(f, cat, "");
    assert_string_equal(fb_query_set_kind(set), "clicks");
    assert_non_null(strstr(fb_query_set_source(set), "/clicks.tsv"));
    assert_int_equal(fb_query_set_count(set), FIXTURE_QUERIES);
    assert_int_equal(fb_query_set_left_out(set), 2);
    for (int32_t q = 0; q < FIXTURE_QUERIES; q++) {
        int32_t number = fixture_query_number(set, q), wanted, skipped;
        const int32_t *wants = fb_query_set_wanted(set, number, &wanted);
        const int32_t *skips = fb_query_set_skipped(set, number, &skipped);
        bool is_wanted[FIXTURE_PRODUCTS] = {false},
             is_skipped[FIXTURE_PRODUCTS] = {false};
        for (int32_t i = 0; i < ITEMS; i++) {
            const fb_catalogue_item *item = fb_catalogue_get(cat, i);
            int32_t p = fixture_product(cat, i);
            for (int32_t k = 0; k < wanted; k++)
                is_wanted[p] = is_wanted[p] || wants[k] == item->product;
            for (int32_t k = 0; k < skipped; k++)
                is_skipped[p] = is_skipped[p] || skips[k] == item->product;
            assert_int_equal(fb_query_set_wants(set, number, item->product),
                             fixture_wants(q, p));
        }
        for (int32_t p = 0; p < FIXTURE_PRODUCTS; p++) {
            assert_int_equal(is_wanted[p], fixture_wants(q, p));
            assert_int_equal(is_skipped[p], fixture_skips(q, p));
        }
    }
    fb_query_set *again = open_set(f, cat, fb_query_set_source(set));
    assert_true(fb_query_set_fingerprint(again) == fb_query_set_fingerprint(set));
    fb_query_set_close(again);
    fixture_text(f, "other.tsv", "query 1\tp1\t1\n");
    char other[128];
    snprintf(other, sizeof other, "%s/other.tsv", f->folder);
    again = open_set(f, cat, other);
    assert_true(fb_query_set_fingerprint(again) != fb_query_set_fingerprint(set));
    fb_query_set_close(again);
    fb_query_set_close(set);
    fb_catalogue_close(cat);
}

static void must(const fixture *f, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
}

static int32_t elsewhere; /* draws from anywhere that left the category */

/* Whatever the draw, by the rows alone and not by the code under test. */
static void check_draw(const fixture *f, const fb_catalogue *cat,
                       const fb_query_split *split, int32_t query, int32_t item,
                       uint64_t n)
{
    const fb_query_set *set = fb_query_split_set(split);
    fb_random random = fb_random_start(3, FB_STREAM_TEST, n);
    fb_query_draw d;
    must(f, fb_query_split_draw(f->ctx, split, &random, query, item, false, &d));
    int32_t q = fixture_query(set, query), p = fixture_product(cat, d.item);
    const fb_catalogue_item *own = fb_catalogue_get(cat, item);
    const fb_catalogue_item *other = fb_catalogue_get(cat, d.item);
    if (fixture_wants(q, p))
        fail_msg("query %d wants product %d", (int)q, (int)p);
    bool title = strcmp(own->title, other->title) == 0;
    bool image = fixture_picture(item) == fixture_picture(d.item);
    bool shown = false;
    for (int32_t i = 0; i < FIXTURE_PRODUCTS; i++)
        shown = shown || fixture_skips(q, i);
    assert_int_equal(d.skipped, shown);
    if (shown)
        assert_true(fixture_skips(q, p) && !(title && image));
    else
        assert_false(title || image);
    if (!shown && own->category[0] >= 0 && !d.fell_back)
        assert_int_equal(own->category[0], other->category[0]);
    must(f, fb_query_split_draw(f->ctx, split, &random, query, item, true, &d));
    assert_false(d.skipped || d.fell_back ||
                 fixture_wants(q, fixture_product(cat, d.item)) ||
                 fixture_picture(item) == fixture_picture(d.item));
    elsewhere += own->category[0] != fb_catalogue_get(cat, d.item)->category[0];
}

static void no_mismatch_is_wanted_or_looks_like_it(void **state)
{
    fixture *f = *state;
    fb_catalogue *cat = fixture_catalogue(f);
    fixture_clicks(f, "clicks.tsv");
    fb_query_set *set = open_set(f, cat, "");
    fb_query_split *split = open_split(f, set, cat, FB_SPLIT_TRAIN);
    int32_t rows = fb_query_split_rows(split), pairs = 0;
    for (int32_t q = 0; q < FIXTURE_QUERIES; q++)
        for (int32_t p = 0; p < FIXTURE_PRODUCTS; p++)
            pairs += fixture_wants(q, p);
    assert_int_equal(rows, pairs);
    for (uint64_t n = 0; n < 20000; n++) {
        fb_query_row row = fb_query_split_row(split, (int32_t)(n % (uint64_t)rows));
        int32_t count;
        const int32_t *items = fb_query_split_items(split, row.product, &count);
        assert_true(count >= 1);
        check_draw(f, cat, split, row.query, items[n % (uint64_t)count], n);
    }
    assert_true(elsewhere > 10000);
    fb_query_split_free(split);
    fb_query_set_close(set);
    fb_catalogue_close(cat);
}

/* Two categories; a query that everything of the first wants has to look further. */
static const char two_categories[] =
    "{\"file_name\":\"1.png\",\"title\":\"a\",\"product_id\":\"1\",\"category\":\"x\","
    "\"queries\":[\"Blue Shirt\",\"shirt\"]}\n"
    "{\"file_name\":\"2.png\",\"title\":\"b\",\"product_id\":\"2\",\"category\":\"x\","
    "\"queries\":\"blue  shirt\"}\n"
    "{\"file_name\":\"3.png\",\"title\":\"c\",\"product_id\":\"3\",\"category\":\"y\","
    "\"queries\":[\"trousers\"],\"split\":\"train\"}\n"
    "{\"file_name\":\"4.png\",\"title\":\"d\",\"product_id\":\"4\",\"category\":\"y\","
    "\"queries\":[\"trousers\",\"BLUE SHIRT\"],\"split\":\"test\"}\n";

static fb_catalogue *small_catalogue(const fixture *f, const char *rows)
{
    fb_catalogue *cat = NULL;
    for (int32_t i = 1; i <= 4; i++)
        fixture_image(f, i);
    fixture_text(f, "metadata.jsonl", rows);
    if (fb_catalogue_open(f->ctx, &cat, f->folder, NULL) != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
    return cat;
}

static void queries_of_the_catalogue_are_what_their_products_list(void **state)
{
    fixture *f = *state;
    fb_catalogue *cat = small_catalogue(f, two_categories);
    fb_query_set *set = open_set(f, cat, "");
    int32_t count, skipped;
    assert_string_equal(fb_query_set_kind(set), "queries");
    assert_int_equal(fb_query_set_count(set), 3);
    assert_string_equal(fb_query_set_text(set, 0), "Blue Shirt");
    fb_query_set_wanted(set, 0, &count);
    fb_query_set_skipped(set, 0, &skipped);
    assert_int_equal(count, 3);
    assert_int_equal(skipped, 0);
    fb_query_split *split = open_split(f, set, cat, FB_SPLIT_TRAIN);
    assert_int_equal(fb_query_split_rows(split), 4);
    for (uint64_t n = 0; n < 50; n++) {
        fb_random random = fb_random_start(1, FB_STREAM_TEST, n);
        fb_query_draw d;
        assert_int_equal(fb_query_split_draw(f->ctx, split, &random, 0, 0, false, &d),
                         FB_OK);
        assert_int_equal(d.item, 2);
        assert_true(d.fell_back && !d.skipped);
    }
    fb_query_split_free(split);
    split = open_split(f, set, cat, FB_SPLIT_TEST);
    assert_int_equal(fb_query_split_rows(split), 2);
    fb_random random = fb_random_start(1, FB_STREAM_TEST, 0);
    fb_query_draw d;
    assert_int_equal(fb_query_split_draw(f->ctx, split, &random, 0, 3, false, &d),
                     FB_E_FORMAT);
    assert_non_null(strstr(fb_context_message(f->ctx), "\"Blue Shirt\""));
    fb_query_split_free(split);
    fb_query_set_close(set);
    fb_catalogue_close(cat);
}

static void composed_queries_are_told(void **state)
{
    fixture *f = *state;
    fb_catalogue *cat = small_catalogue(
        f, "{\"file_name\":\"1.png\",\"title\":\"a\",\"queries\":[\"x\"]}\n"
           "{\"file_name\":\"2.png\",\"title\":\"b\",\"queries\":[\"y\"],"
           "\"queries_composed\":true}\n");
    fb_query_set *set = open_set(f, cat, "");
    assert_string_equal(fb_query_set_kind(set), "composed");
    fb_query_set_close(set);
    fb_catalogue_close(cat);
}

static void refuse(const fixture *f, const fb_catalogue *cat, const char *clicks,
                   fb_status code, const char *words)
{
    fb_query_set *set = NULL;
    assert_int_equal(fb_query_set_open(f->ctx, &set, cat, clicks), code);
    assert_null(set);
    if (!strstr(fb_context_message(f->ctx), words))
        fail_msg("%s", fb_context_message(f->ctx));
}

static void what_cannot_be_used_is_said(void **state)
{
    fixture *f = *state;
    fb_catalogue *cat = fixture_catalogue(f); /* has no queries */
    char path[128];
    refuse(f, cat, "", FB_E_MISSING, "has no queries");
    refuse(f, cat, "catalog", FB_E_MISSING, "--clicks");
    refuse(f, cat, "/nowhere.tsv", FB_E_MISSING, "/nowhere.tsv");
    fixture_text(f, "clicks.tsv", "query 1\tsold out\t1\n");
    refuse(f, cat, "", FB_E_MISSING, "none of its products");
    snprintf(path, sizeof path, "%s/bad.tsv", f->folder);
    fixture_text(f, "bad.tsv", "query 1\tp1\t1\nquery 1\tp1\n");
    refuse(f, cat, path, FB_E_FORMAT, "bad.tsv:2: too few fields");
    fixture_text(f, "bad.tsv", "query 1\tp1\t0\n");
    fb_query_set *set = open_set(f, cat, path);
    fb_query_split *split = NULL;
    assert_int_equal(fb_query_split_create(f->ctx, &split, set, cat, FB_SPLIT_TRAIN),
                     FB_E_MISSING);
    assert_non_null(strstr(fb_context_message(f->ctx), "split train"));
    fb_query_set_close(set);
    fb_catalogue_close(cat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(a_log_says_what_was_wanted_and_what_skipped),
        FIXTURE_TEST(no_mismatch_is_wanted_or_looks_like_it),
        FIXTURE_TEST(queries_of_the_catalogue_are_what_their_products_list),
        FIXTURE_TEST(composed_queries_are_told),
        FIXTURE_TEST(what_cannot_be_used_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
