/* triangle.c - see triangle.h. Rows are solved LANES at a time, side by side, so that
 * the innermost loop is over independent numbers.
 */
#include "base/triangle.h"

#include <math.h>
#include <stdlib.h>

enum { TILE = 48, LANES = 32, SUMS = 8 };

/* The part of c at rows i0.. and columns j0.. */
static void add_tile(double *c, int32_t n, const float *rows, int32_t count, int32_t i0,
                     int32_t j0)
{
    double tile[TILE][TILE] = {0};
    int32_t height = n - i0 < TILE ? n - i0 : TILE;
    int32_t width = n - j0 < TILE ? n - j0 : TILE;
    for (int32_t r = 0; r < count; r++) {
        const float *x = rows + (ptrdiff_t)r * n;
        double across[TILE] = {0};
        for (int32_t j = 0; j < width; j++)
            across[j] = (double)x[j0 + j];
        for (int32_t i = 0; i < height; i++) {
            double down = (double)x[i0 + i];
            for (int32_t j = 0; j < TILE; j++)
                tile[i][j] += down * across[j];
        }
    }
    for (int32_t i = 0; i < height; i++)
        for (int32_t j = 0; j < width && j0 + j <= i0 + i; j++)
            c[(ptrdiff_t)(i0 + i) * n + j0 + j] += tile[i][j];
}

void fb_triangle_add(double *c, int32_t n, const float *rows, int32_t count,
                     int32_t threads)
{
    int32_t side = (n + TILE - 1) / TILE;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int32_t t = 0; t < side * side; t++)
        if (t % side <= t / side)
            add_tile(c, n, rows, count, t / side * TILE, t % side * TILE);
}

static double product(const double *x, const double *y, int32_t n)
{
    double sums[SUMS] = {0}, sum = 0;
    int32_t k = 0;
    for (; k + SUMS <= n; k += SUMS)
        for (int32_t j = 0; j < SUMS; j++)
            sums[j] += x[k + j] * y[k + j];
    for (; k < n; k++)
        sum += x[k] * y[k];
    for (int32_t j = 0; j < SUMS; j++)
        sum += sums[j];
    return sum;
}

fb_status fb_triangle_factor(fb_context *ctx, double *c, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        double *row = c + (ptrdiff_t)i * n;
        for (int32_t j = 0; j < i; j++) {
            const double *other = c + (ptrdiff_t)j * n;
            row[j] = (row[j] - product(row, other, j)) / other[j];
        }
        double left = row[i] - product(row, row, i);
        if (!(left > 0))
            return fb_fail(ctx, FB_E_NUMBER,
                           "row %d of %d: the matrix is not positive definite", i, n);
        row[i] = sqrt(left);
    }
    return FB_OK;
}

/* rows [lanes, n], lanes <= LANES; work [n, LANES] */
static void solve_lanes(const double *l, int32_t n, float *rows, int32_t lanes,
                        double *work)
{
    for (int32_t i = 0; i < n; i++) {
        double sums[LANES];
        const double *row = l + (ptrdiff_t)i * n;
        for (int32_t k = 0; k < LANES; k++)
            sums[k] = k < lanes ? (double)rows[(ptrdiff_t)k * n + i] : 0;
        for (int32_t j = 0; j < i; j++)
            for (int32_t k = 0; k < LANES; k++)
                sums[k] -= row[j] * work[(ptrdiff_t)j * LANES + k];
        for (int32_t k = 0; k < LANES; k++)
            work[(ptrdiff_t)i * LANES + k] = sums[k] / row[i];
    }
    for (int32_t k = 0; k < lanes; k++)
        for (int32_t i = 0; i < n; i++)
            rows[(ptrdiff_t)k * n + i] = (float)work[(ptrdiff_t)i * LANES + k];
}

fb_status fb_triangle_solve(fb_context *ctx, const double *l, int32_t n, float *rows,
                            int64_t count, int32_t threads)
{
    bool enough = true;
#pragma omp parallel num_threads(threads)
    {
        double *work = malloc((size_t)n * LANES * sizeof *work);
#pragma omp for schedule(dynamic)
        for (int64_t first = 0; first < count; first += LANES) {
            int64_t left = count - first;
            if (work)
                solve_lanes(l, n, rows + first * n,
                            left < LANES ? (int32_t)left : LANES, work);
            else {
#pragma omp atomic write
                enough = false;
            }
        }
        free(work);
    }
    return enough ? FB_OK
                  : fb_fail(ctx, FB_E_MEMORY, "no memory to solve for %lld rows",
                            (long long)count);
}
