/* test_contrast.c - the contrastive and the listwise loss on numbers worked out by
 * hand, on both backends in f32.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ops/ops.h"

typedef struct step {
    fb_context *ctx;
    fb_backend *be;
    fb_arena *arena;
    fb_tape tape;
} step;

static void step_open(step *s, const char *backend)
{
    *s = (step){.ctx = fb_context_create(), .arena = fb_arena_create(1 << 14)};
    assert_int_equal(fb_backend_create(s->ctx, &s->be, backend, "f32", 1), FB_OK);
    fb_tape_begin(&s->tape, s->ctx, s->be, s->arena, true);
}

static void step_close(step *s)
{
    fb_backend_free(s->be);
    fb_arena_free(s->arena);
    fb_context_free(s->ctx);
}

static fb_var *variable(step *s, const float *numbers, int64_t rows, int64_t columns)
{
    fb_var *var;
    assert_int_equal(fb_tape_new_var(&s->tape, &var, FB_F32, rows, columns), FB_OK);
    memcpy(var->value.data, numbers, fb_tensor_bytes(&var->value));
    return var;
}

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 2e-6))
        fail_msg("%.9g is not %.9g", got, want);
}

static double logistic(double x)
{
    return 1 / (1 + exp(-x));
}

/* Three pairs at scale 2. One product twice leaves out (0, 2) and (2, 0), one text
 * twice (1, 2) and (2, 1); the third pair is then alone in its row and column.
 *
 *         1   .8  0        row 0: 1 against .8       column 0: 1 against 0
 *     S = 0   .6  1        row 1: .6 against 0       column 1: .6 against .8
 *         .6  .96 .8
 */
static const float a_rows[] = {1, 0, 0, 1, 0.6f, 0.8f};
static const float b_rows[] = {1, 0, 0.8f, 0.6f, 0, 1};
static const int32_t a_group[] = {3, 1, 3}, b_group[] = {0, 7, 7};
static const double behind[] = {-0.2, -0.6, -1.0, 0.2}; /* the other less the right */

static void check_contrast(const char *backend, float log_scale, float most,
                           float margin)
{
    step s;
    step_open(&s, backend);
    float grad = 0.5f;
    fb_leaf leaf = {
        .name = "log_scale", .weight = {&log_scale, 1, 1, 1, NULL}, .grad = &grad};
    fb_contrast pairs = {.count = 3,
                         .a_group = a_group,
                         .b_group = b_group,
                         .scale = most,
                         .margin = margin};
    fb_tensor similarity;
    fb_loss *loss;
    fb_var *a = variable(&s, a_rows, 3, 2), *b = variable(&s, b_rows, 3, 2);
    assert_int_equal(fb_op_contrast(&s.tape, &loss, &similarity, a, b, &leaf, &pairs),
                     FB_OK);
    const double want_s[] = {1, 0.8, 0, 0, 0.6, 1, 0.6, 0.96, 0.8};
    for (int i = 0; i < 9; i++)
        near((double)((float *)similarity.data)[i], want_s[i]);
    double want = 0, slope = 0, p[4];
    for (int i = 0; i < 4; i++) {
        double z = behind[i] + (double)margin;
        p[i] = logistic(2 * z); /* what softmax gives the other one */
        want += log1p(exp(2 * z)) / 6;
        slope += z * p[i] / 6;
    }
    near(loss->value, want);
    assert_int_equal(loss->rows, 3);
    loss->seed = 1.0f;
    assert_int_equal(fb_tape_backward(&s.tape, NULL, NULL, true), FB_OK);
    assert_true(slope < 0 || margin > 0.0f);
    near((double)grad, most > 0 ? 0.5 : 0.5 + 2 * slope);
    /* dS times 6 / 2: (0,0) -p0 - p2, (0,1) p0 + p3, (1,0) p1 + p2, (1,1) -p1 - p3 */
    const double ds[2][2] = {{-p[0] - p[2], p[0] + p[3]}, {p[1] + p[2], -p[1] - p[3]}};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 2; j++) {
            double da = 0, db = 0;
            for (int k = 0; k < 2 && i < 2; k++) {
                da += ds[i][k] * (double)b_rows[2 * k + j] / 3;
                db += ds[k][i] * (double)a_rows[2 * k + j] / 3;
            }
            near((double)((float *)a->grad.data)[2 * i + j], da);
            near((double)((float *)b->grad.data)[2 * i + j], db);
        }
    step_close(&s);
}

