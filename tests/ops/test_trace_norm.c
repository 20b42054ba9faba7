/* test_trace_norm.c - DCCA's loss as an operation: its gradients against differences on
 * ref, the same bits on poison, and what it refuses. That loss and gradient are right in
 * f64 is shown in tests/base/test_canonical.c.
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

static const double ridge[2] = {0.05, 0.1};

static fb_status build_all(rig *r)
{
    return fb_op_trace_norm(&r->tape, &r->loss[0], r->x[0], r->x[1], 3, ridge);
}

static fb_status build_top(rig *r)
{
    return fb_op_trace_norm(&r->tape, &r->loss[0], r->x[0], r->x[1], 2, ridge);
}

/* One view feeds both sides of the second loss too. */
static fb_status build_twice(rig *r)
{
    FB_TRY(fb_op_trace_norm(&r->tape, &r->loss[0], r->x[0], r->x[1], 2, ridge));
    return fb_op_trace_norm(&r->tape, &r->loss[1], r->x[1], r->x[0], 3, ridge);
}

static void gradients_agree_with_differences(void **state)
{
    (void)state;
    graph g = {"all correlations", {11, 11}, {3, 3}, {0}, {0}, .build = build_all};
    check(&g);
    g = (graph){"the first two", {11, 11}, {4, 3}, {0}, {0}, .build = build_top};
    check(&g);
    g = (graph){"two losses", {9, 9}, {3, 3}, {0}, {0}, .build = build_twice};
    check(&g);
    g = (graph){
        "against constants",      {11, 11}, {3, 4}, {0}, {0}, .build = build_top,
        .constant = {false, true}};
    check(&g);
}

static void refuse(graph g, fb_status status, const char *sentence)
{
    rig r;
    rig_open(&r, &g, "ref");
    rig_start(&r, true);
    assert_int_equal(g.build(&r), status);
    if (!strstr(fb_context_message(r.ctx), sentence))
        fail_msg("\"%s\" does not say \"%s\"", fb_context_message(r.ctx), sentence);
    rig_close(&r);
}

static void shapes_and_numbers_that_it_cannot_take_are_refused(void **state)
{
    (void)state;
    rig r;
    graph g = {"rows", {5, 4}, {3, 3}, {0}, {0}, .build = build_all};
    refuse(g, FB_E_SHAPE, "5 rows against 4");
    g = (graph){"one row", {1, 1}, {3, 3}, {0}, {0}, .build = build_all};
    refuse(g, FB_E_SHAPE, "at least 2");
    g = (graph){"columns", {5, 5}, {2, 3}, {0}, {0}, .build = build_all};
    refuse(g, FB_E_SHAPE, "3 correlations of 2 and 3 columns");
    g = (graph){"a number", {5, 5}, {3, 3}, {0}, {0}, .build = build_all};
    rig_open(&r, &g, "ref");
    r.input[1][4] = NAN;
    rig_start(&r, true);
    assert_int_equal(build_all(&r), FB_E_NUMBER);
    assert_non_null(strstr(fb_context_message(r.ctx), "is not finite"));
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_agree_with_differences),
        cmocka_unit_test(shapes_and_numbers_that_it_cannot_take_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
