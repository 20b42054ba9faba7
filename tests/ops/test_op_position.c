/* test_op_position.c - where rows lie: gradients by finite differences on ref, ref's bits
 * on poison, cpu against ref; pads count for nothing.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "support/op_differences.h"

enum { ROWS = 4, FEATURES = 2, WIDTH = 3, BLOCKS = 18, K = FB_POSITION_BLOCKS };

static int32_t ids[ROWS * K];
static float overlap[ROWS * K];

/* Rows of 15 blocks, of 4, of 1 and of none; a block lies in several. */
static void make_blocks(void)
{
    static const int counts[ROWS] = {15, 4, 1, 0};
    for (int r = 0; r < ROWS; r++) {
        float sum = 0;
        for (int k = 0; k < K; k++) {
            bool in = k < counts[r];
            ids[r * K + k] = in ? (3 * r + 5 * k) % (BLOCKS - 1) : BLOCKS - 1;
            overlap[r * K + k] = in ? 1 + draw(30, r * K + k) / 2 : 0;
            sum += overlap[r * K + k];
        }
        for (int k = 0; k < counts[r]; k++)
            overlap[r * K + k] /= sum;
    }
}

static fb_status build(rig *r)
{
    return fb_op_position(&r->tape, &r->y, r->x[0], r->x[1], r->leaves[0], ids,
                          overlap);
}

static const graph all = {"position", {ROWS, ROWS}, {FEATURES, WIDTH},
                          {BLOCKS},   {WIDTH},      .build = build};

static void gradients_agree_with_differences(void **state)
{
    (void)state;
    graph g = all;
    make_blocks();
    check(&g);
    g.constant[0] = true;
    check(&g);
}

static void cpu_equals_ref(void **state)
{
    static derived got[2];
    (void)state;
    make_blocks();
    for (int b = 0; b < 2; b++) {
        rig r;
        rig_open(&r, &all, b ? "cpu" : "ref");
        derive(&r, &got[b]);
        rig_close(&r);
    }
    for (int i = 0; i < MOST; i++) {
        for (int k = 0; k < INPUTS; k++)
            assert_true(fabs((double)(got[0].input[k][i] - got[1].input[k][i])) < 1e-6);
        assert_true(fabs((double)(got[0].leaf[0][i] - got[1].leaf[0][i])) < 1e-6);
    }
}

static void a_row_is_itself_and_a_mean_of_its_blocks(void **state)
{
    (void)state;
    rig r;
    make_blocks();
    rig_open(&r, &all, "cpu");
    rig_value(&r, false);
    const float *y = rig_read(&r, &r.y->value);
    for (int row = 0; row < ROWS; row++)
        for (int i = 0; i < FEATURES; i++)
            assert_true(y[row * (FEATURES + WIDTH) + i] ==
                        r.input[0][row * FEATURES + i]);
    for (int i = 0; i < WIDTH; i++) {
        float one = r.leaf_value[0][ids[2 * K] * WIDTH + i]; /* its only block */
        assert_true(fabs((double)(y[2 * (FEATURES + WIDTH) + FEATURES + i] - one)) <
                    1e-6);
        assert_true(y[3 * (FEATURES + WIDTH) + FEATURES + i] == 0.0f);
    }
    rig_backward(&r, true);
    for (int i = 0; i < WIDTH; i++) /* pads learn nothing */
        assert_true(r.leaf_grad[0][(BLOCKS - 1) * WIDTH + i] == 0.0f);
    rig_close(&r);
}

static void wrong_shapes_are_refused(void **state)
{
    (void)state;
    graph g = all;
    rig r;
    g.columns[1] = WIDTH + 1;
    rig_open(&r, &g, "ref");
    rig_start(&r, true);
    assert_int_equal(build(&r), FB_E_SHAPE);
    assert_non_null(strstr(fb_context_message(r.ctx), "queries [4, 4] of 4 rows"));
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_agree_with_differences),
        cmocka_unit_test(cpu_equals_ref),
        cmocka_unit_test(a_row_is_itself_and_a_mean_of_its_blocks),
        cmocka_unit_test(wrong_shapes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
