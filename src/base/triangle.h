/* triangle.h - Cholesky's factor and what is solved with it, in plain f64 loops:
 *
 *     C = L L^T        x = L^-1 y
 *
 * For one matrix of a thousand rows or so (a second), where LAPACK would be a library
 * for one call.
 */
#ifndef FB_BASE_TRIANGLE_H
#define FB_BASE_TRIANGLE_H

#include "base/status.h"

/* c += X^T X of rows X [count, n]. */
void fb_triangle_add(double *c, int32_t n, const float *rows, int32_t count,
                     int32_t threads);

/* L takes C's place. FB_E_NUMBER: not positive definite; c is then undefined. */
fb_status fb_triangle_factor(fb_context *ctx, double *c, int32_t n);

/* Each row y of rows [count, n] becomes L^-1 y. FB_E_MEMORY. */
fb_status fb_triangle_solve(fb_context *ctx, const double *l, int32_t n, float *rows,
                            int64_t count, int32_t threads);

#endif
