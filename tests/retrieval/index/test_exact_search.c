/* test_exact_search.c - the best rows are those of a full sort, ties by row, whatever
 * the order in which they come, the threads, or the rows that a filter leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "retrieval/index/exact_search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 3000, WIDTH = 24, K = 50 };

static int by_rank(const void *a, const void *b)
{
    const fb_scored *x = a, *y = b;
    return fb_scored_better(*x, *y) ? -1 : fb_scored_better(*y, *x);
}

static void the_best_of_many_are_those_of_a_sort(void **state)
{
    (void)state;
    fb_random r = fb_random_start(1, FB_STREAM_TEST, 1);
    for (int64_t count = 0; count < 400; count += 57)
        for (int64_t capacity = 0; capacity < 90; capacity += 11) {
            fb_scored all[400], heap[90];
            fb_top_k top = fb_top_k_begin(heap, capacity);
            int32_t order[400];
            for (int64_t i = 0; i < count; i++) {
                order[i] = (int32_t)i;
                all[i] = (fb_scored){i, (float)fb_random_below(&r, 20)}; /* many ties */
            }
            fb_random_shuffle(&r, order, count);
            for (int64_t i = 0; i < count; i++)
                fb_top_k_add(&top, order[i], all[order[i]].score);
            fb_top_k_sort(&top);
            qsort(all, (size_t)count, sizeof *all, by_rank);
            assert_int_equal(top.count, count < capacity ? count : capacity);
            for (int64_t i = 0; i < top.count; i++)
                assert_int_equal(heap[i].row, all[i].row);
        }
}

static void a_score_that_is_no_number_never_enters(void **state)
{
    (void)state;
    fb_scored heap[2];
    fb_top_k top = fb_top_k_begin(heap, 2);
    fb_top_k_add(&top, 0, NAN);
    assert_int_equal(top.count, 0);
    fb_top_k_add(&top, 1, -1.0f);
    fb_top_k_add(&top, 2, NAN);
    fb_top_k_add(&top, 3, -INFINITY);
    fb_top_k_add(&top, 4, NAN);
    fb_top_k_sort(&top);
    assert_int_equal(top.count, 2);
    assert_int_equal(heap[0].row, 1);
    assert_int_equal(heap[1].row, 3);
}

/* Rows that repeat, so that scores tie. */
static float *make_rows(void)
{
    float *rows = malloc(ROWS * WIDTH * sizeof *rows);
    fb_random r = fb_random_start(2, FB_STREAM_TEST, 2);
    assert_non_null(rows);
    for (int64_t i = 0; i < ROWS * WIDTH; i++)
        rows[i] = (float)fb_random_normal(&r);
    for (int64_t i = 100; i < ROWS; i += 3)
        memcpy(rows + i * WIDTH, rows + (i % 50) * WIDTH, WIDTH * sizeof *rows);
    return rows;
}

static fb_stored stored_f32(const float *rows, int64_t count)
{
    return (fb_stored){
        .storage = FB_STORED_F32, .count = count, .width = WIDTH, .f32 = rows};
}

static void check_search(const fb_backend *be, const float *rows,
                         const uint8_t *allowed)
{
    fb_scored *all = malloc(ROWS * sizeof *all), heap[K];
    int64_t pass = 0;
    const float *query = rows + 7 * WIDTH;
    assert_non_null(all);
    for (int64_t i = 0; i < ROWS; i++)
        if (fb_row_passes(allowed, i)) {
            float score;
            be->k->row_products(be, &score, rows + i * WIDTH, 1, WIDTH, query);
            all[pass++] = (fb_scored){1000 + i, score};
        }
    qsort(all, (size_t)pass, sizeof *all, by_rank);
    fb_top_k top = fb_top_k_begin(heap, K);
    const fb_stored vectors = stored_f32(rows, ROWS);
    assert_int_equal(fb_exact_search(NULL, be, &vectors, query, allowed, 1000, &top),
                     FB_OK);
    fb_top_k_sort(&top);
    assert_int_equal(top.count, pass < K ? pass : K);
    for (int64_t i = 0; i < top.count; i++) {
        assert_int_equal(heap[i].row, all[i].row);
        assert_true(heap[i].score == all[i].score);
    }
    free(all);
}

