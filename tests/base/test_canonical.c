/* test_canonical.c - canonical correlations and the trace norm's gradient, in f64: against
 * NumPy's and PyTorch's (tools/make_cca_dump.py), against differences, and each other.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/canonical.h"
#include "base/random.h"
#include "nn/safetensors.h"

static const char *const names[2] = {"the images", "the texts"};
#define BOTH(r, a)                                                                     \
    (const fb_ridge[2])                                                                \
    {                                                                                  \
        {r, a},                                                                        \
        {                                                                              \
            r, a                                                                       \
        }                                                                              \
    }

typedef struct world {
    fb_context *ctx;
    fb_safetensors *dump;
} world;

static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->ctx = fb_context_create();
    assert_int_equal(fb_safetensors_open(w->ctx, &w->dump,
                                         FB_TEST_DATA
                                         "/golden/cca/reference.safetensors"),
                     FB_OK);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    fb_safetensors_close(w->dump);
    fb_context_free(w->ctx);
    free(w);
    return 0;
}

static void must(const world *w, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s", fb_context_message(w->ctx));
}

/* A copy of the dump's, [rows, columns] or [1, count]. */
static fb_matrix dumped(const world *w, const char *name)
{
    const fb_stored_tensor *t = fb_safetensors_find(w->dump, name);
    if (!t)
        fail_msg("the dump has no %s", name);
    fb_matrix m;
    assert_string_equal(t->dtype, "F64");
    must(w, fb_matrix_create(w->ctx, &m, t->rank == 1 ? 1 : (int32_t)t->dims[0],
                             (int32_t)t->dims[t->rank - 1]));
    memcpy(m.at, t->bytes, (size_t)t->count * sizeof(double));
    return m;
}

static fb_matrix drawn(const world *w, int32_t rows, int32_t columns, uint64_t stream)
{
    fb_matrix m;
    must(w, fb_matrix_create(w->ctx, &m, rows, columns));
    fb_random r = fb_random_start(3, FB_STREAM_TEST, stream);
    for (int32_t i = 0; i < rows * columns; i++)
        m.at[i] = fb_random_normal(&r);
    return m;
}

static void add(const world *w, fb_covariance *c, fb_matrix x, fb_matrix y,
                int32_t first, int32_t count)
{
    fb_matrix block_x = fb_matrix_of(NULL, count, x.columns), block_y = block_x;
    block_y.columns = y.columns;
    size_t bytes_x = (size_t)count * (size_t)x.columns * sizeof(double);
    size_t bytes_y = (size_t)count * (size_t)y.columns * sizeof(double);
    block_x.at = malloc(bytes_x + 1);
    block_y.at = malloc(bytes_y + 1);
    assert_non_null(block_x.at);
    assert_non_null(block_y.at);
    memcpy(block_x.at, x.at + (ptrdiff_t)first * x.columns, bytes_x);
    memcpy(block_y.at, y.at + (ptrdiff_t)first * y.columns, bytes_y);
    must(w, fb_covariance_add(w->ctx, c, block_x, block_y));
    free(block_x.at);
    free(block_y.at);
}

/* Sums over blocks of `block` rows. */
static void sum(const world *w, fb_covariance *c, fb_matrix x, fb_matrix y,
                int32_t block)
{
    must(w, fb_covariance_create(w->ctx, c, x.columns, y.columns));
    for (int32_t first = 0; first < x.rows; first += block)
        add(w, c, x, y, first, x.rows - first < block ? x.rows - first : block);
}

static void near(const char *what, double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance * (1 + fabs(want))))
        fail_msg("%s is %.12g, not %.12g", what, got, want);
}

