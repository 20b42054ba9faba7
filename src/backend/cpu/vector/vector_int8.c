/* vector_int8.c - products of int8 numbers, exact, by the steps of vector_int8_step.h.
 * Where x is by 128 too large, sums begin at what that adds:
 *
 *     sum x w = sum (x + 128) w - 128 sum w
 *
 * Words of s16: a panel of w is widened once and then met by all rows. A block of 6 rows
 * by the panel's vectors of sums stays in registers, as in vector_tile.h:
 *
 *     sum[r][c] += x[r][2t] w[2t][c] + x[r][2t + 1] w[2t + 1][c]
 */
#include "backend/cpu/vector/vector_int8_step.h"
#include "backend/cpu/vector/vector_table.h"
#include "backend/int8.h"

typedef int32_t word __attribute__((may_alias));

/* start: what the sums of each column begin at. */
FB_INLINE void block(int32_t out[VECTOR_INT8_ROWS][INT8_COLUMNS], const word *x,
                     const word *w, int64_t words, const int32_t *start)
{
    sums sum[VECTOR_INT8_ROWS][INT8_VECTORS];
#pragma GCC unroll 8
    for (int r = 0; r < VECTOR_INT8_ROWS; r++)
#pragma GCC unroll 8
        for (int v = 0; v < INT8_VECTORS; v++)
            sum[r][v] = *(const sums *)(start + v * INT8_LANES);
#pragma GCC unroll 2
    for (int64_t t = 0; t < words; t++) {
        sums line[INT8_VECTORS];
#pragma GCC unroll 8
        for (int v = 0; v < INT8_VECTORS; v++)
            line[v] = *(const sums *)(w + t * INT8_COLUMNS + v * INT8_LANES);
#pragma GCC unroll 8
        for (int r = 0; r < VECTOR_INT8_ROWS; r++) {
            int32_t value = x[r * words + t];
#pragma GCC unroll 8
            for (int v = 0; v < INT8_VECTORS; v++)
                sum[r][v] = word_step(sum[r][v], value, line[v]);
        }
    }
    memcpy(out, sum, sizeof sum);
}

/* One row of f32 out of its sums; bias, residual NULL: none. */
FB_INLINE void finish(float *y, const int32_t *sum, float row, const float *scale,
                      const float *bias, const float *residual, bool relu, int64_t n)
{
#pragma omp simd
    for (int64_t c = 0; c < n; c++) {
        float value = (float)sum[c] * (row * scale[c]) + (bias ? bias[c] : 0.0f);
        if (residual)
            value += residual[c];
        y[c] = relu && value < 0.0f ? 0.0f : value;
    }
}

/* Each case a loop of its own, without a question in it. */
FB_INLINE void finish_row(float *y, const int32_t *sum, float row, const float *scale,
                          const float *bias, const float *residual, bool relu,
                          int64_t n)
{
    if (residual && relu)
        finish(y, sum, row, scale, bias, residual, true, n);
    else if (residual)
        finish(y, sum, row, scale, bias, residual, false, n);
    else if (relu)
        finish(y, sum, row, scale, bias, NULL, true, n);
    else
        finish(y, sum, row, scale, bias, NULL, false, n);
}

/* The panel as words, and what sums of its columns begin at. */
static const word *open_panel(const vector_int8 *a, const int8_t *w, int32_t *start)
{
    int64_t numbers = a->words * INT8_GROUP * INT8_COLUMNS;
    memset(start, 0, INT8_COLUMNS * sizeof *start);
    if (INT8_GROUP == 2) {
        int16_t *to = (int16_t *)(void *)a->panel;
#pragma omp simd
        for (int64_t i = 0; i < numbers; i++)
            to[i] = w[i];
        return a->panel;
    }
    for (int64_t i = 0; INT8_SHIFT != 0 && i < numbers; i += INT8_GROUP * INT8_COLUMNS)
        for (int64_t c = 0; c < INT8_COLUMNS; c++)
            for (int64_t k = 0; k < INT8_GROUP; k++)
                start[c] -= INT8_SHIFT * w[i + c * INT8_GROUP + k];
    return (const word *)(const void *)w;
}

