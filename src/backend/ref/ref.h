/* ref.h - the reference backend's kernels: plain loops in f32 with sums in f64, one
 * thread, nothing optimised. They are the oracle that every other backend is tested
 * against, so they read like the formulas in backend.h, which holds their contracts.
 */
#ifndef FB_BACKEND_REF_REF_H
#define FB_BACKEND_REF_REF_H

#include "backend/backend.h"
#include "base/random.h"
#include <math.h>

/* What dropout makes of x, element `index` of its tensor. */
static inline float ref_dropout_value(fb_dropout d, uint32_t index, float x)
{
    if (!(d.p > 0.0f))
        return x;
    double threshold = (double)d.p * 0x1p32;
    return (double)fb_random_hash32(d.key, index) >= threshold ? x / (1.0f - d.p)
                                                               : 0.0f;
}

static inline double ref_gelu(double x)
{
    return 0.5 * x * (1.0 + erf(x * 0.70710678118654752440));
}

fb_status ref_linear_forward(fb_backend *be, const fb_tensor *y, const fb_tensor *x,
                             fb_weight *w, const float *bias, fb_activation act);
fb_status ref_linear_backward_input(fb_backend *be, const fb_tensor *dx,
                                    const fb_tensor *dy, fb_weight *w, bool accumulate);
fb_status ref_linear_backward_weight(fb_backend *be, float *dw, float *dbias,
                                     const fb_tensor *x, const fb_tensor *dy);
fb_status ref_gelu_forward(fb_backend *be, const fb_tensor *y, const fb_tensor *x);
fb_status ref_gelu_backward(fb_backend *be, const fb_tensor *dx, const fb_tensor *dy,
                            const fb_tensor *x);
fb_status ref_tanh_forward(fb_backend *be, const fb_tensor *y, const fb_tensor *x);
fb_status ref_tanh_backward(fb_backend *be, const fb_tensor *dx, const fb_tensor *dy,
                            const fb_tensor *y);
fb_status ref_norm_forward(fb_backend *be, const fb_tensor *y, const fb_tensor *z,
                           float *stats, const fb_tensor *x, const fb_tensor *residual,
                           const float *gamma, const float *beta, float eps,
                           fb_dropout dropout);
fb_status ref_norm_backward(fb_backend *be, const fb_tensor *dx,
                            const fb_tensor *dresidual, float *dgamma, float *dbeta,
                            const fb_tensor *dy, const fb_tensor *z, const float *stats,
                            const float *gamma, fb_dropout dropout);
fb_status ref_dropout(fb_backend *be, const fb_tensor *y, const fb_tensor *x,
                      fb_dropout dropout);
fb_status ref_attention_forward(fb_backend *be, const fb_tensor *out, float *lse,
                                const fb_tensor *qkv, const fb_attention *a);
fb_status ref_attention_backward(fb_backend *be, const fb_tensor *dqkv,
                                 const fb_tensor *dout, const fb_tensor *out,
                                 const float *lse, const fb_tensor *qkv,
                                 const fb_attention *a);
fb_status ref_embed_forward(fb_backend *be, const fb_tensor *y, const fb_tensor *x,
                            const fb_embed *e);
fb_status ref_embed_backward(fb_backend *be, float *const dtable[FB_EMBED_TABLES],
                             const fb_tensor *dy, const fb_embed *e);
fb_status ref_gather_rows(fb_backend *be, const fb_tensor *y, const fb_tensor *a,
                          const fb_tensor *b, const int32_t *index);
fb_status ref_scatter_rows(fb_backend *be, const fb_tensor *da, const fb_tensor *db,
                           const fb_tensor *dy, const int32_t *index, bool accumulate);
fb_status ref_patchify(fb_backend *be, const fb_tensor *y, const uint8_t *pixels,
                       const fb_patchify *p);
fb_status ref_cross_entropy_forward(fb_backend *be, float *loss, float *lse,
                                    const fb_tensor *logits, const int32_t *targets);
fb_status ref_cross_entropy_backward(fb_backend *be, const fb_tensor *dlogits,
                                     const fb_tensor *logits, const float *lse,
                                     const int32_t *targets, float scale);
