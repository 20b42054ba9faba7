/* vector_batch_norm.c - the passes of batch norm over a range of rows.
 *
 *     moments    mean and M2 = sum (x - mean)^2 of each column
 *     forward    y = act((x - mean) scale + shift + residual)
 *     sums       sum g and sum g (x - mean) of each column,  g = dy where y > 0
 *     backward   dx = scale g - shift - (x - mean) slope
 *
 * x, residual, y, dy, dx, dresidual [rows, width]; mean, scale, shift, slope [width].
 * Each pass goes through the rows as they lie; a column's sums and factors stay in the
 * first cache. (Several rows at once spare their loads, but wide rows then are many
 * streams a page apart, which costs more.) Sums are f32 within a block of rows, in
 * which x is taken relative to the mean of the blocks before, and f64 over the blocks:
 * a mean far larger than the spread costs no digits, and M2 cannot become negative.
 */
#include "backend/cpu/vector/vector_table.h"

enum { GROUP = 4, NARROW = 128, BLOCK = 128 };

/* sum[] and square[] += those of x - origin over `group` rows (a constant) */
FB_INLINE void add_moments(bool bf16, int group, const void *x, int64_t width,
                           const float *restrict origin, float *restrict sum,
                           float *restrict square)
{
#pragma omp simd
    for (int64_t c = 0; c < width; c++) {
        float s = 0.0f, q = 0.0f, from = origin[c];
#pragma GCC unroll 4
        for (int r = 0; r < group; r++) {
            float centred = load(bf16, x, r * width + c) - from;
            s += centred;
            q += centred * centred;
        }
        sum[c] += s;
        square[c] += q;
    }
}

/* The moments of `rows` more rows, given as sums around origin, into those of `before`
 * rows (Chan, Golub & LeVeque 1983); origin becomes the mean. */
FB_INLINE void join_moments(double *restrict mean, double *restrict squares,
                            float *restrict origin, const float *restrict sum,
                            const float *restrict square, int64_t width, int64_t before,
                            int64_t rows)
{
    double share = (double)rows / (double)(before + rows);
    double weight = share * (double)before, inverse = 1.0 / (double)rows;
#pragma omp simd
    for (int64_t c = 0; c < width; c++) {
        double s = (double)sum[c], own = (double)square[c] - s * s * inverse;
        double apart = (double)origin[c] + s * inverse - mean[c];
        squares[c] += (own > 0.0 ? own : 0.0) + apart * apart * weight;
        mean[c] += apart * share;
        origin[c] = (float)mean[c];
    }
}

FB_INLINE void moments(bool bf16, const void *x, int64_t rows, int64_t width,
                       double *sums, float *row)
{
    float *origin = row, *sum = row + width, *square = row + 2 * width;
    memset(sums, 0, 2 * (size_t)width * sizeof *sums);
    for (int64_t c = 0; c < width; c++)
        origin[c] = load(bf16, x, c);
    for (int64_t start = 0; start < rows; start += BLOCK) {
        int64_t end = rows - start < BLOCK ? rows : start + BLOCK, r = start;
        memset(sum, 0, 2 * (size_t)width * sizeof *sum);
        for (; width <= NARROW && r + GROUP <= end; r += GROUP)
            add_moments(bf16, GROUP, at_const(bf16, x, r * width), width, origin, sum,
                        square);
        for (; r < end; r++)
            add_moments(bf16, 1, at_const(bf16, x, r * width), width, origin, sum,
                        square);
        join_moments(sums, sums + width, origin, sum, square, width, start,
                     end - start);
    }
}

void FB_VECTOR_NAME(batch_norm_moments)(fb_dtype dtype, const void *x, int64_t rows,
                                        int64_t width, double *sums, float *row)
{
    if (rows > 0)
        FB_EACH_DTYPE(dtype, moments, x, rows, width, sums, row);
}

FB_INLINE void normalise(bool bf16, bool relu, bool residual,
                         const vector_batch_norm *a, int64_t r)
{
    int64_t width = a->width;
    const void *x = at_const(bf16, a->x, r * width);
    const void *add = residual ? at_const(bf16, a->residual, r * width) : NULL;
    void *y = at(bf16, a->y, r * width);
    const float *restrict mean = a->mean, *restrict scale = a->scale,
                          *restrict shift = a->shift;
#pragma omp simd
    for (int64_t c = 0; c < width; c++) {
        float value = (load(bf16, x, c) - mean[c]) * scale[c] + shift[c];
        if (residual)
            value += load(bf16, add, c);
        if (relu)
            value = value < 0.0f ? 0.0f : value; /* NaN stays */
        store(bf16, y, c, value);
    }
}

FB_INLINE void normalise_rows(bool bf16, bool relu, bool residual,
                              const vector_batch_norm *a, int64_t first, int64_t rows)
{
    for (int64_t r = first; r < first + rows; r++)
        normalise(bf16, relu, residual, a, r);
}

FB_INLINE void forward(bool bf16, const vector_batch_norm *a, int64_t first,
                       int64_t rows)
{
    if (a->residual && a->relu)
        normalise_rows(bf16, true, true, a, first, rows);
    else if (a->residual)
        normalise_rows(bf16, false, true, a, first, rows);
    else if (a->relu)
        normalise_rows(bf16, true, false, a, first, rows);
    else
        normalise_rows(bf16, false, false, a, first, rows);
}

