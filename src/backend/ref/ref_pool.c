/* ref_pool.c - the largest number of a window of rows of pixels; the mean of rows.
 *
 * Max pool: x [images*height*width, C], y [images*height'*width', C]; output (i, j)
 * looks at pixels (i stride - padding + a, j stride - padding + b) with a, b in
 * [0, kernel), those that exist; its place is a kernel + b.
 * Mean: x [T,C], y [S,C], y[s] over rows offsets[s] .. offsets[s+1]-1.
 */
#include "backend/ref/ref.h"

/* The first largest number of channel c in the window of output (i, j); NaN wins. */
static float window_max(const float *image, const fb_max_pool *p, int32_t i, int32_t j,
                        int64_t channels, int64_t c, uint8_t *place)
{
    float best = 0.0f;
    bool found = false;
    for (int32_t k = 0; k < p->kernel * p->kernel; k++) {
        int32_t row = i * p->stride - p->padding + k / p->kernel;
        int32_t column = j * p->stride - p->padding + k % p->kernel;
        if (row < 0 || row >= p->height || column < 0 || column >= p->width)
            continue;
        float value = image[((int64_t)row * p->width + column) * channels + c];
        if (found && !(value > best) && !isnan(value))
            continue;
        best = value;
        *place = (uint8_t)k;
        found = true;
        if (isnan(value))
            break;
    }
    return best;
}

fb_status ref_max_pool_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                               uint8_t *which, const fb_tensor *x, const fb_max_pool *p)
{
    int32_t height = fb_window_out(p->height, p->kernel, p->stride, p->padding);
    int32_t width = fb_window_out(p->width, p->kernel, p->stride, p->padding);
    int64_t channels = x->dims[1], image = (int64_t)p->height * p->width * channels;
    const float *xs = x->data;
    float *ys = y->data;
    for (int64_t n = 0; n < fb_tensor_count(y); n++) {
        int64_t pixel = n / channels, line = pixel / width;
        uint8_t place = 0;
        ys[n] = window_max(xs + line / height * image, p, (int32_t)(line % height),
                           (int32_t)(pixel % width), channels, n % channels, &place);
        if (which)
            which[n] = place;
    }
    return FB_OK;
}

fb_status ref_max_pool_backward(fb_context *ctx, fb_backend *be, const fb_tensor *dx,
                                const fb_tensor *dy, const uint8_t *which,
                                const fb_max_pool *p)
{
    int32_t height = fb_window_out(p->height, p->kernel, p->stride, p->padding);
    int32_t width = fb_window_out(p->width, p->kernel, p->stride, p->padding);
    int64_t channels = dx->dims[1], image = (int64_t)p->height * p->width * channels;
    const float *dys = dy->data;
    float *dxs = dx->data;
    for (int64_t i = 0; i < fb_tensor_count(dx); i++)
        dxs[i] = 0.0f;
    for (int64_t n = 0; n < fb_tensor_count(dy); n++) {
        int64_t pixel = n / channels, line = pixel / width;
        int64_t row = line % height * p->stride - p->padding + which[n] / p->kernel;
        int64_t column = pixel % width * p->stride - p->padding + which[n] % p->kernel;
        dxs[line / height * image + (row * p->width + column) * channels +
            n % channels] += dys[n];
    }
    return FB_OK;
}

fb_status ref_mean_rows_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                                const fb_tensor *x, const int32_t *offsets)
{
    int64_t width = y->dims[1];
    const float *xs = x->data;
    float *ys = y->data;
    for (int64_t s = 0; s < y->dims[0]; s++)
        for (int64_t c = 0; c < width; c++) {
            double sum = 0.0;
            int32_t count = offsets[s + 1] - offsets[s];
            for (int64_t t = offsets[s]; t < offsets[s + 1]; t++)
                sum += (double)xs[t * width + c];
            ys[s * width + c] = count > 0 ? (float)(sum / count) : 0.0f;
        }
    return FB_OK;
}

fb_status ref_mean_rows_backward(fb_context *ctx, fb_backend *be, const fb_tensor *dx,
                                 const fb_tensor *dy, const int32_t *offsets)
{
    int64_t width = dy->dims[1];
    const float *dys = dy->data;
    float *dxs = dx->data;
    for (int64_t s = 0; s < dy->dims[0]; s++)
        for (int64_t t = offsets[s]; t < offsets[s + 1]; t++)
            for (int64_t c = 0; c < width; c++)
                dxs[t * width + c] =
                    dys[s * width + c] / (float)(offsets[s + 1] - offsets[s]);
    return FB_OK;
}
