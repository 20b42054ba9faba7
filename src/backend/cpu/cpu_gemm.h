/* cpu_gemm.h - the three products of a linear layer and that of two activations, by
 * oneDNN.
 *
 *     forward          y[T,N]   = act(x[T,K] w^T + bias)
 *     backward_input   dx[T,K]  = dy[T,N] w            or +=
 *     backward_weight  dw[N,K] += dy^T x               f32
 *     product          y[M,N]   = a b, a b^T, a^T b
 *
 * T changes with every batch and making a primitive costs about what 200 rows cost, so
 * the rows are cut in two: a multiple of 64, and the rest of fewer than 64. Each part
 * runs the primitive of its exact size out of a bounded cache (least recently used goes
 * first), so nothing is made or allocated once the sizes of a run have been seen, and
 * nothing past the buffers is touched. (A size left open at creation is no way out: the
 * library then takes a path of half the speed.) backward_weight leaves fewer than 512
 * rows whole.
 *
 * A weight is repacked into the library's own layout, one copy for each direction that
 * was asked for, when its version moved.
 */
#ifndef FB_BACKEND_CPU_CPU_GEMM_H
#define FB_BACKEND_CPU_CPU_GEMM_H

#include "backend/backend.h"

typedef struct cpu_onednn cpu_onednn; /* cpu_onednn.h */
typedef struct cpu_gemm cpu_gemm;
typedef struct packed_copy packed_copy; /* cpu_onednn.h */

/* lib is borrowed. */
fb_status cpu_gemm_create(fb_context *ctx, cpu_onednn *lib, cpu_gemm **gemm);
void cpu_gemm_free(cpu_gemm *gemm);

fb_status cpu_gemm_forward(fb_context *ctx, cpu_gemm *gemm, const fb_tensor *y,
                           const fb_tensor *x, fb_weight *w, const float *bias,
                           fb_activation act);
fb_status cpu_gemm_backward_input(fb_context *ctx, cpu_gemm *gemm, const fb_tensor *dx,
                                  const fb_tensor *dy, fb_weight *w, bool accumulate);
fb_status cpu_gemm_backward_weight(fb_context *ctx, cpu_gemm *gemm, float *dw,
                                   const fb_tensor *x, const fb_tensor *dy);
/* sums[T,N] = x[T,K] w[N,K]^T of int8 numbers, one primitive of the exact sizes. Whether
 * the library's sums are exact depends on the processor (cpu_int8_choice.c). The pack
 * takes the place of what the copy held before. */
fb_status cpu_gemm_int8_pack(fb_context *ctx, cpu_gemm *gemm, packed_copy *copy,
                             const int8_t *w, int64_t in, int64_t out);
fb_status cpu_gemm_int8(fb_context *ctx, cpu_gemm *gemm, int32_t *sums, const int8_t *x,
                        int64_t rows, const packed_copy *w, int64_t in, int64_t out);
/* y = A B of two activations, a and b or their transposes; y may be f32. One primitive
 * of the exact sizes. */
fb_status cpu_gemm_product(fb_context *ctx, cpu_gemm *gemm, const fb_tensor *y,
                           const fb_tensor *a, bool transpose_a, const fb_tensor *b,
                           bool transpose_b);

#endif
