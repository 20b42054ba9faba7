/* test_op_conv.c - convolution as an operation, on ref and on poison: its backward
 * through the tape against differences of the rig's scalar L (which is linear in each
 * number, so that any step will do), what it leaves alone, and what it must refuse.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/op_rig.h"

/* 2 images of 5 x 4 x 3 to 3 x 2 x 2 */
static const fb_conv first_conv = {2, 5, 4, 3, 2, 3, 2, 1, 1};
/* from there to 3 x 2 x 4, by groups of one channel */
static const fb_conv second_conv = {2, 3, 2, 2, 4, 3, 1, 1, 2};

static fb_status build_conv(rig *r)
{
    return fb_op_conv(&r->tape, &r->y, r->x[0], r->leaves[0], &first_conv);
}

/* The middle variable is read twice, by one leaf: its gradients and the leaf's add up.
 */
static fb_status build_branches(rig *r)
{
    fb_var *middle, *a, *b;
    FB_TRY(fb_op_conv(&r->tape, &middle, r->x[0], r->leaves[0], &first_conv));
    FB_TRY(fb_op_conv(&r->tape, &a, middle, r->leaves[1], &second_conv));
    FB_TRY(fb_op_conv(&r->tape, &b, middle, r->leaves[1], &second_conv));
    static const int32_t both[] = {0, 13, 2, 15, 4, 17, 23, 6, 19, 8, 21, 10};
    return fb_op_gather(&r->tape, &r->y, a, b, both, 12);
}

static const graph one = {"conv", {40, -1}, {3}, {2}, {27}, .build = build_conv};
static const graph branches = {"conv in branches",     {40, -1}, {3}, {2, 4}, {27, 9},
                               .build = build_branches};

static void compare(rig *r, const char *what, float *place, const float *got,
                    int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        float kept = place[i];
        place[i] = kept + 0.5f;
        double up = rig_value(r, true);
        place[i] = kept - 0.5f;
        double want = up - rig_value(r, false); /* a tape that does not record */
        place[i] = kept;
        if (!(fabs((double)got[i] - want) <= 2e-5 * (1 + fabs(want))))
            fail_msg("%s: gradient of %s[%d] is %.8g, differences say %.8g", r->g->name,
                     what, (int)i, (double)got[i], want);
    }
}

static void gradients_agree_with_differences(void **state)
{
    const graph *graphs[] = {&one, &branches};
    for (int i = 0; i < 2; i++) {
        rig r;
        float grad[120];
        rig_open(&r, graphs[i], *state);
        rig_backward(&r, true);
        assert_non_null(r.x[0]->grad.data);
        memcpy(grad, rig_read(&r, &r.x[0]->grad), sizeof grad);
        compare(&r, "x", r.input[0], grad, 120);
        compare(&r, "first", r.leaf_value[0], r.leaf_grad[0], 54);
        if (i == 1)
            compare(&r, "second", r.leaf_value[1], r.leaf_grad[1], 36);
        rig_close(&r);
    }
}

static void parameter_gradients_accumulate_where_they_are_wanted(void **state)
{
    rig once, other;
    rig_open(&once, &one, *state);
    rig_open(&other, &one, *state);
    rig_backward(&once, true);
    rig_backward(&other, false);
    assert_memory_equal(rig_read(&once, &once.x[0]->grad),
                        rig_read(&other, &other.x[0]->grad), 120 * 4);
    for (int i = 0; i < MOST; i++)
        assert_true(other.leaf_grad[0][i] == 0.0f);
    rig_backward(&other, true);
    assert_memory_equal(once.leaf_grad[0], other.leaf_grad[0], 54 * 4);
    rig_backward(&other, true);
    for (int i = 0; i < 54; i++) {
        assert_true(once.leaf_grad[0][i] != 0.0f);
        assert_true(fabsf(other.leaf_grad[0][i] - 2 * once.leaf_grad[0][i]) <=
                    1e-5f * (1 + fabsf(once.leaf_grad[0][i])));
    }
    other.leaf[0].grad = NULL; /* frozen: passed through */
    rig_backward(&other, true);
    assert_memory_equal(rig_read(&once, &once.x[0]->grad),
                        rig_read(&other, &other.x[0]->grad), 120 * 4);
    rig_close(&other);
    rig_close(&once);
}

static void constant_input_gets_no_gradient(void **state)
{
    graph g = one;
    g.constant[0] = true;
    rig with, without;
    rig_open(&with, &one, *state);
    rig_open(&without, &g, *state);
    rig_backward(&with, true);
    rig_backward(&without, true);
    assert_null(without.x[0]->grad.data);
    assert_memory_equal(with.leaf_grad[0], without.leaf_grad[0], 54 * 4);
    rig_close(&without);
    rig_close(&with);
}

