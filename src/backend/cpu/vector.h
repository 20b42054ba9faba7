/* vector.h - the loops of the cpu backend that are no oneDNN product, one table for
 * each instruction set. The functions are serial and work on a range; the cpu_*.c files
 * cut the work between threads. The same sources (vector/) are compiled once a set.
 *
 * bf16 numbers and the f32 ones share each function; `dtype` is that of the void
 * pointers. Lengths may be anything from 0; nothing needs to be aligned.
 */
#ifndef FB_BACKEND_CPU_VECTOR_H
#define FB_BACKEND_CPU_VECTOR_H

#include "backend/backend.h"

typedef struct vector_norm {
    fb_dtype dtype;
    int64_t width;
    void *y, *z;   /* z may be NULL */
    float *stats;  /* may be NULL */
    const void *x; /* residual may be NULL */
    const void *residual;
    const float *gamma, *beta;
    float eps;
    fb_dropout dropout;
    /* backward */
    void *dx, *dresidual; /* dresidual may be NULL */
    const void *dy, *z_in;
    const float *stats_in;
} vector_norm;

typedef struct vector_batch_norm {
    fb_dtype dtype;
    int64_t width;
    bool relu;
    const void *x, *residual;                  /* residual may be NULL */
    const float *mean, *scale, *shift, *slope; /* [width]; slope: backward */
    void *y;
    /* backward */
    const void *dy, *y_in; /* y_in is read with relu */
    void *dx, *dresidual;  /* dresidual may be NULL */
} vector_batch_norm;

typedef struct vector_attention {
    fb_dtype dtype;
    int32_t heads, width;
    int64_t first_row, length; /* of the sequence's queries */
    int64_t first_key, keys;   /* of its keys and values */
    int32_t head;
    fb_dropout dropout;
    bool causal;
    int64_t q_row, kv_row; /* from a row of q to the next, of k or v, in numbers */
    const void *q, *k, *v, *out_in, *dout;
    void *out, *dq, *dk, *dv;
    float *lse;          /* forward; NULL: not kept */
    const float *lse_in; /* backward */
} vector_attention;

typedef struct vector_patchify {
    fb_dtype dtype;
    int32_t size, grid;
    float scale[3], shift[3]; /* a pixel becomes pixel scale + shift, by colour */
} vector_patchify;

/* The gradient of InfoNCE: what rows of the similarities are read and written. */
typedef struct vector_contrast {
    fb_dtype dtype;
    const fb_contrast *pairs;
    const float *similarity, *lse; /* [B,B], [2B] */
    void *dsimilarity;
    double *dscale; /* [B], each row's part */
    float factor;   /* seed / 2B */
} vector_contrast;

/* One pair of stacked cross attention: number (q, c) of its block is at
 * q * by_query + c * by_context of s, and of ds. */
typedef struct vector_stacked {
    const fb_stacked *p;
    int64_t queries, contexts, by_query, by_context;
    const float *s, *gram;
    /* backward */
    fb_dtype dtype; /* of ds */
    void *ds;
    float dscore; /* d / d (score / scale) */
    float *dgram; /* += , of stacked_sums bytes */
} vector_stacked;
/* A row of a gated recurrent unit. */
typedef struct vector_gru {
    fb_dtype dtype;
    int64_t width;      /* H */
    const void *before; /* [H] the state before the row; NULL: zeros */
    /* forward */
    const float *x, *g;  /* [3H] what the input and the state before give */
    void *state, *gates; /* [H], [4H]; gates may be NULL */
    /* backward */
    const void *gates_in, *dy;
    const void *back; /* [H] what the row behind gives back; NULL: nothing, */
    float *keep;      /* [H] nor by its z: in, out */
    void *dx, *dg;    /* [3H] */
} vector_gru;

/* Rows of positions; v, y and dy have `features` numbers of the row itself first. */
typedef struct vector_positions {
    fb_dtype dtype;
    const fb_positions *p;
    int64_t features;
    const void *v, *q;
    void *y;
    /* backward */
    const void *dy;
    void *dv, *dq; /* dv may be NULL */
    float *dtable; /* += ; may be NULL */
} vector_positions;