fb_status ref_kld_forward(fb_backend *be, float *loss, const fb_tensor *logits,
                          const fb_tensor *features, const int32_t *rows);
fb_status ref_kld_backward(fb_backend *be, const fb_tensor *dlogits,
                           const fb_tensor *logits, const fb_tensor *features,
                           const int32_t *rows, float scale);
fb_status ref_batch_norm_forward(fb_backend *be, const fb_tensor *y, float *stats,
                                 const fb_tensor *x, const fb_tensor *residual,
                                 const float *gamma, const float *beta,
                                 const fb_batch_norm *n);
fb_status ref_batch_norm_backward(fb_backend *be, const fb_tensor *dx,
                                  const fb_tensor *dresidual, float *dgamma,
                                  float *dbeta, const fb_tensor *dy, const fb_tensor *y,
                                  const fb_tensor *x, const float *stats,
                                  const float *gamma, const fb_batch_norm *n);
fb_status ref_max_pool_forward(fb_backend *be, const fb_tensor *y, uint8_t *which,
                               const fb_tensor *x, const fb_max_pool *p);
fb_status ref_max_pool_backward(fb_backend *be, const fb_tensor *dx,
                                const fb_tensor *dy, const uint8_t *which,
                                const fb_max_pool *p);
fb_status ref_mean_rows_forward(fb_backend *be, const fb_tensor *y, const fb_tensor *x,
                                const int32_t *offsets);
fb_status ref_mean_rows_backward(fb_backend *be, const fb_tensor *dx,
                                 const fb_tensor *dy, const int32_t *offsets);
fb_status ref_unit_rows_forward(fb_backend *be, const fb_tensor *y, float *lengths,
                                const fb_tensor *x);
fb_status ref_unit_rows_backward(fb_backend *be, const fb_tensor *dx,
                                 const fb_tensor *dy, const fb_tensor *y,
                                 const float *lengths);
fb_status ref_matmul(fb_backend *be, const fb_tensor *y, const fb_tensor *a,
                     bool transpose_a, const fb_tensor *b, bool transpose_b);
void ref_row_products(const fb_backend *be, float *y, const float *rows, int64_t count,
                      int64_t width, const float *query);
fb_status ref_contrast_forward(fb_backend *be, float *loss, float *lse,
                               const fb_tensor *similarity, const fb_contrast *c);
fb_status ref_contrast_backward(fb_backend *be, const fb_tensor *dsimilarity,
                                float *dscale, const fb_tensor *similarity,
                                const float *lse, const fb_contrast *c, float seed);
fb_status ref_list_forward(fb_backend *be, float *loss, float *lse,
                           const fb_tensor *logits, const int32_t *members,
                           const float *targets, int32_t lists, int32_t length);
fb_status ref_list_backward(fb_backend *be, const fb_tensor *dlogits,
                            const fb_tensor *logits, const float *lse,
                            const int32_t *members, const float *targets, int32_t lists,
                            int32_t length, float scale);

fb_status ref_conv_forward(fb_backend *be, const fb_tensor *y, const fb_tensor *x,
                           fb_weight *w, const float *bias, const fb_tensor *residual,
                           bool relu, const fb_conv *c);
fb_status ref_conv_backward_input(fb_backend *be, const fb_tensor *dx,
                                  const fb_tensor *dy, fb_weight *w, const fb_conv *c,
                                  bool accumulate);
fb_status ref_conv_backward_weight(fb_backend *be, float *dw, const fb_tensor *x,
                                   const fb_tensor *dy, const fb_conv *c);
fb_status ref_multiply(fb_backend *be, const fb_tensor *y, const fb_tensor *a,
                       const fb_tensor *b);
fb_status ref_add(fb_backend *be, const fb_tensor *y, const fb_tensor *x);
fb_status ref_sum_squares(fb_backend *be, double *sum, const fb_tensor *x);
fb_status ref_find_nonfinite(fb_backend *be, int64_t *index, const fb_tensor *x);
fb_status ref_adamw_step(fb_backend *be, float *x, float *m, float *v,
                         const float *grad, int64_t n, const fb_adamw *options);
fb_status ref_gemm_rate(fb_backend *be, double *flop_per_s, int64_t rows, int64_t in,
                        int64_t out, int32_t repeats);

#endif