static void folded_adds_bias_and_residual_under_relu(void **state)
{
    const float bias[2] = {0.5f, -0.25f};
    float numbers[24];
    rig r;
    rig_open(&r, &one, *state);
    (void)rig_value(&r, false);
    fb_var *plain = r.y, *residual, *y;
    assert_int_equal(fb_tape_new_var(&r.tape, &residual, FB_F32, 12, 2), FB_OK);
    for (int i = 0; i < 24; i++)
        numbers[i] = draw(30, i);
    rig_upload(&r, residual->value.data, numbers, sizeof numbers);
    const float *bias_on = rig_floats(&r, bias, 2), *sum = rig_read(&r, &plain->value);
    int below = 0;
    for (int option = 0; option < 8; option++) {
        bool relu = option & 1, biased = option & 2, more = option & 4;
        const fb_folded_conv folded = {&r.leaf[0].weight, biased ? bias_on : NULL,
                                       NULL};
        assert_int_equal(fb_op_conv_folded(&r.tape, &y, r.x[0], &folded,
                                           more ? residual : NULL, relu, &first_conv),
                         FB_OK);
        const float *got = rig_read(&r, &y->value);
        for (int i = 0; i < 24; i++) {
            float want = sum[i] + (biased ? bias[i % 2] : 0);
            want += more ? numbers[i] : 0;
            below += want < 0;
            want = relu ? fmaxf(want, 0) : want;
            assert_true(fabsf(got[i] - want) <= 1e-5f);
        }
    }
    assert_in_range(below, 20, 170); /* of 192: ReLU has been at work */
    rig_close(&r);
}

/* FB_E_SHAPE with a sentence that has both words; nothing recorded. */
static void expect_shape(rig *r, fb_status status, const char *word, const char *more)
{
    assert_int_equal(status, FB_E_SHAPE);
    if (!strstr(fb_context_message(r->ctx), word) ||
        !strstr(fb_context_message(r->ctx), more))
        fail_msg("\"%s\" lacks %s or %s", fb_context_message(r->ctx), word, more);
    assert_null(r->tape.last);
    fb_context_clear(r->ctx);
}

static void shapes_that_do_not_fit_are_refused(void **state)
{
    static const struct {
        fb_conv c;
        const char *word, *more;
    } wrong[] = {
        {{3, 5, 4, 3, 2, 3, 2, 1, 1}, "[40, 3]", "[60, 3]"},
        {{2, 5, 4, 6, 2, 3, 2, 1, 1}, "[40, 3]", "[40, 6]"},
        {{2, 5, 4, 3, 4, 3, 2, 1, 1}, "first", "[4, 27]"},
        {{2, 5, 4, 3, 2, 5, 2, 1, 1}, "first", "[2, 75]"},
        {{2, 5, 4, 3, 2, 3, 2, 1, 2}, "2 groups", "3 input"},
        {{2, 5, 4, 3, 2, 3, 2, 1, 3}, "3 groups", "2 output"},
        {{2, 5, 4, 3, 2, 3, 2, 1, 0}, "0 groups", "first"},
        {{2, 5, 4, 3, 2, 3, 0, 1, 1}, "stride 0", "first"},
        {{2, 5, 4, 3, 2, 3, 2, 3, 1}, "padding 3", "kernel of 3"},
        {{2, 5, 4, 3, 2, 3, 2, -1, 1}, "padding -1", "first"},
        {{2, 5, 4, 3, 2, 0, 2, 0, 1}, "kernel of 0", "first"},
        {{2, 5, 4, 3, 2, 7, 2, 1, 1}, "5 x 4", "kernel of 7"},
        {{-1, 5, 4, 3, 2, 3, 2, 1, 1}, "-1 images", "first"},
        {{2, 0, 4, 3, 2, 3, 2, 1, 1}, "0 x 4", "first"},
    };
    rig r;
    rig_open(&r, &one, *state);
    rig_start(&r, true);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect_shape(&r, fb_op_conv(&r.tape, &r.y, r.x[0], r.leaves[0], &wrong[i].c),
                     wrong[i].word, wrong[i].more);
    rig_start(&r, false);
    expect_shape(&r,
                 fb_op_conv_folded(&r.tape, &r.y, r.x[0],
                                   &(fb_folded_conv){&r.leaf[0].weight, NULL, NULL},
                                   r.x[0], false, &first_conv),
                 "residual", "[40, 3]");
    rig_close(&r);
}

static void folded_refuses_a_tape_that_records(void **state)
{
    rig r;
    rig_open(&r, &one, *state);
    rig_start(&r, true);
    const fb_folded_conv folded = {&r.leaf[0].weight, NULL, NULL};
    assert_int_equal(
        fb_op_conv_folded(&r.tape, &r.y, r.x[0], &folded, NULL, false, &first_conv),
        FB_E_USAGE);
    assert_non_null(strstr(fb_context_message(r.ctx), "record"));
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_agree_with_differences),
        cmocka_unit_test(parameter_gradients_accumulate_where_they_are_wanted),
        cmocka_unit_test(constant_input_gets_no_gradient),
        cmocka_unit_test(folded_adds_bias_and_residual_under_relu),
        cmocka_unit_test(shapes_that_do_not_fit_are_refused),
        cmocka_unit_test(folded_refuses_a_tape_that_records),
    };
    return RUN_ON_BOTH(tests);
}
