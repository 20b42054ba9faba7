/* test_group_products.c - products of rows within groups: against plain loops on every
 * backend and dtype, their backward against finite differences, and what is refused.
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

static const struct {
    const char *backend, *dtype;
    double tolerance;
} kinds[] = {{"ref", "f32", 1e-6},
             {"poison", "f32", 1e-6},
             {"cpu", "f32", 1e-5},
             {"cpu", "bf16", 1e-2}};

enum { GROUPS = 3, SIZE = 4, WIDTH = 40, ROWS = GROUPS * SIZE };

static double number(const fb_tensor *t, int64_t i)
{
    return t->dtype == FB_F32 ? (double)((const float *)t->data)[i]
                              : (double)fb_bf16_to_f32(((const fb_bf16 *)t->data)[i]);
}

static fb_var *variable(fb_tape *tape, uint64_t stream, int64_t rows, int64_t columns)
{
    fb_var *x;
    assert_int_equal(fb_tape_new_var(tape, &x, tape->be->dtype, rows, columns), FB_OK);
    fb_tensor host = fb_tensor_new(tape->arena, x->value.dtype, rows, columns);
    assert_non_null(host.data);
    for (int64_t i = 0; i < rows * columns; i++) {
        if (host.dtype == FB_F32)
            ((float *)host.data)[i] = draw(stream, i);
        else
            ((fb_bf16 *)host.data)[i] = fb_bf16_from_f32(draw(stream, i));
    }
    assert_int_equal(fb_tape_upload(tape, &x->value, &host), FB_OK);
    return x;
}

/* On the host. */
static fb_tensor fetched(fb_tape *tape, const fb_tensor *t)
{
    const void *numbers;
    fb_tensor host = *t;
    assert_int_equal(fb_tape_read(tape, &numbers, t), FB_OK);
    assert_int_equal(fb_tape_fetch(tape), FB_OK);
    host.data = (void *)(uintptr_t)numbers; /* read only */
    return host;
}

static void near(const char *what, int64_t i, double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance * (1 + fabs(want))))
        fail_msg("%s[%d] is %.8g, loops say %.8g", what, (int)i, got, want);
}

static void check_backward(fb_tape *tape, const fb_var *a, const fb_var *b,
                           const fb_var *y, double tolerance)
{
    fb_tensor av = fetched(tape, &a->value), ag = fetched(tape, &a->grad),
              bv = fetched(tape, &b->value), bg = fetched(tape, &b->grad),
              dy = fetched(tape, &y->value);
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t c = 0; c < WIDTH; c++) {
            double da = 0, db = 0;
            int64_t first = r / SIZE * SIZE;
            for (int64_t k = 0; k < SIZE; k++) {
                da += number(&dy, r * SIZE + k) * number(&bv, (first + k) * WIDTH + c);
                db += number(&dy, (first + k) * SIZE + r % SIZE) *
                      number(&av, (first + k) * WIDTH + c);
            }
            near("da", r * WIDTH + c, number(&ag, r * WIDTH + c), da, tolerance);
            near("db", r * WIDTH + c, number(&bg, r * WIDTH + c), db, tolerance);
        }
}

