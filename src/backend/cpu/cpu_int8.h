/* cpu_int8.h - linear layers and convolutions by int8 products (backend/int8.h): by the
 * vector kernels of this processor, or by oneDNN, whichever is faster and exact here.
 */
#ifndef FB_BACKEND_CPU_CPU_INT8_H
#define FB_BACKEND_CPU_CPU_INT8_H

#include "backend/backend.h"

typedef struct cpu_backend cpu_backend; /* cpu_backend.h */

typedef enum cpu_int8_way {
    CPU_INT8_UNDECIDED,
    CPU_INT8_OWN,
    CPU_INT8_LIBRARY
} cpu_int8_way;

/* A packed copy in the panels of vector.h's vector_int8. */
typedef struct cpu_int8_copy {
    int8_t *bytes;
    const float *scale; /* those it was made with, borrowed */
    uint64_t version;   /* of the weight; 0: none yet */
} cpu_int8_copy;

void cpu_int8_copy_free(cpu_int8_copy *copy);

/* The two ways of linear_int8_forward and conv_int8_forward, and the one that c->int8
 * names. */
typedef struct cpu_int8_call {
    const fb_tensor *y, *x;
    fb_weight *w;
    const float *scale, *bias;
    fb_activation act;
    const fb_conv *conv;   /* NULL: a linear layer */
    const float *residual; /* of y's shape; NULL: none */
} cpu_int8_call;
fb_status cpu_int8_own(fb_context *ctx, cpu_backend *c, const cpu_int8_call *call);
fb_status cpu_int8_library(fb_context *ctx, cpu_backend *c, const cpu_int8_call *call);

/* Decide c->int8 by a trial of some milliseconds: whether oneDNN's sums of the largest
 * numbers are exact (without VNNI or AMX its sums of pairs saturate in 16 bits), and which
 * is faster at a product of ordinary size. A library that fails is not taken. */
fb_status cpu_int8_choose(fb_context *ctx, cpu_backend *c);

#endif
