/* cpu_product.h - linear layers in f32 by the vector kernels' own products, where the
 * instruction set has them (vector.h): with AVX2 they run at oneDNN's rate or above it,
 * and the weights' gradient at up to twice of it. Else NULL in the table, and cpu_gemm.h
 * is what multiplies.
 */
#ifndef FB_BACKEND_CPU_CPU_PRODUCT_H
#define FB_BACKEND_CPU_CPU_PRODUCT_H

#include "backend/backend.h"

typedef struct cpu_backend cpu_backend;

/* A weight in the panels of vector.h's vector_product, for one direction. */
typedef struct cpu_panels {
    float *numbers;
    uint64_t version; /* of the weight; 0: nothing is there */
} cpu_panels;

void cpu_panels_free(cpu_panels *panels);

/* Whether linear layers of this backend multiply so. */
bool cpu_product_is_own(const cpu_backend *c);

/* y = act(x w^T + bias) */
fb_status cpu_product_forward(fb_context *ctx, cpu_backend *c, const fb_tensor *y,
                              const fb_tensor *x, fb_weight *w, const float *bias,
                              fb_activation act);
/* dx = dy w, or += */
fb_status cpu_product_backward_input(fb_context *ctx, cpu_backend *c,
                                     const fb_tensor *dx, const fb_tensor *dy,
                                     fb_weight *w, bool accumulate);
/* dw += dy^T x; dbias += column sums of dy (NULL: not wanted) */
fb_status cpu_product_backward_weight(fb_context *ctx, cpu_backend *c, float *dw,
                                      float *dbias, const fb_tensor *x,
                                      const fb_tensor *dy);

#endif
