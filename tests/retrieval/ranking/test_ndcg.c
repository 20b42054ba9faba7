/* test_ndcg.c - NDCG against its definition by hand, chance against the mean over all
 * orders, ties against the hits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "retrieval/ranking/ndcg.h"
#include "retrieval/ranking/ranking_metrics.h"

#define H FB_MARK_HIT
#define N FB_MARK_NEGATIVE
#define X FB_MARK_EXCLUDED

static fb_ndcg_result of(const float *scores, const uint8_t *marks, int64_t count,
                         int64_t k)
{
    fb_ndcg_result r = {0};
    assert_int_equal(fb_ndcg(NULL, &r, scores, marks, count, k), FB_OK);
    return r;
}

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-12))
        fail_msg("%.15g, not %.15g", got, want);
}

static double gain(int rank)
{
    return 1 / log2(rank + 1.0);
}

static void it_is_what_the_definition_says(void **state)
{
    (void)state;
    const float scores[] = {5, 4, 3, 2, 1, 9};
    const uint8_t marks[] = {N, H, N, H, N, X};
    near(of(scores, marks, 6, 10).ndcg, (gain(2) + gain(4)) / (gain(1) + gain(2)));
    near(of(scores, marks, 6, 3).ndcg, gain(2) / (gain(1) + gain(2)));
    near(of(scores, marks, 6, 1).ndcg, 0);
    const uint8_t first[] = {H, N, N, N, N, N};
    near(of(scores, first, 5, 10).ndcg, 1);
    const uint8_t all[] = {H, H, H, H, H, H};
    near(of(scores, all, 6, 3).ndcg, 1);
    near(of(scores, all, 6, 3).chance, 1);
}

static void a_tie_counts_against_the_hits(void **state)
{
    (void)state;
    const float scores[] = {1, 1, 1, 1};
    const uint8_t marks[] = {H, N, H, N};
    near(of(scores, marks, 4, 10).ndcg, (gain(3) + gain(4)) / (gain(1) + gain(2)));
    near(of(scores, marks, 4, 2).ndcg, 0);
}

/* All 5! orders of two hits and three negatives. */
static void chance_is_the_mean_over_all_orders(void **state)
{
    (void)state;
    const uint8_t marks[] = {H, H, N, N, N};
    for (int64_t k = 1; k <= 6; k++) {
        double sum = 0;
        int orders = 0;
        for (int code = 0; code < 3125; code++) {
            float scores[5];
            bool used[5] = {false}, distinct = true;
            for (int i = 0, rest = code; i < 5; i++, rest /= 5) {
                distinct = distinct && !used[rest % 5];
                used[rest % 5] = true;
                scores[i] = (float)(rest % 5);
            }
            if (!distinct)
                continue;
            sum += of(scores, marks, 5, k).ndcg;
            orders++;
        }
        assert_int_equal(orders, 120);
        near(of((const float[]){1, 2, 3, 4, 5}, marks, 5, k).chance, sum / orders);
    }
}

static void what_cannot_be_ranked_is_refused(void **state)
{
    (void)state;
    fb_ndcg_result r = {7, 7};
    const float scores[] = {1, NAN, 2};
    const uint8_t none[] = {N, X, N}, bad[] = {H, N, N}, out[] = {H, X, N};
    assert_int_equal(fb_ndcg(NULL, &r, scores, none, 3, 10), FB_E_MISSING);
    assert_int_equal(fb_ndcg(NULL, &r, scores, bad, 3, 10), FB_E_NUMBER);
    near(r.ndcg, 7);
    assert_int_equal(fb_ndcg(NULL, &r, scores, out, 3, 10), FB_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_what_the_definition_says),
        cmocka_unit_test(a_tie_counts_against_the_hits),
        cmocka_unit_test(chance_is_the_mean_over_all_orders),
        cmocka_unit_test(what_cannot_be_ranked_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