static void (*activation(fb_activation act))(fb_dtype, void *, const void *, int64_t)
{
    switch (act) {
    case FB_ACT_GELU:
        return FB_VECTOR_NAME(gelu_forward);
    case FB_ACT_GELU_TANH:
        return FB_VECTOR_NAME(gelu_tanh_forward);
    case FB_ACT_QUICK_GELU:
        return FB_VECTOR_NAME(quick_gelu_forward);
    case FB_ACT_RELU: /* by finish */
    case FB_ACT_NONE:
        break;
    }
    return NULL;
}

/* Rows of a whole panel's columns, straight to their place. */
FB_INLINE void finish_whole(const vector_int8 *a, int64_t at, int64_t rows,
                            const int32_t (*sum)[INT8_COLUMNS], const float *x_scale,
                            const float *scale, const float *bias)
{
    bool relu = a->act == FB_ACT_RELU;
    for (int64_t r = 0; r < rows; r++, at += a->out)
        finish_row(a->y + at, sum[r], x_scale[r], scale, bias,
                   a->residual ? a->residual + at : NULL, relu, INT8_COLUMNS);
}

typedef void (*activate)(fb_dtype, void *, const void *, int64_t);

/* Fewer columns, or an activation that takes many numbers at a time. */
static void finish_part(const vector_int8 *a, int64_t at, int64_t rows,
                        const int32_t (*sum)[INT8_COLUMNS], const float *x_scale,
                        const float *scale, const float *bias, int64_t columns)
{
    activate act = activation(a->act);
    float value[VECTOR_INT8_ROWS][INT8_COLUMNS] = {{0}};
    for (int64_t r = 0; r < rows; r++)
        finish_row(value[r], sum[r], x_scale[r], scale, bias,
                   a->residual ? a->residual + at + r * a->out : NULL,
                   a->act == FB_ACT_RELU, columns);
    if (act)
        act(FB_F32, value, value, rows * INT8_COLUMNS);
    for (int64_t r = 0; r < rows; r++)
        memcpy(a->y + at + r * a->out, value[r], (size_t)columns * sizeof(float));
}

static void product_panel(const vector_int8 *a, const int8_t *w, int64_t first,
                          int64_t columns)
{
    float scale[INT8_COLUMNS] = {0}, bias[INT8_COLUMNS] = {0};
    int32_t start[INT8_COLUMNS];
    const word *words = open_panel(a, w, start);
    bool whole = columns == INT8_COLUMNS && !activation(a->act);
    memcpy(scale, a->w_scale + first, (size_t)columns * sizeof *scale);
    if (a->bias)
        memcpy(bias, a->bias + first, (size_t)columns * sizeof *bias);
    for (int64_t t = 0; t < a->rows; t += VECTOR_INT8_ROWS) {
        int32_t sum[VECTOR_INT8_ROWS][INT8_COLUMNS];
        int64_t rows = a->rows - t < VECTOR_INT8_ROWS ? a->rows - t : VECTOR_INT8_ROWS;
        const float *x_scale = a->x_scale + t;
        int64_t at = t * a->out + first;
        block(sum, a->x + t * a->words, words, a->words, start);
        if (whole)
            finish_whole(a, at, rows, (const int32_t(*)[INT8_COLUMNS])sum, x_scale,
                         scale, bias);
        else
            finish_part(a, at, rows, (const int32_t(*)[INT8_COLUMNS])sum, x_scale,
                        scale, bias, columns);
    }
}

void FB_VECTOR_NAME(int8_product)(const vector_int8 *a, int64_t from, int64_t to)
{
    int64_t numbers = a->words * INT8_GROUP * INT8_COLUMNS;
    for (int64_t p = from; p < to; p++) {
        int64_t first = p * INT8_COLUMNS, columns = a->out - first;
        product_panel(a, a->w + p * numbers, first,
                      columns < INT8_COLUMNS ? columns : INT8_COLUMNS);
    }
}

