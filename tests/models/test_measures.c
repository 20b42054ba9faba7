/* test_measures.c - the list of named numbers: sums over batches, means by rows and by
 * batch, items that a batch lacks, order. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "models/measures.h"

#define assert_near(a, b) assert_true(fabs((a) - (b)) <= 1e-12)

static const fb_measure *named(const fb_measures *list, const char *name)
{
    const fb_measure *m = fb_measures_find(list, name);
    if (!m)
        fail_msg("no %s", name);
    return m;
}

static void loss_is_a_mean_by_rows_or_by_batch(void **state)
{
    (void)state;
    fb_measures sum = {0}, a = {.total = 3}, b = {.total = 5};
    fb_measures_put_loss(&a, "hinge", 0, 2.0, 0.5, 1);
    fb_measures_put_loss(&b, "hinge", 0, 4.0, 1.0, 3);
    fb_measures_put_loss(&a, "margin", FB_MEASURE_BATCHES, 2.0, 1, 1);
    fb_measures_put_loss(&b, "margin", FB_MEASURE_BATCHES, 4.0, 1, 3);
    fb_measures_add(&sum, &a);
    fb_measures_add(&sum, &b);
    fb_measures_mean(&sum, 2);
    assert_near(sum.total, 4);
    assert_near(named(&sum, "hinge")->value, 3.5);
    assert_near(named(&sum, "hinge")->weight, 0.75);
    assert_int_equal(named(&sum, "hinge")->rows, 4);
    assert_true(named(&sum, "hinge")->flags == FB_MEASURE_LOSS);
    assert_near(named(&sum, "margin")->value, 3);
}

static void share_is_of_all_rows_together(void **state)
{
    (void)state;
    fb_measures sum = {0}, a = {0}, b = {0};
    fb_measures_put_share(&a, "accuracy", 0, 1, 1, 0.5);
    fb_measures_put_share(&b, "accuracy", 0, 2.5, 9, 2.0);
    assert_near(named(&a, "accuracy")->value, 1);
    fb_measures_add(&sum, &a);
    fb_measures_add(&sum, &b);
    fb_measures_mean(&sum, 2);
    assert_near(named(&sum, "accuracy")->value, 0.35);
    assert_near(fb_measure_chance(named(&sum, "accuracy")), 0.25);
}

static void absent_items_keep_their_place_and_dilute_nothing(void **state)
{
    (void)state;
    fb_measures sum = {0}, with = {0}, without = {0};
    fb_measures_put_loss(&with, "words", FB_MEASURE_WEIGHED, 6, 1, 2);
    fb_measures_put_share(&with, "accuracy", 0, 1, 2, 0);
    fb_measures_put_loss(&without, "words", FB_MEASURE_WEIGHED, 0, 0, 0);
    fb_measures_put_share(&without, "accuracy", 0, 0, 0, 0);
    for (int i = 0; i < 3; i++)
        fb_measures_add(&sum, i == 1 ? &with : &without);
    fb_measures_mean(&sum, 3);
    assert_int_equal(sum.count, 2);
    assert_near(named(&sum, "words")->value, 6);
    assert_near(named(&sum, "words")->weight, 1.0 / 3);
    assert_near(named(&sum, "accuracy")->value, 0.5);
    fb_measures none = {0};
    fb_measures_add(&none, &without);
    fb_measures_mean(&none, 1);
    assert_int_equal(named(&none, "words")->rows, 0);
    assert_true(named(&none, "words")->value == 0);
    assert_true(named(&none, "accuracy")->value == 0);
    assert_true(fb_measure_chance(named(&none, "accuracy")) == 0);
    assert_null(fb_measures_find(&none, "patches"));
}

static void item_of_a_later_batch_joins_behind_its_neighbour(void **state)
{
    (void)state;
    const char *const want[] = {"words", "clicks", "accuracy", "auc"};
    fb_measures sum = {0}, a = {0}, b = {0};
    fb_measures_put_loss(&a, "words", 0, 1, 1, 1);
    fb_measures_put_share(&a, "accuracy", 0, 1, 1, 0);
    for (int i = 0; i < 3; i++)
        fb_measures_put_loss(&b, want[i], 0, 3, 1, 1);
    fb_measures_put_figure(&b, "auc", 0.75);
    fb_measures_add(&sum, &a);
    fb_measures_add(&sum, &b);
    assert_int_equal(sum.count, 4);
    for (int i = 0; i < 4; i++)
        assert_string_equal(sum.items[i].name, want[i]);
    fb_measures_mean(&sum, 2);
    assert_near(named(&sum, "words")->value, 2);
    assert_near(named(&sum, "clicks")->value, 3);
    assert_near(named(&sum, "auc")->value, 0.75);
}

static void first_present_item_of_a_flag_is_the_one_that_counts(void **state)
{
    (void)state;
    fb_measures list = {0};
    fb_measures_put_loss(&list, "click", FB_MEASURE_DECIDES, 0, 0, 0);
    fb_measures_put_share(&list, "accuracy", FB_MEASURE_HEADLINE, 1, 4, 0);
    fb_measures_put_loss(&list, "tia", FB_MEASURE_DECIDES, 3, 1, 1);
    fb_measures_put_loss(&list, "itc", FB_MEASURE_DECIDES, 5, 1, 1);
    assert_true(fb_measures_value(&list, FB_MEASURE_DECIDES) == 3);
    assert_true(fb_measures_value(&list, FB_MEASURE_HEADLINE) == 0.25);
    assert_true(fb_measures_value(&list, FB_MEASURE_IS_TOTAL) == 0);
}

static void items_beyond_the_list_are_left_out(void **state)
{
    (void)state;
    static char names[FB_MEASURES_MAX + 5][8];
    fb_measures full = {0}, sum = {0};
    for (int i = 0; i < FB_MEASURES_MAX + 5; i++) {
        snprintf(names[i], sizeof names[i], "m%d", i);
        fb_measures_put_figure(&full, names[i], i);
    }
    assert_int_equal(full.count, FB_MEASURES_MAX);
    fb_measures_put_figure(&sum, "first", 1);
    fb_measures_add(&sum, &full);
    fb_measures_mean(&sum, 1);
    assert_int_equal(sum.count, FB_MEASURES_MAX);
    assert_true(named(&sum, "first")->value == 1);
    for (int i = 0; i < FB_MEASURES_MAX - 1; i++)
        assert_true(named(&sum, names[i])->value == i);
    assert_null(fb_measures_find(&sum, names[FB_MEASURES_MAX - 1]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_is_a_mean_by_rows_or_by_batch),
        cmocka_unit_test(share_is_of_all_rows_together),
        cmocka_unit_test(absent_items_keep_their_place_and_dilute_nothing),
        cmocka_unit_test(item_of_a_later_batch_joins_behind_its_neighbour),
        cmocka_unit_test(first_present_item_of_a_flag_is_the_one_that_counts),
        cmocka_unit_test(items_beyond_the_list_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