/* Columns up to their sign, which the first view's largest number sets for both. */
static void compare_pairs(const fb_canonical *got, fb_matrix a, fb_matrix b,
                          double tolerance)
{
    for (int32_t k = 0; k < got->k; k++) {
        int32_t most = 0;
        for (int32_t i = 1; i < a.rows; i++)
            if (fabs(a.at[i * a.columns + k]) > fabs(a.at[most * a.columns + k]))
                most = i;
        double sign =
            got->a.at[most * got->k + k] * a.at[most * a.columns + k] > 0 ? 1 : -1;
        for (int32_t i = 0; i < a.rows; i++)
            near("a", sign * got->a.at[i * got->k + k], a.at[i * a.columns + k],
                 tolerance);
        for (int32_t i = 0; i < b.rows; i++)
            near("b", sign * got->b.at[i * got->k + k], b.at[i * b.columns + k],
                 tolerance);
    }
}

static void it_equals_numpy_s_solution_in_any_blocks(void **state)
{
    const world *w = *state;
    static const int32_t blocks[] = {300, 64, 7, 1};
    fb_matrix x = dumped(w, "x"), y = dumped(w, "y"), a = dumped(w, "klein/a"),
              b = dumped(w, "klein/b"), rho = dumped(w, "klein/rho");
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        fb_covariance c;
        fb_canonical got;
        sum(w, &c, x, y, blocks[i]);
        must(w, fb_canonical_solve(w->ctx, &got, &c, 6, BOTH(1e-3, 1e-8), names));
        for (int32_t k = 0; k < 6; k++)
            near("rho", got.rho[k], rho.at[k], 1e-8);
        compare_pairs(&got, a, b, 1e-6);
        fb_canonical_clear(&got);
        fb_covariance_clear(&c);
    }
    free(x.at);
    free(y.at);
    free(a.at);
    free(b.at);
    free(rho.at);
}

/* Bags of words, mostly zeros, against the same numbers with a zero in a hundred moved
 * by too little to matter, which are summed as they lie. */
static void what_is_mostly_zero_is_summed_to_the_same(void **state)
{
    const world *w = *state;
    enum { N = 200, DX = 5, DY = 24 };
    fb_matrix x = drawn(w, N, DX, 1), y;
    must(w, fb_matrix_create(w->ctx, &y, N, DY));
    for (int32_t i = 0; i < N; i++)
        for (int32_t k = 0; k < 2; k++)
            y.at[i * DY + (i * 7 + k * 5) % DY] = 1 + x.at[i * DX + k];
    fb_covariance sparse, dense;
    fb_canonical got, want;
    sum(w, &sparse, x, y, 50);
    assert_true(sparse.sparse_y && !sparse.sparse_x);
    for (int32_t i = 0; i < N * DY; i++)
        y.at[i] += y.at[i] > 0 || y.at[i] < 0 ? 0 : 1e-14;
    sum(w, &dense, x, y, 50);
    assert_false(dense.sparse_y);
    must(w, fb_canonical_solve(w->ctx, &got, &sparse, DX, BOTH(1e-2, 0), names));
    must(w, fb_canonical_solve(w->ctx, &want, &dense, DX, BOTH(1e-2, 0), names));
    compare_pairs(&got, want.a, want.b, 1e-9);
    fb_covariance_clear(&sparse);
    fb_covariance_clear(&dense);
    fb_canonical_clear(&got);
    fb_canonical_clear(&want);
    free(x.at);
    free(y.at);
}

/* A^T C A = I and A^T C12 B = diag(rho): coordinates have variance 1, are uncorrelated,
 * and each correlates with its own counterpart alone. */
