/* vector_product.c - products of f32 matrices, after Goto & van de Geijn 2008: a block of
 * up to 6 rows by a panel's columns stays in registers while the sum passes, a part of
 * the panel in the first level cache, the rows' part in the second.
 *
 *     y[t][n]  = act(sum over k of x[t][k] w[n][k] + bias[n])      x as it lies
 *     dw[n][k] += sum over t of dy[t][n] x[t][k]                   both in panels
 *
 * A number of y is the same whatever rows lie beside its own: each sum runs along k in
 * one order. Sets with AVX-512 leave these products to oneDNN.
 */
#include "backend/cpu/vector/vector_table.h"
#include "backend/cpu/vector/vector_tile.h"

#if !defined(__AVX512F__)

enum { COLUMNS = PRODUCT_COLUMNS, ROWS = VECTOR_PRODUCT_ROWS };
_Static_assert((int)PRODUCT_COLUMNS == (int)WIDE * (int)LANES,
               "a panel is a block's columns");
enum { DEPTH = VECTOR_PRODUCT_DEPTH };                /* of a part of a panel */
enum { OUTER_ROWS = 256, OUTER_OUTPUTS = 32 * ROWS }; /* t, and n, taken at a time */

/* A's number of row r and place t is a[r * row + t * step]. */
typedef struct left {
    const float *a;
    int64_t row, step;
} left;

/* c[rows][COLUMNS] (+)= A b, b [depth][COLUMNS]. */
FB_INLINE void block(int rows, bool add, float *c, int64_t c_row, left l,
                     const float *b, int64_t depth)
{
    vec sum[ROWS][WIDE];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int w = 0; w < WIDE; w++)
            sum[r][w] = add ? *(const vec *)(c + r * c_row + w * LANES) : (vec){0};
    for (int64_t t = 0; t < depth; t++) {
        vec line[WIDE];
#pragma GCC unroll 8
        for (int w = 0; w < WIDE; w++)
            line[w] = *(const vec *)(b + t * COLUMNS + w * LANES);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            float value = l.a[r * l.row + t * l.step];
#pragma GCC unroll 8
            for (int w = 0; w < WIDE; w++)
                sum[r][w] += value * line[w];
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int w = 0; w < WIDE; w++)
            *(vec *)(c + r * c_row + w * LANES) = sum[r][w];
}

