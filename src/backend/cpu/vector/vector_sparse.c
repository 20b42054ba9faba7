/* vector_sparse.c - a weighted sum of rows, in f32 and rounded once. */
#include "backend/cpu/vector/vector_table.h"

FB_INLINE void weigh(bool bf16, void *y, const void *x, const int32_t *list,
                     const float *weights, int64_t count, int64_t width, float *row)
{
    memset(row, 0, (size_t)width * sizeof *row);
    for (int64_t k = 0; k < count; k++) {
        const void *from = at_const(bf16, x, list[k] * width);
        float weight = weights[k];
#pragma omp simd
        for (int64_t i = 0; i < width; i++)
            row[i] += weight * load(bf16, from, i);
    }
#pragma omp simd
    for (int64_t i = 0; i < width; i++)
        store(bf16, y, i, row[i]);
}

void FB_VECTOR_NAME(weigh_rows)(fb_dtype dtype, void *y, const void *x,
                                const int32_t *list, const float *weights,
                                int64_t count, int64_t width, float *row)
{
    FB_EACH_DTYPE(dtype, weigh, y, x, list, weights, count, width, row);
}
