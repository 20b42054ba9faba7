/* vector_table.c - the table of this instruction set. */
#include "backend/cpu/vector/vector_table.h"

#define FB_QUOTE_(isa) #isa
#define FB_QUOTE(isa)  FB_QUOTE_(isa)

const fb_vector FB_VECTOR_NAME(kernels) = {
    .name = FB_QUOTE(FB_ISA),
    .gelu_forward = FB_VECTOR_NAME(gelu_forward),
    .gelu_backward = FB_VECTOR_NAME(gelu_backward),
    .tanh_forward = FB_VECTOR_NAME(tanh_forward),
    .tanh_backward = FB_VECTOR_NAME(tanh_backward),
    .dropout = FB_VECTOR_NAME(dropout),
    .add = FB_VECTOR_NAME(add),
    .norm_forward = FB_VECTOR_NAME(norm_forward),
    .norm_backward = FB_VECTOR_NAME(norm_backward),
    .attention_scratch = FB_VECTOR_NAME(attention_scratch),
    .attention_forward = FB_VECTOR_NAME(attention_forward),
    .attention_backward = FB_VECTOR_NAME(attention_backward),
    .column_sum = FB_VECTOR_NAME(column_sum),
    .embed_forward = FB_VECTOR_NAME(embed_forward),
    .embed_backward = FB_VECTOR_NAME(embed_backward),
    .sum_rows = FB_VECTOR_NAME(sum_rows),
    .patchify = FB_VECTOR_NAME(patchify),
    .cross_entropy_forward = FB_VECTOR_NAME(cross_entropy_forward),
    .cross_entropy_backward = FB_VECTOR_NAME(cross_entropy_backward),
    .kld = FB_VECTOR_NAME(kld),
    .batch_norm_moments = FB_VECTOR_NAME(batch_norm_moments),
    .batch_norm_forward = FB_VECTOR_NAME(batch_norm_forward),
    .batch_norm_sums = FB_VECTOR_NAME(batch_norm_sums),
    .batch_norm_backward = FB_VECTOR_NAME(batch_norm_backward),
    .max_pool_forward = FB_VECTOR_NAME(max_pool_forward),
    .max_pool_backward = FB_VECTOR_NAME(max_pool_backward),
    .mean_rows_forward = FB_VECTOR_NAME(mean_rows_forward),
    .mean_rows_backward = FB_VECTOR_NAME(mean_rows_backward),
    .sum_squares = FB_VECTOR_NAME(sum_squares),
    .find_nonfinite = FB_VECTOR_NAME(find_nonfinite),
    .adamw = FB_VECTOR_NAME(adamw),
};
