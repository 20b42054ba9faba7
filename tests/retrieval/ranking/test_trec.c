/* test_trec.c - TREC runs and qrels: order, ties, numbers that read back, escaped ids.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "retrieval/ranking/ranking_metrics.h"
#include "retrieval/ranking/trec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *run_of(const char *query, fb_trec_candidate *candidates, int64_t count)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    assert_non_null(stream);
    assert_int_equal(fb_trec_write_run(NULL, stream, query, candidates, count, "fb"),
                     FB_OK);
    assert_int_equal(fclose(stream), 0);
    return text;
}

static void a_run_is_sorted_by_score(void **state)
{
    (void)state;
    fb_trec_candidate c[] = {
        {"a", 0.25f, false}, {"b", 0.75f, true}, {"c", 0.5f, false}};
    char *text = run_of("q", c, 3);
    assert_string_equal(text, "q Q0 b 1 0.75 fb\nq Q0 c 2 0.5 fb\nq Q0 a 3 0.25 fb\n");
    free(text);
}

static void positives_come_last_among_equals_with_a_lower_score(void **state)
{
    (void)state;
    fb_trec_candidate c[] = {{"z", 0.5f, true}, {"a", 0.5f, false}, {"b", 0.5f, false}};
    char *text = run_of("q", c, 3);
    assert_string_equal(text, "q Q0 a 1 0.5 fb\nq Q0 b 2 0.49999997 fb\n"
                              "q Q0 z 3 0.49999994 fb\n");
    free(text);
}

static void ids_are_percent_escaped(void **state)
{
    (void)state;
    fb_trec_candidate c[] = {{"my shoe 50%.jpg", 1, true}, {"\xc3\xa9\t", 0, false}};
    char *text = run_of("", c, 2);
    assert_string_equal(text, "% Q0 my%20shoe%2050%25.jpg 1 1 fb\n"
                              "% Q0 \xc3\xa9%09 2 0 fb\n");
    free(text);
}

static void qrels_hold_the_positives_only(void **state)
{
    (void)state;
    const fb_trec_candidate c[] = {{"a", 1, false}, {"b b", 0, true}, {"c", 0, true}};
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    assert_non_null(stream);
    fb_trec_write_qrels(stream, "q", c, 3);
    assert_int_equal(fclose(stream), 0);
    assert_string_equal(text, "q 0 b%20b 1\nq 0 c 1\n");
    free(text);
}

static void a_score_that_is_not_finite_writes_nothing(void **state)
{
    (void)state;
    fb_trec_candidate c[] = {{"a", 1, false}, {"b", NAN, true}};
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    assert_non_null(stream);
    fb_context ctx = {0};
    assert_int_equal(fb_trec_write_run(&ctx, stream, "q", c, 2, "fb"), FB_E_NUMBER);
    assert_non_null(strstr(ctx.message, "query q with b"));
    assert_int_equal(fclose(stream), 0);
    assert_int_equal(size, 0);
    free(text);
}

/* Rank of the best positive as trec_eval sees it: score alone, ties by id either way.
 */
static int64_t rank_by_reading(const char *text, fb_trec_candidate *by_id,
                               int64_t count)
{
    float *scores = malloc((size_t)count * sizeof *scores);
    assert_non_null(scores);
    float best = -INFINITY;
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        char id[16];
        float score;
        assert_int_equal(sscanf(line, "q Q0 %15s %*d %f fb\n", id, &score), 2);
        int64_t item = atol(id + 1);
        scores[item] = score;
        if (by_id[item].positive && score > best)
            best = score;
    }
    int64_t rank = 0;
    for (int64_t i = 0; i < count; i++)
        rank += scores[i] >= best; /* the positive itself is one */
    free(scores);
    return rank;
}

