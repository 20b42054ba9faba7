/* vector_row_codes.c - products of short rows (bf16, s8) with one vector.
 *
 *     s8: y = sum of row[i] query[i], query in s16, pairs of s16 multiplied and added in
 *     s32 (vpmaddwd, or vpdpwssd where the processor has it); exact in any order
 *
 * A row is read once, and memory gives rows more slowly than this takes them: lines are
 * asked for AHEAD bytes before they are read, because the processor's own prefetching
 * ends with each page.
 */
#include "backend/cpu/vector/vector_table.h"
#include "tensor/bf16.h"

#if defined(__AVX2__)
#include <immintrin.h> /* compilers do not find the pair product by themselves */
#endif

enum { AHEAD = 2048, LINE = 64 };

FB_INLINE void fetch_ahead(const void *row, size_t bytes, const void *end)
{
    const char *from = (const char *)row + AHEAD, *to = from + bytes;
    if (to <= (const char *)end)
        for (; from < to; from += LINE)
            __builtin_prefetch(from);
}

void FB_VECTOR_NAME(row_products_bf16)(float *y, const fb_bf16 *rows, int64_t count,
                                       int64_t width, const float *query)
{
    for (int64_t n = 0; n < count; n++) {
        const fb_bf16 *row = rows + n * width;
        fetch_ahead(row, (size_t)width * sizeof *row, rows + count * width);
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < width; i++)
            sum += fb_bf16_to_f32(row[i]) * query[i];
        y[n] = sum;
    }
}

#if defined(__AVX512BW__)

enum { STEP = 32 };
typedef __m512i sums;

FB_INLINE sums add_pairs(sums sum, const int8_t *row, const int16_t *query)
{
    __m512i codes = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const void *)row));
    __m512i with = _mm512_loadu_si512(query);
#if defined(__AVX512VNNI__)
    return _mm512_dpwssd_epi32(sum, codes, with);
#else
    return _mm512_add_epi32(sum, _mm512_madd_epi16(codes, with));
#endif
}

FB_INLINE int32_t total(sums a, sums b)
{
    return _mm512_reduce_add_epi32(_mm512_add_epi32(a, b));
}

#define NO_SUMS _mm512_setzero_si512()

#elif defined(__AVX2__)

enum { STEP = 16 };
typedef __m256i sums;

FB_INLINE sums add_pairs(sums sum, const int8_t *row, const int16_t *query)
{
    __m256i codes = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)row));
    __m256i with = _mm256_loadu_si256((const void *)query);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(codes, with));
}

FB_INLINE int32_t total(sums a, sums b)
{
    __m256i s = _mm256_add_epi32(a, b);
    __m128i half =
        _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1));
    return _mm_cvtsi128_si32(half);
}

#define NO_SUMS _mm256_setzero_si256()

#endif

#if defined(__AVX2__)

/* Two chains of sums, so that one need not wait for the other. */
FB_INLINE int64_t whole_steps(const int8_t *row, int64_t width, const int16_t *query,
                              int32_t *sum)
{
    sums a = NO_SUMS, b = NO_SUMS;
    int64_t i = 0;
    for (; i + 2 * STEP <= width; i += 2 * STEP) {
        a = add_pairs(a, row + i, query + i);
        b = add_pairs(b, row + i + STEP, query + i + STEP);
    }
    for (; i + STEP <= width; i += STEP)
        a = add_pairs(a, row + i, query + i);
    *sum = total(a, b);
    return i;
}

#else

FB_INLINE int64_t whole_steps(const int8_t *row, int64_t width, const int16_t *query,
                              int32_t *sum)
{
    (void)row, (void)width, (void)query;
    *sum = 0;
    return 0;
}

#endif

void FB_VECTOR_NAME(row_products_int8)(int32_t *y, const int8_t *rows, int64_t count,
                                       int64_t width, const int16_t *query)
{
    for (int64_t n = 0; n < count; n++) {
        const int8_t *row = rows + n * width;
        fetch_ahead(row, (size_t)width, rows + count * width);
        int32_t head, sum = 0;
        int64_t from = whole_steps(row, width, query, &head);
#pragma omp simd reduction(+ : sum)
        for (int64_t i = from; i < width; i++)
            sum += row[i] * query[i];
        y[n] = head + sum;
    }
}