static void coordinates_are_white_and_correlate_in_pairs(void **state)
{
    const world *w = *state;
    fb_matrix x = dumped(w, "x"), y = dumped(w, "y");
    fb_covariance c;
    fb_canonical got;
    sum(w, &c, x, y, 100);
    must(w, fb_canonical_solve(w->ctx, &got, &c, 6, BOTH(0, 0), names));
    double cov[2][6][6] = {0};
    for (int32_t n = 0; n < x.rows; n++)
        for (int32_t p = 0; p < 6; p++)
            for (int32_t q = 0; q < 6; q++) {
                double u = 0, s = 0, v = 0;
                for (int32_t i = 0; i < x.columns; i++) {
                    double at = x.at[n * x.columns + i] - got.mean_x[i];
                    u += at * got.a.at[i * 6 + p];
                    s += at * got.a.at[i * 6 + q];
                }
                for (int32_t i = 0; i < y.columns; i++)
                    v +=
                        (y.at[n * y.columns + i] - got.mean_y[i]) * got.b.at[i * 6 + q];
                cov[0][p][q] += u * s / (x.rows - 1);
                cov[1][p][q] += u * v / (x.rows - 1);
            }
    for (int32_t p = 0; p < 6; p++)
        for (int32_t q = 0; q < 6; q++) {
            near("a covariance", cov[0][p][q], p == q, 1e-7);
            near("a correlation", cov[1][p][q], p == q ? got.rho[p] : 0, 1e-7);
        }
    fb_covariance_clear(&c);
    fb_canonical_clear(&got);
    free(x.at);
    free(y.at);
}

/* Of 60 pairs whose correlations fall the first 5. */
static void about_is_near_where_few_are_asked_for(void **state)
{
    const world *w = *state;
    enum { N = 400, DX = 90, DY = 60, K = 5 };
    fb_matrix x = drawn(w, N, DX, 11), y = drawn(w, N, DY, 12);
    for (int32_t i = 0; i < N; i++)
        for (int32_t j = 0; j < 12; j++)
            y.at[i * DY + j] += 3.0 / (j + 1) * x.at[i * DX + j];
    fb_covariance c;
    fb_canonical got, want;
    sum(w, &c, x, y, 100);
    must(w, fb_canonical_solve_about(w->ctx, &got, &c, K, BOTH(1e-2, 0), names));
    must(w, fb_canonical_solve(w->ctx, &want, &c, K, BOTH(1e-2, 0), names));
    for (int32_t k = 0; k < K; k++)
        near("rho", got.rho[k], want.rho[k], 1e-4);
    compare_pairs(&got, want.a, want.b, 1e-2);
    fb_covariance_clear(&c);
    fb_canonical_clear(&got);
    fb_canonical_clear(&want);
    free(x.at);
    free(y.at);
}

static void refuse(const world *w, fb_matrix x, fb_matrix y, const fb_ridge ridge[2],
                   const char *sentence)
{
    fb_covariance c;
    fb_canonical got;
    sum(w, &c, x, y, 64);
    assert_int_not_equal(fb_canonical_solve(w->ctx, &got, &c, 2, ridge, names), FB_OK);
    if (!strstr(fb_context_message(w->ctx), sentence))
        fail_msg("\"%s\" does not say \"%s\"", fb_context_message(w->ctx), sentence);
    fb_canonical_clear(&got);
    fb_covariance_clear(&c);
}

static void degenerate_covariances_are_refused_in_a_sentence(void **state)
{
    const world *w = *state;
    fb_matrix x = drawn(w, 30, 4, 1), y = drawn(w, 30, 3, 2);
    for (int32_t i = 0; i < 30; i++)
        x.at[i * 4 + 2] = 5;
    refuse(w, x, y, BOTH(0, 0), "number 2 of 4 of the images is constant");
    for (int32_t i = 0; i < 30 * 4; i++)
        x.at[i] = 5;
    refuse(w, x, y, BOTH(1e-3, 1e-8), "the images are the same in every product");
    fb_matrix one = fb_matrix_of(x.at, 1, 4), other = fb_matrix_of(y.at, 1, 3);
    refuse(w, one, other, BOTH(1e-3, 1e-8), "need 2 products, there is 1");
    fb_covariance c;
    must(w, fb_covariance_create(w->ctx, &c, 4, 3));
    y.at[7] = (double)NAN;
    assert_int_equal(fb_covariance_add(w->ctx, &c, x, y), FB_E_NUMBER);
    assert_non_null(strstr(fb_context_message(w->ctx), "row 2 is not finite"));
    assert_int_equal(c.count, 0);
    fb_covariance_clear(&c);
    free(x.at);
    free(y.at);
}

/* ---- the trace norm ---------------------------------------------------------------- */