/* The same of 1 to ROWS rows. */
static void any_block(int64_t rows, bool add, float *c, int64_t c_row, left l,
                      const float *b, int64_t depth)
{
    switch (rows) {
    case 1:
        block(1, add, c, c_row, l, b, depth);
        return;
    case 2:
        block(2, add, c, c_row, l, b, depth);
        return;
    case 3:
        block(3, add, c, c_row, l, b, depth);
        return;
    case 4:
        block(4, add, c, c_row, l, b, depth);
        return;
    case 5:
        block(5, add, c, c_row, l, b, depth);
        return;
    default:
        block(ROWS, add, c, c_row, l, b, depth);
    }
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* What is done with the sums of a part of a panel. */
typedef struct part {
    int64_t first, columns; /* of y */
    bool add, last;         /* to what is in y; nothing is added behind */
    float bias[COLUMNS];
    void (*act)(fb_dtype, void *, const void *, int64_t);
} part;

/* y = act(value [+ y] + bias) of the rows of a panel. */
static void put_rows(const vector_product *a, const part *p,
                     float value[VECTOR_PRODUCT_CHUNK][COLUMNS])
{
    float *y = a->y + p->first;
    for (int64_t t = 0; t < a->rows; t++) {
        for (int64_t c = 0; p->add && c < p->columns; c++)
            value[t][c] += y[t * a->out + c];
#pragma omp simd
        for (int64_t c = 0; c < COLUMNS; c++)
            value[t][c] += p->bias[c];
    }
    if (p->act)
        p->act(FB_F32, value, value, a->rows * COLUMNS);
    for (int64_t t = 0; t < a->rows; t++)
        for (int64_t c = 0; c < p->columns; c++)
            y[t * a->out + c] = value[t][c];
}

/* All rows against numbers [k, k + depth) of one panel. */
static void product_part(const vector_product *a, const float *w, int64_t k,
                         int64_t depth, const part *p)
{
    float value[VECTOR_PRODUCT_CHUNK][COLUMNS];
    bool direct = p->columns == COLUMNS && !(p->last && (a->bias || p->act));
    for (int64_t t = 0; t < a->rows; t += ROWS) {
        const left l = {a->x + t * a->depth + k, a->depth, 1};
        int64_t rows = least(ROWS, a->rows - t);
        if (direct)
            any_block(rows, p->add, a->y + t * a->out + p->first, a->out, l, w, depth);
        else
            any_block(rows, false, value[t], COLUMNS, l, w, depth);
    }
    if (!direct)
        put_rows(a, p, value);
}

void FB_VECTOR_NAME(product)(const vector_product *a, int64_t from, int64_t to)
{
    for (int64_t k = 0; k < a->depth; k += DEPTH) {
        int64_t depth = least(DEPTH, a->depth - k);
        for (int64_t panel = from; panel < to; panel++) {
            part p = {.first = panel * COLUMNS, .add = a->add || k > 0};
            p.columns = least(COLUMNS, a->out - p.first);
            p.last = k + depth == a->depth;
            if (p.last && a->bias)
                memcpy(p.bias, a->bias + p.first, (size_t)p.columns * sizeof(float));
            p.act = p.last ? FB_VECTOR_NAME(kernels).act_forward[a->act] : NULL;
            product_part(a, a->w + (panel * a->depth + k) * COLUMNS, k, depth, &p);
        }
    }
}

/* ---- sums over rows of outer products ---------------------------------------------- */

size_t FB_VECTOR_NAME(outer_scratch)(int64_t in)
{
    int64_t columns = (in + COLUMNS - 1) / COLUMNS * COLUMNS;
    return (size_t)(OUTER_ROWS * (columns + OUTER_OUTPUTS)) * sizeof(float);
}

/* to[panel][t][width] = from[t][first + panel * width ..], filled up by zeros. */
FB_INLINE void pack(float *to, const float *from, int64_t row, int64_t rows,
                    int64_t count, int64_t width)
{
    for (int64_t c = 0; c < count; c += width) {
        int64_t n = least(width, count - c);
        for (int64_t t = 0; t < rows; t++, to += width) {
            const float *numbers = from + t * row + c;
            if (n == width)
                memcpy(to, numbers, (size_t)width * sizeof(float));
            else
                for (int64_t i = 0; i < width; i++)
                    to[i] = i < n ? numbers[i] : 0.0f;
        }
    }
}

/* dw += of `rows` packed rows, outputs [n, n + outputs). */
static void add_outputs(const vector_outer *a, const float *x, const float *dy,
                        int64_t rows, int64_t n, int64_t outputs)
{
    for (int64_t c = 0; c < a->in; c += COLUMNS, x += rows * COLUMNS)
        for (int64_t i = 0; i < outputs; i += ROWS) {
            const left l = {dy + i * rows, 1, ROWS};
            int64_t count = least(ROWS, outputs - i),
                    columns = least(COLUMNS, a->in - c);
            float *dw = a->dw + (n + i) * a->in_row + c;
            if (columns == COLUMNS) {
                any_block(count, true, dw, a->in_row, l, x, rows);
                continue;
            }
            float value[ROWS][COLUMNS];
            any_block(count, false, value[0], COLUMNS, l, x, rows);
            for (int64_t r = 0; r < count; r++)
                for (int64_t k = 0; k < columns; k++)
                    dw[r * a->in_row + k] += value[r][k];
        }
}

static void add_columns(float *sum, const float *dy, int64_t row, int64_t rows,
                        int64_t count)
{
    float block_sum[OUTER_OUTPUTS] = {0};
    for (int64_t t = 0; t < rows; t++)
#pragma omp simd
        for (int64_t i = 0; i < count; i++)
            block_sum[i] += dy[t * row + i];
    for (int64_t i = 0; i < count; i++)
        sum[i] += block_sum[i];
}

void FB_VECTOR_NAME(outer)(const vector_outer *a, int64_t from, int64_t to,
                           float *scratch)
{
    float *dy = scratch, *x = scratch + OUTER_ROWS * OUTER_OUTPUTS;
    for (int64_t t = 0; t < a->rows; t += OUTER_ROWS) {
        int64_t rows = least(OUTER_ROWS, a->rows - t);
        pack(x, a->x + t * a->in_row, a->in_row, rows, a->in, COLUMNS);
        for (int64_t n = from; n < to; n += OUTER_OUTPUTS) {
            int64_t outputs = least(OUTER_OUTPUTS, to - n);
            if (a->dbias)
                add_columns(a->dbias + n, a->dy + t * a->out + n, a->out, rows,
                            outputs);
            pack(dy, a->dy + t * a->out + n, a->out, rows, outputs, ROWS);
            add_outputs(a, x, dy, rows, n, outputs);
        }
    }
}

#endif
