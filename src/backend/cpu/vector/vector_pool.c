/* vector_pool.c - max pooling by lines of pixels, and the mean of rows.
 *
 * x [images*height*width, C], y [images*height'*width', C], channels last, so every
 * loop runs over channels. A line is all pixels of one row of one image. Backward asks,
 * for each input pixel, the windows that it lies in whether it was theirs: nothing is
 * scattered, sums are f32 and rounded once.
 */
#include "backend/cpu/vector/vector_table.h"

enum { CHANNELS = 64 };

typedef struct window {
    int32_t from, to; /* pixels that exist, of one direction */
    int32_t skipped;  /* taps before them */
} window;

FB_INLINE window window_of(int32_t out, int32_t size, const fb_max_pool *p)
{
    int32_t start = out * p->stride - p->padding, end = start + p->kernel;
    window w = {start < 0 ? 0 : start, end > size ? size : end, 0};
    w.skipped = w.from - start;
    return w;
}

/* A pixel, and its windows down and across: those it pools, or those that pool it. */
typedef struct pixel {
    int32_t i, j;
    window rows, columns;
} pixel;

/* One output pixel, channels [0, n); x points at channel 0 of the image. */
FB_INLINE void pool_pixel(bool bf16, void *y, uint8_t *which, const void *x,
                          const fb_max_pool *p, int64_t channels, int64_t n, pixel at_y)
{
    const window rows = at_y.rows, columns = at_y.columns;
    float best[CHANNELS];
    int32_t place[CHANNELS];
    int32_t first = rows.skipped * p->kernel + columns.skipped;
    const void *from =
        at_const(bf16, x, ((int64_t)rows.from * p->width + columns.from) * channels);
#pragma omp simd
    for (int64_t c = 0; c < n; c++) {
        best[c] = load(bf16, from, c);
        place[c] = first;
    }
    for (int32_t i = rows.from; i < rows.to; i++)
        for (int32_t j = columns.from; j < columns.to; j++) {
            const void *tap = at_const(bf16, x, ((int64_t)i * p->width + j) * channels);
            int32_t here = (rows.skipped + i - rows.from) * p->kernel +
                           columns.skipped + j - columns.from;
#pragma omp simd
            for (int64_t c = 0; c < n; c++) {
                float value = load(bf16, tap, c);
                /* larger, or the first NaN */
                bool wins = !(value <= best[c]) & (best[c] == best[c]);
                best[c] = wins ? value : best[c];
                place[c] = wins ? here : place[c];
            }
        }
#pragma omp simd
    for (int64_t c = 0; c < n; c++)
        store(bf16, y, c, best[c]);
    for (int64_t c = 0; which && c < n; c++)
        which[c] = (uint8_t)place[c];
}

FB_INLINE void pool(bool bf16, void *y, uint8_t *which, const void *x,
                    const fb_max_pool *p, int64_t channels, int64_t first,
                    int64_t lines)
{
    int32_t height = fb_window_out(p->height, p->kernel, p->stride, p->padding);
    int32_t width = fb_window_out(p->width, p->kernel, p->stride, p->padding);
    int64_t image = (int64_t)p->height * p->width * channels;
    for (int64_t line = first; line < first + lines; line++) {
        window rows = window_of((int32_t)(line % height), p->height, p);
        const void *from = at_const(bf16, x, line / height * image);
        for (int32_t j = 0; j < width; j++) {
            const pixel here = {(int32_t)(line % height), j, rows,
                                window_of(j, p->width, p)};
            int64_t to = (line * width + j) * channels;
            for (int64_t c = 0; c < channels; c += CHANNELS)
                pool_pixel(bf16, at(bf16, y, to + c), which ? which + to + c : NULL,
                           at_const(bf16, from, c), p, channels,
                           channels - c < CHANNELS ? channels - c : CHANNELS, here);
        }
    }
}

void FB_VECTOR_NAME(max_pool_forward)(fb_dtype dtype, void *y, uint8_t *which,
                                      const void *x, const fb_max_pool *p,
                                      int64_t channels, int64_t first, int64_t lines)
{
    FB_EACH_DTYPE(dtype, pool, y, which, x, p, channels, first, lines);
}

/* Windows that pixel `in` lies in, of one direction: [from, to). */
FB_INLINE window windows_over(int32_t in, int32_t count, const fb_max_pool *p)
{
    int32_t padded = in + p->padding, before = padded - p->kernel;
    int32_t from = before < 0 ? 0 : before / p->stride + 1;
    int32_t to = padded / p->stride + 1;
    return (window){from, to < count ? to : count, 0};
}

