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

/* ---- s8 ------------------------------------------------------------------------- */

enum { TOGETHER = 4 }; /* rows, so that the query is loaded once for them */

#if defined(__AVX512BW__)

enum { STEP = 32 };
typedef __m512i sums;

FB_INLINE sums add_pairs(sums sum, const int8_t *row, sums query)
{
    __m512i codes = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const void *)row));
#if defined(__AVX512VNNI__)
    return _mm512_dpwssd_epi32(sum, codes, query);
#else
    return _mm512_add_epi32(sum, _mm512_madd_epi16(codes, query));
#endif
}

FB_INLINE __m256i half_of(sums s)
{
    return _mm256_add_epi32(_mm512_castsi512_si256(s), _mm512_extracti64x4_epi64(s, 1));
}

#define NO_SUMS           _mm512_setzero_si512()
#define LOAD_QUERY(query) _mm512_loadu_si512(query)

#elif defined(__AVX2__)

enum { STEP = 16 };
typedef __m256i sums;

FB_INLINE sums add_pairs(sums sum, const int8_t *row, sums query)
{
    __m256i codes = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)row));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(codes, query));
}

FB_INLINE __m256i half_of(sums s)
{
    return s;
}

#define NO_SUMS           _mm256_setzero_si256()
#define LOAD_QUERY(query) _mm256_loadu_si256((const void *)(query))

#endif

#if defined(__AVX2__)

/* y[n] = the sum of s[n]'s lanes. */
FB_INLINE void add_up(int32_t y[TOGETHER], const sums s[TOGETHER])
{
    __m256i ab = _mm256_hadd_epi32(half_of(s[0]), half_of(s[1]));
    __m256i cd = _mm256_hadd_epi32(half_of(s[2]), half_of(s[3]));
    __m256i all = _mm256_hadd_epi32(ab, cd);
    _mm_storeu_si128(
        (__m128i *)(void *)y,
        _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1)));
}

/* The first STEP * steps numbers of `count` rows, a constant. */
FB_INLINE void add_steps(int32_t y[TOGETHER], int count, const int8_t *rows,
                         int64_t width, int64_t steps, const int16_t *query)
{
    sums s[TOGETHER] = {NO_SUMS, NO_SUMS, NO_SUMS, NO_SUMS};
    for (int64_t i = 0; i < steps * STEP; i += STEP) {
        sums with = LOAD_QUERY(query + i);
        for (int r = 0; r < count; r++)
            s[r] = add_pairs(s[r], rows + r * width + i, with);
    }
    add_up(y, s);
}

#else

enum { STEP = 1 << 30 };

FB_INLINE void add_steps(int32_t y[TOGETHER], int count, const int8_t *rows,
                         int64_t width, int64_t steps, const int16_t *query)
{
    (void)count, (void)rows, (void)width, (void)steps, (void)query;
    memset(y, 0, TOGETHER * sizeof *y);
}

#endif

FB_INLINE void code_products(int32_t *y, int count, const int8_t *rows, int64_t width,
                             const int16_t *query)
{
    int32_t head[TOGETHER];
    int64_t steps = width / STEP;
    add_steps(head, count, rows, width, steps, query);
    for (int r = 0; r < count; r++) {
        const int8_t *row = rows + r * width;
        int32_t sum = head[r];
        if (steps * STEP < width) {
#pragma omp simd reduction(+ : sum)
            for (int64_t i = steps * STEP; i < width; i++)
                sum += row[i] * query[i];
        }
        y[r] = sum;
    }
}

void FB_VECTOR_NAME(row_products_int8)(int32_t *y, const int8_t *rows, int64_t count,
                                       int64_t width, const int16_t *query)
{
    const int8_t *end = rows + count * width;
    int64_t n = 0;
    for (; n + TOGETHER <= count; n += TOGETHER) {
        const int8_t *row = rows + n * width;
        fetch_ahead(row, (size_t)(TOGETHER * width), end);
        code_products(y + n, TOGETHER, row, width, query);
    }
    for (; n < count; n++)
        code_products(y + n, 1, rows + n * width, width, query);
}
