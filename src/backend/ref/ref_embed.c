/* ref_embed.c - sums of rows of tables (words, positions, segments), and back.
 *
 *     y[n] = x[n] + sum_k table[k][ids[k][n]]        y, x, dy [N,C]
 */
#include "backend/ref/ref.h"

fb_status ref_embed_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                            const fb_tensor *x, const fb_embed *e)
{
    int64_t rows = y->dims[0], width = y->dims[1];
    const float *xs = x ? x->data : NULL;
    float *ys = y->data;
    for (int64_t n = 0; n < rows; n++)
        for (int64_t c = 0; c < width; c++) {
            double sum = xs ? (double)xs[n * width + c] : 0.0;
            for (int32_t k = 0; k < e->count; k++)
                sum += (double)e->table[k][e->ids[k][n] * width + c];
            ys[n * width + c] = (float)sum;
        }
    return FB_OK;
}

fb_status ref_embed_backward(fb_context *ctx, fb_backend *be,
                             float *const dtable[FB_EMBED_TABLES], const fb_tensor *dy,
                             const fb_embed *e)
{
    int64_t rows = dy->dims[0], width = dy->dims[1];
    const float *dys = dy->data;
    for (int32_t k = 0; k < e->count; k++)
        for (int64_t n = 0; dtable[k] && n < rows; n++)
            for (int64_t c = 0; c < width; c++)
                dtable[k][e->ids[k][n] * width + c] += dys[n * width + c];
    return FB_OK;
}
