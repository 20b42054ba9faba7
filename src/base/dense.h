/* dense.h - dense linear algebra in f64 for what is solved in closed form: products,
 * Cholesky, triangular solves, the largest eigenvalue, the singular value decomposition.
 * All of BLAS and LAPACK (OpenBLAS, LAPACKE) lies behind this header.
 *
 * A matrix is a view, row-major without gaps; outputs do not share memory with inputs
 * unless stated, and sizes fit or the call is a mistake of the caller's.
 *
 * OpenBLAS runs on one thread here: its threads would spin beside OpenMP's. Products are
 * spread over OpenMP's instead, in blocks of rows whose size is fixed, so a result does
 * not depend on how many there are.
 */
#ifndef FB_BASE_DENSE_H
#define FB_BASE_DENSE_H

#include "base/status.h"

typedef struct fb_matrix {
    double *at; /* [rows, columns] */
    int32_t rows, columns;
} fb_matrix;

static inline fb_matrix fb_matrix_of(double *at, int32_t rows, int32_t columns)
{
    return (fb_matrix){at, rows, columns};
}

/* Memory for it, all 0, the caller's to free (at). FB_E_MEMORY: at is NULL. */
fb_status fb_matrix_create(fb_context *ctx, fb_matrix *m, int32_t rows,
                           int32_t columns);

/* How a product reads its factors. */
typedef enum fb_dense_product {
    FB_DENSE_NN, /* A B */
    FB_DENSE_TN, /* A^T B */
    FB_DENSE_NT  /* A B^T */
} fb_dense_product;

/* C = scale product(A, B), or C += with `add`. */
void fb_dense_multiply(fb_matrix c, bool add, double scale, fb_dense_product product,
                       fb_matrix a, fb_matrix b);

/* The lower half of C += A^T A; the rest is left alone. */
void fb_dense_add_square(fb_matrix c, fb_matrix a);

/* The lower half of A [n,n] becomes L with A = L L^T; the rest is left alone.
 * FB_E_NUMBER: not positive definite; *row (may be NULL): the first that is none. */
fb_status fb_dense_cholesky(fb_context *ctx, fb_matrix a, int32_t *row);

/* B [n,m] becomes L^-1 B, or L^-T B with `transposed`. */
void fb_dense_solve_lower(fb_matrix l, bool transposed, fb_matrix b);
/* B [m,n] becomes B L^-T. */
void fb_dense_solve_right(fb_matrix l, fb_matrix b);

/* Of a symmetric matrix, by its lower half; A is left as it was. FB_E_MEMORY,
 * FB_E_NUMBER. */
fb_status fb_dense_largest_eigenvalue(fb_context *ctx, double *value, fb_matrix a);

/* A [m,n] = U diag(s) V^T, thin: r = min(m,n); u [m,r], s [r] descending, vt [r,n]. A is
 * overwritten. FB_E_NUMBER: a number is not finite, or no convergence; FB_E_MEMORY. */
fb_status fb_dense_svd(fb_context *ctx, fb_matrix u, double *s, fb_matrix vt,
                       fb_matrix a);

/* The first k of these about: u [m,k], s [k], vt [k,n], from the range of A after
 * `rounds` of subspace iteration of k + 32 vectors drawn at random (Halko et al. 2011).
 * For trials; A is left as it was. FB_E_NUMBER, FB_E_MEMORY. */
fb_status fb_dense_svd_about(fb_context *ctx, fb_matrix u, double *s, fb_matrix vt,
                             fb_matrix a, int32_t rounds);

#endif
