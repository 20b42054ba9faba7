/* test_backend_int8.c - int8 products of the cpu backend against the reference: the
 * integer part to the bit, the f32 numbers made of it within their rounding.
 */
#include "backend/cpu/cpu_backend.h"
#include "backend/int8.h"
#include "support/op_harness.h"

#include <float.h>

typedef struct int8_case {
    int64_t rows, in, out;
    op_numbers x, w, scale, bias, y;
    fb_weight weight[OP_SIDES];
} int8_case;

static void case_make(op_world *w, int8_case *c, int64_t rows, int64_t in, int64_t out)
{
    *c = (int8_case){rows,
                     in,
                     out,
                     op_input(w, FB_F32, rows, in, 1.3),
                     op_input(w, FB_F32, out, in, 0.05),
                     op_parameter(w, 1, out),
                     op_input(w, FB_F32, 1, out, 0.5),
                     op_output(w, FB_F32, rows, out),
                     {{0}}};
    for (int s = 0; s < OP_SIDES; s++)
        c->weight[s] = (fb_weight){c->w.t[s].data, out, in, 1, NULL};
}

static void put(op_world *w, op_numbers *n, int64_t index, float value)
{
    for (int s = 0; s < OP_SIDES; s++)
        op_put(w, n, s, index, value);
}

static void case_run(op_world *w, int8_case *c, bool with_bias, fb_activation act)
{
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        op_call(w, be->k->linear_int8_forward(
                       w->ctx, be, &c->y.t[s], &c->x.t[s], &c->weight[s],
                       c->scale.t[s].data, with_bias ? c->bias.t[s].data : NULL, act));
    }
}

static void case_free(op_world *w, int8_case *c)
{
    for (int s = 0; s < OP_SIDES; s++)
        op_backend(w, s)->k->weight_release(op_backend(w, s), &c->weight[s]);
}

/* The largest magnitude of each row of w over 127. */
static void fit_scales(op_world *w, int8_case *c)
{
    for (int64_t n = 0; n < c->out; n++) {
        float most = 0;
        for (int64_t k = 0; k < c->in; k++)
            most = fmaxf(most, fabsf(op_get(w, &c->w, 0, n * c->in + k)));
        put(w, &c->scale, n, most / 127.0f);
    }
}

static void new_weights(op_world *w, int8_case *c)
{
    for (int64_t i = 0; i < c->out * c->in; i++)
        put(w, &c->w, i, -0.7f * op_get(w, &c->w, 0, i) + 0.01f);
    for (int s = 0; s < OP_SIDES; s++)
        c->weight[s].version++;
    fit_scales(w, c);
}

static void check_numbers(op_world *w, int64_t rows, int64_t in, int64_t out)
{
    for (int option = 0; option < 2 * (FB_ACT_RELU + 1); option++) {
        int8_case c;
        bool with_bias = option & 1;
        fb_activation act = (fb_activation)(option / 2);
        op_begin(w, "linear_int8_forward [%d,%d] x [%d], bias %d, activation %d",
                 (int)rows, (int)in, (int)out, with_bias, (int)act);
        case_make(w, &c, rows, in, out);
        fit_scales(w, &c);
        case_run(w, &c, with_bias, act);
        op_compare(w, "y", &c.y, 1.0);
        new_weights(w, &c);
        case_run(w, &c, with_bias, act);
        op_compare(w, "y after a change of weights", &c.y, 1.0);
        case_free(w, &c);
    }
}

static const int64_t shapes[][3] = {
    {1, 1, 1},    {0, 5, 7},     {3, 5, 7},     {17, 31, 13},
    {64, 64, 64}, {5, 2, 65},    {7, 3, 129},   {127, 61, 1},
    {2, 768, 2},  {1, 768, 769}, {200, 96, 80}, {49, 257, 101},
};

static void check_shapes(op_world *w)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_numbers(w, shapes[i][0], shapes[i][1], shapes[i][2]);
}

static void int8_equals_reference(void **state)
{
    (void)state;
    op_for_each_world(check_shapes);
}

/* Whole numbers with scales of 1: y is the sum itself, which f32 holds exactly up to 2^24.
 * `extreme`: all of them 127 or -127, with which sums of pairs of products of u8 with s8
 * leave 16 bits. */
static void check_sums(op_world *w, int64_t rows, int64_t in, int64_t out, bool extreme)
{
    int8_case c;
    op_begin(w, "sums of linear_int8_forward [%d,%d] x [%d], extreme %d", (int)rows,
             (int)in, (int)out, extreme);
    case_make(w, &c, rows, in, out);
    int64_t *q = calloc((size_t)((rows + out) * in + 1), sizeof *q);
    assert_non_null(q);
    for (int64_t i = 0; i < (rows + out) * in; i++) {
        int64_t drawn = (int64_t)(fb_random_uniform(&w->random) * 255) - 127;
        q[i] = !extreme && i % in ? drawn : drawn % 3 ? 127 : -127;
        if (extreme && i / in % 2 == 0) /* rows of one sign: the largest sums */
            q[i] = i / in % 4 ? 127 : -127;
        put(w, i < rows * in ? &c.x : &c.w, i < rows * in ? i : i - rows * in,
            (float)q[i]);
    }
    for (int64_t n = 0; n < out; n++)
        put(w, &c.scale, n, 1.0f);
    case_run(w, &c, false, FB_ACT_NONE);
    op_compare(w, "y", &c.y, 0.0);
    for (int64_t i = 0; i < rows * out; i++) {
        int64_t sum = 0;
        for (int64_t k = 0; k < in; k++)
            sum += q[i / out * in + k] * q[(rows + i % out) * in + k];
        for (int s = 0; s < 2; s++)
            if (!((double)op_get(w, &c.y, s, i) == (double)sum))
                fail_msg("%s: side %d, sum %lld is %.1f, not %lld", w->what, s,
                         (long long)i, (double)op_get(w, &c.y, s, i), (long long)sum);
    }
    free(q);
    case_free(w, &c);
}

