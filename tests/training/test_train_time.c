/* test_train_time.c - how minutes are shared among the stages of a recipe, by numbers
 * (tests/cli/cli_minutes.sh trains by it). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "training/train_time.h"

#include <math.h>

static fb_train_time stage(int64_t steps, double step_s, double fixed_s)
{
    return (fb_train_time){.cost = {.steps = steps, .every = 10, .step_s = step_s},
                           .open_s = fixed_s / 2,
                           .end_s = fixed_s / 2};
}

static void near(double got, double wanted)
{
    if (!(fabs(got - wanted) < 1e-9))
        fail_msg("%.17g, not %.17g", got, wanted);
}

static void a_stage_by_hand(void **state)
{
    (void)state;
    fb_train_time t = stage(100, 2, 6);
    t.cost.validation_s = 5;
    near(fb_train_time_seconds(&t, 100), 6 + 5 + 100 * 2.5);
    near(fb_train_time_share(&t, 1, 1000), 1);
    /* 97 of 100, less 11, of 250 */
    near(fb_train_time_share(&t, 1, 100), 86.0 / 250);
    near(fb_train_time_share(&t, 1, 11), 0);
    near(fb_train_time_share(&t, 1, -3), 0);
}

/* Every stage gets the same share of its own steps, whatever these cost. */
static void stages_keep_the_recipes_proportions(void **state)
{
    (void)state;
    const fb_train_time t[] = {stage(1000, 0.1, 4), stage(500, 0.2, 4),
                               stage(2000, 0.4, 12)};
    double share = fb_train_time_share(t, 3, 520 / 0.97), sum = 0;
    near(share, 0.5);
    for (int i = 0; i < 3; i++)
        sum += fb_train_time_seconds(&t[i], (int64_t)(share * (double)t[i].cost.steps));
    near(sum, 520);
    near(fb_train_time_all(t, 3, 520 / 0.97), 520);
    near(fb_train_time_all(t, 3, 0), 1020);
}

static void the_first_is_opened_with_its_part(void **state)
{
    (void)state;
    const fb_train_time t[] = {stage(1000, 0.1, 4), stage(500, 0.2, 4),
                               stage(2000, 0.4, 12)};
    fb_train_opening o = {0};
    fb_train_time_open(t, 3, 30 + 520 / 0.97, 30, &o);
    assert_int_equal(o.steps, 500);
    near(o.deadline_s, 30 + (4 + 50) / 0.97);
    near(o.later_s, 520 - 54);
    near(o.step_s, 0.1);
    near(o.end_s, 2);
}

/* What one stage took too much, those behind it lack. */
static void later_stages_share_what_is_left(void **state)
{
    (void)state;
    const fb_train_time t[] = {stage(500, 0.2, 4), stage(2000, 0.4, 12)};
    fb_train_opening o = {0};
    fb_train_time_open(t, 2, 1000, 1000 - 241 / 0.97, &o);
    assert_int_equal(o.steps, 125); /* a quarter */
    fb_train_opening last = {0};
    fb_train_time_open(t + 1, 1, 1000, 1000 - 212 / 0.97, &last);
    assert_int_equal(last.steps, 500);
    near(last.deadline_s, 1000);
    near(last.later_s, 0);
}

static void too_late_is_one_step_and_no_minutes_are_none(void **state)
{
    (void)state;
    const fb_train_time t = stage(500, 0.2, 4);
    fb_train_opening o = {0};
    fb_train_time_open(&t, 1, 100, 99, &o);
    assert_int_equal(o.steps, 1);
    fb_train_opening free = {0};
    fb_train_time_open(&t, 1, 0, 99, &free);
    assert_int_equal(free.steps, 0);
    near(free.deadline_s, 0);
    near(free.step_s, 0.2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stage_by_hand),
        cmocka_unit_test(stages_keep_the_recipes_proportions),
        cmocka_unit_test(the_first_is_opened_with_its_part),
        cmocka_unit_test(later_stages_share_what_is_left),
        cmocka_unit_test(too_late_is_one_step_and_no_minutes_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
