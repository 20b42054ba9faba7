/* test_triangle.c - Cholesky's factor and solving with it, against the definition. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/triangle.h"

/* B B^T + I / 10, symmetric and positive definite. */
static double *make_matrix(int32_t n)
{
    double *b = malloc((size_t)n * (size_t)n * sizeof *b);
    double *c = malloc((size_t)n * (size_t)n * sizeof *c);
    assert_non_null(b);
    assert_non_null(c);
    fb_random r = fb_random_start(11, FB_STREAM_TEST, (uint64_t)n);
    for (int32_t i = 0; i < n * n; i++)
        b[i] = fb_random_normal(&r);
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < n; j++) {
            c[i * n + j] = i == j ? 0.1 : 0;
            for (int32_t k = 0; k < n; k++)
                c[i * n + j] += b[i * n + k] * b[j * n + k];
        }
    free(b);
    return c;
}

static const int32_t sizes[] = {1, 2, 7, 8, 9, 40, 67};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

static void products_add_up(void **state)
{
    (void)state;
    enum { ROWS = 13 };
    static const int32_t widths[] = {1, 5, 48, 49, 100};
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        int32_t n = widths[w];
        float *x = malloc((size_t)ROWS * (size_t)n * sizeof *x);
        double *c = malloc((size_t)n * (size_t)n * sizeof *c);
        assert_non_null(x);
        assert_non_null(c);
        fb_random r = fb_random_start(2, FB_STREAM_TEST, (uint64_t)n);
        for (int32_t i = 0; i < ROWS * n; i++)
            x[i] = (float)fb_random_normal(&r);
        for (int32_t i = 0; i < n * n; i++)
            c[i] = i;
        fb_triangle_add(c, n, x, ROWS, 2);
        for (int32_t i = 0; i < n; i++)
            for (int32_t j = 0; j < n; j++) {
                double sum = i * n + j; /* the upper half stays */
                for (int32_t k = 0; j <= i && k < ROWS; k++)
                    sum += (double)x[k * n + i] * (double)x[k * n + j];
                if (!(fabs(sum - c[i * n + j]) <= 1e-9))
                    fail_msg("n %d: [%d, %d] is %g, not %g", n, i, j, c[i * n + j],
                             sum);
            }
        free(c);
        free(x);
    }
}

static void the_factor_times_itself_is_the_matrix(void **state)
{
    (void)state;
    for (int s = 0; s < SIZES; s++) {
        int32_t n = sizes[s];
        double *c = make_matrix(n), *l = make_matrix(n);
        assert_int_equal(fb_triangle_factor(NULL, l, n), FB_OK);
        for (int32_t i = 0; i < n; i++)
            for (int32_t j = 0; j <= i; j++) {
                double sum = 0;
                for (int32_t k = 0; k <= j; k++)
                    sum += l[i * n + k] * l[j * n + k];
                if (!(fabs(sum - c[i * n + j]) <= 1e-9 * n))
                    fail_msg("n %d: [%d, %d] is %g, not %g", n, i, j, sum,
                             c[i * n + j]);
            }
        free(l);
        free(c);
    }
}

static void a_solved_row_times_the_factor_is_the_row(void **state)
{
    (void)state;
    enum { ROWS = 70 }; /* more than two rounds of lanes */
    for (int s = 0; s < SIZES; s++) {
        int32_t n = sizes[s];
        double *l = make_matrix(n);
        float *rows = malloc((size_t)ROWS * (size_t)n * sizeof *rows);
        float *before = malloc((size_t)ROWS * (size_t)n * sizeof *before);
        assert_non_null(rows);
        assert_non_null(before);
        assert_int_equal(fb_triangle_factor(NULL, l, n), FB_OK);
        fb_random r = fb_random_start(5, FB_STREAM_TEST, (uint64_t)n);
        for (int32_t i = 0; i < ROWS * n; i++)
            rows[i] = before[i] = (float)fb_random_normal(&r);
        assert_int_equal(fb_triangle_solve(NULL, l, n, rows, ROWS, 2), FB_OK);
        for (int32_t k = 0; k < ROWS; k++)
            for (int32_t i = 0; i < n; i++) {
                double sum = 0, scale = 1;
                for (int32_t j = 0; j <= i; j++) {
                    sum += l[i * n + j] * (double)rows[k * n + j];
                    scale += fabs(l[i * n + j] * (double)rows[k * n + j]);
                }
                if (!(fabs(sum - (double)before[k * n + i]) <= 1e-6 * scale))
                    fail_msg("n %d: row %d, %d: %g, not %g", n, k, i, sum,
                             (double)before[k * n + i]);
            }
        free(before);
        free(rows);
        free(l);
    }
}

static void a_matrix_that_has_no_factor_is_an_error(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    double indefinite[] = {1, 2, 2, 1}, nan[] = {1, 0, NAN, 1}, zero[] = {0};
    assert_int_equal(fb_triangle_factor(ctx, indefinite, 2), FB_E_NUMBER);
    assert_non_null(strstr(fb_context_message(ctx), "positive definite"));
    assert_int_equal(fb_triangle_factor(ctx, nan, 2), FB_E_NUMBER);
    assert_int_equal(fb_triangle_factor(ctx, zero, 1), FB_E_NUMBER);
    fb_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_add_up),
        cmocka_unit_test(the_factor_times_itself_is_the_matrix),
        cmocka_unit_test(a_solved_row_times_the_factor_is_the_row),
        cmocka_unit_test(a_matrix_that_has_no_factor_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