/* fb_int8_magnitude, whose bits compare as signed numbers too. */
static float magnitude(const float *x, int64_t n)
{
    int32_t most = 0;
#pragma omp simd reduction(max : most)
    for (int64_t i = 0; i < n; i++) {
        int32_t bits = (int32_t)(to_bits(x[i]) & 0x7fffffffu);
        most = bits > most ? bits : most;
    }
    return from_bits((uint32_t)most);
}

typedef enum number {
    S8,
    S16,
    U8, /* by 128 too large */
    IN_WORDS = INT8_SHIFT        ? U8
               : INT8_GROUP == 2 ? S16
                                 : S8
} number;

/* rintf leaves nothing to contract: its argument is a product alone. */
FB_INLINE void quantize_row(number type, void *q, const float *x, int64_t n,
                            float inverse)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        int32_t value = (int32_t)rintf(x[i] * inverse);
        if (type == S8)
            ((int8_t *)q)[i] = (int8_t)value;
        else if (type == S16)
            ((int16_t *)q)[i] = (int16_t)value;
        else
            ((uint8_t *)q)[i] = (uint8_t)(value + 128);
    }
}

/* `padded` numbers a row of q, of which the last may be filled up. */
FB_INLINE void quantize(number type, void *q, float *scale, const float *x,
                        int64_t rows, int64_t width, int64_t padded)
{
    size_t size = type == S16 ? sizeof(int16_t) : sizeof(int8_t);
    for (int64_t t = 0; t < rows; t++) {
        float inverse;
        char *row = (char *)q + (size_t)(t * padded) * size;
        scale[t] = fb_int8_scale(magnitude(x + t * width, width), &inverse);
        memset(row + (size_t)width * size, 0, (size_t)(padded - width) * size);
        if (inverse > 0.0f)
            quantize_row(type, row, x + t * width, width, inverse);
        else
            memset(row, type == U8 ? 128 : 0, (size_t)width * size);
    }
}

void FB_VECTOR_NAME(int8_quantize)(int32_t *q, float *scale, const float *x,
                                   int64_t rows, int64_t width)
{
    quantize(IN_WORDS, q, scale, x, rows, width,
             (width + INT8_GROUP - 1) / INT8_GROUP * INT8_GROUP);
}

void FB_VECTOR_NAME(int8_quantize_bytes)(int8_t *q, float *scale, const float *x,
                                         int64_t rows, int64_t width)
{
    quantize(S8, q, scale, x, rows, width, width);
}

/* `at` counts numbers of the type. */
FB_INLINE void quantize_part(number type, void *q, int64_t at, const float *x,
                             int64_t n, float inverse)
{
    size_t size = type == S16 ? sizeof(int16_t) : sizeof(int8_t);
    char *to = (char *)q + (size_t)at * size;
    if (inverse > 0.0f)
        quantize_row(type, to, x, n, inverse);
    else
        memset(to, type == U8 ? 128 : 0, (size_t)n * size);
}

void FB_VECTOR_NAME(int8_quantize_part)(int32_t *q, int64_t at, const float *x,
                                        int64_t n, float inverse)
{
    quantize_part(IN_WORDS, q, at, x, n, inverse);
}

void FB_VECTOR_NAME(int8_quantize_part_bytes)(int8_t *q, int64_t at, const float *x,
                                              int64_t n, float inverse)
{
    quantize_part(S8, q, at, x, n, inverse);
}

void FB_VECTOR_NAME(int8_magnitudes)(float *to, const float *x, int64_t rows,
                                     int64_t width)
{
    for (int64_t t = 0; t < rows; t++)
        to[t] = magnitude(x + t * width, width);
}

void FB_VECTOR_NAME(int8_finish)(const int32_t *sum, const vector_int8 *a)
{
    void (*act)(fb_dtype, void *, const void *, int64_t) = activation(a->act);
    for (int64_t t = 0; t < a->rows; t++) {
        float *to = a->y + t * a->out;
        const int32_t *from = sum + t * a->out;
        finish_row(to, from, a->x_scale[t], a->w_scale, a->bias,
                   a->residual ? a->residual + t * a->out : NULL, a->act == FB_ACT_RELU,
                   a->out);
        if (act)
            act(FB_F32, to, to, a->out);
    }
}
