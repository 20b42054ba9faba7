/* test_metrics.c - ranks, their means, AUC and accuracy against cases done by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "retrieval/ranking/ranking_metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-12))
        fail_msg("got %.17g, want %.17g", got, want);
}

static void rank_counts_the_negatives_at_least_as_good(void **state)
{
    (void)state;
    const float others[] = {0.1f, 0.9f, 0.5f, 0.8f};
    fb_rank rank;
    assert_int_equal(fb_rank_positive(NULL, &rank, 0.6f, others, 4), FB_OK);
    assert_int_equal(rank.rank, 3);
    assert_int_equal(rank.pool, 5);
}

static void a_tie_counts_against_the_positive(void **state)
{
    (void)state;
    const float others[] = {0.5f, 0.5f, 0.4f};
    fb_rank rank;
    assert_int_equal(fb_rank_positive(NULL, &rank, 0.5f, others, 3), FB_OK);
    assert_int_equal(rank.rank, 3);
}

static void a_positive_alone_is_first(void **state)
{
    (void)state;
    fb_rank rank;
    assert_int_equal(fb_rank_positive(NULL, &rank, -3, NULL, 0), FB_OK);
    assert_int_equal(rank.rank, 1);
    assert_int_equal(rank.pool, 1);
}

static void a_score_that_is_not_finite_is_an_error(void **state)
{
    (void)state;
    const float bad[] = {0.1f, NAN}, worse[] = {INFINITY};
    const uint8_t hit_first[] = {FB_MARK_HIT, FB_MARK_NEGATIVE};
    const uint8_t labels[] = {1, 0};
    fb_rank rank = {.rank = -7, .pool = -7};
    double number = -7;
    fb_context ctx = {0};
    assert_int_equal(fb_rank_positive(&ctx, &rank, 0, bad, 2), FB_E_NUMBER);
    assert_non_null(strstr(ctx.message, "score 1"));
    assert_int_equal(fb_rank_positive(&ctx, &rank, NAN, bad, 1), FB_E_NUMBER);
    assert_int_equal(fb_rank_positive(&ctx, &rank, 0, worse, 1), FB_E_NUMBER);
    assert_int_equal(fb_rank_marked(&ctx, &rank, bad, hit_first, 2), FB_E_NUMBER);
    assert_int_equal(fb_auc(&ctx, &number, bad, labels, 2), FB_E_NUMBER);
    assert_int_equal(fb_accuracy(&ctx, &number, bad, labels, 2, 0.5f), FB_E_NUMBER);
    assert_int_equal(rank.rank, -7);
    assert_true(number == -7);
}

static void the_best_hit_is_ranked_among_negatives_only(void **state)
{
    (void)state;
    const float scores[] = {0.9f, 0.8f, NAN, 0.7f, 0.6f, 0.8f, 0.2f};
    const uint8_t marks[] = {FB_MARK_NEGATIVE, FB_MARK_HIT, FB_MARK_EXCLUDED,
                             FB_MARK_NEGATIVE, FB_MARK_HIT, FB_MARK_NEGATIVE,
                             FB_MARK_NEGATIVE};
    fb_rank rank;
    assert_int_equal(fb_rank_marked(NULL, &rank, scores, marks, 7), FB_OK);
    assert_int_equal(rank.rank, 3); /* behind 0.9 and the tie at 0.8 */
    assert_int_equal(rank.pool, 5);
}

static void no_hit_at_all_is_an_error(void **state)
{
    (void)state;
    const float scores[] = {0.9f};
    const uint8_t marks[] = {FB_MARK_NEGATIVE};
    fb_rank rank;
    assert_int_equal(fb_rank_marked(NULL, &rank, scores, marks, 1), FB_E_MISSING);
}

static void rates_of_four_ranks_match_hand_computation(void **state)
{
    (void)state;
    const fb_rank ranks[] = {{1, 10, {.1, .5, 1}},
                             {4, 20, {.1, .5, 1}},
                             {10, 40, {0, 0, 0}},
                             {50, 100, {.2, .2, .2}}};
    fb_ranking r;
    assert_int_equal(fb_ranking_from_ranks(NULL, &r, ranks, 4), FB_OK);
    assert_int_equal(r.queries, 4);
    near(r.r1, 0.25);
    near(r.r5, 0.5);
    near(r.r10, 0.75);
    near(r.r_all, 1);
    near(r.mrr, (1 + 0.25 + 0.1 + 0.02) / 4);
    near(r.median_rank, 7); /* mean of 4 and 10 */
    near(r.candidates_mean, 42.5);
    near(r.chance_r1, 0.1);
    near(r.chance_r5, 0.3);
    near(r.chance_r10, 0.55);
}

