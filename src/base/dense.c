/* dense.c - see dense.h.
 *
 * LAPACK reads columns one after the other: it is handed row-major memory as the
 * transposed matrix, so nothing is copied. Lower halves are its upper ones; of
 * A = U S V^T it finds A^T = V S U^T.
 */
#include "base/dense.h"

#include "base/cores.h"
#include "base/random.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* OpenBLAS's own: another BLAS's header may stand in for the one named above. */
extern void openblas_set_num_threads(int threads);
extern int openblas_get_num_threads(void);

enum { BLOCK = 64 };

static fb_status fail_memory(fb_context *ctx, int64_t rows, int64_t columns)
{
    return fb_fail(ctx, FB_E_MEMORY, "no memory for a matrix of %lld x %lld",
                   (long long)rows, (long long)columns);
}

fb_status fb_matrix_create(fb_context *ctx, fb_matrix *m, int32_t rows, int32_t columns)
{
    *m = fb_matrix_of(calloc((size_t)rows * (size_t)columns + 1, sizeof(double)), rows,
                      columns);
    return m->at ? FB_OK : fail_memory(ctx, rows, columns);
}

/* ---- products --------------------------------------------------------------------- */

static double *row_of(fb_matrix m, int32_t row)
{
    return m.at + (ptrdiff_t)row * m.columns;
}

void fb_dense_multiply(fb_matrix c, bool add, double scale, fb_dense_product product,
                       fb_matrix a, fb_matrix b)
{
    bool a_t = product == FB_DENSE_TN, b_t = product == FB_DENSE_NT;
    int32_t inner = a_t ? a.rows : a.columns;
    int32_t blocks = (c.rows + BLOCK - 1) / BLOCK;
    int threads = openblas_get_num_threads();
    if (c.rows == 0 || c.columns == 0)
        return;
    openblas_set_num_threads(1);
#pragma omp parallel for schedule(dynamic) num_threads(fb_cores_team()) if (blocks > 1)
    for (int32_t k = 0; k < blocks; k++) {
        int32_t first = k * BLOCK, left = c.rows - first;
        const double *part = a_t ? a.at + first : row_of(a, first);
        cblas_dgemm(CblasRowMajor, a_t ? CblasTrans : CblasNoTrans,
                    b_t ? CblasTrans : CblasNoTrans, left < BLOCK ? left : BLOCK,
                    c.columns, inner, scale, part, a.columns, b.at, b.columns,
                    add ? 1.0 : 0.0, row_of(c, first), c.columns);
    }
    openblas_set_num_threads(threads);
}

void fb_dense_add_square(fb_matrix c, fb_matrix a)
{
    int32_t n = c.rows, blocks = (n + BLOCK - 1) / BLOCK;
    int threads = openblas_get_num_threads();
    openblas_set_num_threads(1);
#pragma omp parallel for schedule(dynamic) num_threads(fb_cores_team()) if (blocks > 1)
    for (int32_t k = blocks - 1; k >= 0; k--) { /* the longest first */
        int32_t first = k * BLOCK, left = n - first;
        int32_t height = left < BLOCK ? left : BLOCK;
        if (first > 0)
            cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, height, first, a.rows,
                        1.0, a.at + first, a.columns, a.at, a.columns, 1.0,
                        row_of(c, first), n);
        cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, height, a.rows, 1.0,
                    a.at + first, a.columns, 1.0, row_of(c, first) + first, n);
    }
    openblas_set_num_threads(threads);
}

/* ---- solving ---------------------------------------------------------------------- */

fb_status fb_dense_cholesky(fb_context *ctx, fb_matrix a, int32_t *row)
{
    int threads = openblas_get_num_threads();
    openblas_set_num_threads(1);
    int32_t failed =
        LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', a.rows, a.at, a.columns);
    openblas_set_num_threads(threads);
    if (failed == 0)
        return FB_OK;
    if (row)
        *row = failed - 1;
    return fb_fail(ctx, FB_E_NUMBER,
                   "row %d of %d: the matrix is not positive definite",
                   (int)(failed - 1), (int)a.rows);
}

