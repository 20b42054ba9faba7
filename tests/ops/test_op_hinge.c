/* test_op_hinge.c - the hinge loss through the tape: by hand, against finite differences
 * (op_differences.h), and what is refused. Scores are multiples of .1 and the margin is
 * none, so that no difference steps over a kink.
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

#include "support/op_differences.h"

enum { B = 5 };

/* Every one another multiple. */
static void scatter(float *scores)
{
    for (int i = 0; i < B * B; i++)
        scores[i] = 0.1f * (float)(i * 7 % (B * B));
}

/* 0 and 2 show one product, 1 and 3 have one text. */
static const int32_t products[] = {0, 1, 0, 2, 3}, texts[] = {0, 1, 2, 1, 4};

static fb_status hinge(rig *r, bool hardest)
{
    const fb_hinge h = {.count = (int32_t)r->x[0]->value.dims[0],
                        .a_group = products,
                        .b_group = texts,
                        .margin = 0.25f,
                        .hardest = hardest};
    return fb_op_hinge(&r->tape, &r->loss[0], r->x[0], &h);
}

static fb_status build_sum(rig *r)
{
    return hinge(r, false);
}

static fb_status build_hardest(rig *r)
{
    return hinge(r, true);
}

/* Two losses of the same scores: gradients add up. */
static fb_status build_two(rig *r)
{
    FB_TRY(hinge(r, false));
    r->loss[1] = r->loss[0];
    return hinge(r, true);
}

static void check_scores(const char *name, fb_status (*build)(rig *))
{
    graph g = {name, NO_B, {B}, {0}, {0}, .build = build};
    rig r;
    derived d, poison;
    g.rows[0] = B;
    for (int k = 0; k < 2; k++) {
        rig_open(&r, &g, k ? "poison" : "ref");
        scatter(r.input[0]);
        derive(&r, k ? &poison : &d);
        if (k == 0)
            compare(&r, "scores", r.input[0], d.input[0], B * B);
        rig_close(&r);
    }
    assert_memory_equal(d.input, poison.input, sizeof d.input);
    assert_true(d.value == poison.value);
}

static void hinge_agrees_with_differences(void **state)
{
    (void)state;
    check_scores("sum of hinges", build_sum);
    check_scores("hardest hinge", build_hardest);
    check_scores("both", build_two);
}

/* S = [.5 .4 .1]   margin .2: row 0 has .1 of column 1; row 1 has .25 and .2; row 2 none;
 *     [.25 .2 .2]  column 0 has .2 of row 2; column 1 .4 of row 0 and
 *     [.5 .1 .9]   .1 of row 2; column 2 none. */
static const float by_hand[] = {.5f, .4f, .1f, .25f, .2f, .2f, .5f, .1f, .9f};
static const int32_t apart[] = {0, 1, 2};

static void check_by_hand(bool hardest, const int32_t *product, double value,
                          const float *gradient)
{
    graph g = {"by hand", NO_B, {3}, {0}, {0}, .build = build_sum};
    rig r;
    g.rows[0] = 3;
    rig_open(&r, &g, "ref");
    memcpy(r.input[0], by_hand, sizeof by_hand);
    rig_start(&r, true);
    const fb_hinge h = {3, product, apart, 0.2f, hardest};
    rig_must(&r, fb_op_hinge(&r.tape, &r.loss[0], r.x[0], &h));
    rig_must(&r, fb_tape_fetch(&r.tape));
    assert_true(fabs(r.loss[0]->value - value) < 1e-6);
    r.loss[0]->seed = 1.0f;
    rig_play_back(&r, true);
    for (int i = 0; i < 9; i++)
        if (((const float *)r.x[0]->grad.data)[i] != gradient[i])
            fail_msg("gradient %d is %g, not %g", i,
                     (double)((const float *)r.x[0]->grad.data)[i],
                     (double)gradient[i]);
    rig_close(&r);
}

static void hinge_is_as_by_hand(void **state)
{
    (void)state;
    static const int32_t one_product[] = {0, 0, 1};
    check_by_hand(false, apart, 1.25, (float[]){-2, 2, 0, 1, -4, 1, 1, 1, 0});
    check_by_hand(true, apart, .95, (float[]){-2, 2, 0, 1, -2, 0, 1, 0, 0});
    /* Images 0 and 1 show one product: neither is the other's mismatch. */
    check_by_hand(false, one_product, .5, (float[]){-1, 0, 0, 0, -2, 1, 1, 1, 0});
}

/* All scores are equal: each line's first other one has the gradient. */
static void of_equal_ones_the_first_is_hardest(void **state)
{
    (void)state;
    graph g = {"equal", NO_B, {3}, {0}, {0}, .build = build_hardest};
    static const float want[] = {-2, 2, 1, 2, -2, 0, 1, 0, -2};
    rig r;
    g.rows[0] = 3;
    rig_open(&r, &g, "ref");
    memset(r.input[0], 0, sizeof r.input[0]);
    rig_start(&r, true);
    const fb_hinge h = {3, apart, apart, 0.2f, true};
    rig_must(&r, fb_op_hinge(&r.tape, &r.loss[0], r.x[0], &h));
    r.loss[0]->seed = 1.0f;
    rig_play_back(&r, true);
    assert_memory_equal(r.x[0]->grad.data, want, sizeof want);
    rig_close(&r);
}

static void scores_that_are_not_square_are_refused(void **state)
{
    (void)state;
    graph g = {"refused", NO_B, {B}, {0}, {0}, .build = build_sum};
    rig r;
    g.rows[0] = 3;
    rig_open(&r, &g, "ref");
    rig_start(&r, true);
    const fb_hinge h = {B, products, texts, 0.2f, false};
    assert_int_equal(fb_op_hinge(&r.tape, &r.loss[0], r.x[0], &h), FB_E_SHAPE);
    assert_non_null(strstr(fb_context_message(r.ctx), "f32 scores [3, 5] for 5 pairs"));
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hinge_agrees_with_differences),
        cmocka_unit_test(hinge_is_as_by_hand),
        cmocka_unit_test(of_equal_ones_the_first_is_hardest),
        cmocka_unit_test(scores_that_are_not_square_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
