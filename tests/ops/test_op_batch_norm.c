/* test_op_batch_norm.c - what batch norm does to its running statistics and frozen
 * leaves, and the shapes that it and pooling must refuse.
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

enum { ROWS = 4, WIDTH = 2 };

/* Columns (1, 3, 5, 7) and (-2, 0, 0, 2): means 4 and 0, unbiased variances 20/3 and
 * 8/3, biased ones 5 and 2. */
static const float values[ROWS * WIDTH] = {1, -2, 3, 0, 5, 0, 7, 2};

typedef struct norm_rig {
    rig r;
    float running[2][WIDTH]; /* means 10 and -1, variances 2 and 4; as last fetched */
    float *running_on[2];
    fb_batch_norm_leaves leaves;
} norm_rig;

static fb_status build_nothing(rig *r)
{
    (void)r;
    return FB_OK;
}

static void norm_open(norm_rig *n, const char *backend)
{
    static const graph g = {"batch norm",   {ROWS, -1}, {WIDTH},
                            {WIDTH, WIDTH}, {1, 1},     .build = build_nothing};
    rig_open(&n->r, &g, backend);
    memcpy(n->r.input[0], values, sizeof values);
    const float running[2][WIDTH] = {{10, -1}, {2, 4}};
    for (int k = 0; k < 2; k++) {
        n->running_on[k] = rig_alloc(&n->r, WIDTH);
        rig_upload(&n->r, n->running_on[k], running[k], sizeof running[k]);
    }
    for (int c = 0; c < WIDTH; c++) {
        n->r.leaf_value[0][c] = 1;
        n->r.leaf_value[1][c] = 0;
    }
    n->leaves = (fb_batch_norm_leaves){n->r.leaves[0], n->r.leaves[1], n->running_on[0],
                                       n->running_on[1]};
}

static void norm_close(norm_rig *n)
{
    for (int k = 0; k < 2; k++)
        n->r.be->m->free(n->r.be, n->running_on[k]);
    rig_close(&n->r);
}

static void fetch_running(norm_rig *n)
{
    for (int k = 0; k < 2; k++)
        rig_download(&n->r, n->running[k], n->running_on[k], sizeof n->running[k]);
}

static void forward(norm_rig *n, bool recording, bool training)
{
    rig_start(&n->r, recording);
    assert_int_equal(
        fb_op_batch_norm(&n->r.tape, &n->r.y, n->r.x[0], NULL, &n->leaves,
                         (fb_batch_norm_options){1e-5f, false, training, 0.1f}),
        FB_OK);
}

static void expect_running(norm_rig *n, const double want[2][WIDTH])
{
    fetch_running(n);
    for (int k = 0; k < 2; k++)
        for (int c = 0; c < WIDTH; c++)
            if (!(fabs((double)n->running[k][c] - want[k][c]) <= 2e-6))
                fail_msg("running %s[%d] is %.8g, not %.8g", k ? "variance" : "mean", c,
                         (double)n->running[k][c], want[k][c]);
}

static const double unmoved[2][WIDTH] = {{10, -1}, {2, 4}};

static void running_statistics_move_by_momentum(void **state)
{
    norm_rig n;
    norm_open(&n, *state);
    forward(&n, true, true);
    const double once[2][WIDTH] = {{9.4, -0.9}, {0.9 * 2 + 2.0 / 3, 0.9 * 4 + 0.8 / 3}};
    expect_running(&n, once);
    forward(&n, true, true);
    const double twice[2][WIDTH] = {
        {0.9 * 9.4 + 0.4, -0.81},
        {0.9 * once[1][0] + 2.0 / 3, 0.9 * once[1][1] + 0.8 / 3}};
    expect_running(&n, twice);
    norm_close(&n);
}

static void running_statistics_stay_otherwise(void **state)
{
    norm_rig n;
    norm_open(&n, *state);
    forward(&n, false, true);
    expect_running(&n, unmoved);
    forward(&n, true, false);
    expect_running(&n, unmoved);
    n.r.x[0]->value.dims[0] = 0;
    assert_int_equal(
        fb_op_batch_norm(&n.r.tape, &n.r.y, n.r.x[0], NULL, &n.leaves,
                         (fb_batch_norm_options){1e-5f, false, true, 0.1f}),
        FB_OK);
    expect_running(&n, unmoved);
    norm_close(&n);
}

static void training_uses_the_batch_and_inference_the_running_statistics(void **state)
{
    norm_rig n;
    norm_open(&n, *state);
    static const double mean[2][WIDTH] = {{10, -1}, {4, 0}};
    static const double var[2][WIDTH] = {{2, 4}, {5, 2}};
    for (int training = 0; training < 2; training++) {
        forward(&n, false, training);
        const float *y = rig_read(&n.r, &n.r.y->value);
        for (int i = 0; i < ROWS * WIDTH; i++) {
            double want = ((double)values[i] - mean[training][i % WIDTH]) /
                          sqrt(var[training][i % WIDTH] + 1e-5);
            assert_true(fabs((double)y[i] - want) <= 1e-6);
        }
    }
    norm_close(&n);
}

static void equal_rows_leave_a_running_variance_that_is_not_negative(void **state)
{
    norm_rig n;
    norm_open(&n, *state);
    for (int i = 0; i < ROWS * WIDTH; i++)
        n.r.input[0][i] = 12345.678f;
    for (int step = 0; step < 300; step++)
        forward(&n, true, true);
    fetch_running(&n);
    for (int c = 0; c < WIDTH; c++) {
        assert_true(n.running[1][c] >= 0.0f);
        assert_true(n.running[1][c] <= 1e-9f);
    }
    norm_close(&n);
}

