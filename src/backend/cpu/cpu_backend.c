/* cpu_backend.c - the cpu backend: its table of kernels, creation and scratch. */
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/cpu_onednn.h"
#include <omp.h>
#include <stdlib.h>

static void cpu_free(fb_backend *be)
{
    cpu_backend *c = cpu_of(be);
    cpu_convolution_free(c->convolution);
    cpu_gemm_free(c->gemm);
    cpu_onednn_free(c->lib);
    free(c->scratch);
    free(c);
}

static void cpu_weight_release(fb_backend *be, fb_weight *w)
{
    (void)be;
    cpu_onednn_weight_release(w);
}

static const fb_kernels KERNELS = {
    .free = cpu_free,
    .weight_release = cpu_weight_release,
    .linear_forward = cpu_linear_forward,
    .linear_backward_input = cpu_linear_backward_input,
    .linear_backward_weight = cpu_linear_backward_weight,
    .gelu_forward = cpu_gelu_forward,
    .gelu_backward = cpu_gelu_backward,
    .tanh_forward = cpu_tanh_forward,
    .tanh_backward = cpu_tanh_backward,
    .multiply = cpu_multiply,
    .norm_forward = cpu_norm_forward,
    .norm_backward = cpu_norm_backward,
    .dropout = cpu_dropout,
    .attention_forward = cpu_attention_forward,
    .attention_backward = cpu_attention_backward,
    .embed_forward = cpu_embed_forward,
    .embed_backward = cpu_embed_backward,
    .gather_rows = cpu_gather_rows,
    .scatter_rows = cpu_scatter_rows,
    .patchify = cpu_patchify,
    .cross_entropy_forward = cpu_cross_entropy_forward,
    .cross_entropy_backward = cpu_cross_entropy_backward,
    .kld_forward = cpu_kld_forward,
    .kld_backward = cpu_kld_backward,
    .batch_norm_forward = cpu_batch_norm_forward,
    .batch_norm_backward = cpu_batch_norm_backward,
    .max_pool_forward = cpu_max_pool_forward,
    .max_pool_backward = cpu_max_pool_backward,
    .mean_rows_forward = cpu_mean_rows_forward,
    .mean_rows_backward = cpu_mean_rows_backward,
    .unit_rows_forward = cpu_unit_rows_forward,
    .unit_rows_backward = cpu_unit_rows_backward,
    .matmul = cpu_matmul,
    .row_products = cpu_row_products,
    .contrast_forward = cpu_contrast_forward,
    .contrast_backward = cpu_contrast_backward,
    .list_forward = cpu_list_forward,
    .list_backward = cpu_list_backward,
    .conv_forward = cpu_conv_forward,
    .conv_backward_input = cpu_conv_backward_input,
    .conv_backward_weight = cpu_conv_backward_weight,
    .add = cpu_add,
    .sum_squares = cpu_sum_squares,
    .find_nonfinite = cpu_find_nonfinite,
    .adamw_step = cpu_adamw_step,
    .gemm_rate = cpu_gemm_rate,
};

fb_status cpu_scratch(cpu_backend *c, size_t bytes, void **scratch)
{
    if (bytes > c->scratch_bytes) {
        size_t rounded = (bytes + 63) / 64 * 64;
        void *grown = aligned_alloc(64, rounded);
        if (!grown)
            return fb_fail(c->base.ctx, FB_E_MEMORY,
                           "no memory for %zu bytes of scratch", bytes);
        free(c->scratch);
        c->scratch = grown;
        c->scratch_bytes = rounded;
    }
    *scratch = c->scratch;
    return FB_OK;
}

fb_status fb_backend_create_cpu(fb_context *ctx, fb_backend **be, fb_dtype dtype,
                                int32_t threads)
{
    if (dtype != FB_F32 && dtype != FB_BF16)
        return fb_fail(ctx, FB_E_USAGE, "the cpu backend computes in f32 or bf16");
    cpu_backend *c = calloc(1, sizeof *c);
    if (!c)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the cpu backend");
    c->base.k = &KERNELS;
    c->base.name = "cpu";
    c->base.dtype = dtype;
    c->base.threads = threads > 0 ? threads : omp_get_num_procs();
    c->base.ctx = ctx;
    const fb_vector *sets[FB_VECTOR_SETS];
    cpu_vector_list(sets);
    c->v = sets[0];
    fb_status status = cpu_onednn_create(ctx, &c->lib, dtype, c->base.threads);
    if (status == FB_OK)
        status = cpu_gemm_create(c->lib, &c->gemm);
    if (status == FB_OK)
        status = cpu_convolution_create(c->lib, &c->convolution);
    if (status != FB_OK) {
        cpu_free(&c->base);
        return status;
    }
    *be = &c->base;
    return FB_OK;
}