void fb_dense_solve_lower(fb_matrix l, bool transposed, fb_matrix b)
{
    int32_t blocks = (b.columns + BLOCK - 1) / BLOCK;
    int threads = openblas_get_num_threads();
    openblas_set_num_threads(1);
#pragma omp parallel for schedule(dynamic) num_threads(fb_cores_team()) if (blocks > 1)
    for (int32_t k = 0; k < blocks; k++) {
        int32_t first = k * BLOCK, left = b.columns - first;
        cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower,
                    transposed ? CblasTrans : CblasNoTrans, CblasNonUnit, b.rows,
                    left < BLOCK ? left : BLOCK, 1.0, l.at, l.columns, b.at + first,
                    b.columns);
    }
    openblas_set_num_threads(threads);
}

void fb_dense_solve_right(fb_matrix l, fb_matrix b)
{
    int32_t blocks = (b.rows + BLOCK - 1) / BLOCK;
    int threads = openblas_get_num_threads();
    openblas_set_num_threads(1);
#pragma omp parallel for schedule(dynamic) num_threads(fb_cores_team()) if (blocks > 1)
    for (int32_t k = 0; k < blocks; k++) {
        int32_t first = k * BLOCK, left = b.rows - first;
        cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit,
                    left < BLOCK ? left : BLOCK, b.columns, 1.0, l.at, l.columns,
                    row_of(b, first), b.columns);
    }
    openblas_set_num_threads(threads);
}

/* ---- decompositions --------------------------------------------------------------- */

static bool all_finite(fb_matrix m)
{
    int64_t count = (int64_t)m.rows * m.columns;
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(m.at[i]))
            return false;
    return true;
}

fb_status fb_dense_largest_eigenvalue(fb_context *ctx, double *value, fb_matrix a)
{
    int32_t n = a.rows;
    size_t bytes = (size_t)n * (size_t)n * sizeof(double);
    double *copy = malloc(bytes + 1), *all = calloc((size_t)n + 1, sizeof *all);
    *value = 0;
    if (!copy || !all) {
        free(copy);
        free(all);
        return fail_memory(ctx, n, n);
    }
    int threads = openblas_get_num_threads();
    openblas_set_num_threads(1);
    memcpy(copy, a.at, bytes);
    int32_t failed =
        n == 0 ? 0 : LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'N', 'U', n, copy, n, all);
    openblas_set_num_threads(threads);
    if (failed == 0 && n > 0)
        *value = all[n - 1];
    free(copy);
    free(all);
    if (failed != 0 || !isfinite(*value))
        return fb_fail(ctx, FB_E_NUMBER, "no eigenvalue of a matrix of %d x %d", (int)n,
                       (int)n);
    return FB_OK;
}

fb_status fb_dense_svd(fb_context *ctx, fb_matrix u, double *s, fb_matrix vt,
                       fb_matrix a)
{
    int32_t rank = a.rows < a.columns ? a.rows : a.columns;
    if (rank == 0)
        return FB_OK;
    if (!all_finite(a))
        return fb_fail(ctx, FB_E_NUMBER,
                       "a matrix of %d x %d has no singular values, "
                       "a number of it is not finite",
                       (int)a.rows, (int)a.columns);
    int threads = openblas_get_num_threads();
    openblas_set_num_threads(1);
    int32_t failed = LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'S', a.columns, a.rows, a.at,
                                    a.columns, s, vt.at, a.columns, u.at, rank);
    openblas_set_num_threads(threads);
    if (failed == LAPACK_WORK_MEMORY_ERROR)
        return fail_memory(ctx, a.rows, a.columns);
    if (failed != 0)
        return fb_fail(ctx, FB_E_NUMBER,
                       "the singular values of a matrix of %d x %d do not converge",
                       (int)a.rows, (int)a.columns);
    return FB_OK;
}