static void contrast_leaves_out_equal_products_and_texts(void **state)
{
    (void)state;
    check_contrast("ref", logf(2.0f), 0, 0);
    check_contrast("cpu", logf(2.0f), 0, 0);
}

/* Similarities are handed out without it. */
static void a_margin_is_taken_off_the_right_pairs(void **state)
{
    (void)state;
    check_contrast("ref", logf(2.0f), 0, 0.4f);
    check_contrast("cpu", logf(2.0f), 0, 0.4f);
}

/* exp(3) is taken for 2, and a slope that would raise it further is not followed. */
static void contrast_bounds_its_scale(void **state)
{
    (void)state;
    check_contrast("ref", 3, 2, 0);
    check_contrast("cpu", 3, 2, 0);
}

/* Margins 1, 0, -1 and an unlisted row; row 0 is right in one list, wrong in the other.
 */
static void check_list(const char *backend, const float *logits, const float *log_q)
{
    static const int32_t members[] = {0, 1, 2, 0};
    step s;
    step_open(&s, backend);
    fb_var *z = variable(&s, logits, 4, 2);
    fb_loss *loss;
    assert_int_equal(
        fb_op_list(&s.tape, &loss, z, &(fb_lists){members, NULL, 2, 2, log_q}), FB_OK);
    near(loss->value, (log1p(exp(-1)) + log1p(exp(2))) / 2);
    assert_int_equal(loss->rows, 2);
    loss->seed = 3.0f;
    assert_int_equal(fb_tape_backward(&s.tape, NULL, NULL, true), FB_OK);
    const double want[] = {1.5 * (logistic(1) - 1 + logistic(2)), 1.5 * logistic(-1),
                           1.5 * (logistic(-2) - 1), 0};
    for (int r = 0; r < 4; r++) {
        near((double)((float *)z->grad.data)[2 * r], -want[r]);
        near((double)((float *)z->grad.data)[2 * r + 1], want[r]);
    }
    step_close(&s);
}

static void list_pulls_the_first_above_the_others(void **state)
{
    (void)state;
    static const float logits[] = {2, 3, 5, 5, 0.5f, -0.5f, 1, 9};
    check_list("ref", logits, NULL);
    check_list("cpu", logits, NULL);
}

/* Margins 3, 0.5, -2 and log_q 2, 0.5, -1: the same numbers once it is taken off. */
static void list_takes_off_what_its_members_were_drawn_by(void **state)
{
    (void)state;
    static const float logits[] = {0, 3, 5, 5.5f, 1.5f, -0.5f, 1, 9};
    static const float log_q[] = {2, 0.5f, -1, 7};
    check_list("ref", logits, log_q);
    check_list("cpu", logits, log_q);
}

static void check_unit_rows(const char *backend)
{
    static const float numbers[] = {3, -4, 0, 0, 0, 2};
    static const double want[] = {0.6, -0.8, 0, 0, 0, 1};
    step s;
    step_open(&s, backend);
    fb_var *y, *x = variable(&s, numbers, 3, 2);
    assert_int_equal(fb_op_unit_rows(&s.tape, &y, x), FB_OK);
    for (int i = 0; i < 6; i++)
        near((double)((float *)y->value.data)[i], want[i]);
    step_close(&s);
}

static void unit_rows_have_length_one_and_zero_stays_zero(void **state)
{
    (void)state;
    check_unit_rows("ref");
    check_unit_rows("cpu");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_margin_is_taken_off_the_right_pairs),
        cmocka_unit_test(contrast_bounds_its_scale),
        cmocka_unit_test(contrast_leaves_out_equal_products_and_texts),
        cmocka_unit_test(list_takes_off_what_its_members_were_drawn_by),
        cmocka_unit_test(list_pulls_the_first_above_the_others),
        cmocka_unit_test(unit_rows_have_length_one_and_zero_stays_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
