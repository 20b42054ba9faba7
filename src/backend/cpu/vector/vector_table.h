/* vector_table.h - the kernels of vector.h under this set's names (vector_table.c puts
 * them into the set's table). */
#ifndef FB_BACKEND_CPU_VECTOR_TABLE_H
#define FB_BACKEND_CPU_VECTOR_TABLE_H

#include "backend/cpu/vector/vector_math.h"

void FB_VECTOR_NAME(gelu_forward)(fb_dtype dtype, void *y, const void *x, int64_t n);
void FB_VECTOR_NAME(gelu_backward)(fb_dtype dtype, void *dx, const void *dy,
                                   const void *x, int64_t n);
void FB_VECTOR_NAME(gelu_tanh_forward)(fb_dtype dtype, void *y, const void *x,
                                       int64_t n);
void FB_VECTOR_NAME(gelu_tanh_backward)(fb_dtype dtype, void *dx, const void *dy,
                                        const void *x, int64_t n);
void FB_VECTOR_NAME(quick_gelu_forward)(fb_dtype dtype, void *y, const void *x,
                                        int64_t n);
void FB_VECTOR_NAME(quick_gelu_backward)(fb_dtype dtype, void *dx, const void *dy,
                                         const void *x, int64_t n);
void FB_VECTOR_NAME(relu_forward)(fb_dtype dtype, void *y, const void *x, int64_t n);
void FB_VECTOR_NAME(relu_backward)(fb_dtype dtype, void *dx, const void *dy,
                                   const void *x, int64_t n);
void FB_VECTOR_NAME(tanh_forward)(fb_dtype dtype, void *y, const void *x, int64_t n);
void FB_VECTOR_NAME(tanh_backward)(fb_dtype dtype, void *dx, const void *dy,
                                   const void *y, int64_t n);
void FB_VECTOR_NAME(multiply)(fb_dtype dtype, void *y, const void *a, const void *b,
                              int64_t n);
void FB_VECTOR_NAME(int8_quantize)(int32_t *q, float *scale, const float *x,
                                   int64_t rows, int64_t width);
void FB_VECTOR_NAME(int8_product)(const vector_int8 *a, int64_t from, int64_t to);
void FB_VECTOR_NAME(int8_quantize_bytes)(int8_t *q, float *scale, const float *x,
                                         int64_t rows, int64_t width);
void FB_VECTOR_NAME(int8_quantize_part)(int32_t *q, int64_t at, const float *x,
                                        int64_t n, float inverse);
void FB_VECTOR_NAME(int8_quantize_part_bytes)(int8_t *q, int64_t at, const float *x,
                                              int64_t n, float inverse);
void FB_VECTOR_NAME(int8_magnitudes)(float *magnitude, const float *x, int64_t rows,
                                     int64_t width);
void FB_VECTOR_NAME(int8_finish)(const int32_t *sums, const vector_int8 *a);
void FB_VECTOR_NAME(product)(const vector_product *a, int64_t from, int64_t to);
void FB_VECTOR_NAME(outer)(const vector_outer *a, int64_t from, int64_t to,
                           float *scratch);
size_t FB_VECTOR_NAME(outer_scratch)(int64_t in);
void FB_VECTOR_NAME(dropout)(fb_dtype dtype, void *y, const void *x, int64_t first,
                             int64_t n, fb_dropout dropout);
void FB_VECTOR_NAME(add)(fb_dtype dtype, void *y, const void *x, int64_t n);
void FB_VECTOR_NAME(norm_forward)(const vector_norm *a, int64_t first, int64_t rows,
                                  float *row);
void FB_VECTOR_NAME(norm_backward)(const vector_norm *a, int64_t first, int64_t rows,
                                   float *row, float *dgamma, float *dbeta);
size_t FB_VECTOR_NAME(attention_scratch)(int64_t n, int64_t head_width);
void FB_VECTOR_NAME(attention_forward)(const vector_attention *a, void *scratch);
void FB_VECTOR_NAME(attention_backward)(const vector_attention *a, void *scratch);
void FB_VECTOR_NAME(column_sum)(fb_dtype dtype, float *sum, const void *x, int64_t rows,
                                int64_t width, int64_t from, int64_t to);
void FB_VECTOR_NAME(embed_forward)(fb_dtype dtype, void *y, const void *x,
                                   const fb_embed *e, int64_t first, int64_t rows,
                                   int64_t width);
void FB_VECTOR_NAME(embed_backward)(fb_dtype dtype, float *table, const void *dy,
                                    const int32_t *ids, int64_t rows, int64_t width,
                                    int64_t from, int64_t to);
void FB_VECTOR_NAME(sum_rows)(fb_dtype dtype, void *y, const void *dy,
                              const int32_t *list, int64_t count, int64_t width,
                              bool add, float *row);
void FB_VECTOR_NAME(patchify)(const vector_patchify *a, void *y, const uint8_t *pixels,
                              const uint8_t *masked, float *row);
void FB_VECTOR_NAME(cross_entropy_forward)(float *loss, float *lse, const float *logits,
                                           const int32_t *targets, int64_t rows,
                                           int64_t classes);
void FB_VECTOR_NAME(cross_entropy_backward)(fb_dtype dtype, void *dlogits,
                                            const float *logits, const float *lse,
                                            const int32_t *targets, int64_t rows,
                                            int64_t classes, float scale);