static void check_all_sums(op_world *w)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int extreme = 0; extreme < 2; extreme++)
            check_sums(w, shapes[i][0], shapes[i][1], shapes[i][2], extreme);
    check_sums(w, 13, 1040, 37, true); /* 127^2 K reaches 2^24 */
}

static void sums_are_exact(void **state)
{
    (void)state;
    op_for_each_world(check_all_sums);
}

/* Rows of zeros, of numbers too small for a scale, of numbers that are not finite. */
static void check_odd_rows(op_world *w)
{
    int8_case c;
    enum { ROWS = 9, IN = 19, OUT = 21 };
    op_begin(w, "linear_int8_forward of odd rows");
    case_make(w, &c, ROWS, IN, OUT);
    fit_scales(w, &c);
    put(w, &c.scale, 4, 0.0f);
    for (int64_t k = 0; k < IN; k++) {
        put(w, &c.x, 1 * IN + k, 0.0f);
        put(w, &c.x, 2 * IN + k, k % 2 ? 1e-31f : -1e-38f);
        put(w, &c.x, 3 * IN + k, k % 2 ? FLT_MAX : -FLT_MAX / 300);
    }
    put(w, &c.x, 5 * IN + 18, NAN);
    put(w, &c.x, 6 * IN, INFINITY);
    put(w, &c.x, 7 * IN + 7, -INFINITY);
    case_run(w, &c, true, FB_ACT_NONE);
    for (int64_t i = 0; i < (int64_t)ROWS * OUT; i++) {
        int64_t row = i / OUT;
        float ours = op_get(w, &c.y, 1, i), theirs = op_get(w, &c.y, 0, i);
        float bias = op_get(w, &c.bias, 0, i % OUT);
        assert_int_equal(isnan(ours), isnan(theirs));
        assert_int_equal(isnan(ours), row >= 5 && row <= 7);
        if (row == 1 || row == 2 || (i % OUT == 4 && row < 5))
            assert_true(ours == bias && theirs == bias);
        else if (!isnan(ours))
            assert_true(fabsf(ours - theirs) <= 1e-5f * (1 + fabsf(theirs)));
    }
    case_free(w, &c);
}

static void odd_rows_are_as_stated(void **state)
{
    (void)state;
    op_for_each_world(check_odd_rows);
}

/* oneDNN's way, whether or not it is the one that is taken here: of weights so small that
 * no processor's sums of pairs saturate, its sums are exact. */
static void check_library(op_world *w)
{
    cpu_backend *c = (cpu_backend *)w->be[1];
    if (w->exact || w->vector_set > 0)
        return;
    assert_int_equal(c->int8, CPU_INT8_UNDECIDED);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        int8_case k;
        op_begin(w, "linear_int8_forward by oneDNN [%d,%d] x [%d]", (int)shapes[i][0],
                 (int)shapes[i][1], (int)shapes[i][2]);
        case_make(w, &k, shapes[i][0], shapes[i][1], shapes[i][2]);
        for (int round = 0; round < 3; round++) {
            fit_scales(w, &k);
            for (int64_t n = 0; n < k.out; n++) /* -63 .. 63 */
                put(w, &k.scale, n, op_get(w, &k.scale, 0, n) * 127.0f / 63.0f);
            c->int8 = CPU_INT8_LIBRARY;
            case_run(w, &k, round % 2, (fb_activation)round);
            op_compare(w, "y", &k.y, 1.0);
            new_weights(w, &k);
        }
        case_free(w, &k);
    }
}

static void library_equals_reference(void **state)
{
    (void)state;
    op_for_each_world(check_library);
}

/* Decided once, whichever it is, and named. */
static void check_choice(op_world *w)
{
    const char *by = NULL, *again = NULL;
    fb_backend *be = w->be[1];
    op_begin(w, "int8_begin");
    op_call(w, be->k->int8_begin(w->ctx, be, &by));
    op_call(w, be->k->int8_begin(w->ctx, be, &again));
    assert_true(by && by[0] && by == again);
    if (!w->exact)
        assert_int_not_equal(((cpu_backend *)be)->int8, CPU_INT8_UNDECIDED);
}

static void way_is_chosen_once(void **state)
{
    (void)state;
    op_for_each_world(check_choice);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(int8_equals_reference),
        cmocka_unit_test(sums_are_exact),
        cmocka_unit_test(odd_rows_are_as_stated),
        cmocka_unit_test(library_equals_reference),
        cmocka_unit_test(way_is_chosen_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