static void tools_that_sort_by_score_find_our_rank(void **state)
{
    (void)state;
    enum { N = 60 };
    for (uint64_t seed = 0; seed < 200; seed++) {
        fb_random random = fb_random_start(seed, FB_STREAM_TEST, 0);
        char ids[N][8];
        fb_trec_candidate c[N], by_id[N];
        float scores[N];
        uint8_t marks[N];
        uint32_t levels = 1 + fb_random_below(&random, 20); /* 1: a constant scorer */
        for (int i = 0; i < N; i++) {
            snprintf(ids[i], sizeof ids[i], "d%d", i);
            scores[i] = (float)fb_random_below(&random, levels) / 7.0f;
            marks[i] = i == 0 || fb_random_below(&random, 20) == 0;
            c[i] = by_id[i] = (fb_trec_candidate){ids[i], scores[i], marks[i]};
        }
        fb_rank rank;
        assert_int_equal(fb_rank_marked(NULL, &rank, scores, marks, N), FB_OK);
        char *text = run_of("q", c, N);
        int64_t read = rank_by_reading(text, by_id, N);
        free(text);
        if (read != rank.rank)
            fail_msg("seed %llu: a tool ranks %lld, we rank %lld",
                     (unsigned long long)seed, (long long)read, (long long)rank.rank);
    }
}

static void a_pair_of_files_appears_at_commit(void **state)
{
    (void)state;
    char folder[] = "/tmp/fb_trec_XXXXXX", prefix[64], run[96], qrels[96];
    assert_non_null(mkdtemp(folder));
    snprintf(prefix, sizeof prefix, "%s/mine", folder);
    snprintf(run, sizeof run, "%s.image_to_text.2.run", prefix);
    snprintf(qrels, sizeof qrels, "%s.image_to_text.2.qrels", prefix);
    fb_trec_candidate c[] = {{"a", 0.5f, true}, {"b", 0.25f, false}};
    fb_trec trec;
    assert_int_equal(fb_trec_open(NULL, &trec, prefix, "image_to_text", 2, "fb"),
                     FB_OK);
    assert_int_equal(fb_trec_add(NULL, &trec, "q", c, 2), FB_OK);
    assert_int_not_equal(access(run, F_OK), 0);
    assert_int_equal(fb_trec_commit(NULL, &trec), FB_OK);
    uint8_t *text;
    size_t size;
    assert_int_equal(fb_file_read(NULL, run, 1000, &text, &size), FB_OK);
    assert_string_equal((char *)text, "q Q0 a 1 0.5 fb\nq Q0 b 2 0.25 fb\n");
    free(text);
    assert_int_equal(fb_file_read(NULL, qrels, 1000, &text, &size), FB_OK);
    assert_string_equal((char *)text, "q 0 a 1\n");
    free(text);
    unlink(run);
    unlink(qrels);
    assert_int_equal(rmdir(folder), 0); /* nothing else was left */
}

static void an_abandoned_pair_leaves_nothing(void **state)
{
    (void)state;
    char folder[] = "/tmp/fb_trec_XXXXXX", prefix[64];
    assert_non_null(mkdtemp(folder));
    snprintf(prefix, sizeof prefix, "%s/mine", folder);
    fb_trec trec;
    assert_int_equal(fb_trec_open(NULL, &trec, prefix, "text_to_image", 0, "fb"),
                     FB_OK);
    fb_trec_abandon(&trec);
    assert_int_equal(rmdir(folder), 0);
    assert_int_not_equal(fb_trec_open(NULL, &trec, prefix, "text_to_image", 0, "fb"),
                         FB_OK); /* the folder is gone */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_is_sorted_by_score),
        cmocka_unit_test(positives_come_last_among_equals_with_a_lower_score),
        cmocka_unit_test(ids_are_percent_escaped),
        cmocka_unit_test(qrels_hold_the_positives_only),
        cmocka_unit_test(a_score_that_is_not_finite_writes_nothing),
        cmocka_unit_test(tools_that_sort_by_score_find_our_rank),
        cmocka_unit_test(a_pair_of_files_appears_at_commit),
        cmocka_unit_test(an_abandoned_pair_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