/* A product of int8 numbers (backend/int8.h). Those of a row of x that are neighbours along
 * the sum lie in words of 32 bits, int8_group a word: two s16, or four u8 (by 128 too
 * large); K is rounded up to whole words. w lies panel by panel of int8_columns outputs,
 * filled up by zeros: [panels][words][columns][int8_group]. */
enum { VECTOR_INT8_ROWS = 6 };
typedef struct vector_int8 {
    int64_t rows, words, out;
    const int32_t *x;     /* [rows, rounded up to VECTOR_INT8_ROWS][words] */
    const float *x_scale; /* [rows] */
    const int8_t *w;
    const float *w_scale, *bias; /* [out]; bias may be NULL */
    const float *residual;       /* [rows, out], may be y; NULL: none */
    fb_activation act;
    float *y;       /* [rows, out] */
    int32_t *panel; /* scratch of one panel, [words][columns] */
} vector_int8;

/* A product of f32 numbers by a weight in panels of product_columns outputs, filled up by
 * zeros: [panels][depth][columns]. */
enum { VECTOR_PRODUCT_ROWS = 6, VECTOR_PRODUCT_DEPTH = 512, VECTOR_PRODUCT_CHUNK = 96 };
typedef struct vector_product {
    int64_t rows, depth, out;  /* rows: at most VECTOR_PRODUCT_CHUNK */
    const float *x, *w, *bias; /* x [rows, depth]; bias [out] or NULL */
    fb_activation act;
    bool add; /* to what is in y; without bias and act */
    float *y; /* [rows, out] */
} vector_product;

/* dw += dy^T x of `in` columns of x and dw, which lie in_row apart. */
typedef struct vector_outer {
    int64_t rows, in, in_row, out;
    const float *x, *dy; /* dy [rows, out] */
    float *dw, *dbias;   /* dbias [out] += column sums of dy; NULL: not wanted */
} vector_outer;