static void the_median_of_an_odd_count_is_the_middle(void **state)
{
    (void)state;
    const fb_rank ranks[] = {{.rank = 9}, {.rank = 2}, {.rank = 3}};
    fb_ranking r;
    assert_int_equal(fb_ranking_from_ranks(NULL, &r, ranks, 3), FB_OK);
    near(r.median_rank, 3);
}

static void r_all_falls_below_one_when_a_rank_leaves_its_pool(void **state)
{
    (void)state;
    const fb_rank ranks[] = {{.rank = 1, .pool = 2}, {.rank = 3, .pool = 2}};
    fb_ranking r;
    assert_int_equal(fb_ranking_from_ranks(NULL, &r, ranks, 2), FB_OK);
    near(r.r_all, 0.5);
}

static void no_queries_give_zeros(void **state)
{
    (void)state;
    fb_ranking r, mean;
    assert_int_equal(fb_ranking_from_ranks(NULL, &r, NULL, 0), FB_OK);
    assert_int_equal(r.queries, 0);
    near(r.r1 + r.r_all + r.mrr + r.median_rank + r.chance_r1, 0);
    fb_ranking_mean(&mean, &r, 1);
    near(mean.r1 + mean.mrr + mean.median_rank, 0);
    fb_ranking_mean(&mean, NULL, 0);
    assert_int_equal(mean.queries, 0);
}

static void draws_weigh_as_much_as_they_have_queries(void **state)
{
    (void)state;
    fb_ranking draws[2] = {{.queries = 30, .left_out = 2, .r1 = 0.2, .median_rank = 4},
                           {.queries = 10, .left_out = 2, .r1 = 0.6, .median_rank = 8}};
    fb_ranking mean;
    fb_ranking_mean(&mean, draws, 2);
    assert_int_equal(mean.queries, 20);
    assert_int_equal(mean.left_out, 2);
    near(mean.r1, 0.3);
    near(mean.median_rank, 5);
}

static void auc_counts_ties_half(void **state)
{
    (void)state;
    /* pairs won: .9 beats .5 .1; .5 ties .5, beats .1: (2 + 1.5) / 4 */
    const float scores[] = {0.9f, 0.5f, 0.5f, 0.1f};
    const uint8_t labels[] = {1, 1, 0, 0};
    double auc;
    assert_int_equal(fb_auc(NULL, &auc, scores, labels, 4), FB_OK);
    near(auc, 0.875);
}

static void auc_of_right_wrong_and_constant_scorers(void **state)
{
    (void)state;
    const float up[] = {0, 1, 2, 3}, same[] = {1, 1, 1, 1};
    const uint8_t right[] = {0, 0, 1, 1}, wrong[] = {1, 1, 0, 0};
    double auc;
    assert_int_equal(fb_auc(NULL, &auc, up, right, 4), FB_OK);
    near(auc, 1);
    assert_int_equal(fb_auc(NULL, &auc, up, wrong, 4), FB_OK);
    near(auc, 0);
    assert_int_equal(fb_auc(NULL, &auc, same, right, 4), FB_OK);
    near(auc, 0.5);
}

static void auc_equals_counting_all_pairs(void **state)
{
    (void)state;
    enum { N = 300 };
    float scores[N];
    uint8_t labels[N];
    fb_random random = fb_random_start(11, FB_STREAM_TEST, 0);
    for (int i = 0; i < N; i++) {
        scores[i] = (float)fb_random_below(&random, 40); /* many ties */
        labels[i] = fb_random_below(&random, 3) == 0;
    }
    double won = 0, pairs = 0, auc;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            if (labels[i] && !labels[j]) {
                pairs++;
                won += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0;
            }
    assert_int_equal(fb_auc(NULL, &auc, scores, labels, N), FB_OK);
    near(auc, won / pairs);
}

