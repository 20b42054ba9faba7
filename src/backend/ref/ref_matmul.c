/* ref_matmul.c - the product of two activations, either of them read sideways; and of
 * rows with one vector.
 *
 *     y[m,n] = sum_k A[m,k] B[k,n]
 *
 * A = a [M,K], or a^T of a [K,M]    B = b [K,N], or b^T of b [N,K]    y [M,N]
 */
#include "backend/ref/ref.h"

fb_status ref_matmul(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                     const fb_tensor *a, bool transpose_a, const fb_tensor *b,
                     bool transpose_b)
{
    int64_t rows = y->dims[0], columns = y->dims[1];
    int64_t depth = a->dims[transpose_a ? 0 : 1];
    int64_t a_row = transpose_a ? 1 : depth, a_depth = transpose_a ? rows : 1;
    int64_t b_depth = transpose_b ? 1 : columns, b_column = transpose_b ? depth : 1;
    const float *as = a->data, *bs = b->data;
    float *ys = y->data;
    for (int64_t m = 0; m < rows; m++)
        for (int64_t n = 0; n < columns; n++) {
            double sum = 0.0;
            for (int64_t k = 0; k < depth; k++)
                sum += (double)as[m * a_row + k * a_depth] *
                       (double)bs[k * b_depth + n * b_column];
            ys[m * columns + n] = (float)sum;
        }
    return FB_OK;
}

void ref_row_products(const fb_backend *be, float *y, const float *rows, int64_t count,
                      int64_t width, const float *query)
{
    for (int64_t n = 0; n < count; n++) {
        double sum = 0.0;
        for (int64_t k = 0; k < width; k++)
            sum += (double)rows[n * width + k] * (double)query[k];
        y[n] = (float)sum;
    }
}

void ref_row_products_bf16(const fb_backend *be, float *y, const fb_bf16 *rows,
                           int64_t count, int64_t width, const float *query)
{
    for (int64_t n = 0; n < count; n++) {
        double sum = 0.0;
        for (int64_t k = 0; k < width; k++)
            sum += (double)fb_bf16_to_f32(rows[n * width + k]) * (double)query[k];
        y[n] = (float)sum;
    }
}

void ref_row_products_int8(const fb_backend *be, int32_t *y, const int8_t *rows,
                           int64_t count, int64_t width, const int16_t *query)
{
    for (int64_t n = 0; n < count; n++) {
        int32_t sum = 0;
        for (int64_t k = 0; k < width; k++)
            sum += rows[n * width + k] * query[k];
        y[n] = sum;
    }
}
