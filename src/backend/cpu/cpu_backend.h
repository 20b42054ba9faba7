/* cpu_backend.h - what the files of the cpu backend share: the backend, its scratch,
 * how work is cut between threads, and the kernels that fill its table.
 *
 * Threads take contiguous stretches, the same ones whenever sizes and thread count are
 * the same; nothing is added up in an order that depends on timing.
 */
#ifndef FB_BACKEND_CPU_CPU_BACKEND_H
#define FB_BACKEND_CPU_CPU_BACKEND_H

#include "backend/cpu/cpu_convolution.h"
#include "backend/cpu/cpu_gemm.h"
#include "backend/cpu/vector.h"

typedef struct cpu_backend {
    fb_backend base; /* first: the table gets this pointer */
    cpu_onednn *lib;
    cpu_gemm *gemm;
    cpu_convolution *convolution;
    const fb_vector *v;
    void *scratch;
    size_t scratch_bytes;
} cpu_backend;

static inline cpu_backend *cpu_of(fb_backend *be)
{
    return (cpu_backend *)be;
}

/* At least `bytes`, aligned to 64, kept until asked for more. */
fb_status cpu_scratch(cpu_backend *c, size_t bytes, void **scratch);

/* Whether work on `bytes` of memory pays for waking the other threads. */
static inline bool cpu_is_large(int64_t bytes)
{
    return bytes > 32768;
}

typedef struct cpu_range {
    int64_t from, to;
} cpu_range;

/* Part `index` of `parts` of [0, n), cut at multiples of `step`. */
static inline cpu_range cpu_part(int64_t n, int64_t step, int32_t index, int32_t parts)
{
    int64_t steps = (n + step - 1) / step;
    int64_t from = steps * index / parts * step,
            to = steps * (index + 1) / parts * step;
    return (cpu_range){from < n ? from : n, to < n ? to : n};
}

static inline void *cpu_at(const fb_tensor *t, int64_t element)
{
    return (char *)t->data + (size_t)element * fb_dtype_size(t->dtype);
}

fb_status cpu_linear_forward(fb_backend *be, const fb_tensor *y, const fb_tensor *x,
                             fb_weight *w, const float *bias, fb_activation act);
fb_status cpu_linear_backward_input(fb_backend *be, const fb_tensor *dx,
                                    const fb_tensor *dy, fb_weight *w, bool accumulate);
fb_status cpu_linear_backward_weight(fb_backend *be, float *dw, float *dbias,
                                     const fb_tensor *x, const fb_tensor *dy);
fb_status cpu_gemm_rate(fb_backend *be, double *flop_per_s, int64_t rows, int64_t in,
                        int64_t out, int32_t repeats);

fb_status cpu_gelu_forward(fb_backend *be, const fb_tensor *y, const fb_tensor *x);
fb_status cpu_gelu_backward(fb_backend *be, const fb_tensor *dx, const fb_tensor *dy,
                            const fb_tensor *x);
fb_status cpu_tanh_forward(fb_backend *be, const fb_tensor *y, const fb_tensor *x);
fb_status cpu_tanh_backward(fb_backend *be, const fb_tensor *dx, const fb_tensor *dy,
                            const fb_tensor *y);
fb_status cpu_dropout(fb_backend *be, const fb_tensor *y, const fb_tensor *x,
                      fb_dropout dropout);
fb_status cpu_multiply(fb_backend *be, const fb_tensor *y, const fb_tensor *a,
                       const fb_tensor *b);
fb_status cpu_add(fb_backend *be, const fb_tensor *y, const fb_tensor *x);

fb_status cpu_norm_forward(fb_backend *be, const fb_tensor *y, const fb_tensor *z,
                           float *stats, const fb_tensor *x, const fb_tensor *residual,
                           const float *gamma, const float *beta, float eps,
                           fb_dropout dropout);
fb_status cpu_norm_backward(fb_backend *be, const fb_tensor *dx,
                            const fb_tensor *dresidual, float *dgamma, float *dbeta,
                            const fb_tensor *dy, const fb_tensor *z, const float *stats,
                            const float *gamma, fb_dropout dropout);

fb_status cpu_attention_forward(fb_backend *be, const fb_tensor *out, float *lse,
                                const fb_tensor *qkv, const fb_attention *a);
fb_status cpu_attention_backward(fb_backend *be, const fb_tensor *dqkv,
                                 const fb_tensor *dout, const fb_tensor *out,
                                 const float *lse, const fb_tensor *qkv,
                                 const fb_attention *a);

fb_status cpu_embed_forward(fb_backend *be, const fb_tensor *y, const fb_tensor *x,
                            const fb_embed *e);
fb_status cpu_embed_backward(fb_backend *be, float *const dtable[FB_EMBED_TABLES],
                             const fb_tensor *dy, const fb_embed *e);
