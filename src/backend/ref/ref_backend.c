/* ref_backend.c - the table of the reference backend, its making and its end. */
#include "backend/ref/ref.h"

#include <stdlib.h>

static void ref_free(fb_backend *be)
{
    free(be);
}

/* Products read the weight itself: there is never a copy to keep or free. */
static void ref_weight_release(fb_backend *be, fb_weight *w)
{
    (void)be;
    w->cache = NULL;
}

static const fb_kernels ref_kernels = {
    .free = ref_free,
    .weight_release = ref_weight_release,
    .linear_forward = ref_linear_forward,
    .linear_backward_input = ref_linear_backward_input,
    .linear_backward_weight = ref_linear_backward_weight,
    .gelu_forward = ref_gelu_forward,
    .gelu_backward = ref_gelu_backward,
    .tanh_forward = ref_tanh_forward,
    .tanh_backward = ref_tanh_backward,
    .multiply = ref_multiply,
    .norm_forward = ref_norm_forward,
    .norm_backward = ref_norm_backward,
    .dropout = ref_dropout,
    .attention_forward = ref_attention_forward,
    .attention_backward = ref_attention_backward,
    .embed_forward = ref_embed_forward,
    .embed_backward = ref_embed_backward,
    .gather_rows = ref_gather_rows,
    .scatter_rows = ref_scatter_rows,
    .patchify = ref_patchify,
    .cross_entropy_forward = ref_cross_entropy_forward,
    .cross_entropy_backward = ref_cross_entropy_backward,
    .kld_forward = ref_kld_forward,
    .kld_backward = ref_kld_backward,
    .batch_norm_forward = ref_batch_norm_forward,
    .batch_norm_backward = ref_batch_norm_backward,
    .max_pool_forward = ref_max_pool_forward,
    .max_pool_backward = ref_max_pool_backward,
    .mean_rows_forward = ref_mean_rows_forward,
    .mean_rows_backward = ref_mean_rows_backward,
    .unit_rows_forward = ref_unit_rows_forward,
    .unit_rows_backward = ref_unit_rows_backward,
    .matmul = ref_matmul,
    .row_products = ref_row_products,
    .contrast_forward = ref_contrast_forward,
    .contrast_backward = ref_contrast_backward,
    .list_forward = ref_list_forward,
    .list_backward = ref_list_backward,
    .conv_forward = ref_conv_forward,
    .conv_backward_input = ref_conv_backward_input,
    .conv_backward_weight = ref_conv_backward_weight,
    .add = ref_add,
    .sum_squares = ref_sum_squares,
    .find_nonfinite = ref_find_nonfinite,
    .adamw_step = ref_adamw_step,
    .gemm_rate = ref_gemm_rate,
};

fb_status fb_backend_create_ref(fb_context *ctx, fb_backend **be, int32_t threads)
{
    (void)threads; /* one computes, however many are offered */
    fb_backend *made = calloc(1, sizeof *made);
    if (!made)
        return fb_fail(ctx, FB_E_MEMORY, "backend ref: out of memory");
    *made = (fb_backend){&ref_kernels, "ref", FB_F32, 1, ctx};
    *be = made;
    return FB_OK;
}
