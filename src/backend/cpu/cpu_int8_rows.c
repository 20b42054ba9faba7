/* cpu_int8_rows.c - see cpu_int8_rows.h.
 *
 * A window's scale is of the largest magnitude of its pixels. Where windows overlap, the
 * pixels' magnitudes are found once for all of them.
 */
#include "backend/cpu/cpu_int8_rows.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/int8.h"

/* The picture's pixels that a kernel row covers: `count` of them from kernel column
 * `column` on, the first of them pixel `pixel`. */
typedef struct run {
    int64_t pixel;
    int32_t column, count;
} run;

typedef struct place {
    int64_t image;
    int32_t y, x; /* of the window's corner, which may lie outside */
} place;

static int64_t width_out(const fb_conv *c)
{
    return fb_window_out(c->width, c->kernel, c->stride, c->padding);
}

static place place_of(const fb_conv *c, int64_t row)
{
    int64_t width = width_out(c),
            height = fb_window_out(c->height, c->kernel, c->stride, c->padding);
    return (place){row / (height * width),
                   (int32_t)(row / width % height) * c->stride - c->padding,
                   (int32_t)(row % width) * c->stride - c->padding};
}

static run run_of(const fb_conv *c, place p, int32_t kernel_row)
{
    int32_t y = p.y + kernel_row, from = p.x > 0 ? p.x : 0;
    int32_t to = p.x + c->kernel < c->width ? p.x + c->kernel : c->width;
    if (y < 0 || y >= c->height || from >= to)
        return (run){0, 0, 0};
    return (run){(p.image * c->height + y) * c->width + from, from - p.x, to - from};
}

static float magnitude_of(const cpu_int8_rows *rows, place p)
{
    const fb_conv *c = rows->conv;
    float most = 0.0f;
    for (int32_t k = 0; k < c->kernel; k++) {
        run r = run_of(c, p, k);
        for (int64_t i = r.pixel; i < r.pixel + r.count; i++) {
            float own;
            if (rows->magnitudes)
                own = rows->magnitudes[i];
            else
                rows->v->int8_magnitudes(&own, rows->x + i * c->in, 1, c->in);
            if (!(own <= most)) /* a NaN too, which nothing is larger than */
                most = own;
            if (isnan(most))
                return most;
        }
    }
    return most;
}

/* In words, or (bytes) one number a byte; `width` numbers a row of q. */
typedef struct target {
    void *q;
    bool bytes;
    int64_t width;
} target;

static void put(const cpu_int8_rows *rows, const target *to, int64_t at, const float *x,
                int64_t n, float inverse)
{
    if (n > 0 && to->bytes)
        rows->v->int8_quantize_part_bytes(to->q, at, x, n, inverse);
    else if (n > 0)
        rows->v->int8_quantize_part(to->q, at, x, n, inverse);
}

static void take_window(const cpu_int8_rows *rows, const target *to, int64_t at,
                        place p, float inverse)
{
    const fb_conv *c = rows->conv;
    int64_t line = (int64_t)c->kernel * c->in, end = at + to->width;
    for (int32_t k = 0; k < c->kernel; k++, at += line) {
        run r = run_of(c, p, k);
        int64_t before = r.column * (int64_t)c->in, n = r.count * (int64_t)c->in;
        put(rows, to, at, NULL, before, 0.0f);
        put(rows, to, at + before, rows->x + r.pixel * c->in, n, inverse);
        put(rows, to, at + before + n, NULL, line - before - n, 0.0f);
    }
    put(rows, to, at, NULL, end - at, 0.0f);
}

static void take_windows(const cpu_int8_rows *rows, const target *to, float *scale,
                         int64_t first, int64_t count)
{
    for (int64_t t = 0; t < count; t++) {
        float inverse;
        place p = place_of(rows->conv, first + t);
        scale[t] = fb_int8_scale(magnitude_of(rows, p), &inverse);
        take_window(rows, to, t * to->width, p, inverse);
    }
}

void cpu_int8_rows_take(const cpu_int8_rows *rows, int32_t *q, float *scale,
                        int64_t first, int64_t count)
{
    int64_t group = rows->v->int8_group;
    const target to = {q, false, (rows->in + group - 1) / group * group};
    if (rows->conv)
        take_windows(rows, &to, scale, first, count);
    else
        rows->v->int8_quantize(q, scale, rows->x + first * rows->in, count, rows->in);
}

void cpu_int8_rows_take_bytes(const cpu_int8_rows *rows, int8_t *q, float *scale,
                              int64_t first, int64_t count)
{
    const target to = {q, true, rows->in};
    if (rows->conv)
        take_windows(rows, &to, scale, first, count);
    else
        rows->v->int8_quantize_bytes(q, scale, rows->x + first * rows->in, count,
                                     rows->in);
}

cpu_int8_rows cpu_int8_rows_of(const cpu_backend *c, const cpu_int8_call *call,
                               int64_t *kept)
{
    const fb_conv *conv = call->conv;
    bool plain = !conv || (conv->kernel == 1 && conv->stride == 1);
    cpu_int8_rows rows = {
        .v = c->v, .x = call->x->data, .in = call->w->in, .conv = plain ? NULL : conv};
    *kept = rows.conv && conv->kernel > conv->stride ? call->x->dims[0] : 0;
    return rows;
}

void cpu_int8_rows_open(cpu_backend *c, cpu_int8_rows *rows, float *keep)
{
    const fb_conv *conv = rows->conv;
    int32_t threads = c->base.threads;
    if (!conv || conv->kernel <= conv->stride)
        return;
    int64_t pixels = (int64_t)conv->images * conv->height * conv->width;
    rows->magnitudes = keep;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int32_t i = 0; i < threads; i++) {
        cpu_range part = cpu_part(pixels, 1, i, threads);
        rows->v->int8_magnitudes(keep + part.from, rows->x + part.from * conv->in,
                                 part.to - part.from, conv->in);
    }
}