typedef struct fb_vector {
    const char *name;

    /* by fb_activation; NULL of FB_ACT_NONE */
    void (*act_forward[FB_ACT_RELU + 1])(fb_dtype dtype, void *y, const void *x,
                                         int64_t n);
    void (*act_backward[FB_ACT_RELU + 1])(fb_dtype dtype, void *dx, const void *dy,
                                          const void *x, int64_t n);
    void (*tanh_forward)(fb_dtype dtype, void *y, const void *x, int64_t n);
    void (*tanh_backward)(fb_dtype dtype, void *dx, const void *dy, const void *y,
                          int64_t n);
    /* `first` is the flat index of element 0 */
    void (*dropout)(fb_dtype dtype, void *y, const void *x, int64_t first, int64_t n,
                    fb_dropout dropout);
    void (*multiply)(fb_dtype dtype, void *y, const void *a, const void *b, int64_t n);

    int64_t int8_columns, int8_group; /* of a panel; of a word */
    /* rows [rows, width] to q [rows][words] and their scales */
    void (*int8_quantize)(int32_t *q, float *scale, const float *x, int64_t rows,
                          int64_t width);
    /* the same to q [rows][width] of one byte each, for another library */
    void (*int8_quantize_bytes)(int8_t *q, float *scale, const float *x, int64_t rows,
                                int64_t width);
    /* n numbers of a row, multiplied with `inverse`, from number `at` of q on, in words or
     * in bytes; inverse 0: zeros, and x is not read */
    void (*int8_quantize_part)(int32_t *q, int64_t at, const float *x, int64_t n,
                               float inverse);
    void (*int8_quantize_part_bytes)(int8_t *q, int64_t at, const float *x, int64_t n,
                                     float inverse);
    /* fb_int8_magnitude of each row */
    void (*int8_magnitudes)(float *magnitude, const float *x, int64_t rows,
                            int64_t width);
    /* panels [from, to) of y */
    void (*int8_product)(const vector_int8 *a, int64_t from, int64_t to);
    /* a->y[rows,out] of sums that another library made */
    void (*int8_finish)(const int32_t *sums, const vector_int8 *a);
    const char *int8_by; /* what multiplies, for people */

    /* NULL, all of them, where oneDNN's products are the faster ones */
    int64_t product_columns;
    /* panels [from, to) of y */
    void (*product)(const vector_product *a, int64_t from, int64_t to);
    /* rows [from, to) of dw; scratch of outer_scratch(in) bytes */
    void (*outer)(const vector_outer *a, int64_t from, int64_t to, float *scratch);
    size_t (*outer_scratch)(int64_t in);

    void (*add)(fb_dtype dtype, void *y, const void *x, int64_t n);

    /* rows [first, first + rows); row [width] floats of scratch */
    void (*norm_forward)(const vector_norm *a, int64_t first, int64_t rows, float *row);
    /* row [2 width] of scratch; dgamma, dbeta += or NULL */
    void (*norm_backward)(const vector_norm *a, int64_t first, int64_t rows, float *row,
                          float *dgamma, float *dbeta);

    /* bytes of scratch that one item needs at most, for sequences of up to n tokens */
    size_t (*attention_scratch)(int64_t n, int64_t head_width);
    void (*attention_forward)(const vector_attention *a, void *scratch);
    void (*attention_backward)(const vector_attention *a, void *scratch);

    /* sum[j] += sum over rows of x[rows, width][.][j], columns [from, to) */
    void (*column_sum)(fb_dtype dtype, float *sum, const void *x, int64_t rows,
                       int64_t width, int64_t from, int64_t to);
    void (*embed_forward)(fb_dtype dtype, void *y, const void *x, const fb_embed *e,
                          int64_t first, int64_t rows, int64_t width);
    /* table[ids[n]] += dy[n] in columns [from, to) */
    void (*embed_backward)(fb_dtype dtype, float *table, const void *dy,
                           const int32_t *ids, int64_t rows, int64_t width,
                           int64_t from, int64_t to);
    /* y [width] = (add ? y : 0) + sum over k of dy[list[k]] */
    void (*sum_rows)(fb_dtype dtype, void *y, const void *dy, const int32_t *list,
                     int64_t count, int64_t width, bool add, float *row);
    /* one image: y [grid*grid, F]; masked may be NULL */
    void (*patchify)(const vector_patchify *a, void *y, const uint8_t *pixels,
                     const uint8_t *masked, float *row);

    /* rows of f32 logits */
    void (*cross_entropy_forward)(float *loss, float *lse, const float *logits,
                                  const int32_t *targets, int64_t rows,
                                  int64_t classes);
    void (*cross_entropy_backward)(fb_dtype dtype, void *dlogits, const float *logits,
                                   const float *lse, const int32_t *targets,
                                   int64_t rows, int64_t classes, float scale);
    /* one row: loss (NULL: not wanted) and dlogits (NULL: not wanted) */
    void (*kld)(fb_dtype dtype, float *loss, void *dlogits, const float *logits,
                const void *features, int64_t width, float scale);

    /* sums [2 width] = mean, sum (x - mean)^2 of each column of 1 row or more;
     * row [3 width] of scratch */
    void (*batch_norm_moments)(fb_dtype dtype, const void *x, int64_t rows,
                               int64_t width, double *sums, float *row);
    /* rows [first, first + rows): y = act((x - mean) scale + shift + residual) */
    void (*batch_norm_forward)(const vector_batch_norm *a, int64_t first, int64_t rows);
    /* sums [2 width] = sum g, sum g (x - mean); dresidual = g; row [2 width] */
    void (*batch_norm_sums)(const vector_batch_norm *a, int64_t first, int64_t rows,
                            double *sums, float *row);
    /* dresidual = g, dx = scale g - shift - (x - mean) slope */
    void (*batch_norm_backward)(const vector_batch_norm *a, int64_t first,
                                int64_t rows);
    /* lines [first, first + lines) of images * height' (backward: of the input's) */
    void (*max_pool_forward)(fb_dtype dtype, void *y, uint8_t *which, const void *x,
                             const fb_max_pool *p, int64_t channels, int64_t first,
                             int64_t lines);
    void (*max_pool_backward)(fb_dtype dtype, void *dx, const void *dy,
                              const uint8_t *which, const fb_max_pool *p,
                              int64_t channels, int64_t first, int64_t lines);
    /* y [width] = mean of the rows of x; row [width] of scratch */
    void (*mean_rows_forward)(fb_dtype dtype, void *y, const void *x, int64_t rows,
                              int64_t width, float *row);
    /* each row of dx = dy / rows */
    void (*mean_rows_backward)(fb_dtype dtype, void *dx, const void *dy, int64_t rows,
                               int64_t width);

    /* y [width] = sum over k of weights[k] x[list[k]]; row [width] of scratch */
    void (*weigh_rows)(fb_dtype dtype, void *y, const void *x, const int32_t *list,
                       const float *weights, int64_t count, int64_t width, float *row);

    /* rows of their own length; lengths NULL: not kept */
    void (*unit_rows_forward)(fb_dtype dtype, void *y, float *lengths, const void *x,
                              int64_t rows, int64_t width);
    void (*unit_rows_backward)(fb_dtype dtype, void *dx, const void *dy, const void *y,
                               const float *lengths, int64_t rows, int64_t width);
    void (*row_products)(float *y, const float *rows, int64_t count, int64_t width,
                         const float *query);
    void (*row_products_bf16)(float *y, const fb_bf16 *rows, int64_t count,
                              int64_t width, const float *query);
    void (*row_products_int8)(int32_t *y, const int8_t *rows, int64_t count,
                              int64_t width, const int16_t *query);
    /* similarity is the whole [B,B], loss and lse are [2B]; rows [from, to) */
    void (*contrast_rows)(float *loss, float *lse, const float *similarity,
                          const fb_contrast *c, int64_t from, int64_t to);
    /* columns [from, to); scratch has 2 (to - from) floats */
    void (*contrast_columns)(float *loss, float *lse, const float *similarity,
                             const fb_contrast *c, int64_t from, int64_t to,
                             float *scratch);
    /* rows [from, to) */
    void (*contrast_backward)(const vector_contrast *a, int64_t from, int64_t to);
    /* lists of length > 0 */
    void (*list_forward)(float *loss, float *lse, const float *logits,
                         const int32_t *members, const float *targets, int64_t lists,
                         int64_t length);
    /* shares [lists, length]: what each place adds to the margin of its row */
    void (*list_shares)(float *shares, const float *logits, const float *lse,
                        const int32_t *members, const float *targets, int64_t lists,
                        int64_t length, float scale);
    /* dlogits[r] = (-sums[r], sums[r]) */
    void (*list_spread)(fb_dtype dtype, void *dlogits, const float *sums, int64_t rows);

    /* bytes of scratch of a block of that size at most, and of a context's sums */
    size_t (*stacked_scratch)(int64_t queries, int64_t contexts);
    size_t (*stacked_sums)(int64_t contexts);
    /* a block that is not empty; returns its score */
    float (*stacked_forward)(const vector_stacked *v, void *scratch);
    void (*stacked_backward)(const vector_stacked *v, void *scratch);
    /* dgram [contexts, contexts] of the sums */
    void (*stacked_put)(fb_dtype dtype, void *dgram, const float *sums,
                        int64_t contexts);
    /* one row of a recurrence */
    void (*gru_forward)(const vector_gru *a);
    void (*gru_backward)(const vector_gru *a);

    /* rows [from, to) */
    void (*position_forward)(const vector_positions *a, int64_t from, int64_t to);
    void (*position_backward)(const vector_positions *a, int64_t from, int64_t to);

    double (*sum_squares)(fb_dtype dtype, const void *x, int64_t n);
    int64_t (*find_nonfinite)(fb_dtype dtype, const void *x, int64_t n);
    void (*adamw)(float *x, float *m, float *v, const float *grad, int64_t n,
                  const fb_adamw *options);
} fb_vector;

/* The tables that this processor can run, the best one first; returns their number. */
enum { FB_VECTOR_SETS = 4 };
int32_t cpu_vector_list(const fb_vector *sets[FB_VECTOR_SETS]);

/* What the processor calls itself, and its family, model and stepping; "" where it does
 * not say. */
void cpu_name(char text[64]);

/* Whether oneDNN computes in bf16 here at all, be it slowly (AVX-512 without BF16). */
bool cpu_can_bf16(void);

#endif
