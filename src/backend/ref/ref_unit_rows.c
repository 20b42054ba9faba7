/* ref_unit_rows.c - rows divided by their lengths.
 *
 *     length = max(sqrt(sum x^2), 1e-12)      y = x / length
 *     dx = (dy - y (y . dy)) / length
 *
 * x, y, dx, dy [T,C]    lengths [T]
 */
#include "backend/ref/ref.h"

fb_status ref_unit_rows_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                                float *lengths, const fb_tensor *x)
{
    int64_t rows = x->dims[0], width = x->dims[1];
    const float *xs = x->data;
    float *ys = y->data;
    for (int64_t t = 0; t < rows; t++) {
        double squares = 0.0;
        for (int64_t j = 0; j < width; j++)
            squares += (double)xs[t * width + j] * (double)xs[t * width + j];
        double length = sqrt(squares);
        length = length < 1e-12 ? 1e-12 : length;
        for (int64_t j = 0; j < width; j++)
            ys[t * width + j] = (float)((double)xs[t * width + j] / length);
        if (lengths)
            lengths[t] = (float)length;
    }
    return FB_OK;
}

fb_status ref_unit_rows_backward(fb_context *ctx, fb_backend *be, const fb_tensor *dx,
                                 const fb_tensor *dy, const fb_tensor *y,
                                 const float *lengths)
{
    int64_t rows = y->dims[0], width = y->dims[1];
    const float *ys = y->data, *dys = dy->data;
    float *dxs = dx->data;
    for (int64_t t = 0; t < rows; t++) {
        double along = 0.0;
        for (int64_t j = 0; j < width; j++)
            along += (double)ys[t * width + j] * (double)dys[t * width + j];
        for (int64_t j = 0; j < width; j++) {
            double across =
                (double)dys[t * width + j] - (double)ys[t * width + j] * along;
            dxs[t * width + j] = (float)(across / (double)lengths[t]);
        }
    }
    return FB_OK;
}