static void products_and_gradients_equal_plain_loops(void **state)
{
    (void)state;
    for (size_t k = 0; k < 4; k++) {
        if (strcmp(kinds[k].dtype, "bf16") == 0 && !fb_backend_cpu_has_bf16())
            continue;
        fb_context *ctx = fb_context_create();
        fb_arena *arena = fb_arena_create(1 << 14);
        fb_backend *be;
        fb_tape tape = {0};
        assert_int_equal(
            test_backend_create(ctx, &be, kinds[k].backend, kinds[k].dtype, 2), FB_OK);
        fb_tape_begin(&tape, ctx, be, arena, true);
        fb_var *a = variable(&tape, 1, ROWS, WIDTH),
               *b = variable(&tape, 2, ROWS, WIDTH), *y;
        assert_int_equal(fb_op_group_products(&tape, &y, a, b, SIZE), FB_OK);
        assert_int_equal(y->value.dtype, FB_F32);
        fb_tensor av = fetched(&tape, &a->value), bv = fetched(&tape, &b->value),
                  yv = fetched(&tape, &y->value);
        for (int64_t i = 0; i < ROWS * SIZE; i++) {
            int64_t row = i / SIZE, other = row / SIZE * SIZE + i % SIZE;
            double want = 0;
            for (int64_t c = 0; c < WIDTH; c++)
                want += number(&av, row * WIDTH + c) * number(&bv, other * WIDTH + c);
            near("y", i, number(&yv, i), want, kinds[k].tolerance);
        }
        fb_var *dy = variable(&tape, 3, ROWS, SIZE);
        y->grad = dy->value;
        assert_int_equal(fb_tape_backward(&tape, NULL, NULL, true), FB_OK);
        check_backward(&tape, a, b, dy, kinds[k].tolerance);
        fb_arena_free(arena);
        fb_backend_free(be);
        fb_context_free(ctx);
    }
}

static fb_status build_threes(rig *r)
{
    return fb_op_group_products(&r->tape, &r->y, r->x[0], r->x[1], 3);
}

static fb_status build_ones(rig *r)
{
    return fb_op_group_products(&r->tape, &r->y, r->x[0], r->x[1], 1);
}

/* Both sides, and another use of the same rows: gradients add up. */
static fb_status build_of_itself(rig *r)
{
    static const int32_t classes[] = {0, 1, 2, 0, 2, 1}, turn[] = {3, 1, 0, 5, 4, 2};
    fb_var *logits, *turned;
    FB_TRY(fb_op_gather(&r->tape, &turned, r->x[0], NULL, turn, 6));
    FB_TRY(fb_op_group_products(&r->tape, &logits, turned, r->x[0], 3));
    FB_TRY(fb_op_cross_entropy(&r->tape, &r->loss[0], logits, classes));
    FB_TRY(fb_op_group_products(&r->tape, &logits, r->x[0], r->x[0], 3));
    return fb_op_cross_entropy(&r->tape, &r->loss[1], logits, classes);
}

static void group_products_agree_with_differences(void **state)
{
    (void)state;
    graph g = {"group products", {6, 6}, {5, 5}, {0}, {0}, .build = build_threes};
    check(&g);
    g.rows[0] = g.rows[1] = 0;
    check(&g);
    g = (graph){"one to one", {4, 4}, {5, 5}, {0}, {0}, .build = build_ones};
    check(&g);
    g = (graph){"constant b", {6, 6}, {5, 5}, {0}, {0}, .build = build_threes};
    g.constant[1] = true;
    check(&g);
    g = (graph){"of itself", {6, -1}, {5}, {0}, {0}, .build = build_of_itself};
    check(&g);
}

static void shapes_that_do_not_group_are_refused(void **state)
{
    (void)state;
    static const struct {
        int64_t a_rows, a_columns, b_rows, b_columns, size;
        const char *words;
    } wrong[] = {{6, 5, 6, 4, 3, "[6, 5] against [6, 4]"},
                 {6, 5, 3, 5, 3, "[6, 5] against [3, 5]"},
                 {6, 5, 6, 5, 4, "6 rows do not divide into groups of 4"},
                 {6, 5, 6, 5, 0, "groups of 0"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        graph g = {"refused", NO_B, {1}, {0}, {0}, .build = build_ones};
        rig r;
        rig_open(&r, &g, "ref");
        rig_start(&r, true);
        fb_var *a = variable(&r.tape, 1, wrong[i].a_rows, wrong[i].a_columns);
        fb_var *b = variable(&r.tape, 2, wrong[i].b_rows, wrong[i].b_columns), *y;
        assert_int_equal(fb_op_group_products(&r.tape, &y, a, b, wrong[i].size),
                         FB_E_SHAPE);
        if (!strstr(fb_context_message(r.ctx), wrong[i].words))
            fail_msg("%s", fb_context_message(r.ctx));
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_and_gradients_equal_plain_loops),
        cmocka_unit_test(group_products_agree_with_differences),
        cmocka_unit_test(shapes_that_do_not_group_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
