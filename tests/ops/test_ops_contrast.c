/* test_ops_contrast.c - unit rows, the contrastive and the listwise loss through the
 * tape on the reference backend, against finite differences (op_differences.h).
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

static fb_status build_unit_rows(rig *r)
{
    return fb_op_unit_rows(&r->tape, &r->y, r->x[0]);
}

static void unit_rows_agree_with_differences(void **state)
{
    (void)state;
    graph g = {"unit rows", NO_B, {7}, {0}, {0}, .build = build_unit_rows};
    check_rows(g, awkward, 3);
    g = (graph){"unit rows of one", NO_B, {1}, {0}, {0}, .build = build_unit_rows};
    check_rows(g, awkward, 3);
}

/* Of five pairs 0 and 2 show one product, 1 and 3 have one text. */
static fb_status contrast(rig *r, fb_var *a, fb_var *b)
{
    static const int32_t a_group[] = {0, 1, 0, 2, 3}, b_group[] = {0, 1, 2, 1, 4};
    fb_contrast pairs = {
        .count = (int32_t)a->value.dims[0], .a_group = a_group, .b_group = b_group};
    return fb_op_contrast(&r->tape, &r->loss[0], NULL, a, b, r->leaves[0], &pairs);
}

static fb_status build_contrast(rig *r)
{
    fb_var *a, *b;
    FB_TRY(fb_op_unit_rows(&r->tape, &a, r->x[0]));
    FB_TRY(fb_op_unit_rows(&r->tape, &b, r->x[1]));
    return contrast(r, a, b);
}

static fb_status build_contrast_with_margin(rig *r)
{
    static const int32_t group[] = {0, 1, 0, 2, 3}, text[] = {0, 1, 2, 1, 4};
    fb_var *a, *b;
    FB_TRY(fb_op_unit_rows(&r->tape, &a, r->x[0]));
    FB_TRY(fb_op_unit_rows(&r->tape, &b, r->x[1]));
    fb_contrast pairs = {.count = (int32_t)a->value.dims[0],
                         .a_group = group,
                         .b_group = text,
                         .margin = 0.3f};
    return fb_op_contrast(&r->tape, &r->loss[0], NULL, a, b, r->leaves[0], &pairs);
}

static fb_status build_contrast_of_itself(rig *r)
{
    return contrast(r, r->x[0], r->x[0]);
}

static fb_status build_contrast_against_constants(rig *r)
{
    return contrast(r, r->x[0], r->x[1]);
}

static void contrast_agrees_with_differences(void **state)
{
    (void)state;
    graph g = {"contrast", {5, 5}, {7, 7}, {1}, {1}, .build = build_contrast};
    check_rows(g, awkward, 3);
    g = (graph){"contrast with a margin",           {5, 5}, {7, 7}, {1}, {1},
                .build = build_contrast_with_margin};
    check_rows(g, awkward, 3);
    g = (graph){
        "contrast of itself", NO_B, {3}, {1}, {1}, .build = build_contrast_of_itself};
    check_rows(g, awkward, 3);
    g = (graph){"contrast against constants",
                {5, 5},
                {3, 3},
                {1},
                {1},
                .build = build_contrast_against_constants,
                .constant = {false, true}};
    check(&g);
    g.constant[0] = true;
    g.constant[1] = false;
    check(&g);
}

/* Row 2 stands in both lists, row 4 in none. */
static const int32_t members[] = {0, 1, 2, 2, 3, 1};

static fb_status build_list(rig *r)
{
    fb_var *logits;
    FB_TRY(fb_op_linear(&r->tape, &logits, r->x[0], r->leaves[0], NULL, true));
    return fb_op_list(&r->tape, &r->loss[0], logits,
                      &(fb_lists){members, NULL, 2, 3, NULL});
}

static fb_status build_drawn_list(rig *r)
{
    static const float log_q[] = {0.3f, -1, 2, 0.5f, 4};
    fb_var *logits;
    FB_TRY(fb_op_linear(&r->tape, &logits, r->x[0], r->leaves[0], NULL, true));
    return fb_op_list(&r->tape, &r->loss[0], logits,
                      &(fb_lists){members, NULL, 2, 3, log_q});
}

static fb_status build_shared_list(rig *r)
{
    static const float targets[] = {0.5f, 0.25f, 0.25f, 0, 0.125f, 0.875f};
    fb_var *logits;
    FB_TRY(fb_op_linear(&r->tape, &logits, r->x[0], r->leaves[0], NULL, true));
    return fb_op_list(&r->tape, &r->loss[0], logits,
                      &(fb_lists){members, targets, 2, 3, NULL});
}

static fb_status build_no_list(rig *r)
{
    fb_var *logits;
    FB_TRY(fb_op_linear(&r->tape, &logits, r->x[0], r->leaves[0], NULL, true));
    return fb_op_list(&r->tape, &r->loss[0], logits,
                      &(fb_lists){members, NULL, 0, 3, NULL});
}

static const int32_t classes[] = {1, 0, 0, 1, 0};

static fb_status build_list_and_entropy(rig *r)
{
    fb_var *logits;
    FB_TRY(fb_op_linear(&r->tape, &logits, r->x[0], r->leaves[0], NULL, true));
    FB_TRY(fb_op_list(&r->tape, &r->loss[0], logits,
                      &(fb_lists){members, NULL, 2, 3, NULL}));
    return fb_op_cross_entropy(&r->tape, &r->loss[1], logits, classes);
}

static fb_status build_entropy_and_list(rig *r)
{
    fb_var *logits;
    FB_TRY(fb_op_linear(&r->tape, &logits, r->x[0], r->leaves[0], NULL, true));
    FB_TRY(fb_op_cross_entropy(&r->tape, &r->loss[1], logits, classes));
    return fb_op_list(&r->tape, &r->loss[0], logits,
                      &(fb_lists){members, NULL, 2, 3, NULL});
}

static void list_agrees_with_differences(void **state)
{
    (void)state;
    graph g = {"list", {5, -1}, {3}, {2}, {3}, .build = build_list};
    check(&g);
    g.name = "list of members drawn by something";
    g.build = build_drawn_list;
    check(&g);
    g.name = "list of members right in their shares";
    g.build = build_shared_list;
    check(&g);
    g.name = "list, then cross entropy of the same logits";
    g.build = build_list_and_entropy;
    check(&g);
    g.name = "cross entropy, then list of the same logits";
    g.build = build_entropy_and_list;
    check(&g);
    g.name = "no list";
    g.build = build_no_list;
    check(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unit_rows_agree_with_differences),
        cmocka_unit_test(contrast_agrees_with_differences),
        cmocka_unit_test(list_agrees_with_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
