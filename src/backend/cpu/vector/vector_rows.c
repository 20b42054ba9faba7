/* vector_rows.c - rows looked up, summed and scattered, and patches cut from images.
 *
 * Sums into shared rows never race: embed_backward is cut by columns, sum_rows by the
 * row that is written, so the order of additions is that of the rows.
 */
#include "backend/cpu/vector/vector_table.h"

enum { COLUMN_BLOCK = 256 };

FB_INLINE void add_columns(bool bf16, float *sum, const void *x, int64_t rows,
                           int64_t width, int64_t from, int64_t to)
{
    float part[COLUMN_BLOCK];
    for (int64_t start = from; start < to; start += COLUMN_BLOCK) {
        int64_t n = to - start < COLUMN_BLOCK ? to - start : COLUMN_BLOCK;
        memset(part, 0, sizeof part);
        for (int64_t r = 0; r < rows; r++) {
            const void *row = at_const(bf16, x, r * width + start);
#pragma omp simd
            for (int64_t i = 0; i < n; i++)
                part[i] += load(bf16, row, i);
        }
        for (int64_t i = 0; i < n; i++)
            sum[start + i] += part[i];
    }
}

void FB_VECTOR_NAME(column_sum)(fb_dtype dtype, float *sum, const void *x, int64_t rows,
                                int64_t width, int64_t from, int64_t to)
{
    FB_EACH_DTYPE(dtype, add_columns, sum, x, rows, width, from, to);
}

/* count is a constant, so that the sum over tables is unrolled. */
FB_INLINE void embed_rows(bool bf16, int count, void *y, const void *x,
                          const fb_embed *e, int64_t first, int64_t rows, int64_t width)
{
    for (int64_t r = first; r < first + rows; r++) {
        const float *row[FB_EMBED_TABLES];
        for (int k = 0; k < count; k++)
            row[k] = e->table[k] + (int64_t)e->ids[k][r] * width;
        void *out = at(bf16, y, r * width);
        const void *in = x ? at_const(bf16, x, r * width) : NULL;
        if (in) {
#pragma omp simd
            for (int64_t i = 0; i < width; i++)
                store(bf16, out, i,
                      load(bf16, in, i) + row[0][i] + (count > 1 ? row[1][i] : 0.0f) +
                          (count > 2 ? row[2][i] : 0.0f));
        } else {
#pragma omp simd
            for (int64_t i = 0; i < width; i++)
                store(bf16, out, i,
                      row[0][i] + (count > 1 ? row[1][i] : 0.0f) +
                          (count > 2 ? row[2][i] : 0.0f));
        }
    }
}

FB_INLINE void embed(bool bf16, void *y, const void *x, const fb_embed *e,
                     int64_t first, int64_t rows, int64_t width)
{
    if (e->count == 1)
        embed_rows(bf16, 1, y, x, e, first, rows, width);
    else if (e->count == 2)
        embed_rows(bf16, 2, y, x, e, first, rows, width);
    else
        embed_rows(bf16, FB_EMBED_TABLES, y, x, e, first, rows, width);
}

void FB_VECTOR_NAME(embed_forward)(fb_dtype dtype, void *y, const void *x,
                                   const fb_embed *e, int64_t first, int64_t rows,
                                   int64_t width)
{
    FB_EACH_DTYPE(dtype, embed, y, x, e, first, rows, width);
}

FB_INLINE void embed_gradient(bool bf16, float *table, const void *dy,
                              const int32_t *ids, int64_t rows, int64_t width,
                              int64_t from, int64_t to)
{
    for (int64_t r = 0; r < rows; r++) {
        float *row = table + (int64_t)ids[r] * width;
        const void *g = at_const(bf16, dy, r * width);
#pragma omp simd
        for (int64_t i = from; i < to; i++)
            row[i] += load(bf16, g, i);
    }
}

void FB_VECTOR_NAME(embed_backward)(fb_dtype dtype, float *table, const void *dy,
                                    const int32_t *ids, int64_t rows, int64_t width,
                                    int64_t from, int64_t to)
{
    FB_EACH_DTYPE(dtype, embed_gradient, table, dy, ids, rows, width, from, to);
}

FB_INLINE void sum_list(bool bf16, void *y, const void *dy, const int32_t *list,
                        int64_t count, int64_t width, bool add, float *restrict row)
{
    for (int64_t i = 0; i < width; i++)
        row[i] = 0.0f;
    if (add) {
#pragma omp simd
        for (int64_t i = 0; i < width; i++)
            row[i] = load(bf16, y, i);
    }
    for (int64_t k = 0; k < count; k++) {
        const void *g = at_const(bf16, dy, list[k] * width);
#pragma omp simd
        for (int64_t i = 0; i < width; i++)
            row[i] += load(bf16, g, i);
    }
#pragma omp simd
    for (int64_t i = 0; i < width; i++)
        store(bf16, y, i, row[i]);
}

void FB_VECTOR_NAME(sum_rows)(fb_dtype dtype, void *y, const void *dy,
                              const int32_t *list, int64_t count, int64_t width,
                              bool add, float *row)
{
    FB_EACH_DTYPE(dtype, sum_list, y, dy, list, count, width, add, row);
}

/* One line of a patch is one stretch of the image; row [2][3 cell] holds scale and
 * shift repeated along it. */
FB_INLINE void cut(bool bf16, const vector_patchify *a, void *y, const uint8_t *pixels,
                   const uint8_t *masked, float *row)
{
    int32_t size = a->size, grid = a->grid;
    int64_t cell = size / grid, line = cell * 3, feature = cell * line;
    float *restrict scales = row, *restrict shifts = row + line;
    for (int64_t i = 0; i < line; i++) {
        scales[i] = a->scale[i % 3];
        shifts[i] = a->shift[i % 3];
    }
    for (int64_t p = 0; p < (int64_t)grid * grid; p++) {
        void *out = at(bf16, y, p * feature);
        if (masked && masked[p]) {
            memset(out, 0, (size_t)feature * (bf16 ? 2 : 4));
            continue;
        }
        const uint8_t *from = pixels + ((p / grid) * cell * size + p % grid * cell) * 3;
        for (int64_t r = 0; r < cell; r++) {
            const uint8_t *in = from + r * size * 3;
            void *to = at(bf16, out, r * line);
#pragma omp simd
            for (int64_t i = 0; i < line; i++)
                store(bf16, to, i, (float)in[i] * scales[i] + shifts[i]);
        }
    }
}

void FB_VECTOR_NAME(patchify)(const vector_patchify *a, void *y, const uint8_t *pixels,
                              const uint8_t *masked, float *row)
{
    FB_EACH_DTYPE(a->dtype, cut, a, y, pixels, masked, row);
}