fb_status cpu_gather_rows(fb_backend *be, const fb_tensor *y, const fb_tensor *a,
                          const fb_tensor *b, const int32_t *index);
fb_status cpu_scatter_rows(fb_backend *be, const fb_tensor *da, const fb_tensor *db,
                           const fb_tensor *dy, const int32_t *index, bool accumulate);
fb_status cpu_patchify(fb_backend *be, const fb_tensor *y, const uint8_t *pixels,
                       const fb_patchify *p);

fb_status cpu_cross_entropy_forward(fb_backend *be, float *loss, float *lse,
                                    const fb_tensor *logits, const int32_t *targets);
fb_status cpu_cross_entropy_backward(fb_backend *be, const fb_tensor *dlogits,
                                     const fb_tensor *logits, const float *lse,
                                     const int32_t *targets, float scale);
fb_status cpu_kld_forward(fb_backend *be, float *loss, const fb_tensor *logits,
                          const fb_tensor *features, const int32_t *rows);
fb_status cpu_kld_backward(fb_backend *be, const fb_tensor *dlogits,
                           const fb_tensor *logits, const fb_tensor *features,
                           const int32_t *rows, float scale);

fb_status cpu_batch_norm_forward(fb_backend *be, const fb_tensor *y, float *stats,
                                 const fb_tensor *x, const fb_tensor *residual,
                                 const float *gamma, const float *beta,
                                 const fb_batch_norm *n);
fb_status cpu_batch_norm_backward(fb_backend *be, const fb_tensor *dx,
                                  const fb_tensor *dresidual, float *dgamma,
                                  float *dbeta, const fb_tensor *dy, const fb_tensor *y,
                                  const fb_tensor *x, const float *stats,
                                  const float *gamma, const fb_batch_norm *n);
fb_status cpu_max_pool_forward(fb_backend *be, const fb_tensor *y, uint8_t *which,
                               const fb_tensor *x, const fb_max_pool *p);
fb_status cpu_max_pool_backward(fb_backend *be, const fb_tensor *dx,
                                const fb_tensor *dy, const uint8_t *which,
                                const fb_max_pool *p);
fb_status cpu_mean_rows_forward(fb_backend *be, const fb_tensor *y, const fb_tensor *x,
                                const int32_t *offsets);
fb_status cpu_mean_rows_backward(fb_backend *be, const fb_tensor *dx,
                                 const fb_tensor *dy, const int32_t *offsets);
fb_status cpu_conv_forward(fb_backend *be, const fb_tensor *y, const fb_tensor *x,
                           fb_weight *w, const float *bias, const fb_tensor *residual,
                           bool relu, const fb_conv *c);
fb_status cpu_conv_backward_input(fb_backend *be, const fb_tensor *dx,
                                  const fb_tensor *dy, fb_weight *w, const fb_conv *c,
                                  bool accumulate);
fb_status cpu_conv_backward_weight(fb_backend *be, float *dw, const fb_tensor *x,
                                   const fb_tensor *dy, const fb_conv *c);

fb_status cpu_unit_rows_forward(fb_backend *be, const fb_tensor *y, float *lengths,
                                const fb_tensor *x);
fb_status cpu_unit_rows_backward(fb_backend *be, const fb_tensor *dx,
                                 const fb_tensor *dy, const fb_tensor *y,
                                 const float *lengths);
fb_status cpu_matmul(fb_backend *be, const fb_tensor *y, const fb_tensor *a,
                     bool transpose_a, const fb_tensor *b, bool transpose_b);
void cpu_row_products(const fb_backend *be, float *y, const float *rows, int64_t count,
                      int64_t width, const float *query);
fb_status cpu_contrast_forward(fb_backend *be, float *loss, float *lse,
                               const fb_tensor *similarity, const fb_contrast *c);
fb_status cpu_contrast_backward(fb_backend *be, const fb_tensor *dsimilarity,
                                float *dscale, const fb_tensor *similarity,
                                const float *lse, const fb_contrast *c, float seed);
fb_status cpu_list_forward(fb_backend *be, float *loss, float *lse,
                           const fb_tensor *logits, const int32_t *members,
                           const float *targets, int32_t lists, int32_t length);
fb_status cpu_list_backward(fb_backend *be, const fb_tensor *dlogits,
                            const fb_tensor *logits, const float *lse,
                            const int32_t *members, const float *targets, int32_t lists,
                            int32_t length, float scale);

fb_status cpu_sum_squares(fb_backend *be, double *sum, const fb_tensor *x);
fb_status cpu_find_nonfinite(fb_backend *be, int64_t *index, const fb_tensor *x);
fb_status cpu_adamw_step(fb_backend *be, float *x, float *m, float *v,
                         const float *grad, int64_t n, const fb_adamw *options);

#endif
