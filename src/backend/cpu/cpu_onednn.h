/* cpu_onednn.h - what the files on oneDNN (cpu_gemm.c, cpu_convolution.c) share: the
 * library's engine, its 2.6 and 3.x C API seen as one, scratch, and packed weights.
 *
 * A packed weight is a copy of a weight's f32 numbers in a layout and type that a
 * primitive asks for, renewed when the weight's version moved. fb_weight.cache points
 * at the packed_weight: one copy a direction for linear layers, and for convolutions,
 * whose layout may depend on the picture, as many as CONV_COPIES.
 *
 * Memory objects are made once and only re-pointed afterwards; a packed copy has its
 * own, since re-pointing a padded one makes the library clear its pad.
 */
#ifndef FB_BACKEND_CPU_CPU_ONEDNN_H
#define FB_BACKEND_CPU_CPU_ONEDNN_H

#include "backend/backend.h"
#include "backend/cpu/cpu_int8.h"
#include "backend/cpu/cpu_product.h"
#include <oneapi/dnnl/dnnl.h>

/* The difference between the two majors: descriptors are values in 2.x, handles in 3.x.
 */
#if DNNL_VERSION_MAJOR < 3
typedef const dnnl_memory_desc_t *desc_ref;
#define DESC_REF(desc) (&(desc))
#else
typedef const_dnnl_memory_desc_t desc_ref;
#define DESC_REF(desc) ((desc_ref)(desc))
#endif

/* What is worked into a primitive beside the product itself; cpu_gemm.c has more bits.
 */
enum {
    OPTION_BIAS = 1,
    OPTION_GELU = 2,
    OPTION_SUM = 4, /* add to what is in the output */
    OPTION_F32_OUT = 8,
    OPTION_RELU = 16,
    OPTION_RESIDUAL = 32, /* add another tensor of the output's shape */
    OPTION_GELU_TANH = 256,
    OPTION_QUICK_GELU = 512
};

typedef struct cpu_onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_data_type_t type; /* of activations and packed weights */
    int32_t threads;
    void *scratch;
    size_t scratch_bytes;
} cpu_onednn;

/* FB_E_USAGE: bf16 where the processor has no AVX-512, without which oneDNN has none.
 */
fb_status cpu_onednn_create(fb_context *ctx, cpu_onednn **lib, fb_dtype dtype,
                            int32_t threads);
void cpu_onednn_free(cpu_onednn *lib);

fb_status cpu_onednn_check(fb_context *ctx, dnnl_status_t status, const char *what);
#define TRY_DNNL(ctx, call, what) FB_TRY(cpu_onednn_check((ctx), (call), (what)))

/* At least `bytes` in lib->scratch, aligned to 64. */
fb_status cpu_onednn_reserve(fb_context *ctx, cpu_onednn *lib, size_t bytes);

/* oneDNN takes its thread count from OpenMP's setting of the calling thread. Returns
 * the setting that cpu_onednn_leave puts back. */
int cpu_onednn_enter(int32_t threads);
void cpu_onednn_leave(int before);

/* strides NULL: a layout of the library's own liking. */
dnnl_status_t cpu_onednn_desc(dnnl_memory_desc_t *desc, int rank, const int64_t *dims,
                              dnnl_data_type_t type, const int64_t *strides);
void cpu_onednn_desc_free(dnnl_memory_desc_t *desc);

/* Scratch memory is ours, and the post-ops of `options`; residual: its layout. */
dnnl_status_t cpu_onednn_attr(dnnl_primitive_attr_t *attr, int32_t options,
                              desc_ref residual);

static inline desc_ref cpu_onednn_query(const_dnnl_primitive_desc_t pd,
                                        dnnl_query_t what)
{
    return dnnl_primitive_desc_query_md(pd, what, 0);
}

static inline dnnl_status_t cpu_onednn_memory(const cpu_onednn *lib,
                                              dnnl_memory_t *memory, desc_ref desc)
{
    return dnnl_memory_create(memory, desc, lib->engine, DNNL_MEMORY_NONE);
}

/* ---- packed weights ------------------------------------------------------------- */

enum { CONV_COPIES = 4 };

typedef struct packed_copy {
    void *bytes;
    dnnl_memory_t memory, source; /* source: the f32 numbers, re-pointed */
    dnnl_primitive_t reorder;
    uint64_t version;
} packed_copy;

typedef struct packed_weight {
    packed_copy linear[2]; /* by direction: forward, input */
    packed_copy conv[CONV_COPIES];
    int32_t next_conv; /* the one to make anew when all are taken */
    cpu_int8_copy int8;
    cpu_panels panels[2];     /* by direction, of cpu_product.h */
    packed_copy int8_library; /* of the same numbers, for oneDNN */
    const float *int8_library_scale;
} packed_weight;

/* w->cache, made when it is not there. */
fb_status cpu_onednn_packed(fb_context *ctx, packed_weight **packed, fb_weight *w);
void cpu_onednn_weight_release(fb_weight *w);

/* An empty copy becomes one in layout `want` of f32 numbers in layout `plain`; the
 * numbers come with cpu_onednn_copy_renew, which does nothing for a version it has. */
dnnl_status_t cpu_onednn_copy_make(cpu_onednn *lib, packed_copy *copy, desc_ref want,
                                   desc_ref plain);
fb_status cpu_onednn_copy_renew(fb_context *ctx, cpu_onednn *lib, packed_copy *copy,
                                const fb_weight *w);
/* Numbers that are not a weight's. */
fb_status cpu_onednn_copy_fill(fb_context *ctx, cpu_onednn *lib, packed_copy *copy,
                               const void *numbers);
void cpu_onednn_copy_free(packed_copy *copy);

#endif
