/* cpu_int8_rows.h - the rows of an int8 product, quantised as they are needed: rows of x,
 * or what the windows of a convolution cover (im2col), so that a convolution is a product
 * like any other.
 *
 *     window of a place: [kernel rows][kernel columns][channels], 0 outside the picture
 *
 * Within a kernel row the numbers of a window lie side by side in x too, channels being
 * last; they are quantised from there to their place in the row.
 */
#ifndef FB_BACKEND_CPU_CPU_INT8_ROWS_H
#define FB_BACKEND_CPU_CPU_INT8_ROWS_H

#include "backend/cpu/cpu_int8.h"
#include "backend/cpu/vector.h"

typedef struct cpu_int8_rows {
    const fb_vector *v;
    const float *x;
    int64_t in;          /* numbers of a row */
    const fb_conv *conv; /* NULL: rows are those of x */
    const float
        *magnitudes; /* of each of the pictures' pixels; NULL where they are read
                                once, so that nothing is gained by keeping them */
} cpu_int8_rows;

/* What kind of rows, and numbers to keep for them: cpu_int8_rows_open writes so many. */
cpu_int8_rows cpu_int8_rows_of(const cpu_backend *c, const cpu_int8_call *call,
                               int64_t *kept);
void cpu_int8_rows_open(cpu_backend *c, cpu_int8_rows *rows, float *keep);

/* Rows [first, first + count) to q [count][words] and their scales; _bytes: to q
 * [count][in]. */
void cpu_int8_rows_take(const cpu_int8_rows *rows, int32_t *q, float *scale,
                        int64_t first, int64_t count);
void cpu_int8_rows_take_bytes(const cpu_int8_rows *rows, int8_t *q, float *scale,
                              int64_t first, int64_t count);

/* Where number k of such a row has its weight in a row of w. */
static inline int64_t cpu_int8_weight_at(const fb_conv *c, int64_t k)
{
    int64_t window = c ? (int64_t)c->kernel * c->kernel : 1;
    return c ? k % c->in * window + k / c->in : k;
}

#endif