void FB_VECTOR_NAME(batch_norm_forward)(const vector_batch_norm *a, int64_t first,
                                        int64_t rows)
{
    FB_EACH_DTYPE(a->dtype, forward, a, first, rows);
}

/* Element i of g. */
FB_INLINE float passed(bool bf16, bool relu, const void *dy, const void *y, int64_t i)
{
    float g = load(bf16, dy, i);
    return !relu || load(bf16, y, i) > 0.0f ? g : 0.0f;
}

/* sum[] += g, product[] += g (x - mean) of row r; keep: dresidual = g */
FB_INLINE void add_sums(bool bf16, bool relu, bool keep, const vector_batch_norm *a,
                        int64_t r, float *restrict sum, float *restrict product)
{
    int64_t width = a->width;
    const void *x = at_const(bf16, a->x, r * width);
    const void *dy = at_const(bf16, a->dy, r * width);
    const void *y = relu ? at_const(bf16, a->y_in, r * width) : NULL;
    void *kept = keep ? at(bf16, a->dresidual, r * width) : NULL;
    const float *restrict mean = a->mean;
#pragma omp simd
    for (int64_t c = 0; c < width; c++) {
        float g = passed(bf16, relu, dy, y, c);
        sum[c] += g;
        product[c] += g * (load(bf16, x, c) - mean[c]);
        if (keep)
            store(bf16, kept, c, g);
    }
}

FB_INLINE void sum_rows(bool bf16, bool relu, bool keep, const vector_batch_norm *a,
                        int64_t first, int64_t rows, double *restrict sums,
                        float *restrict row)
{
    int64_t width = a->width, last = first + rows;
    memset(sums, 0, 2 * (size_t)width * sizeof *sums);
    for (int64_t start = first; start < last; start += BLOCK) {
        int64_t end = last - start < BLOCK ? last : start + BLOCK;
        memset(row, 0, 2 * (size_t)width * sizeof *row);
        for (int64_t r = start; r < end; r++)
            add_sums(bf16, relu, keep, a, r, row, row + width);
#pragma omp simd
        for (int64_t c = 0; c < 2 * width; c++)
            sums[c] += (double)row[c];
    }
}

FB_INLINE void sums_of(bool bf16, const vector_batch_norm *a, int64_t first,
                       int64_t rows, double *sums, float *row)
{
    if (a->relu && a->dresidual)
        sum_rows(bf16, true, true, a, first, rows, sums, row);
    else if (a->relu)
        sum_rows(bf16, true, false, a, first, rows, sums, row);
    else if (a->dresidual)
        sum_rows(bf16, false, true, a, first, rows, sums, row);
    else
        sum_rows(bf16, false, false, a, first, rows, sums, row);
}

void FB_VECTOR_NAME(batch_norm_sums)(const vector_batch_norm *a, int64_t first,
                                     int64_t rows, double *sums, float *row)
{
    FB_EACH_DTYPE(a->dtype, sums_of, a, first, rows, sums, row);
}

FB_INLINE void gradient(bool bf16, bool relu, bool keep, const vector_batch_norm *a,
                        int64_t r)
{
    int64_t width = a->width;
    const void *x = at_const(bf16, a->x, r * width);
    const void *dy = at_const(bf16, a->dy, r * width);
    const void *y = relu ? at_const(bf16, a->y_in, r * width) : NULL;
    void *kept = keep ? at(bf16, a->dresidual, r * width) : NULL;
    void *dx = at(bf16, a->dx, r * width);
    const float *restrict mean = a->mean, *restrict scale = a->scale,
                          *restrict shift = a->shift, *restrict slope = a->slope;
#pragma omp simd
    for (int64_t c = 0; c < width; c++) {
        float g = passed(bf16, relu, dy, y, c);
        float centred = load(bf16, x, c) - mean[c];
        if (keep)
            store(bf16, kept, c, g);
        store(bf16, dx, c, scale[c] * g - shift[c] - centred * slope[c]);
    }
}

FB_INLINE void gradient_rows(bool bf16, bool relu, bool keep,
                             const vector_batch_norm *a, int64_t first, int64_t rows)
{
    for (int64_t r = first; r < first + rows; r++)
        gradient(bf16, relu, keep, a, r);
}

FB_INLINE void backward(bool bf16, const vector_batch_norm *a, int64_t first,
                        int64_t rows)
{
    if (a->relu && a->dresidual)
        gradient_rows(bf16, true, true, a, first, rows);
    else if (a->relu)
        gradient_rows(bf16, true, false, a, first, rows);
    else if (a->dresidual)
        gradient_rows(bf16, false, true, a, first, rows);
    else
        gradient_rows(bf16, false, false, a, first, rows);
}

void FB_VECTOR_NAME(batch_norm_backward)(const vector_batch_norm *a, int64_t first,
                                         int64_t rows)
{
    FB_EACH_DTYPE(a->dtype, backward, a, first, rows);
}
