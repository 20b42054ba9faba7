/* vector_elementwise.c - GELU, tanh, products, dropout, addition: y[i] = f(x[i]), any
 * n. */
#include "backend/cpu/vector/vector_table.h"

FB_INLINE void gelu(bool bf16, void *y, const void *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float density, value = load(bf16, x, i);
        store(bf16, y, i, value * normal_cdf(value, &density));
    }
}

void FB_VECTOR_NAME(gelu_forward)(fb_dtype dtype, void *y, const void *x, int64_t n)
{
    FB_EACH_DTYPE(dtype, gelu, y, x, n);
}

FB_INLINE void gelu_gradient(bool bf16, void *dx, const void *dy, const void *x,
                             int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float density, value = load(bf16, x, i);
        float slope = normal_cdf(value, &density);
        slope += value * density;
        store(bf16, dx, i, load(bf16, dy, i) * slope);
    }
}

void FB_VECTOR_NAME(gelu_backward)(fb_dtype dtype, void *dx, const void *dy,
                                   const void *x, int64_t n)
{
    FB_EACH_DTYPE(dtype, gelu_gradient, dx, dy, x, n);
}

FB_INLINE void tanh_values(bool bf16, void *y, const void *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        store(bf16, y, i, vector_tanh(load(bf16, x, i)));
}

void FB_VECTOR_NAME(tanh_forward)(fb_dtype dtype, void *y, const void *x, int64_t n)
{
    FB_EACH_DTYPE(dtype, tanh_values, y, x, n);
}

FB_INLINE void tanh_gradient(bool bf16, void *dx, const void *dy, const void *y,
                             int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float value = load(bf16, y, i);
        store(bf16, dx, i, load(bf16, dy, i) * (1.0f - value * value));
    }
}

void FB_VECTOR_NAME(tanh_backward)(fb_dtype dtype, void *dx, const void *dy,
                                   const void *y, int64_t n)
{
    FB_EACH_DTYPE(dtype, tanh_gradient, dx, dy, y, n);
}

FB_INLINE void product(bool bf16, void *y, const void *a, const void *b, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        store(bf16, y, i, load(bf16, a, i) * load(bf16, b, i));
}

void FB_VECTOR_NAME(multiply)(fb_dtype dtype, void *y, const void *a, const void *b,
                              int64_t n)
{
    FB_EACH_DTYPE(dtype, product, y, a, b, n);
}

FB_INLINE void drop(bool bf16, void *y, const void *x, int64_t first, int64_t n,
                    fb_dropout dropout)
{
    uint32_t start = (uint32_t)first, threshold = dropout_threshold(dropout.p);
    float scale = dropout_scale(dropout.p);
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        store(bf16, y, i,
              dropped(load(bf16, x, i), dropout.key, start + (uint32_t)i, threshold,
                      scale));
}

void FB_VECTOR_NAME(dropout)(fb_dtype dtype, void *y, const void *x, int64_t first,
                             int64_t n, fb_dropout dropout)
{
    FB_EACH_DTYPE(dtype, drop, y, x, first, n, dropout);
}

FB_INLINE void sum(bool bf16, void *y, const void *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        store(bf16, y, i, load(bf16, y, i) + load(bf16, x, i));
}

void FB_VECTOR_NAME(add)(fb_dtype dtype, void *y, const void *x, int64_t n)
{
    FB_EACH_DTYPE(dtype, sum, y, x, n);
}
