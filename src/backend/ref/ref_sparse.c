/* ref_sparse.c - a sparse matrix times rows.
 *
 *     y[r] = sum over k of weights[k] x[columns[k]]     k in offsets[r] .. offsets[r+1]
 */
#include "backend/ref/ref.h"

fb_status ref_sparse_product(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                             const fb_csr *s, const fb_tensor *x)
{
    int64_t width = y->dims[1];
    const float *xs = x->data;
    float *ys = y->data;
    for (int64_t r = 0; r < y->dims[0]; r++)
        for (int64_t c = 0; c < width; c++) {
            float sum = 0.0f;
            for (int32_t k = s->offsets[r]; k < s->offsets[r + 1]; k++)
                sum += s->weights[k] * xs[s->columns[k] * width + c];
            ys[r * width + c] = sum;
        }
    return FB_OK;
}
