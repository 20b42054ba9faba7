/* cpu_backend.c - the cpu backend: its table of kernels, creation and scratch. */
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/cpu_onednn.h"
#include "backend/memory.h"
#include "base/cores.h"
#include <stdlib.h>

void cpu_free(fb_backend *be)
{
    cpu_backend *c = cpu_of(be);
    cpu_convolution_free(c->convolution);
    cpu_gemm_free(c->gemm);
    cpu_onednn_free(c->lib);
    free(c->scratch);
    free(c);
}

void cpu_weight_release(fb_backend *be, fb_weight *w)
{
    cpu_onednn_weight_release(w);
}

static const fb_kernels KERNELS = {
#define FB_KERNEL(result, name, ...) .name = cpu_##name,
#include "backend/kernels.def"
};

fb_status cpu_scratch(fb_context *ctx, cpu_backend *c, size_t bytes, void **scratch)
{
    if (bytes > c->scratch_bytes) {
        size_t rounded = (bytes + 63) / 64 * 64;
        void *grown = aligned_alloc(64, rounded);
        if (!grown)
            return fb_fail(ctx, FB_E_MEMORY, "no memory for %zu bytes of scratch",
                           bytes);
        free(c->scratch);
        c->scratch = grown;
        c->scratch_bytes = rounded;
    }
    *scratch = c->scratch;
    return FB_OK;
}

fb_status cpu_backend_create(fb_context *ctx, fb_backend **be, fb_dtype dtype,
                             int32_t threads)
{
    if (dtype != FB_F32 && dtype != FB_BF16)
        return fb_fail(ctx, FB_E_USAGE, "the cpu backend computes in f32 or bf16");
    cpu_backend *c = calloc(1, sizeof *c);
    if (!c)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the cpu backend");
    c->base.k = &KERNELS;
    c->base.m = &fb_memory_host;
    c->base.name = "cpu";
    c->base.dtype = dtype;
    c->base.threads = fb_cores_or(threads);
    const fb_vector *sets[FB_VECTOR_SETS];
    cpu_vector_list(sets);
    c->v = sets[0];
    fb_status status = cpu_onednn_create(ctx, &c->lib, dtype, c->base.threads);
    if (status == FB_OK)
        status = cpu_gemm_create(ctx, c->lib, &c->gemm);
    if (status == FB_OK)
        status = cpu_convolution_create(ctx, c->lib, &c->convolution);
    if (status != FB_OK) {
        cpu_free(&c->base);
        return status;
    }
    *be = &c->base;
    return FB_OK;
}

extern const fb_backend_kind fb_backend_cpu; /* for the list in backend.c */
const fb_backend_kind fb_backend_cpu = {.name = "cpu",
                                        .bf16 = true,
                                        .compare = cpu_format_rates,
                                        .create = cpu_backend_create};
