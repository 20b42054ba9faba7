/* vector_tile.h - small matrix products for attention.
 *
 *     C[m,n] (+)= sum over t < depth of A[m,t] . B[t,n]
 *
 * A and B are made of 32-bit words: one f32, or, where the processor multiplies bf16
 * pairs, two bf16 numbers that are neighbours along the sum; "." is then the dot
 * product of both pairs, in f32. What makes words is fast in both directions:
 *
 *     rows        A[m,t]      a tensor's row as it lies
 *     transposed  B[t,n]      the same words, turned
 *     interleaved B[t,n]      rows 2t and 2t + 1, number by number
 *     interleaved A[t,m]      the same, read with the strides exchanged
 *
 * A block of 6 rows by up to 4 vectors stays in registers. The vectors are the
 * compilers' own extension (vector_size): plain loops do not keep such a block in
 * registers. Rows of A and C are read and written up to the next multiple of 6, columns
 * of B and C up to the next whole vector: the buffers have room for it.
 */
#ifndef FB_BACKEND_CPU_VECTOR_TILE_H
#define FB_BACKEND_CPU_VECTOR_TILE_H

#include "backend/cpu/vector/vector_math.h"

#if defined(__AVX512BF16__)
#include <immintrin.h> /* the pair product exists only as an intrinsic */
#define FB_PAIRS 1
#else
#define FB_PAIRS 0
#endif

#if defined(__AVX512F__)
enum { LANES = 16, WIDE = 4 };
#elif defined(__AVX__)
enum { LANES = 8, WIDE = 2 };
#else
enum { LANES = 4, WIDE = 2 };
#endif
enum { TILE_ROWS = 6 };

/* aligned(4), may_alias: they point into buffers of floats and words alike. */
typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef float word __attribute__((may_alias));
typedef float quad __attribute__((vector_size(16)));

typedef struct tile_matrix {
    const word *words;
    int64_t row, depth; /* strides along rows (or columns) and along the sum */
} tile_matrix;

/* Of C, and of the sum. */
typedef struct tile_shape {
    int64_t rows, columns, depth;
} tile_shape;

/* Sum of s[n], n a multiple of LANES. A plain reduction ends in LANES additions one
 * behind the other, which is much for a short row. */
FB_INLINE float tile_sum(const float *s, int64_t n)
{
    vec sum = {0};
    for (int64_t i = 0; i < n; i += LANES)
        sum += *(const vec *)(s + i);
    quad part[LANES / 4], all;
    memcpy(part, &sum, sizeof part);
    all = part[0];
    for (int i = 1; i < LANES / 4; i++)
        all += part[i];
    return (all[0] + all[1]) + (all[2] + all[3]);
}

FB_INLINE vec tile_step(bool pairs, vec sum, float a, vec b)
{
#if FB_PAIRS
    if (pairs) {
        __m512 spread = _mm512_set1_ps(a);
        return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)spread,
                                     (__m512bh)(__m512)b);
    }
#endif
    (void)pairs;
    return sum + a * b;
}

/* One block of `width` vectors; B's numbers of one t lie together. */
FB_INLINE void tile_block(bool pairs, int width, bool add, float *c, int64_t c_row,
                          tile_matrix a, tile_matrix b, int64_t depth)
{
    vec sum[TILE_ROWS][WIDE];
#pragma GCC unroll 8
    for (int r = 0; r < TILE_ROWS; r++)
#pragma GCC unroll 8
        for (int w = 0; w < width; w++)
            sum[r][w] = add ? *(const vec *)(c + r * c_row + w * LANES) : (vec){0};
    for (int64_t t = 0; t < depth; t++) {
        vec line[WIDE];
#pragma GCC unroll 8
        for (int w = 0; w < width; w++)
            line[w] = *(const vec *)(b.words + t * b.depth + w * LANES);
#pragma GCC unroll 8
        for (int r = 0; r < TILE_ROWS; r++) {
            float value = a.words[r * a.row + t * a.depth];
#pragma GCC unroll 8
            for (int w = 0; w < width; w++)
                sum[r][w] = tile_step(pairs, sum[r][w], value, line[w]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < TILE_ROWS; r++)
#pragma GCC unroll 8
        for (int w = 0; w < width; w++)
            *(vec *)(c + r * c_row + w * LANES) = sum[r][w];
}

/* C [rows up, columns up], row stride c_row. */
FB_INLINE void tile_product(bool pairs, bool add, float *c, int64_t c_row,
                            tile_matrix a, tile_matrix b, tile_shape n)
{
    for (int64_t r = 0; r < n.rows; r += TILE_ROWS) {
        tile_matrix part = {a.words + r * a.row, a.row, a.depth};
        float *out = c + r * c_row;
        int64_t j = 0;
        for (; j + (WIDE - 1) * LANES < n.columns; j += WIDE * LANES) {
            tile_matrix columns = {b.words + j, b.row, b.depth};
            tile_block(pairs, WIDE, add, out + j, c_row, part, columns, n.depth);
        }
        tile_matrix rest = {b.words + j, b.row, b.depth};
        int64_t left = (n.columns - j + LANES - 1) / LANES;
        if (WIDE > 3 && left == 3)
            tile_block(pairs, 3, add, out + j, c_row, part, rest, n.depth);
        else if (WIDE > 2 && left == 2)
            tile_block(pairs, 2, add, out + j, c_row, part, rest, n.depth);
        else if (left == 1)
            tile_block(pairs, 1, add, out + j, c_row, part, rest, n.depth);
    }
}

#endif
