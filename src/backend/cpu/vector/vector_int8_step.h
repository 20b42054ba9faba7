/* vector_int8_step.h - what an int8 product is made of, by instruction set: how many
 * numbers lie in a word, how many columns in a panel, and one step of the sums,
 *
 *     sum[c] += sum over k of x[k] w[c][k]        k = 0 .. INT8_GROUP - 1
 *
 *     AVX-512 VNNI   words of four, u8 (by 128 too large) with s8         vpdpbusd
 *     other x86      words of two s16                                     pmaddwd
 *     NEON           words of four s8, with dot products                  sdot
 *                    without: sums of two products fit an s16, as -128 is
 *                    never used; these are added to s32 in pairs          smull, sadalp
 *     anything else  words of two s16, plain loops
 *
 * None of them can saturate. FB_INT8_PORTABLE chooses the plain loops, for tests.
 */
#ifndef FB_BACKEND_CPU_VECTOR_INT8_STEP_H
#define FB_BACKEND_CPU_VECTOR_INT8_STEP_H

#include "backend/cpu/vector/vector_math.h"

#if defined(FB_INT8_PORTABLE)
#define INT8_BY "portable loops"
enum { INT8_LANES = 4, INT8_VECTORS = 2, INT8_GROUP = 2, INT8_SHIFT = 0 };
#elif defined(__AVX512BW__) && defined(__AVX512VNNI__)
#include <immintrin.h>
#define INT8_BY "AVX-512 VNNI"
enum { INT8_LANES = 16, INT8_VECTORS = 4, INT8_GROUP = 4, INT8_SHIFT = 128 };
#elif defined(__AVX512BW__)
#include <immintrin.h>
#define INT8_BY "AVX-512"
enum { INT8_LANES = 16, INT8_VECTORS = 4, INT8_GROUP = 2, INT8_SHIFT = 0 };
#elif defined(__AVX2__)
#include <immintrin.h>
#define INT8_BY "AVX2"
enum { INT8_LANES = 8, INT8_VECTORS = 2, INT8_GROUP = 2, INT8_SHIFT = 0 };
#elif defined(__SSE2__)
#include <immintrin.h>
#define INT8_BY "SSE2"
enum { INT8_LANES = 4, INT8_VECTORS = 2, INT8_GROUP = 2, INT8_SHIFT = 0 };
#elif defined(__aarch64__)
#include <arm_neon.h>
#if defined(__ARM_FEATURE_DOTPROD)
#define INT8_BY "NEON dot products"
#else
#define INT8_BY "NEON"
#endif
enum { INT8_LANES = 4, INT8_VECTORS = 4, INT8_GROUP = 4, INT8_SHIFT = 0 };
#else
#define INT8_BY "portable loops (no instructions for them here)"
enum { INT8_LANES = 4, INT8_VECTORS = 2, INT8_GROUP = 2, INT8_SHIFT = 0 };
#endif

/* Outputs of a panel: the vectors of sums that a block keeps beside each other. */
enum { INT8_COLUMNS = INT8_LANES * INT8_VECTORS };

/* may_alias, aligned(4): they point into buffers of s16 and s8. */
typedef int32_t sums
    __attribute__((vector_size(4 * INT8_LANES), aligned(4), may_alias));

FB_INLINE sums word_step(sums sum, int32_t x, sums w)
{
#if defined(FB_INT8_PORTABLE)
    int32_t low = (int16_t)(x & 0xffff), high = x >> 16;
    return sum + ((w << 16) >> 16) * low + (w >> 16) * high;
#elif defined(__AVX512BW__) && defined(__AVX512VNNI__)
    return (sums)_mm512_dpbusd_epi32((__m512i)sum, _mm512_set1_epi32(x), (__m512i)w);
#elif defined(__AVX512BW__)
    return sum + (sums)_mm512_madd_epi16(_mm512_set1_epi32(x), (__m512i)w);
#elif defined(__AVX2__)
    return sum + (sums)_mm256_madd_epi16(_mm256_set1_epi32(x), (__m256i)w);
#elif defined(__SSE2__)
    return sum + (sums)_mm_madd_epi16(_mm_set1_epi32(x), (__m128i)w);
#elif defined(__ARM_FEATURE_DOTPROD)
    return (sums)vdotq_s32((int32x4_t)sum, vreinterpretq_s8_s32(vdupq_n_s32(x)),
                           vreinterpretq_s8_s32((int32x4_t)w));
#elif defined(__aarch64__)
    int8x16_t a = vreinterpretq_s8_s32(vdupq_n_s32(x)),
              b = vreinterpretq_s8_s32((int32x4_t)w);
    int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
    int16x8_t high = vmull_high_s8(a, b);
    return (sums)vpadalq_s16((int32x4_t)sum, vpaddq_s16(low, high));
#else
    int32_t low = (int16_t)(x & 0xffff), high = x >> 16;
    return sum + ((w << 16) >> 16) * low + (w >> 16) * high;
#endif
}

#endif
