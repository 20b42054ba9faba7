/* test_backend_hinge.c - the hinge loss of the cpu backend against the reference. */
#include "support/op_harness.h"

static fb_hinge on_side(op_world *w, int side, fb_hinge h, const int32_t *a_group,
                        const int32_t *b_group)
{
    h.a_group = op_upload_ints(w, side, a_group, h.count);
    h.b_group = op_upload_ints(w, side, b_group, h.count);
    return h;
}

/* groups: how many products and texts there are; 0: all differ. levels: how many values
 * scores have, so that many tie; 0: any. */
static void check_case(op_world *w, fb_hinge h, int32_t groups, int32_t levels)
{
    op_begin(w, "hinge of %d pairs, %d groups, %d levels%s", (int)h.count, (int)groups,
             (int)levels, h.hardest ? ", hardest" : "");
    int64_t count = h.count;
    int32_t *a_group = op_indices(w, count, groups ? groups : 1);
    int32_t *b_group = op_indices(w, count, groups ? groups : 1);
    for (int32_t i = 0; i < count && !groups; i++)
        a_group[i] = b_group[i] = i;
    op_numbers scores = op_input(w, FB_F32, count, count, 0.4);
    int32_t *level = op_indices(w, count * count, levels ? levels : 1);
    for (int64_t i = 0; i < count * count && levels; i++)
        for (int s = 0; s < OP_SIDES; s++)
            op_put(w, &scores, s, i, (float)level[i] * 0.25f);
    op_numbers loss = op_output(w, FB_F32, 2, count);
    op_numbers ds = op_output(w, w->dtype, count, count);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        fb_hinge on = on_side(w, s, h, a_group, b_group);
        op_call(w, be->k->hinge_forward(w->ctx, be, loss.t[s].data, &scores.t[s], &on));
        op_call(w,
                be->k->hinge_backward(w->ctx, be, &ds.t[s], &scores.t[s], &on, 0.7f));
    }
    op_compare(w, "loss", &loss, 4e-6 / w->tolerance); /* f32 in both dtypes */
    op_compare(w, "ds", &ds, 1.0);
}

static void check_all(op_world *w)
{
    static const int32_t counts[] = {0, 1, 2, 17, 64, 161};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (int hardest = 0; hardest < 2; hardest++) {
            fb_hinge h = {.count = counts[i], .margin = 0.2f, .hardest = hardest};
            check_case(w, h, 0, 0);
            check_case(w, h, counts[i] + 1, 0);
            check_case(w, h, counts[i] / 4 + 1, 3);
            check_case(w, h, 0, 1); /* all are equal: the first is taken */
            check_case(w, h, 1, 0); /* nothing but the diagonal */
            h.margin = 0.0f;        /* equal ones violate nothing */
            check_case(w, h, 0, 2);
        }
}

static void hinge_equals_reference(void **state)
{
    (void)state;
    op_for_each_world(check_all);
}

static void check_nan(op_world *w)
{
    for (int hardest = 0; hardest < 2; hardest++) {
        op_begin(w, "hinge with a score that is not a number");
        const fb_hinge h = {.count = 3, .margin = 0.2f, .hardest = hardest};
        const int32_t group[] = {0, 1, 2};
        op_numbers scores = op_input(w, FB_F32, 3, 3, 0.4);
        op_numbers loss = op_output(w, FB_F32, 2, 3);
        for (int s = 0; s < OP_SIDES; s++) {
            fb_backend *be = op_backend(w, s);
            fb_hinge on = on_side(w, s, h, group, group);
            op_put(w, &scores, s, 1, NAN);
            op_call(
                w, be->k->hinge_forward(w->ctx, be, loss.t[s].data, &scores.t[s], &on));
            assert_true(isnan(op_get(w, &loss, s, 0))); /* row 0 */
            assert_true(isnan(op_get(w, &loss, s, 4))); /* column 1 */
            assert_true(!isnan(op_get(w, &loss, s, 1)));
        }
    }
}

static void scores_that_are_no_numbers_are_not_lost(void **state)
{
    (void)state;
    op_for_each_world(check_nan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hinge_equals_reference),
        cmocka_unit_test(scores_that_are_no_numbers_are_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
