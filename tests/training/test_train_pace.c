/* test_train_pace.c - when a run shortens its schedule, by a clock that the test turns;
 * and where a shortened schedule is at each step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "nn/optimizer.h"
#include "training/train_pace.h"
#include "training/train_schedule.h"

#include <math.h>
#include <stdio.h>

/* ---- the schedule ------------------------------------------------------------------ */

static void a_schedule_that_stays_is_its_steps(void **state)
{
    (void)state;
    fb_train_schedule s;
    assert_int_equal(fb_train_schedule_read(NULL, &s, 70, ""), FB_OK);
    assert_int_equal(fb_train_schedule_total(&s), 70);
    for (int64_t i = 0; i <= 70; i++)
        assert_true(fb_train_schedule_place(&s, i) == (double)i);
}

static void shortened_twice_by_hand(void **state)
{
    (void)state;
    fb_train_schedule s;
    char text[FB_TRAIN_TURNS_BYTES];
    assert_int_equal(fb_train_schedule_read(NULL, &s, 100, "20:60,40:50"), FB_OK);
    assert_int_equal(fb_train_schedule_total(&s), 50);
    assert_true(fb_train_schedule_place(&s, 20) == 20);
    assert_true(fabs(fb_train_schedule_place(&s, 30) - 40) <
                1e-9); /* 80 places in 40 */
    assert_true(fabs(fb_train_schedule_place(&s, 40) - 60) < 1e-9);
    assert_true(fabs(fb_train_schedule_place(&s, 45) - 80) < 1e-9); /* 40 in 10 */
    assert_true(fabs(fb_train_schedule_place(&s, 50) - 100) < 1e-9);
    fb_train_schedule_write(&s, text);
    assert_string_equal(text, "20:60,40:50");
}

/* The learning rate never jumps: from step to step it moves by what the steepest part of
 * the schedule moves, and it ends where an unshortened one ends. */
static void the_learning_rate_comes_down_without_a_cut(void **state)
{
    (void)state;
    fb_train_schedule s;
    assert_int_equal(fb_train_schedule_read(NULL, &s, 400, "100:250,180:220"), FB_OK);
    double before = fb_schedule_lr(1, 0.05, 0, 400), steepest = 4.0 * 400 / 380 / 220;
    for (int64_t i = 21; i < 220; i++) {
        double lr = fb_schedule_lr(1, 0.05, fb_train_schedule_place(&s, i), 400);
        if (i > 21) {
            assert_true(lr < before);
            assert_true(before - lr < steepest);
        }
        before = lr;
    }
    assert_true(before < steepest);
    assert_true(fabs(fb_train_schedule_place(&s, 220) - 400) < 1e-9);
}

static void what_is_no_list_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"x",
                                        "5",
                                        "5:",
                                        "5:4,",
                                        "5:100",
                                        "5:101",
                                        "50:50",
                                        "60:50",
                                        "20:60,30:60",
                                        "20:60,20:50",
                                        "-1:50",
                                        "20:60 30:40",
                                        "20:60,,30:40",
                                        "99999999999999999999:5"};
    fb_train_schedule s = {.planned = 3};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (fb_train_schedule_read(NULL, &s, 100, wrong[i]) != FB_E_USAGE)
            fail_msg("\"%s\" was taken", wrong[i]);
        assert_int_equal(s.planned, 3);
    }
}

static void turns_have_an_end(void **state)
{
    (void)state;
    fb_train_schedule s = {.planned = 1000};
    char text[FB_TRAIN_TURNS_BYTES];
    for (int64_t i = 0; i < FB_TRAIN_TURNS; i++)
        assert_true(fb_train_schedule_shorten(&s, 2 * i + 1, 999 - i));
    assert_false(fb_train_schedule_shorten(&s, 500, 600));
    fb_train_schedule_write(&s, text);
    fb_train_schedule again;
    assert_int_equal(fb_train_schedule_read(NULL, &again, 1000, text), FB_OK);
    assert_memory_equal(&s, &again, sizeof s);
}

/* ---- the pace ---------------------------------------------------------------------- */

/* A run whose step i takes cost(i) seconds: returns when it ended, and its steps and
 * decisions. */
typedef struct outcome {
    double end_s;
    int64_t steps;
    int32_t turns;
} outcome;

