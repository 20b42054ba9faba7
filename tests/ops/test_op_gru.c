/* test_op_gru.c - the recurrence of a gated recurrent unit through the tape on the
 * reference backend, against finite differences (op_differences.h), and what it refuses.
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

static const int32_t mixed[] = {0, 3, 4, 4, 9}, whole[] = {0, 9};

static fb_status build_mixed(rig *r)
{
    return fb_op_gru(&r->tape, &r->y, r->x[0], r->leaves[0], r->leaves[1], mixed, 4,
                     false);
}

static fb_status build_backwards(rig *r)
{
    return fb_op_gru(&r->tape, &r->y, r->x[0], r->leaves[0], r->leaves[1], mixed, 4,
                     true);
}

static fb_status build_one_sequence(rig *r)
{
    return fb_op_gru(&r->tape, &r->y, r->x[0], r->leaves[0], r->leaves[1], whole, 1,
                     false);
}

static fb_status build_nothing(rig *r)
{
    static const int32_t none[] = {0};
    return fb_op_gru(&r->tape, &r->y, r->x[0], r->leaves[0], r->leaves[1], none, 0,
                     false);
}

/* Two readings of one input: gradients add up. */
static fb_status build_both(rig *r)
{
    fb_var *a, *b;
    FB_TRY(
        fb_op_gru(&r->tape, &a, r->x[0], r->leaves[0], r->leaves[1], mixed, 4, false));
    FB_TRY(
        fb_op_gru(&r->tape, &b, r->x[0], r->leaves[0], r->leaves[2], mixed, 4, true));
    return fb_op_multiply(&r->tape, &r->y, a, b);
}

static void gru_agrees_with_differences(void **state)
{
    (void)state;
    graph g = {"gru", NO_B, {9}, {9, 9}, {3, 1}, .build = build_mixed};
    g.rows[0] = 9;
    check(&g);
    g.name = "gru backwards";
    g.build = build_backwards;
    check(&g);
    g.name = "gru over one sequence";
    g.build = build_one_sequence;
    check(&g);
    g.name = "gru of one input both ways";
    g.build = build_both;
    g.out[2] = 9;
    g.in[2] = 1;
    check(&g);
    g = (graph){"gru of one unit", NO_B, {3}, {3, 3}, {1, 1}, .build = build_mixed};
    g.rows[0] = 9;
    check(&g);
    g.name = "gru over nothing";
    g.build = build_nothing;
    g.rows[0] = 0;
    check(&g);
}

/* Recurrences of a sequence alone and packed with others are one. */
static void a_sequence_knows_nothing_of_its_neighbours(void **state)
{
    (void)state;
    static const int32_t alone[] = {0, 5};
    graph g = {"gru", NO_B, {9}, {9, 9}, {3, 1}, .build = build_mixed};
    g.rows[0] = 9;
    rig r;
    rig_open(&r, &g, "ref");
    for (int way = 0; way < 2; way++) {
        float packed[15];
        rig_start(&r, false);
        rig_must(&r, fb_op_gru(&r.tape, &r.y, r.x[0], r.leaves[0], r.leaves[1], mixed,
                               4, way));
        memcpy(packed, (float *)r.y->value.data + 12, sizeof packed);
        fb_var last = {
            .value = fb_tensor_2d((float *)r.x[0]->value.data + 36, FB_F32, 5, 9)};
        rig_must(&r, fb_op_gru(&r.tape, &r.y, &last, r.leaves[0], r.leaves[1], alone, 1,
                               way));
        assert_memory_equal(packed, r.y->value.data, sizeof packed);
    }
    rig_close(&r);
}

static void shapes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const int32_t short_ones[] = {0, 3, 4, 4, 8}, falling[] = {0, 5, 4, 4, 9};
    static const struct {
        int64_t columns, out, in;
        const int32_t *offsets;
        const char *words;
    } wrong[] = {{8, 9, 3, mixed, "f32 of 8 columns, not f32 of 9"},
                 {9, 9, 4, mixed, "[9, 4] and a bias of 9, not three of width"},
                 {9, 9, 3, short_ones, "offsets end at 8, there are 9 rows"},
                 {9, 9, 3, falling, "offset 4 after 5, they must ascend"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        graph g = {"refused", NO_B, {0}, {0}, {0}, .build = build_mixed};
        g.rows[0] = 9;
        g.columns[0] = wrong[i].columns;
        g.out[0] = wrong[i].out;
        g.in[0] = wrong[i].in;
        g.out[1] = 9;
        g.in[1] = 1;
        rig r;
        rig_open(&r, &g, "ref");
        rig_start(&r, true);
        assert_int_equal(fb_op_gru(&r.tape, &r.y, r.x[0], r.leaves[0], r.leaves[1],
                                   wrong[i].offsets, 4, false),
                         FB_E_SHAPE);
        if (!strstr(fb_context_message(r.ctx), wrong[i].words))
            fail_msg("%s", fb_context_message(r.ctx));
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gru_agrees_with_differences),
        cmocka_unit_test(a_sequence_knows_nothing_of_its_neighbours),
        cmocka_unit_test(shapes_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
