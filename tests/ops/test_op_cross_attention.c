/* test_op_cross_attention.c - attention of one set of sequences over another: gradients
 * against differences on ref, the same bits on poison, and what it refuses. The kernels
 * of the backends against each other: tests/backend/test_backend_products.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "support/op_differences.h"

static const int32_t q_packed[] = {0, 3, 3, 4, 6}, kv_packed[] = {0, 2, 3, 3, 8};
static const int32_t none[] = {0, 0, 0};

static fb_status build(rig *r)
{
    bool no_queries = r->g->rows[0] == 0, no_keys = r->g->rows[1] == 0;
    const int32_t *q = no_queries ? none : q_packed, *kv = no_keys ? none : kv_packed;
    static const int32_t all_none[] = {0, 0, 0, 0, 0};
    if (no_queries != no_keys)
        q = no_queries ? all_none : q, kv = no_keys ? all_none : kv;
    return fb_op_cross_attention(&r->tape, &r->y, r->x[0], r->x[1], q, kv,
                                 no_queries && no_keys ? 2 : 4,
                                 r->g->columns[0] == 3 ? 1 : 2);
}

/* A sequence without queries and one without keys are among the packed ones. */
static void agrees_with_differences(void **state)
{
    (void)state;
    graph g = {"cross-attention", {6, 8}, {4, 8}, {0}, {0}, .build = build};
    check(&g);
    g.dropout = 0.3f;
    g.name = "cross-attention with dropout";
    check(&g);
    check(&(graph){
        "cross-attention, one head", {6, 8}, {3, 6}, {0}, {0}, .build = build});
}

static void takes_sets_without_rows(void **state)
{
    (void)state;
    check(&(graph){
        "cross-attention of nothing", {0, 0}, {4, 8}, {0}, {0}, .build = build});
    check(&(graph){
        "cross-attention without keys", {6, 0}, {4, 8}, {0}, {0}, .build = build});
    check(&(graph){
        "cross-attention without queries", {0, 8}, {4, 8}, {0}, {0}, .build = build});
}

/* q, k and v side by side, of which some rows ask all: what self-attention gives them. */
static fb_status build_picked(rig *r)
{
    static const int32_t packed[] = {0, 3, 8}, picked[] = {0, 2, 3}, rows[] = {0, 2, 5};
    fb_var *q;
    FB_TRY(fb_op_gather(&r->tape, &q, r->x[0], NULL, rows, 3));
    return fb_op_cross_attention(&r->tape, &r->y, q, r->x[0], picked, packed, 2, 2);
}

static fb_status build_all(rig *r)
{
    static const int32_t packed[] = {0, 3, 8}, rows[] = {0, 2, 5};
    fb_var *y;
    FB_TRY(fb_op_attention(&r->tape, &y, r->x[0], packed, 2, 2, false));
    return fb_op_gather(&r->tape, &r->y, y, NULL, rows, 3);
}

static void some_rows_ask_as_all_do(void **state)
{
    (void)state;
    const graph picked = {"picked rows", {8, -1}, {12},
                          {0},           {0},     .build = build_picked};
    const graph all = {"all rows", {8, -1}, {12}, {0}, {0}, .build = build_all};
    rig a, b;
    check(&picked);
    rig_open(&a, &picked, "cpu");
    rig_open(&b, &all, "cpu");
    assert_true(fabs(rig_backward(&a, true) - rig_backward(&b, true)) < 1e-5);
    for (int i = 0; i < 8 * 12; i++) {
        float x = ((const float *)a.x[0]->grad.data)[i];
        assert_true(fabsf(x - ((const float *)b.x[0]->grad.data)[i]) < 1e-5f);
    }
    rig_close(&a);
    rig_close(&b);
}

static const int32_t each_way[] = {0, 1, 3};

/* Co-attention: each set asks the other, so that both get gradients twice. */
static fb_status build_both_ways(rig *r)
{
    fb_var *a, *b, *qa, *qb;
    static const int32_t every[] = {0, 1, 2, 0, 1, 2};
    FB_TRY(fb_op_linear(&r->tape, &qa, r->x[0], r->leaves[0], NULL, false));
    FB_TRY(fb_op_linear(&r->tape, &qb, r->x[1], r->leaves[0], NULL, false));
    FB_TRY(fb_op_cross_attention(&r->tape, &a, qa, r->x[1], each_way, each_way, 2, 2));
    FB_TRY(fb_op_cross_attention(&r->tape, &b, qb, r->x[0], each_way, each_way, 2, 1));
    return fb_op_gather(&r->tape, &r->y, a, b, every, 6);
}

static void both_ways_sum_their_gradients(void **state)
{
    (void)state;
    check(&(graph){"co-attention", {3, 3}, {4, 4}, {2}, {4}, .build = build_both_ways});
}

static void refuse(rig *r, const char *word, fb_status status)
{
    assert_int_equal(status, FB_E_SHAPE);
    if (!strstr(fb_context_message(r->ctx), word))
        fail_msg("'%s' does not say '%s'", fb_context_message(r->ctx), word);
}

static void refuses_what_does_not_fit(void **state)
{
    static const int32_t late[] = {1, 2, 3}, far[] = {0, 1, 4}, back[] = {0, 2, 1, 3};
    (void)state;
    rig r;
    const graph g = {"wrong", {3, 3}, {4, 8}, {0}, {0}, .build = build};
    rig_open(&r, &g, "ref");
    rig_start(&r, true);
    fb_tape *t = &r.tape;
    fb_var *y, *q = r.x[0], *kv = r.x[1];
    const int32_t *good = each_way;
    refuse(&r, "3 heads", fb_op_cross_attention(t, &y, q, kv, good, good, 2, 3));
    refuse(&r, "0 heads", fb_op_cross_attention(t, &y, q, kv, good, good, 2, 0));
    refuse(&r, "[3,4] over f32 [3,4]",
           fb_op_cross_attention(t, &y, q, q, good, good, 2, 1));
    refuse(&r, "queries", fb_op_cross_attention(t, &y, q, kv, late, good, 2, 1));
    refuse(&r, "keys end at 4", fb_op_cross_attention(t, &y, q, kv, good, far, 2, 1));
    refuse(&r, "ascend", fb_op_cross_attention(t, &y, q, kv, back, back, 3, 1));
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_differences),
        cmocka_unit_test(takes_sets_without_rows),
        cmocka_unit_test(some_rows_ask_as_all_do),
        cmocka_unit_test(both_ways_sum_their_gradients),
        cmocka_unit_test(refuses_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