static outcome drive(double deadline_s, int64_t planned, int64_t every, double beside_s,
                     double (*cost)(int64_t step))
{
    fb_train_pace pace;
    fb_train_schedule schedule = {.planned = planned};
    double now_s = 0;
    int64_t step = 0, total = planned;
    fb_train_pace_begin(&pace, deadline_s, planned, every);
    while (step < total) {
        double beside = (step + 1) % every == 0 ? beside_s : 0;
        now_s += cost(step) + beside;
        step++;
        fb_train_pace_add(&pace, cost(step - 1), beside);
        int64_t fewer = fb_train_pace_total(&pace, step, total, now_s);
        assert_true(fewer <= total);
        if (fewer < total)
            assert_true(fb_train_schedule_shorten(&schedule, step, fewer));
        total = fewer;
    }
    return (outcome){now_s, step, schedule.count};
}

static double one_second(int64_t step)
{
    (void)step;
    return 1;
}

static double slower_by_half(int64_t step)
{
    (void)step;
    return 1.5;
}

static double slow_behind_the_middle(int64_t step)
{
    return step < 500 ? 1 : 2;
}

static double uneven(int64_t step)
{
    return step % 7 == 0 ? 1.9 : 0.85; /* the mean is 1 */
}

static void on_time_nothing_changes(void **state)
{
    (void)state;
    outcome o = drive(1040, 1000, 100, 2, one_second);
    assert_int_equal(o.steps, 1000);
    assert_int_equal(o.turns, 0);
    o = drive(1040, 1000, 100, 2, uneven);
    assert_int_equal(o.steps, 1000);
    o = drive(0, 1000, 100, 2, slower_by_half); /* nobody waits */
    assert_int_equal(o.steps, 1000);
}

static void a_slow_run_ends_in_time_with_fewer_steps(void **state)
{
    (void)state;
    outcome o = drive(1040, 1000, 100, 2, slower_by_half);
    assert_true(o.turns >= 1 && o.turns <= 3);
    assert_true(o.end_s <= 1040);
    assert_true(o.end_s > 0.95 * 1040);
    assert_true(o.steps > 650 && o.steps < 690);
}

static void a_run_that_slows_down_under_way_does_too(void **state)
{
    (void)state;
    outcome o = drive(1040, 1000, 100, 2, slow_behind_the_middle);
    assert_true(o.turns >= 1 && o.turns <= 8);
    assert_true(o.end_s <= 1040 * 1.01);
    assert_true(o.end_s > 0.95 * 1040);
    assert_true(o.steps > 740 && o.steps < 770);
}

static double stopped_at_ten(int64_t step)
{
    return step == 10 ? 5000 : 1;
}

/* Too late for anything: over a 50th of the plan the rate comes down, no cut. */
static void a_late_run_still_comes_down(void **state)
{
    (void)state;
    outcome o = drive(1040, 1000, 100, 2, stopped_at_ten);
    assert_int_equal(o.turns, 1);
    assert_int_equal(o.steps, 20 + 20);
}

static void what_follows_the_last_step_is_kept_free(void **state)
{
    (void)state;
    fb_train_pace pace;
    fb_train_pace_begin(&pace, 100, 50, 10);
    pace.end_s = 30;
    fb_train_pace_add(&pace, 2, 0);
    /* 100 - 2 - 30 = 68 for 49 steps of 2: 98 % of it are 33 */
    assert_int_equal(fb_train_pace_total(&pace, 1, 50, 2), 1 + 33);
    assert_true(fabs(fb_train_pace_left(&pace, 1, 34) - (33 * 2 + 30)) < 1e-9);
}

static void time_left_counts_validations(void **state)
{
    (void)state;
    fb_train_pace pace;
    fb_train_pace_begin(&pace, 0, 100, 10);
    assert_true(fb_train_pace_left(&pace, 0, 100) < 0);
    fb_train_pace_add(&pace, 1, 0);
    fb_train_pace_add(&pace, 1, 5);
    assert_true(fabs(fb_train_pace_left(&pace, 2, 100) - 98 * 1.5) < 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_schedule_that_stays_is_its_steps),
        cmocka_unit_test(shortened_twice_by_hand),
        cmocka_unit_test(the_learning_rate_comes_down_without_a_cut),
        cmocka_unit_test(what_is_no_list_is_refused),
        cmocka_unit_test(turns_have_an_end),
        cmocka_unit_test(on_time_nothing_changes),
        cmocka_unit_test(a_slow_run_ends_in_time_with_fewer_steps),
        cmocka_unit_test(a_run_that_slows_down_under_way_does_too),
        cmocka_unit_test(a_late_run_still_comes_down),
        cmocka_unit_test(what_follows_the_last_step_is_kept_free),
        cmocka_unit_test(time_left_counts_validations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
