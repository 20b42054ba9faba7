/* cpu_pool.c - max pooling, lines of pixels cut between threads (forward the output's,
 * backward the input's), and the mean of rows, sequences cut between threads. */
#include "backend/cpu/cpu_backend.h"

fb_status cpu_max_pool_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                               uint8_t *which, const fb_tensor *x, const fb_max_pool *p)
{
    cpu_backend *c = cpu_of(be);
    if (fb_tensor_count(y) == 0)
        return FB_OK;
    int64_t lines =
        (int64_t)p->images * fb_window_out(p->height, p->kernel, p->stride, p->padding);
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(x));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(lines, 1, t, be->threads);
        c->v->max_pool_forward(x->dtype, y->data, which, x->data, p, x->dims[1],
                               part.from, part.to - part.from);
    }
    return FB_OK;
}

fb_status cpu_max_pool_backward(fb_context *ctx, fb_backend *be, const fb_tensor *dx,
                                const fb_tensor *dy, const uint8_t *which,
                                const fb_max_pool *p)
{
    cpu_backend *c = cpu_of(be);
    if (fb_tensor_count(dx) == 0)
        return FB_OK;
    int64_t lines = (int64_t)p->images * p->height;
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(dx));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(lines, 1, t, be->threads);
        c->v->max_pool_backward(dx->dtype, dx->data, dy->data, which, p, dx->dims[1],
                                part.from, part.to - part.from);
    }
    return FB_OK;
}

fb_status cpu_mean_rows_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                                const fb_tensor *x, const int32_t *offsets)
{
    cpu_backend *c = cpu_of(be);
    int64_t width = y->dims[1], row_floats = (width + 31) / 16 * 16;
    void *scratch;
    FB_TRY(cpu_scratch(ctx, c, (size_t)(row_floats * be->threads) * sizeof(float),
                       &scratch));
    float *row = scratch;
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(x));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(y->dims[0], 1, t, be->threads);
        for (int64_t s = part.from; s < part.to; s++)
            c->v->mean_rows_forward(
                x->dtype, cpu_at(y, s * width), cpu_at(x, offsets[s] * width),
                offsets[s + 1] - offsets[s], width, row + t * row_floats);
    }
    return FB_OK;
}

fb_status cpu_mean_rows_backward(fb_context *ctx, fb_backend *be, const fb_tensor *dx,
                                 const fb_tensor *dy, const int32_t *offsets)
{
    cpu_backend *c = cpu_of(be);
    int64_t width = dy->dims[1];
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(dx));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(dy->dims[0], 1, t, be->threads);
        for (int64_t s = part.from; s < part.to; s++)
            c->v->mean_rows_backward(dx->dtype, cpu_at(dx, offsets[s] * width),
                                     cpu_at(dy, s * width), offsets[s + 1] - offsets[s],
                                     width);
    }
    return FB_OK;
}