static void auc_of_one_label_is_an_error(void **state)
{
    (void)state;
    const float scores[] = {1, 2};
    const uint8_t labels[] = {1, 1};
    double auc;
    assert_int_equal(fb_auc(NULL, &auc, scores, labels, 2), FB_E_MISSING);
    assert_int_equal(fb_auc(NULL, &auc, scores, labels, 0), FB_E_MISSING);
}

static void accuracy_takes_the_threshold_itself_as_a_match(void **state)
{
    (void)state;
    const float scores[] = {0.5f, 0.49f, 0.9f, 0.5f};
    const uint8_t labels[] = {1, 0, 0, 0};
    double accuracy;
    assert_int_equal(fb_accuracy(NULL, &accuracy, scores, labels, 4, 0.5f), FB_OK);
    near(accuracy, 0.5);
    assert_int_equal(fb_accuracy(NULL, &accuracy, scores, labels, 0, 0.5f),
                     FB_E_MISSING);
}

enum { QUERIES = 4000, NEGATIVES = 100 };

/* R@K of a scorer: positive's score + what the noise says, against NEGATIVES others. */
static fb_ranking rank_scorer(float positive, float noise)
{
    static const uint64_t SEED = 5;
    fb_rank *ranks = malloc(QUERIES * sizeof *ranks);
    assert_non_null(ranks);
    fb_random random = fb_random_start(SEED, FB_STREAM_TEST, 1);
    for (int q = 0; q < QUERIES; q++) {
        float others[NEGATIVES];
        for (int i = 0; i < NEGATIVES; i++)
            others[i] = noise * (float)fb_random_uniform(&random);
        float own = positive + noise * (float)fb_random_uniform(&random);
        assert_int_equal(fb_rank_positive(NULL, &ranks[q], own, others, NEGATIVES),
                         FB_OK);
    }
    fb_ranking r;
    assert_int_equal(fb_ranking_from_ranks(NULL, &r, ranks, QUERIES), FB_OK);
    free(ranks);
    near(r.r_all, 1);
    near(r.chance_r1, 1.0 / 101);
    return r;
}

static void a_perfect_scorer_is_always_first(void **state)
{
    (void)state;
    fb_ranking r = rank_scorer(1, 0);
    near(r.r1, 1);
    near(r.mrr, 1);
    near(r.median_rank, 1);
}

static void a_constant_scorer_is_always_last(void **state)
{
    (void)state;
    fb_ranking r = rank_scorer(0, 0);
    near(r.r1, 0);
    near(r.r10, 0);
    near(r.median_rank, 101);
}

static void a_random_scorer_is_near_chance(void **state)
{
    (void)state;
    fb_ranking r = rank_scorer(0, 1);
    /* four standard deviations of a binomial share */
    assert_true(fabs(r.r1 - 1 / 101.0) <= 4 * sqrt(0.0099 * 0.9901 / QUERIES));
    assert_true(fabs(r.r10 - 10 / 101.0) <= 4 * sqrt(0.099 * 0.901 / QUERIES));
    assert_true(fabs(r.median_rank - 51) <= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rank_counts_the_negatives_at_least_as_good),
        cmocka_unit_test(a_tie_counts_against_the_positive),
        cmocka_unit_test(a_positive_alone_is_first),
        cmocka_unit_test(a_score_that_is_not_finite_is_an_error),
        cmocka_unit_test(the_best_hit_is_ranked_among_negatives_only),
        cmocka_unit_test(no_hit_at_all_is_an_error),
        cmocka_unit_test(rates_of_four_ranks_match_hand_computation),
        cmocka_unit_test(the_median_of_an_odd_count_is_the_middle),
        cmocka_unit_test(r_all_falls_below_one_when_a_rank_leaves_its_pool),
        cmocka_unit_test(no_queries_give_zeros),
        cmocka_unit_test(draws_weigh_as_much_as_they_have_queries),
        cmocka_unit_test(auc_counts_ties_half),
        cmocka_unit_test(auc_of_right_wrong_and_constant_scorers),
        cmocka_unit_test(auc_equals_counting_all_pairs),
        cmocka_unit_test(auc_of_one_label_is_an_error),
        cmocka_unit_test(accuracy_takes_the_threshold_itself_as_a_match),
        cmocka_unit_test(a_perfect_scorer_is_always_first),
        cmocka_unit_test(a_constant_scorer_is_always_last),
        cmocka_unit_test(a_random_scorer_is_near_chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
