/* vector_elementwise.c - activations, tanh, products, dropout, addition: y[i] = f(x[i]), any
 * n. */
#include "backend/cpu/vector/vector_table.h"

FB_INLINE void gelu(bool bf16, void *y, const void *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float value = load(bf16, x, i);
        store(bf16, y, i, value * normal_cdf(value));
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
        float value = load(bf16, x, i);
        float slope = normal_cdf(value) + value * normal_density(value);
        store(bf16, dx, i, load(bf16, dy, i) * slope);
    }
}

void FB_VECTOR_NAME(gelu_backward)(fb_dtype dtype, void *dx, const void *dy,
                                   const void *x, int64_t n)
{
    FB_EACH_DTYPE(dtype, gelu_gradient, dx, dy, x, n);
}

/* act_forward and act_backward of a function of one number and of its slope. */
#define ACTIVATION(name, value_of, slope_of)                                           \
    FB_INLINE void name##_values(bool bf16, void *y, const void *x, int64_t n)         \
    {                                                                                  \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++)                            \
            store(bf16, y, i, value_of(load(bf16, x, i)));                             \
    }                                                                                  \
    void FB_VECTOR_NAME(name##_forward)(fb_dtype dtype, void *y, const void *x,        \
                                        int64_t n)                                     \
    {                                                                                  \
        FB_EACH_DTYPE(dtype, name##_values, y, x, n);                                  \
    }                                                                                  \
    FB_INLINE void name##_slopes(bool bf16, void *dx, const void *dy, const void *x,   \
                                 int64_t n)                                            \
    {                                                                                  \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++)                            \
            store(bf16, dx, i, load(bf16, dy, i) * slope_of(load(bf16, x, i)));        \
    }                                                                                  \
    void FB_VECTOR_NAME(name##_backward)(fb_dtype dtype, void *dx, const void *dy,     \
                                         const void *x, int64_t n)                     \
    {                                                                                  \
        FB_EACH_DTYPE(dtype, name##_slopes, dx, dy, x, n);                             \
    }

/* (1 + tanh(u)) / 2 = sigmoid(2 u). An exponential that overflows makes it 0. */
FB_INLINE float sigmoid_of(float x)
{
    return 1.0f / (1.0f + vector_exp(-x));
}

FB_INLINE float cubic_of(float x) /* 2 sqrt(2/pi) (x + .044715 x^3) */
{
    return 1.59576912f * (x + 0.044715f * x * x * x);
}

FB_INLINE float gelu_tanh_of(float x)
{
    return x * sigmoid_of(cubic_of(x));
}

FB_INLINE float gelu_tanh_slope(float x)
{
    float near = x < -20.0f ? -20.0f : x > 20.0f ? 20.0f : x;
    float s = sigmoid_of(cubic_of(near));
    return s + near * s * (1.0f - s) * 1.59576912f * (1.0f + 0.134145f * near * near);
}

FB_INLINE float quick_gelu_of(float x)
{
    return x * sigmoid_of(1.702f * x);
}

FB_INLINE float quick_gelu_slope(float x)
{
    float near = x < -40.0f ? -40.0f : x > 40.0f ? 40.0f : x;
    float s = sigmoid_of(1.702f * near);
    return s + 1.702f * near * s * (1.0f - s);
}

FB_INLINE float relu_of(float x)
{
    return x < 0.0f ? 0.0f : x;
}

FB_INLINE float relu_slope(float x)
{
    return x <= 0.0f ? 0.0f : 1.0f;
}

ACTIVATION(gelu_tanh, gelu_tanh_of, gelu_tanh_slope)
ACTIVATION(quick_gelu, quick_gelu_of, quick_gelu_slope)
ACTIVATION(relu, relu_of, relu_slope)

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
