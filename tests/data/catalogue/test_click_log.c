/* test_click_log.c - click logs: rows are added up by query and product, what is
 * written reads back, and a row that breaks a rule is named with its line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/catalogue/click_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static fb_click_log *parse(const char *text)
{
    fb_context *ctx = fb_context_create();
    fb_click_log *log = NULL;
    fb_status status = fb_click_log_parse(ctx, &log, "clicks.tsv", text, strlen(text));
    if (status != FB_OK)
        fail_msg("%s", fb_context_message(ctx));
    fb_context_free(ctx);
    return log;
}

static void expect(const fb_click_log *log, int32_t pair, const char *query,
                   const char *product, int64_t clicks, int64_t skips, int32_t line)
{
    const fb_click *c = fb_click_log_get(log, pair);
    assert_string_equal(fb_click_log_query(log, c->query), query);
    assert_string_equal(fb_click_log_product(log, c->product), product);
    assert_int_equal(c->clicks, clicks);
    assert_int_equal(c->skips, skips);
    assert_int_equal(c->line, line);
}

static void rows_of_a_query_and_a_product_are_added_up(void **state)
{
    (void)state;
    fb_click_log *log = parse("\xef\xbb\xbfquery\tproduct_id\tclicked\tcount\r\n"
                              "red dress\tA\t1\n"
                              "\n"
                              " Red  DRESS \tB\t0\t12\r\n"
                              "robe d'\xc3\xa9t\xc3\xa9\tA\t1\t\n"
                              "red dress\tA\t0\t3\n"
                              "RED dress\t A \t1\t1000000000");
    assert_int_equal(fb_click_log_rows(log), 5);
    assert_int_equal(fb_click_log_count(log), 3);
    assert_int_equal(fb_click_log_queries(log), 2);
    assert_int_equal(fb_click_log_products(log), 2);
    expect(log, 0, "red dress", "A", 1000000001, 3, 2);
    expect(log, 1, "red dress", "B", 0, 12, 4);
    expect(log, 2, "robe d'\xc3\xa9t\xc3\xa9", "A", 1, 0, 5);
    fb_click_log_free(log);
}

static void first_line_is_a_row_unless_it_names_the_columns(void **state)
{
    (void)state;
    fb_click_log *log = parse("query\tproduct\t1\n");
    expect(log, 0, "query", "product", 1, 0, 1);
    fb_click_log_free(log);
    log = parse("query\tproduct\tclicked\na\tb\t0\n");
    assert_int_equal(fb_click_log_count(log), 1);
    expect(log, 0, "a", "b", 0, 1, 2);
    fb_click_log_free(log);
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_click_log *again = NULL;
    fb_click_log *log = parse("a b\tx\t1\t5\na b\ty\t0\nc\tx\t0\t7\na b\tx\t0\t2\n"
                              "c\ty\t1\t1000000000\nc\ty\t1\t1000000000\n");
    char folder[] = "/tmp/fb_clicks_XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/clicks.tsv", folder);
    assert_int_equal(fb_click_log_write(ctx, log, path), FB_OK);
    assert_int_equal(fb_click_log_open(ctx, &again, path), FB_OK);
    assert_int_equal(fb_click_log_count(again), fb_click_log_count(log));
    for (int32_t i = 0; i < fb_click_log_count(log); i++) {
        const fb_click *c = fb_click_log_get(log, i);
        expect(again, i, fb_click_log_query(log, c->query),
               fb_click_log_product(log, c->product), c->clicks, c->skips,
               fb_click_log_get(again, i)->line);
    }
    fb_click_log_free(log);
    fb_click_log_free(again);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    fb_context_free(ctx);
}

static void refuse_bytes(const char *text, size_t size, fb_status code,
                         const char *sentence)
{
    fb_context *ctx = fb_context_create();
    fb_click_log *log = NULL;
    assert_int_equal(fb_click_log_parse(ctx, &log, "clicks.tsv", text, size), code);
    assert_null(log);
    if (!strstr(fb_context_message(ctx), sentence))
        fail_msg("\"%s\" lacks \"%s\"", fb_context_message(ctx), sentence);
    fb_context_free(ctx);
}

static void refuse(const char *text, const char *sentence)
{
    refuse_bytes(text, strlen(text), FB_E_FORMAT, sentence);
}

static void a_broken_row_is_named_with_its_line(void **state)
{
    (void)state;
    refuse("", "clicks.tsv: no rows");
    refuse("query\tproduct\tclicked\n\n", "clicks.tsv: no rows");
    refuse("a\tb\t1\na\tb\n", "clicks.tsv:2: too few fields");
    refuse("a,b,1\n", "clicks.tsv:1: too few fields");
    refuse("a\tb\t1\t1\t1\n", "clicks.tsv:1: more than four fields");
    refuse("a\tb\t1\n\n \tb\t1\n", "clicks.tsv:3: the query is blank");
    refuse("a\t\t1\n", "clicks.tsv:1: the product id is blank");
    refuse("a\tb\tyes\n", "clicks.tsv:1: clicked must be 0 or 1");
    refuse("a\tb\t2\n", "clicked must be 0 or 1");
    refuse("a\tb\t1\tx\n", "clicks.tsv:1: the count must be a whole number from 1");
    refuse("a\tb\t1\t0\n", "the count must be");
    refuse("a\tb\t1\t-1\n", "the count must be");
    refuse("a\tb\t1\t1.5\n", "the count must be");
    refuse("a\tb\t1\t1000000001\n", "the count must be");
    refuse("a\tb\t1\t99999999999999999999\n", "the count must be");
    refuse("a\xff\tb\t1\n", "clicks.tsv:1: the query is not UTF-8");
    refuse("a\tb\xc3\t1\n", "clicks.tsv:1: the product id is not UTF-8");
    refuse_bytes("a\0b\tc\t1\n", 8, FB_E_FORMAT, "the query is not UTF-8 text");
}

static void texts_past_the_limit_are_refused(void **state)
{
    (void)state;
    char *text = malloc(FB_CLICK_QUERY_BYTES + 32);
    assert_non_null(text);
    memset(text, 'q', FB_CLICK_QUERY_BYTES + 1);
    strcpy(text + FB_CLICK_QUERY_BYTES + 1, "\tb\t1\n");
    refuse_bytes(text, strlen(text), FB_E_LIMIT, "a query of 4097 bytes");
    strcpy(text + FB_CLICK_QUERY_BYTES, "\tb\t1\n");
    fb_click_log *log = parse(text);
    assert_int_equal(strlen(fb_click_log_query(log, 0)), FB_CLICK_QUERY_BYTES);
    fb_click_log_free(log);
    memset(text, 'p', FB_CLICK_PRODUCT_BYTES + 3);
    text[1] = '\t';
    strcpy(text + FB_CLICK_PRODUCT_BYTES + 3, "\t1\n");
    refuse_bytes(text, strlen(text), FB_E_LIMIT, "a product id of 1025 bytes");
    free(text);
}

static void many_rows_keep_their_pairs_apart(void **state)
{
    (void)state;
    enum { N = 20000 };
    fb_context *ctx = fb_context_create();
    fb_click_log *log = NULL;
    assert_int_equal(fb_click_log_create(ctx, &log), FB_OK);
    for (int32_t i = 0; i < N; i++) {
        char query[24], product[24];
        int a = snprintf(query, sizeof query, "q%d", (int)(i % 700));
        int b = snprintf(product, sizeof product, "p%d", (int)(i % 1100));
        fb_click_row row = {query, product, (size_t)a, (size_t)b, i % 3 == 0, 1};
        assert_int_equal(fb_click_log_add(ctx, log, &row, i + 1), FB_OK);
    }
    assert_int_equal(fb_click_log_count(log), 7700); /* lcm of the two */
    int64_t clicks = 0, skips = 0;
    for (int32_t i = 0; i < fb_click_log_count(log); i++) {
        const fb_click *c = fb_click_log_get(log, i);
        char name[24];
        snprintf(name, sizeof name, "q%d", (int)(i % 700));
        assert_string_equal(fb_click_log_query(log, c->query), name);
        snprintf(name, sizeof name, "p%d", (int)(i % 1100));
        assert_string_equal(fb_click_log_product(log, c->product), name);
        clicks += c->clicks;
        skips += c->skips;
    }
    assert_int_equal(clicks, (N + 2) / 3);
    assert_int_equal(clicks + skips, N);
    fb_click_log_free(log);
    fb_context_free(ctx);
}

static void a_missing_file_is_said(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_click_log *log = NULL;
    assert_int_equal(fb_click_log_open(ctx, &log, "/nowhere/clicks.tsv"), FB_E_MISSING);
    assert_non_null(strstr(fb_context_message(ctx), "/nowhere/clicks.tsv"));
    assert_int_equal(fb_click_log_open(ctx, &log, "/tmp"), FB_E_FORMAT);
    fb_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_a_query_and_a_product_are_added_up),
        cmocka_unit_test(first_line_is_a_row_unless_it_names_the_columns),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(a_broken_row_is_named_with_its_line),
        cmocka_unit_test(texts_past_the_limit_are_refused),
        cmocka_unit_test(many_rows_keep_their_pairs_apart),
        cmocka_unit_test(a_missing_file_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