static void exact_search_equals_a_sort_under_any_filter(void **state)
{
    (void)state;
    float *rows = make_rows();
    static const uint32_t shares[] = {0, 1, 30, 500, 999, 1000}; /* of a thousand */
    for (int32_t threads = 1; threads <= 3; threads++) {
        fb_context *ctx = fb_context_create();
        fb_backend *be = NULL;
        assert_int_equal(fb_backend_create(ctx, &be, "cpu", "f32", threads), FB_OK);
        check_search(be, rows, NULL);
        for (size_t s = 0; s < sizeof shares / sizeof shares[0]; s++) {
            uint8_t allowed[(ROWS + 7) / 8] = {0};
            fb_random r = fb_random_start(3, FB_STREAM_TEST, s);
            for (int64_t i = 0; i < ROWS; i++)
                if (fb_random_below(&r, 1000) < shares[s])
                    allowed[i >> 3] |= (uint8_t)(1 << (i & 7));
            check_search(be, rows, allowed);
        }
        fb_backend_free(be);
        fb_context_free(ctx);
    }
    free(rows);
}

/* ---- rows in fewer bytes --------------------------------------------------------- */

typedef struct coded {
    uint16_t *half;
    int8_t *codes, *rests;
    float *scales;
} coded;

static fb_stored encode(coded *c, fb_storage storage, const float *rows)
{
    *c = (coded){malloc(ROWS * WIDTH * sizeof *c->half), malloc(ROWS * WIDTH),
                 malloc(ROWS * WIDTH), malloc(ROWS * sizeof *c->scales)};
    assert_true(c->half && c->codes && c->rests && c->scales);
    for (int64_t n = 0; n < ROWS; n++) {
        int64_t at = n * WIDTH;
        fb_encode_bf16(c->half + at, rows + at, WIDTH);
        fb_encode_int8(c->codes + at, c->rests + at, &c->scales[n], rows + at, WIDTH);
    }
    return (fb_stored){.storage = storage,
                       .count = ROWS,
                       .width = WIDTH,
                       .bf16 = storage == FB_STORED_BF16 ? c->half : NULL,
                       .codes = storage == FB_STORED_INT8 ? c->codes : NULL,
                       .rests = c->rests,
                       .scales = c->scales};
}

static void forget(coded *c)
{
    free(c->half);
    free(c->codes);
    free(c->rests);
    free(c->scales);
}

static void rows_read_back_within_half_a_step(void **state)
{
    (void)state;
    float *rows = make_rows(), read[WIDTH];
    coded c;
    memset(rows, 0, WIDTH * sizeof *rows); /* nothing at all is kept too */
    rows[WIDTH] = 1e-30f;                  /* and what is tiny */
    for (int storage = FB_STORED_BF16; storage <= FB_STORED_INT8; storage++) {
        fb_stored v = encode(&c, (fb_storage)storage, rows);
        assert_null(fb_scales_problem(c.scales, ROWS));
        for (int64_t n = 0; n < ROWS; n++) {
            fb_stored_decode(&v, n, 1, read);
            for (int64_t i = 0; i < WIDTH; i++) {
                double step = storage == FB_STORED_INT8
                                  ? (double)c.scales[n] / 254
                                  : fabs((double)rows[n * WIDTH + i]) / 128;
                double error = fabs((double)read[i] - (double)rows[n * WIDTH + i]);
                assert_true(error <= 0.5001 * step + 2e-5 * (double)c.scales[n]);
            }
        }
        forget(&c);
    }
    free(rows);
}

/* The best by all that is stored, however the codes alone would have them. */
static void check_coded(const fb_backend *be, const fb_stored *v, const float *query,
                        const uint8_t *allowed, int64_t k)
{
    fb_scored *all = malloc(ROWS * sizeof *all), heap[ROWS];
    fb_row_query q;
    int64_t pass = 0;
    assert_non_null(all);
    fb_row_query_set(&q, be, v, query);
    for (int64_t i = 0; i < ROWS; i++)
        if (fb_row_passes(allowed, i))
            all[pass++] = (fb_scored){7 + i, fb_row_query_score(&q, i)};
    qsort(all, (size_t)pass, sizeof *all, by_rank);
    fb_top_k top = fb_top_k_begin(heap, k);
    assert_int_equal(fb_exact_search(NULL, be, v, query, allowed, 7, &top), FB_OK);
    fb_top_k_sort(&top);
    assert_int_equal(top.count, pass < k ? pass : k);
    for (int64_t i = 0; i < top.count; i++) {
        assert_int_equal(heap[i].row, all[i].row);
        assert_true(heap[i].score == all[i].score);
    }
    free(all);
}