/* One input pixel, channels [0, n); dy and which point at the image's. */
FB_INLINE void gather_pixel(bool bf16, void *dx, const void *dy, const uint8_t *which,
                            const fb_max_pool *p, int64_t channels, int64_t n,
                            pixel at_x)
{
    const window rows = at_x.rows, columns = at_x.columns;
    int32_t width = fb_window_out(p->width, p->kernel, p->stride, p->padding);
    float sum[CHANNELS];
    memset(sum, 0, sizeof sum);
    for (int32_t a = rows.from; a < rows.to; a++)
        for (int32_t b = columns.from; b < columns.to; b++) {
            int64_t out = ((int64_t)a * width + b) * channels;
            int32_t place = (at_x.i + p->padding - a * p->stride) * p->kernel + at_x.j +
                            p->padding - b * p->stride;
            const void *grad = at_const(bf16, dy, out);
#pragma omp simd
            for (int64_t c = 0; c < n; c++)
                sum[c] += which[out + c] == place ? load(bf16, grad, c) : 0.0f;
        }
#pragma omp simd
    for (int64_t c = 0; c < n; c++)
        store(bf16, dx, c, sum[c]);
}

FB_INLINE void pool_gradient(bool bf16, void *dx, const void *dy, const uint8_t *which,
                             const fb_max_pool *p, int64_t channels, int64_t first,
                             int64_t lines)
{
    int32_t height = fb_window_out(p->height, p->kernel, p->stride, p->padding);
    int32_t width = fb_window_out(p->width, p->kernel, p->stride, p->padding);
    int64_t image = (int64_t)height * width * channels;
    for (int64_t line = first; line < first + lines; line++) {
        int32_t i = (int32_t)(line % p->height);
        window rows = windows_over(i, height, p);
        int64_t from = line / p->height * image;
        for (int32_t j = 0; j < p->width; j++) {
            const pixel here = {i, j, rows, windows_over(j, width, p)};
            int64_t to = (line * p->width + j) * channels;
            for (int64_t c = 0; c < channels; c += CHANNELS)
                gather_pixel(bf16, at(bf16, dx, to + c), at_const(bf16, dy, from + c),
                             which + from + c, p, channels,
                             channels - c < CHANNELS ? channels - c : CHANNELS, here);
        }
    }
}

void FB_VECTOR_NAME(max_pool_backward)(fb_dtype dtype, void *dx, const void *dy,
                                       const uint8_t *which, const fb_max_pool *p,
                                       int64_t channels, int64_t first, int64_t lines)
{
    FB_EACH_DTYPE(dtype, pool_gradient, dx, dy, which, p, channels, first, lines);
}

/* Sums of 8 rows first: rounding then grows with an eighth of their number. */
FB_INLINE void mean(bool bf16, void *y, const void *x, int64_t rows, int64_t width,
                    float *restrict row)
{
    enum { GROUP = 8 };
    int64_t r = 0;
    float share = rows > 0 ? 1.0f / (float)rows : 0.0f;
    memset(row, 0, (size_t)width * sizeof *row);
    for (; r + GROUP <= rows; r += GROUP) {
        const void *from = at_const(bf16, x, r * width);
#pragma omp simd
        for (int64_t c = 0; c < width; c++) {
            float sum = 0.0f;
#pragma GCC unroll 8
            for (int i = 0; i < GROUP; i++)
                sum += load(bf16, from, i * width + c);
            row[c] += sum;
        }
    }
    for (; r < rows; r++) {
        const void *from = at_const(bf16, x, r * width);
#pragma omp simd
        for (int64_t c = 0; c < width; c++)
            row[c] += load(bf16, from, c);
    }
#pragma omp simd
    for (int64_t c = 0; c < width; c++)
        store(bf16, y, c, row[c] * share);
}

void FB_VECTOR_NAME(mean_rows_forward)(fb_dtype dtype, void *y, const void *x,
                                       int64_t rows, int64_t width, float *row)
{
    FB_EACH_DTYPE(dtype, mean, y, x, rows, width, row);
}

FB_INLINE void spread(bool bf16, void *dx, const void *dy, int64_t rows, int64_t width)
{
    float share = rows > 0 ? 1.0f / (float)rows : 0.0f;
    for (int64_t r = 0; r < rows; r++) {
        void *to = at(bf16, dx, r * width);
#pragma omp simd
        for (int64_t c = 0; c < width; c++)
            store(bf16, to, c, load(bf16, dy, c) * share);
    }
}

void FB_VECTOR_NAME(mean_rows_backward)(fb_dtype dtype, void *dx, const void *dy,
                                        int64_t rows, int64_t width)
{
    FB_EACH_DTYPE(dtype, spread, dx, dy, rows, width);
}
