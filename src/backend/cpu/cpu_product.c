/* cpu_product.c - see cpu_product.h.
 *
 * Rows are cut among the threads first, and where there are fewer parts of them than
 * threads, the panels too; a weight's gradient is cut by its rows, then by its columns.
 */
#include "backend/cpu/cpu_product.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/cpu_onednn.h"

#include <stdlib.h>
#include <string.h>

enum { LEAST_ROWS = 24, LEAST_OUTPUTS = 48 };

void cpu_panels_free(cpu_panels *panels)
{
    free(panels->numbers);
    *panels = (cpu_panels){0};
}

bool cpu_product_is_own(const cpu_backend *c)
{
    return c->v->product && c->base.dtype == FB_F32;
}

/* ---- packed weights -------------------------------------------------------------- */

/* By direction: the forward sums along a weight's inputs, the gradient of the input along
 * its outputs. */
enum { FORWARD, INPUT };

static void pack_panel(float *to, const fb_weight *w, int direction, int64_t first,
                       int64_t columns)
{
    int64_t depth = direction == FORWARD ? w->in : w->out;
    int64_t n = (direction == FORWARD ? w->out : w->in) - first;
    n = n < columns ? n : columns;
    if (n < columns)
        memset(to, 0, (size_t)(depth * columns) * sizeof *to);
    if (direction == INPUT) {
        for (int64_t k = 0; k < depth; k++)
            memcpy(to + k * columns, w->data + k * w->in + first,
                   (size_t)n * sizeof *to);
        return;
    }
    for (int64_t k = 0; k < depth; k++)
        for (int64_t c = 0; c < n; c++)
            to[k * columns + c] = w->data[(first + c) * w->in + k];
}

static fb_status panels_of(fb_context *ctx, cpu_backend *c, const float **numbers,
                           fb_weight *w, int direction)
{
    packed_weight *packed;
    FB_TRY(cpu_onednn_packed(ctx, &packed, w));
    cpu_panels *panels = &packed->panels[direction];
    int64_t columns = c->v->product_columns;
    int64_t depth = direction == FORWARD ? w->in : w->out;
    int64_t count = ((direction == FORWARD ? w->out : w->in) + columns - 1) / columns;
    size_t size = (size_t)(depth * columns) * sizeof(float);
    if (!panels->numbers)
        panels->numbers = aligned_alloc(64, ((size_t)count * size + 64) / 64 * 64);
    if (!panels->numbers)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a packed weight");
    if (panels->version != w->version) {
#pragma omp parallel for schedule(static)                                              \
    num_threads(c->base.threads) if (cpu_is_large(count * (int64_t)size))
        for (int64_t p = 0; p < count; p++)
            pack_panel(panels->numbers + p * depth * columns, w, direction, p * columns,
                       columns);
        panels->version = w->version;
    }
    *numbers = panels->numbers;
    return FB_OK;
}

/* ---- products by packed weights --------------------------------------------------- */

static void run_part(const fb_vector *v, vector_product a, cpu_range rows,
                     cpu_range panels)
{
    const float *x = a.x;
    float *y = a.y;
    for (int64_t t = rows.from; t < rows.to; t += VECTOR_PRODUCT_CHUNK) {
        a.rows =
            rows.to - t < VECTOR_PRODUCT_CHUNK ? rows.to - t : VECTOR_PRODUCT_CHUNK;
        a.x = x + t * a.depth;
        a.y = y + t * a.out;
        v->product(&a, panels.from, panels.to);
    }
}

static void run(const cpu_backend *c, const vector_product *a)
{
    int64_t panels = (a->out + c->v->product_columns - 1) / c->v->product_columns;
    cpu_grid g = cpu_grid_of(c, a->rows * a->depth * a->out, a->rows, LEAST_ROWS);
#pragma omp parallel for schedule(static) num_threads(g.threads) if (g.threads > 1)
    for (int32_t i = 0; i < g.cells; i++)
        run_part(c->v, *a,
                 cpu_part(a->rows, VECTOR_PRODUCT_ROWS, i / g.beside, g.parts),
                 cpu_part(panels, 1, i % g.beside, g.beside));
}

static bool is_empty(const vector_product *a)
{
    return a->rows == 0 || a->out == 0 || a->depth == 0;
}

fb_status cpu_product_forward(fb_context *ctx, cpu_backend *c, const fb_tensor *y,
                              const fb_tensor *x, fb_weight *w, const float *bias,
                              fb_activation act)
{
    vector_product a = {.rows = x->dims[0],
                        .depth = w->in,
                        .out = w->out,
                        .x = x->data,
                        .bias = bias,
                        .act = act,
                        .y = y->data};
    if (is_empty(&a))
        return FB_OK;
    FB_TRY(panels_of(ctx, c, &a.w, w, FORWARD));
    run(c, &a);
    return FB_OK;
}

fb_status cpu_product_backward_input(fb_context *ctx, cpu_backend *c,
                                     const fb_tensor *dx, const fb_tensor *dy,
                                     fb_weight *w, bool accumulate)
{
    vector_product a = {.rows = dy->dims[0],
                        .depth = w->out,
                        .out = w->in,
                        .x = dy->data,
                        .add = accumulate,
                        .y = dx->data};
    if (is_empty(&a))
        return FB_OK;
    FB_TRY(panels_of(ctx, c, &a.w, w, INPUT));
    run(c, &a);
    return FB_OK;
}

/* ---- the gradient of a weight ------------------------------------------------------ */

fb_status cpu_product_backward_weight(fb_context *ctx, cpu_backend *c, float *dw,
                                      float *dbias, const fb_tensor *x,
                                      const fb_tensor *dy)
{
    int64_t rows = x->dims[0], in = x->dims[1], out = dy->dims[1];
    if (rows == 0 || in == 0 || out == 0)
        return FB_OK;
    cpu_grid g = cpu_grid_of(c, rows * in * out, out, LEAST_OUTPUTS);
    size_t bytes =
        c->v->outer_scratch((in + g.beside - 1) / g.beside + c->v->product_columns);
    /* the backend's own scratch may hold what a recurrence gives as x and dy */
    FB_TRY(cpu_onednn_reserve(ctx, c->lib, bytes * (size_t)g.threads));
#pragma omp parallel for schedule(static) num_threads(g.threads) if (g.threads > 1)
    for (int32_t i = 0; i < g.cells; i++) {
        cpu_range n = cpu_part(out, VECTOR_PRODUCT_ROWS, i / g.beside, g.parts);
        cpu_range k = cpu_part(in, c->v->product_columns, i % g.beside, g.beside);
        const vector_outer a = {.rows = rows,
                                .in = k.to - k.from,
                                .in_row = in,
                                .out = out,
                                .x = (const float *)x->data + k.from,
                                .dy = dy->data,
                                .dw = dw + k.from,
                                .dbias = k.from == 0 && k.to > 0 ? dbias : NULL};
        c->v->outer(&a, n.from, n.to,
                    (float *)(void *)((char *)c->lib->scratch + (size_t)i * bytes));
    }
    return FB_OK;
}