static void check_coded_filters(const fb_backend *be, const fb_stored *v,
                                const float *query)
{
    static const uint32_t shares[] = {0, 1, 30, 500, 999}; /* of a thousand */
    static const int64_t ks[] = {0, 1, 10, 200, ROWS};
    for (size_t i = 0; i < sizeof ks / sizeof ks[0]; i++)
        check_coded(be, v, query, NULL, ks[i]);
    for (size_t s = 0; s < sizeof shares / sizeof shares[0]; s++) {
        uint8_t allowed[(ROWS + 7) / 8] = {0};
        fb_random r = fb_random_start(3, FB_STREAM_TEST, s);
        for (int64_t i = 0; i < ROWS; i++)
            if (fb_random_below(&r, 1000) < shares[s])
                allowed[i >> 3] |= (uint8_t)(1 << (i & 7));
        check_coded(be, v, query, allowed, 20);
    }
}

/* Rows that lie so close that codes alone cannot tell them apart come out right too:
 * more of them than there is room for at first. */
static void draw_together(float *rows)
{
    fb_random r = fb_random_start(9, FB_STREAM_TEST, 9);
    for (int64_t n = 200; n < ROWS; n++)
        for (int64_t i = 0; i < WIDTH; i++)
            rows[n * WIDTH + i] =
                rows[i] + (float)(1e-4 * fb_random_normal(&r)) + (i == 0 ? 0.1f : 0);
}

static void codes_find_what_all_that_is_stored_finds(void **state)
{
    (void)state;
    float *rows = make_rows(), *close = make_rows();
    draw_together(close);
    for (int32_t threads = 1; threads <= 3; threads++) {
        fb_context *ctx = fb_context_create();
        fb_backend *be = NULL;
        assert_int_equal(fb_backend_create(ctx, &be, "cpu", "f32", threads), FB_OK);
        for (int storage = FB_STORED_BF16; storage <= FB_STORED_INT8; storage++) {
            coded c;
            fb_stored v = encode(&c, (fb_storage)storage, rows);
            check_coded_filters(be, &v, rows + 7 * WIDTH);
            forget(&c);
            v = encode(&c, (fb_storage)storage, close);
            check_coded_filters(be, &v, close);
            forget(&c);
        }
        fb_backend_free(be);
        fb_context_free(ctx);
    }
    free(rows);
    free(close);
}

static void many_queries_at_once_find_what_each_finds_alone(void **state)
{
    (void)state;
    enum { QUERIES = 9 };
    float *rows = make_rows();
    fb_context *ctx = fb_context_create();
    fb_backend *be = NULL;
    fb_scored found[QUERIES * K], heap[K];
    assert_int_equal(fb_backend_create(ctx, &be, "cpu", "f32", 2), FB_OK);
    const fb_stored vectors = stored_f32(rows, ROWS), three = stored_f32(rows, 3);
    const fb_vectors queries = {rows, QUERIES, WIDTH}, one = {rows, 1, WIDTH};
    assert_int_equal(fb_exact_search_many(ctx, be, &vectors, &queries, K, found),
                     FB_OK);
    for (int64_t q = 0; q < QUERIES; q++) {
        fb_top_k top = fb_top_k_begin(heap, K);
        assert_int_equal(
            fb_exact_search(ctx, be, &vectors, rows + q * WIDTH, NULL, 0, &top), FB_OK);
        fb_top_k_sort(&top);
        for (int64_t i = 0; i < K; i++)
            assert_int_equal(found[q * K + i].row, heap[i].row);
    }
    assert_int_equal(fb_exact_search_many(ctx, be, &three, &one, 5, found), FB_OK);
    assert_int_equal(found[3].row, -1); /* behind the last */
    fb_backend_free(be);
    fb_context_free(ctx);
    free(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_of_many_are_those_of_a_sort),
        cmocka_unit_test(a_score_that_is_no_number_never_enters),
        cmocka_unit_test(exact_search_equals_a_sort_under_any_filter),
        cmocka_unit_test(rows_read_back_within_half_a_step),
        cmocka_unit_test(codes_find_what_all_that_is_stored_finds),
        cmocka_unit_test(many_queries_at_once_find_what_each_finds_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