/* The columns of q [n,r], r <= n, become orthonormal. */
static fb_status orthonormal(fb_context *ctx, fb_matrix q)
{
    double *tau = malloc(((size_t)q.columns + 1) * sizeof *tau);
    if (!tau)
        return fail_memory(ctx, q.rows, q.columns);
    int threads = openblas_get_num_threads();
    openblas_set_num_threads(1);
    int32_t failed = LAPACKE_dgelqf(LAPACK_COL_MAJOR, q.columns, q.rows, q.at,
                                    q.columns, tau); /* of q^T */
    if (failed == 0)
        failed = LAPACKE_dorglq(LAPACK_COL_MAJOR, q.columns, q.rows, q.columns, q.at,
                                q.columns, tau);
    openblas_set_num_threads(threads);
    free(tau);
    return failed == 0 ? FB_OK
                       : fb_fail(ctx, FB_E_NUMBER, "no orthonormal columns of %d x %d",
                                 (int)q.rows, (int)q.columns);
}

typedef struct range {
    fb_matrix q, z;         /* [m,r], [n,r] */
    fb_matrix small, w, vt; /* [r,n] and its decomposition [r,r], [r,n] */
    double *s;
} range;

static fb_status find_range(fb_context *ctx, range *f, fb_matrix a, int32_t rounds)
{
    fb_random r = fb_random_start(1, FB_STREAM_INIT, (uint64_t)a.rows);
    int64_t count = (int64_t)f->z.rows * f->z.columns;
    for (int64_t i = 0; i < count; i++)
        f->z.at[i] = fb_random_normal(&r);
    for (int32_t round = 0;; round++) {
        fb_dense_multiply(f->q, false, 1, FB_DENSE_NN, a, f->z);
        FB_TRY(orthonormal(ctx, f->q));
        if (round == rounds)
            return FB_OK;
        fb_dense_multiply(f->z, false, 1, FB_DENSE_TN, a, f->q);
        FB_TRY(orthonormal(ctx, f->z));
    }
}

/* A = Q (Q^T A) about, and Q^T A is small. */
static fb_status svd_about(fb_context *ctx, range *f, fb_matrix u, double *s,
                           fb_matrix vt, fb_matrix a, int32_t rounds)
{
    int32_t r = f->q.columns;
    FB_TRY(find_range(ctx, f, a, rounds));
    fb_dense_multiply(f->small, false, 1, FB_DENSE_TN, f->q, a);
    FB_TRY(fb_dense_svd(ctx, f->w, f->s, f->vt, f->small));
    memcpy(s, f->s, (size_t)u.columns * sizeof *s);
    memcpy(vt.at, f->vt.at, (size_t)vt.rows * (size_t)vt.columns * sizeof(double));
    for (int32_t i = 0; i < r; i++) /* its first k columns side by side */
        memmove(f->w.at + (ptrdiff_t)i * u.columns, f->w.at + (ptrdiff_t)i * r,
                (size_t)u.columns * sizeof(double));
    fb_dense_multiply(u, false, 1, FB_DENSE_NN, f->q,
                      fb_matrix_of(f->w.at, r, u.columns));
    return FB_OK;
}

fb_status fb_dense_svd_about(fb_context *ctx, fb_matrix u, double *s, fb_matrix vt,
                             fb_matrix a, int32_t rounds)
{
    enum { MORE = 32 };
    int32_t rank = a.rows < a.columns ? a.rows : a.columns, r = u.columns + MORE;
    r = r < rank ? r : rank;
    range f = {.s = malloc(((size_t)r + 1) * sizeof(double))};
    fb_status status = f.s ? FB_OK : fail_memory(ctx, r, r);
    const struct {
        fb_matrix *m;
        int32_t rows, columns;
    } all[] = {{&f.q, a.rows, r},
               {&f.z, a.columns, r},
               {&f.small, r, a.columns},
               {&f.w, r, r},
               {&f.vt, r, a.columns}};
    for (size_t i = 0; i < sizeof all / sizeof all[0] && status == FB_OK; i++)
        status = fb_matrix_create(ctx, all[i].m, all[i].rows, all[i].columns);
    if (status == FB_OK)
        status = svd_about(ctx, &f, u, s, vt, a, rounds);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i].m->at);
    free(f.s);
    return status;
}