static void backward(norm_rig *n, bool parameters)
{
    forward(n, true, true);
    rig_set_gradient(&n->r, n->r.y, 20);
    rig_play_back(&n->r, parameters);
}

static void frozen_leaves_get_no_gradient(void **state)
{
    norm_rig free_one, frozen, without;
    norm_open(&free_one, *state);
    norm_open(&frozen, *state);
    norm_open(&without, *state);
    frozen.r.leaf[0].grad = NULL;
    backward(&free_one, true);
    backward(&frozen, true);
    backward(&without, false);
    size_t bytes = ROWS * WIDTH * sizeof(float);
    const float *dx = rig_read(&free_one.r, &free_one.r.x[0]->grad);
    assert_memory_equal(dx, rig_read(&frozen.r, &frozen.r.x[0]->grad), bytes);
    assert_memory_equal(dx, rig_read(&without.r, &without.r.x[0]->grad), bytes);
    for (int c = 0; c < WIDTH; c++) {
        assert_true(free_one.r.leaf_grad[0][c] != 0.0f);
        assert_true(frozen.r.leaf_grad[0][c] == 0.0f);
        assert_true(frozen.r.leaf_grad[1][c] == free_one.r.leaf_grad[1][c]);
        assert_true(without.r.leaf_grad[0][c] == 0.0f);
        assert_true(without.r.leaf_grad[1][c] == 0.0f);
    }
    norm_close(&without);
    norm_close(&frozen);
    norm_close(&free_one);
}

static void the_gradient_is_handed_on(void **state)
{
    norm_rig n;
    norm_open(&n, *state);
    backward(&n, true);
    assert_null(n.r.y->grad.data);
    assert_int_equal(n.r.tape.pool_count, 0); /* dx took dy's place */
    norm_close(&n);
}

/* FB_E_SHAPE with a sentence that has the word; nothing recorded. */
static void expect_shape(rig *r, fb_status status, const char *word)
{
    assert_int_equal(status, FB_E_SHAPE);
    if (!strstr(fb_context_message(r->ctx), word))
        fail_msg("\"%s\" lacks %s", fb_context_message(r->ctx), word);
    assert_null(r->tape.last);
    fb_context_clear(r->ctx);
}

static void batch_norm_refuses_what_does_not_fit(void **state)
{
    norm_rig n;
    norm_open(&n, *state);
    rig_start(&n.r, true);
    fb_tape *t = &n.r.tape;
    fb_var *y, *x = n.r.x[0], *other, *one;
    assert_int_equal(fb_tape_new_var(t, &other, FB_F32, ROWS - 1, WIDTH), FB_OK);
    assert_int_equal(fb_tape_new_var(t, &one, FB_F32, 1, WIDTH), FB_OK);
    expect_shape(&n.r,
                 fb_op_batch_norm(t, &y, x, other, &n.leaves,
                                  (fb_batch_norm_options){1, true, true, 0}),
                 "residual");
    expect_shape(&n.r,
                 fb_op_batch_norm(t, &y, one, NULL, &n.leaves,
                                  (fb_batch_norm_options){1, true, true, 0}),
                 "one row");
    n.r.leaf[1].weight.out = 3;
    expect_shape(&n.r,
                 fb_op_batch_norm(t, &y, x, NULL, &n.leaves,
                                  (fb_batch_norm_options){1, true, true, 0}),
                 "second 3");
    expect_running(&n, unmoved);
    norm_close(&n);
}

static void pooling_refuses_what_does_not_fit(void **state)
{
    static const struct {
        fb_max_pool pool;
        const char *word;
    } cases[] = {
        {{1, 2, 2, 0, 1, 0}, "window 0"},    {{1, 2, 2, 17, 1, 8}, "window 17"},
        {{1, 2, 2, 2, 0, 0}, "stride 0"},    {{1, 2, 2, 2, 1, 2}, "padding 2"},
        {{1, 2, 2, 2, 1, -1}, "padding -1"}, {{1, 2, 2, 3, 1, 0}, "smaller"},
        {{1, 0, 2, 1, 1, 0}, "0 x 2"},       {{2, 2, 2, 2, 1, 0}, "4 rows"},
    };
    static const int32_t late[] = {1, 2, 4}, far[] = {0, 1, 5}, back[] = {0, 3, 1, 4};
    norm_rig n;
    norm_open(&n, *state);
    rig_start(&n.r, true);
    fb_tape *t = &n.r.tape;
    fb_var *y, *x = n.r.x[0];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_shape(&n.r, fb_op_max_pool(t, &y, x, &cases[i].pool), cases[i].word);
    expect_shape(&n.r, fb_op_mean_rows(t, &y, x, late, 2), "from 1");
    expect_shape(&n.r, fb_op_mean_rows(t, &y, x, far, 2), "to 5");
    expect_shape(&n.r, fb_op_mean_rows(t, &y, x, back, 3), "ascend");
    norm_close(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(running_statistics_move_by_momentum),
        cmocka_unit_test(running_statistics_stay_otherwise),
        cmocka_unit_test(training_uses_the_batch_and_inference_the_running_statistics),
        cmocka_unit_test(equal_rows_leave_a_running_variance_that_is_not_negative),
        cmocka_unit_test(frozen_leaves_get_no_gradient),
        cmocka_unit_test(the_gradient_is_handed_on),
        cmocka_unit_test(batch_norm_refuses_what_does_not_fit),
        cmocka_unit_test(pooling_refuses_what_does_not_fit),
    };
    return RUN_ON_BOTH(tests);
}
