/* test_train_budget.c - how many steps fit in a budget (tests/cli/cli_budget.sh trains
 * by it). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "training/train_budget.h"

static void the_formula_by_hand(void **state)
{
    (void)state;
    /* 97 % of 600, less 10 of measuring and the 20 of the last validation, by 1 + 20/100 */
    assert_int_equal(fb_train_budget_steps(600, 10, 1, 20, 100), 460);
    assert_int_equal(fb_train_budget_steps(600, 0, 1, 0, 100), 582);
}

/* With a validation every so many steps and one at the end, never above the budget, and
 * with one more step above what there was to spend. */
static void a_schedule_fits_and_a_longer_one_does_not(void **state)
{
    (void)state;
    static const int64_t every[] = {1, 7, 100, 1000000};
    for (double step_s = 0.01; step_s < 20; step_s *= 3)
        for (size_t i = 0; i < sizeof every / sizeof every[0]; i++) {
            double validation_s = 3, measuring_s = 5, budget_s = 600;
            int64_t n = fb_train_budget_steps(budget_s, measuring_s, step_s,
                                              validation_s, every[i]);
            double each = step_s + validation_s / (double)every[i];
            double cost = measuring_s + validation_s + (double)n * each;
            assert_true(n > 0);
            assert_true(cost <= budget_s);
            assert_true(cost + each > 0.97 * budget_s - 1e-6);
        }
}

static void what_does_not_fit_is_no_step(void **state)
{
    (void)state;
    assert_int_equal(fb_train_budget_steps(10, 10, 1, 0, 1), 0);
    assert_int_equal(fb_train_budget_steps(10, 1, 1, 9, 100), 0);
    assert_int_equal(fb_train_budget_steps(10, 1, 20, 0, 1), 0);
    assert_int_equal(fb_train_budget_steps(10, 1, 0, 0, 1), 0); /* nothing measured */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_formula_by_hand),
        cmocka_unit_test(a_schedule_fits_and_a_longer_one_does_not),
        cmocka_unit_test(what_does_not_fit_is_no_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