static double norm_of(const world *w, fb_matrix h1, fb_matrix h2, int32_t k,
                      const double r[2])
{
    fb_matrix none = {0}, copy[2];
    const fb_matrix h[2] = {h1, h2};
    double norm;
    for (int i = 0; i < 2; i++) {
        must(w, fb_matrix_create(w->ctx, &copy[i], h[i].rows, h[i].columns));
        memcpy(copy[i].at, h[i].at,
               (size_t)h[i].rows * (size_t)h[i].columns * sizeof(double));
    }
    must(w, fb_trace_norm(w->ctx, &norm, none, none, copy[0], copy[1], k, r));
    free(copy[0].at);
    free(copy[1].at);
    return norm;
}

/* The first `rows` of the dump's x or y. */
static fb_matrix first_rows(const world *w, const char *name, int32_t rows)
{
    fb_matrix m = dumped(w, name);
    m.rows = rows;
    return m;
}

static void the_norm_and_its_gradient_equal_pytorch_s(void **state)
{
    const world *w = *state;
    static const double r[2] = {1e-3, 0.05};
    for (int whole = 0; whole < 2; whole++) {
        const char *name = whole ? "norm/all" : "norm/top";
        fb_matrix h1 = first_rows(w, "x", 40), h2 = first_rows(w, "y", 40);
        fb_matrix want = dumped(w, name), g1, g2;
        fb_matrix want1 = dumped(w, whole ? "norm/all/h1" : "norm/top/h1");
        fb_matrix want2 = dumped(w, whole ? "norm/all/h2" : "norm/top/h2");
        double norm;
        must(w, fb_matrix_create(w->ctx, &g1, 40, h1.columns));
        must(w, fb_matrix_create(w->ctx, &g2, 40, h2.columns));
        must(w, fb_trace_norm(w->ctx, &norm, g1, g2, h1, h2, whole ? 6 : 3, r));
        near(name, norm, want.at[0], 1e-9);
        for (int32_t i = 0; i < 40 * h1.columns; i++)
            near("d h1", g1.at[i], want1.at[i], 1e-8);
        for (int32_t i = 0; i < 40 * h2.columns; i++)
            near("d h2", g2.at[i], want2.at[i], 1e-8);
        const fb_matrix all[] = {h1, h2, g1, g2, want, want1, want2};
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
            free(all[i].at);
    }
}

/* (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h of every number */
static void compare_differences(const world *w, fb_matrix h1, fb_matrix h2, int32_t k,
                                const double r[2])
{
    const double h = 1e-3;
    fb_matrix g[2], copy[2];
    const fb_matrix at[2] = {h1, h2};
    double norm;
    for (int i = 0; i < 2; i++) {
        must(w, fb_matrix_create(w->ctx, &g[i], at[i].rows, at[i].columns));
        must(w, fb_matrix_create(w->ctx, &copy[i], at[i].rows, at[i].columns));
        memcpy(copy[i].at, at[i].at,
               (size_t)at[i].rows * (size_t)at[i].columns * sizeof(double));
    }
    must(w, fb_trace_norm(w->ctx, &norm, g[0], g[1], copy[0], copy[1], k, r));
    for (int side = 0; side < 2; side++)
        for (int32_t i = 0; i < at[side].rows * at[side].columns; i++) {
            double *place = &at[side].at[i], was = *place, f[4];
            for (int step = 0; step < 4; step++) {
                *place = was + h * (step < 2 ? step - 2 : step - 1);
                f[step] = norm_of(w, h1, h2, k, r);
            }
            *place = was;
            near("a gradient", g[side].at[i],
                 (8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * h), 1e-8);
        }
    for (int i = 0; i < 2; i++) {
        free(g[i].at);
        free(copy[i].at);
    }
}

