/* vector_math.h - what the vector kernels share: names a set, loads, stores, functions.
 *
 * The loops are plain C that the compiler turns into vector code under `omp simd`. A
 * kernel takes `bf16` as a constant: the work is an always-inlined function, called
 * once with true and once with false (FB_EACH_DTYPE), so no loop tests it.
 */
#ifndef FB_BACKEND_CPU_VECTOR_MATH_H
#define FB_BACKEND_CPU_VECTOR_MATH_H

#include "backend/cpu/vector.h"
#include "base/random.h"
#include <math.h>

/* gelu_forward of the set FB_ISA: gelu_forward_avx512 */
#define FB_PASTE_(name, isa) name##_##isa
#define FB_PASTE(name, isa)  FB_PASTE_(name, isa)
#define FB_VECTOR_NAME(name) FB_PASTE(vector_##name, FB_ISA)

/* Without it the compiler may share one body between both dtypes and test in loops. */
#define FB_INLINE static inline __attribute__((always_inline))

#define FB_EACH_DTYPE(dtype, function, ...)                                            \
    do {                                                                               \
        if ((dtype) == FB_BF16)                                                        \
            function(true, __VA_ARGS__);                                               \
        else                                                                           \
            function(false, __VA_ARGS__);                                              \
    } while (0)

FB_INLINE float load(bool bf16, const void *p, int64_t i)
{
    return bf16 ? fb_bf16_to_f32(((const fb_bf16 *)p)[i]) : ((const float *)p)[i];
}

FB_INLINE void store(bool bf16, void *p, int64_t i, float value)
{
    if (bf16)
        ((fb_bf16 *)p)[i] = fb_bf16_from_f32(value);
    else
        ((float *)p)[i] = value;
}

/* Element i of a dense array, to point at. */
FB_INLINE void *at(bool bf16, void *p, int64_t i)
{
    return (char *)p + i * (bf16 ? 2 : 4);
}
FB_INLINE const void *at_const(bool bf16, const void *p, int64_t i)
{
    return (const char *)p + i * (bf16 ? 2 : 4);
}

FB_INLINE float from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
FB_INLINE uint32_t to_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* e^x to 2 units in the last place; below -87.3 it stays at 1.2e-38, above 88.7 it is
 * infinite, NaN stays NaN. x = n ln 2 + r, e^x = 2^n p(r) (coefficients of Cephes). */
FB_INLINE float vector_exp(float x)
{
    x = x < -87.3f ? -87.3f : x;
    x = x > 89.0f ? 89.0f : x;
    const float round_shift = 12582912.0f; /* 1.5 2^23: adding it rounds to integer */
    float shifted = x * 1.44269504f + round_shift;
    float n = shifted - round_shift;
    float r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    /* The low bits of `shifted` are n in two's complement. */
    float scale = from_bits((to_bits(shifted) + 127u) << 23);
    return p * scale;
}

/* Normal distribution function, absolute error below 2e-7: 1/2 + x p(x^2) / q(x^2), fitted
 * to the least largest error (4.1e-9) within 5.3, beyond which it is 0 or 1. */
FB_INLINE float normal_cdf(float x)
{
    float s = x * x;
    float p = 2.40502516e-08f, q = 1.23716654e-06f;
    p = p * s + 6.37905669e-06f;
    p = p * s + 1.60334530e-04f;
    p = p * s + 4.62799333e-03f;
    p = p * s + 3.29357907e-02f;
    p = p * s + 3.98942262e-01f;
    q = q * s + 7.13523114e-05f;
    q = q * s + 1.83657161e-03f;
    q = q * s + 2.81388257e-02f;
    q = q * s + 2.49224007e-01f;
    q = q * s + 1.0f;
    float near = 0.5f + x * p / q;
    near = x > 5.3f ? 1.0f : near;
    return x < -5.3f ? 0.0f : near;
}

/* Its density. */
FB_INLINE float normal_density(float x)
{
    return 0.39894228f * vector_exp(-0.5f * x * x);
}

FB_INLINE float vector_tanh(float x)
{
    float e = vector_exp(2.0f * x);
    float far = 1.0f - 2.0f / (e + 1.0f);
    float s = x * x; /* near 0 the difference above would lose digits */
    float near = x * (1.0f + s * (-0.33333333f + s * (0.13333333f - s * 0.05396825f)));
    return fabsf(x) < 0.1f ? near : far;
}

/* Kept and divided by 1 - p, or 0. threshold = p 2^32, scale = 1 / (1 - p). */
FB_INLINE float dropped(float x, uint64_t key, uint32_t index, uint32_t threshold,
                        float scale)
{
    return fb_random_hash32(key, index) >= threshold ? x * scale : 0.0f;
}

FB_INLINE uint32_t dropout_threshold(float p)
{
    return (uint32_t)ceil((double)p * 4294967296.0);
}

FB_INLINE float dropout_scale(float p)
{
    return 1.0f / (1.0f - p);
}

#endif