void FB_VECTOR_NAME(kld)(fb_dtype dtype, float *loss, void *dlogits,
                         const float *logits, const void *features, int64_t width,
                         float scale);
void FB_VECTOR_NAME(batch_norm_moments)(fb_dtype dtype, const void *x, int64_t rows,
                                        int64_t width, double *sums, float *row);
void FB_VECTOR_NAME(batch_norm_forward)(const vector_batch_norm *a, int64_t first,
                                        int64_t rows);
void FB_VECTOR_NAME(batch_norm_sums)(const vector_batch_norm *a, int64_t first,
                                     int64_t rows, double *sums, float *row);
void FB_VECTOR_NAME(batch_norm_backward)(const vector_batch_norm *a, int64_t first,
                                         int64_t rows);
void FB_VECTOR_NAME(max_pool_forward)(fb_dtype dtype, void *y, uint8_t *which,
                                      const void *x, const fb_max_pool *p,
                                      int64_t channels, int64_t first, int64_t lines);
void FB_VECTOR_NAME(max_pool_backward)(fb_dtype dtype, void *dx, const void *dy,
                                       const uint8_t *which, const fb_max_pool *p,
                                       int64_t channels, int64_t first, int64_t lines);
void FB_VECTOR_NAME(mean_rows_forward)(fb_dtype dtype, void *y, const void *x,
                                       int64_t rows, int64_t width, float *row);
void FB_VECTOR_NAME(mean_rows_backward)(fb_dtype dtype, void *dx, const void *dy,
                                        int64_t rows, int64_t width);
void FB_VECTOR_NAME(weigh_rows)(fb_dtype dtype, void *y, const void *x,
                                const int32_t *list, const float *weights,
                                int64_t count, int64_t width, float *row);
void FB_VECTOR_NAME(unit_rows_forward)(fb_dtype dtype, void *y, float *lengths,
                                       const void *x, int64_t rows, int64_t width);
void FB_VECTOR_NAME(unit_rows_backward)(fb_dtype dtype, void *dx, const void *dy,
                                        const void *y, const float *lengths,
                                        int64_t rows, int64_t width);
void FB_VECTOR_NAME(row_products)(float *y, const float *rows, int64_t count,
                                  int64_t width, const float *query);
void FB_VECTOR_NAME(row_products_bf16)(float *y, const fb_bf16 *rows, int64_t count,
                                       int64_t width, const float *query);
void FB_VECTOR_NAME(row_products_int8)(int32_t *y, const int8_t *rows, int64_t count,
                                       int64_t width, const int16_t *query);
void FB_VECTOR_NAME(contrast_rows)(float *loss, float *lse, const float *similarity,
                                   const fb_contrast *c, int64_t from, int64_t to);
void FB_VECTOR_NAME(contrast_columns)(float *loss, float *lse, const float *similarity,
                                      const fb_contrast *c, int64_t from, int64_t to,
                                      float *scratch);
void FB_VECTOR_NAME(contrast_backward)(const vector_contrast *a, int64_t from,
                                       int64_t to);
void FB_VECTOR_NAME(list_forward)(float *loss, float *lse, const float *logits,
                                  const int32_t *members, const float *targets,
                                  int64_t lists, int64_t length);
void FB_VECTOR_NAME(list_shares)(float *shares, const float *logits, const float *lse,
                                 const int32_t *members, const float *targets,
                                 int64_t lists, int64_t length, float scale);
void FB_VECTOR_NAME(list_spread)(fb_dtype dtype, void *dlogits, const float *sums,
                                 int64_t rows);
size_t FB_VECTOR_NAME(stacked_scratch)(int64_t queries, int64_t contexts);
size_t FB_VECTOR_NAME(stacked_sums)(int64_t contexts);
float FB_VECTOR_NAME(stacked_forward)(const vector_stacked *v, void *scratch);
void FB_VECTOR_NAME(stacked_backward)(const vector_stacked *v, void *scratch);
void FB_VECTOR_NAME(stacked_put)(fb_dtype dtype, void *dgram, const float *sums,
                                 int64_t contexts);
void FB_VECTOR_NAME(gru_forward)(const vector_gru *a);
void FB_VECTOR_NAME(gru_backward)(const vector_gru *a);
void FB_VECTOR_NAME(position_forward)(const vector_positions *a, int64_t from,
                                      int64_t to);
void FB_VECTOR_NAME(position_backward)(const vector_positions *a, int64_t from,
                                       int64_t to);
double FB_VECTOR_NAME(sum_squares)(fb_dtype dtype, const void *x, int64_t n);
int64_t FB_VECTOR_NAME(find_nonfinite)(fb_dtype dtype, const void *x, int64_t n);
void FB_VECTOR_NAME(adamw)(float *restrict x, float *restrict m, float *restrict v,
                           const float *restrict grad, int64_t n,
                           const fb_adamw *options);

/* Outputs of a panel of f32: two vectors of the widest. */
#if defined(__AVX__)
enum { PRODUCT_COLUMNS = 16 };
#else
enum { PRODUCT_COLUMNS = 8 };
#endif

extern const fb_vector FB_VECTOR_NAME(kernels);

#endif
