/* canonical.h - canonical correlation analysis (Hotelling 1936), linear algebra alone.
 *
 *     C11 = X^T X / (N-1) + r1 I, C22 likewise of Y, C12 = X^T Y / (N-1)   X, Y centred
 *     T   = L1^-1 C12 L2^-T = U diag(rho) V^T        Cholesky factors L of C11 and C22
 *     A   = L1^-T U    B = L2^-T V                   the first k columns
 *
 * A and B are those of C^-1/2 in L's place (L = C^1/2 Q, and Q cancels), and come from
 * one decomposition, so that the signs of a pair of columns belong together.
 *
 * Covariances are summed over blocks of rows, in f64 and in memory that does not grow
 * with N: sums of x - shift, the shift being the first block's mean, so that little is
 * lost when the mean is taken out at the end. Blocks that are mostly zeros (bags of
 * words) are summed by what is not zero and have no shift.
 */
#ifndef FB_BASE_CANONICAL_H
#define FB_BASE_CANONICAL_H

#include "base/dense.h"

/* Sums over the rows of X [N,dx] and Y [N,dy] seen so far. */
typedef struct fb_covariance {
    int64_t count; /* N */
    int32_t dx, dy;
    bool sparse_x, sparse_y;                   /* as the first block was */
    double *shift_x, *shift_y, *sum_x, *sum_y; /* [dx], [dy]; sums of x - shift */
    fb_matrix xx, yy; /* lower halves of sums of (x - shift) (x - shift)^T */
    fb_matrix yx;     /* [dy,dx] sums of (y - shift) (x - shift)^T */
} fb_covariance;

/* *c is released by fb_covariance_clear after a failure too. FB_E_MEMORY. */
fb_status fb_covariance_create(fb_context *ctx, fb_covariance *c, int32_t dx,
                               int32_t dy);
void fb_covariance_clear(fb_covariance *c);
/* x [n,dx], y [n,dy]; both are overwritten by rows less the shift.
 * FB_E_NUMBER: a number is not finite; then nothing was added. */
fb_status fb_covariance_add(fb_context *ctx, fb_covariance *c, fb_matrix x,
                            fb_matrix y);

/* r = relative * (largest eigenvalue of the covariance) + absolute. */
typedef struct fb_ridge {
    double relative, absolute;
} fb_ridge;

typedef struct fb_canonical {
    int32_t k;
    fb_matrix a, b;          /* [dx,k], [dy,k] */
    double *rho;             /* [k], descending */
    double *mean_x, *mean_y; /* [dx], [dy] */
} fb_canonical;

/* k <= min(dx,dy); ridges of C11 and of C22. *out is released by fb_canonical_clear after a failure too.
 * FB_E_USAGE   fewer than 2 rows
 * FB_E_NUMBER  X or Y is constant, or one of its columns is a sum of others (or
 *              constant) and there is no ridge; the sentence says which of `names`, such
 *              as {"the images", "the texts"}
 * FB_E_MEMORY */
fb_status fb_canonical_solve(fb_context *ctx, fb_canonical *out, const fb_covariance *c,
                             int32_t k, const fb_ridge ridge[2],
                             const char *const names[2]);
/* The same about, for trials: the decomposition is by subspace iteration, several times
 * as fast where k is small (fb_dense_svd_about). */
fb_status fb_canonical_solve_about(fb_context *ctx, fb_canonical *out,
                                   const fb_covariance *c, int32_t k,
                                   const fb_ridge ridge[2], const char *const names[2]);
void fb_canonical_clear(fb_canonical *c);

/* *norm = the sum of the first k singular values of T of the rows of h1 [m,d1] and h2
 * [m,d2], each r absolute; d1, d2 >= k, m >= 2 (Andrew et al. 2013). With D = diag(rho)
 * of those k:
 *
 *     Delta12 = A B^T    Delta11 = -1/2 A D A^T    Delta22 = -1/2 B D B^T
 *     d norm / d h1 = (2 H1 Delta11 + H2 Delta12^T) / (m-1)             H centred
 *     d norm / d h2 = (H1 Delta12 + 2 H2 Delta22) / (m-1)
 *
 * g1, g2, of h's shapes, may have no memory: not wanted. h1 and h2 are centred in place.
 * FB_E_NUMBER: a covariance is degenerate or a number is not finite; FB_E_MEMORY. */
fb_status fb_trace_norm(fb_context *ctx, double *norm, fb_matrix g1, fb_matrix g2,
                        fb_matrix h1, fb_matrix h2, int32_t k, const double r[2]);

#endif