static void the_gradient_agrees_with_differences(void **state)
{
    const world *w = *state;
    static const double ridges[][2] = {{0.05, 0.05}, {1e-1, 1e-3}};
    for (int i = 0; i < 2; i++)
        for (int32_t k = 2; k <= 3; k++) {
            fb_matrix h1 = drawn(w, 12, 4, 5), h2 = drawn(w, 12, 3, 6);
            compare_differences(w, h1, h2, k, ridges[i]);
            free(h1.at);
            free(h2.at);
        }
}

/* Covariances with equal eigenvalues, where a gradient through eigenvectors divides by
 * zero: columns of a Hadamard matrix. */
static void equal_eigenvalues_have_a_gradient(void **state)
{
    const world *w = *state;
    static const double r[2] = {1e-2, 1e-2};
    fb_matrix h1, h2 = drawn(w, 8, 3, 9);
    must(w, fb_matrix_create(w->ctx, &h1, 8, 3));
    for (int32_t i = 0; i < 8; i++)
        for (int32_t j = 0; j < 3; j++)
            h1.at[i * 3 + j] = i >> j & 1 ? 1 : -1;
    compare_differences(w, h1, h2, 3, r);
    free(h1.at);
    free(h2.at);
}

/* Two linear networks that follow the gradient end where CCA has them at once: their
 * outputs correlate as the first k canonical pairs do. */
static void linear_networks_find_what_cca_finds(void **state)
{
    const world *w = *state;
    enum { N = 300, O = 2, STEPS = 1000 };
    static const double r[2] = {1e-8, 1e-8};
    fb_matrix x = dumped(w, "x"), y = dumped(w, "y"), h[2], g[2], u[2], weight[2];
    const fb_matrix in[2] = {x, y};
    fb_covariance c;
    fb_canonical cca;
    double norm = 0;
    sum(w, &c, x, y, N);
    must(w, fb_canonical_solve(w->ctx, &cca, &c, O, BOTH(0, 1e-8), names));
    for (int32_t j = 0; j < x.columns; j++) /* of one scale, as networks like it */
        for (int32_t i = 0; i < N; i++)
            x.at[i * x.columns + j] =
                (x.at[i * x.columns + j] - cca.mean_x[j]) /
                sqrt((c.xx.at[j * x.columns + j] - c.sum_x[j] * c.sum_x[j] / N) / N);
    for (int s = 0; s < 2; s++) {
        weight[s] = drawn(w, in[s].columns, O, 30 + (uint64_t)s);
        must(w, fb_matrix_create(w->ctx, &h[s], N, O));
        must(w, fb_matrix_create(w->ctx, &g[s], N, O));
        must(w, fb_matrix_create(w->ctx, &u[s], in[s].columns, O));
    }
    for (int step = 0; step < STEPS; step++) {
        for (int s = 0; s < 2; s++)
            fb_dense_multiply(h[s], false, 1, FB_DENSE_NN, in[s], weight[s]);
        must(w, fb_trace_norm(w->ctx, &norm, g[0], g[1], h[0], h[1], O, r));
        for (int s = 0; s < 2; s++)
            fb_dense_multiply(weight[s], true, 8, FB_DENSE_TN, in[s], g[s]);
    }
    near("the sum of correlations", norm, cca.rho[0] + cca.rho[1], 1e-5);
    for (int s = 0; s < 2; s++) {
        free(h[s].at);
        free(g[s].at);
        free(u[s].at);
        free(weight[s].at);
        free(in[s].at);
    }
    fb_covariance_clear(&c);
    fb_canonical_clear(&cca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_equals_numpy_s_solution_in_any_blocks),
        cmocka_unit_test(what_is_mostly_zero_is_summed_to_the_same),
        cmocka_unit_test(coordinates_are_white_and_correlate_in_pairs),
        cmocka_unit_test(about_is_near_where_few_are_asked_for),
        cmocka_unit_test(degenerate_covariances_are_refused_in_a_sentence),
        cmocka_unit_test(the_norm_and_its_gradient_equal_pytorch_s),
        cmocka_unit_test(the_gradient_agrees_with_differences),
        cmocka_unit_test(equal_eigenvalues_have_a_gradient),
        cmocka_unit_test(linear_networks_find_what_cca_finds),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
