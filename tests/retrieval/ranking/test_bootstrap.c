/* test_bootstrap.c - means, spreads and paired bootstrap intervals whose values are known,
 * exactly or by the normal approximation. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "retrieval/ranking/bootstrap.h"

enum { ITEMS = 400, RESAMPLES = 2000 };

static bool near(double got, double wanted, double most)
{
    return fabs(got - wanted) <= most; /* false of NaN */
}

static void mean_and_spread_are_those_of_a_sample(void **state)
{
    (void)state;
    const double values[] = {0.5, 0.25, NAN, 1.0};
    fb_mean_sd s = fb_mean_sd_of(values, 4); /* numpy: mean, std(ddof=1) */
    assert_true(near(s.mean, 0.5833333333333334, 1e-15));
    assert_true(near(s.sd, 0.38188130791298663, 1e-15));
    s = fb_mean_sd_of(values, 1);
    assert_true(near(s.mean, 0.5, 0));
    assert_true(isnan(s.sd)); /* one says nothing about spread */
    s = fb_mean_sd_of(values + 2, 1);
    assert_true(isnan(s.mean) && isnan(s.sd));
}

/* Both ways of every item: rank `i2t` and `t2i` of 101. */
static void add_ranks(fb_unit *units, int32_t item, int64_t i2t, int64_t t2i)
{
    const fb_ranked_query ranks[2] = {{0, item, false, i2t, 101},
                                      {0, item, true, t2i, 101}};
    assert_int_equal(fb_units_add(NULL, units, ITEMS, ranks, 2), FB_OK);
}

static void sum_r_counts_the_three_cuts_both_ways(void **state)
{
    (void)state;
    fb_unit units[ITEMS] = {0};
    add_ranks(units, 0, 1, 5);   /* 3 cuts, 2 */
    add_ranks(units, 1, 6, 10);  /* 1, 1 */
    add_ranks(units, 2, 11, 2);  /* 0, 2 */
    add_ranks(units, 2, 101, 1); /* 0, 3: another draw of the same item */
    assert_true(near(fb_units_sum_r(units, ITEMS), 4 / 4.0 + 8 / 4.0, 1e-15));
    assert_true(isnan(fb_units_sum_r(units + 3, 1)));
}

static void who_finds_nothing_has_no_recall(void **state)
{
    (void)state;
    fb_unit constant[ITEMS] = {0}, other[ITEMS] = {0};
    for (int32_t i = 0; i < ITEMS; i++) {
        add_ranks(constant, i, 101, 101); /* ties count against: the last of all */
        add_ranks(other, i, 1, 101);
    }
    fb_interval v;
    assert_true(near(fb_units_sum_r(constant, ITEMS), 0, 0));
    assert_int_equal(fb_bootstrap_sum_r(NULL, &v, other, constant, ITEMS, RESAMPLES, 1),
                     FB_OK);
    assert_true(near(v.difference, -3, 1e-12));
    assert_true(near(v.low, -3, 1e-12) && near(v.high, -3, 1e-12));
}

static void the_same_system_differs_by_nothing(void **state)
{
    (void)state;
    fb_unit units[ITEMS] = {0}, twice[ITEMS] = {0};
    fb_random r = fb_random_start(7, FB_STREAM_TEST, 0);
    for (int32_t i = 0; i < ITEMS; i++) {
        int64_t i2t = 1 + fb_random_below(&r, 20), t2i = 1 + fb_random_below(&r, 20);
        add_ranks(units, i, i2t, t2i);
        add_ranks(twice, i, i2t, t2i);
        add_ranks(twice, i, i2t, t2i); /* two seeds that found the same */
    }
    fb_interval v;
    assert_int_equal(fb_bootstrap_sum_r(NULL, &v, units, twice, ITEMS, RESAMPLES, 1),
                     FB_OK);
    assert_true(near(v.difference, 0, 1e-12));
    assert_true(near(v.low, 0, 1e-12) && near(v.high, 0, 1e-12));
}

/* Items found first or last, so that each way's cuts are one coin: the interval is that
 * of the normal approximation, 1.96 standard errors of paired differences. */
static void intervals_are_those_of_paired_differences(void **state)
{
    (void)state;
    fb_unit a[ITEMS] = {0}, b[ITEMS] = {0};
    double sum = 0, squares = 0;
    fb_random r = fb_random_start(11, FB_STREAM_TEST, 0);
    for (int32_t i = 0; i < ITEMS; i++) {
        bool of_a = fb_random_uniform(&r) < 0.5;
        bool of_b = fb_random_uniform(&r) < (of_a ? 0.9 : 0.3); /* they agree often */
        double d = 3.0 * (of_b - of_a);
        add_ranks(a, i, of_a ? 1 : 101, 101);
        add_ranks(b, i, of_b ? 1 : 101, 101);
        sum += d;
        squares += d * d;
    }
    double mean = sum / ITEMS;
    double error = sqrt((squares / ITEMS - mean * mean) / ITEMS);
    fb_interval v, again, other;
    assert_int_equal(fb_bootstrap_sum_r(NULL, &v, a, b, ITEMS, RESAMPLES, 1), FB_OK);
    assert_true(near(v.difference, mean, 1e-12));
    assert_true(near(v.low, mean - 1.96 * error, 0.25 * error));
    assert_true(near(v.high, mean + 1.96 * error, 0.25 * error));
    assert_int_equal(fb_bootstrap_sum_r(NULL, &again, a, b, ITEMS, RESAMPLES, 1),
                     FB_OK);
    assert_memory_equal(&v, &again, sizeof v);
    assert_int_equal(fb_bootstrap_sum_r(NULL, &other, a, b, ITEMS, RESAMPLES, 2),
                     FB_OK);
    assert_true(memcmp(&v, &other, sizeof v) != 0);
}

static void what_is_not_of_the_split_is_refused(void **state)
{
    (void)state;
    fb_unit units[2] = {0};
    const fb_ranked_query beyond = {0, 2, false, 1, 10}, before = {0, -1, true, 1, 10};
    fb_interval v;
    assert_int_equal(fb_units_add(NULL, units, 2, &beyond, 1), FB_E_FORMAT);
    assert_int_equal(fb_units_add(NULL, units, 2, &before, 1), FB_E_FORMAT);
    assert_int_equal(fb_bootstrap_sum_r(NULL, &v, units, units, 0, 1000, 1), FB_OK);
    assert_true(isnan(v.difference) && isnan(v.low) && isnan(v.high));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mean_and_spread_are_those_of_a_sample),
        cmocka_unit_test(sum_r_counts_the_three_cuts_both_ways),
        cmocka_unit_test(who_finds_nothing_has_no_recall),
        cmocka_unit_test(the_same_system_differs_by_nothing),
        cmocka_unit_test(intervals_are_those_of_paired_differences),
        cmocka_unit_test(what_is_not_of_the_split_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
