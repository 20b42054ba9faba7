/* cpu_int8.c - linear layers, and convolutions as such, by int8 products.
 *
 * Work is cut in two directions: first into parts of rows, and where there are fewer of
 * these than threads, into parts of panels too. Each part quantises its own rows, so no
 * thread waits for another; sums are exact, so results are the same however it is cut.
 * Rows are taken CHUNK_BYTES of words at a time, which stay in a core's second
 * level cache while all panels pass.
 */
#include "backend/cpu/cpu_int8.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/cpu_int8_rows.h"
#include "backend/cpu/cpu_onednn.h"
#include "backend/int8.h"

#include <stdlib.h>

enum { CHUNK_BYTES = 256 << 10, LEAST_ROWS = 24 };

/* Numbers of a product, in the units of vector_int8. */
typedef struct int8_shape {
    int64_t rows, in, out, words, panels, chunk; /* chunk: rows taken at a time */
} int8_shape;

static int64_t round_up(int64_t n, int64_t step)
{
    return (n + step - 1) / step * step;
}

static int8_shape shape_of(const fb_vector *v, int64_t rows, const fb_weight *w)
{
    int64_t words = round_up(w->in, v->int8_group) / v->int8_group;
    int8_shape s = {rows, w->in, w->out, words, 0, 0};
    int64_t row_bytes = s.words * (int64_t)sizeof(int32_t);
    s.panels = (w->out + v->int8_columns - 1) / v->int8_columns;
    s.chunk = round_up(CHUNK_BYTES / (row_bytes + 1) + 1, VECTOR_INT8_ROWS);
    s.chunk = s.chunk < 48 ? 48 : s.chunk > 192 ? 192 : s.chunk;
    return s;
}

/* ---- packed weights -------------------------------------------------------------- */

void cpu_int8_copy_free(cpu_int8_copy *copy)
{
    free(copy->bytes);
    *copy = (cpu_int8_copy){0};
}

static void pack_panel(int8_t *to, const fb_vector *v, const cpu_int8_call *call,
                       int64_t first, int64_t words)
{
    const fb_weight *w = call->w;
    int64_t columns = v->int8_columns, group = v->int8_group;
    memset(to, 0, (size_t)(words * columns * group));
    for (int64_t c = 0; c < columns && first + c < w->out; c++) {
        const float *row = w->data + (first + c) * w->in;
        float inverse = fb_int8_inverse(call->scale[first + c]);
        for (int64_t k = 0; k < w->in; k++)
            to[(k / group * columns + c) * group + k % group] =
                (int8_t)fb_int8_round(row[cpu_int8_weight_at(call->conv, k)], inverse);
    }
}

static fb_status packed_copy_of(fb_context *ctx, cpu_backend *c, const int8_t **bytes,
                                const cpu_int8_call *call)
{
    fb_weight *w = call->w;
    packed_weight *packed;
    const fb_vector *v = c->v;
    int8_shape s = shape_of(v, 0, w);
    FB_TRY(cpu_onednn_packed(ctx, &packed, w));
    cpu_int8_copy *copy = &packed->int8;
    size_t panel = (size_t)(s.words * v->int8_columns * v->int8_group);
    if (!copy->bytes)
        copy->bytes =
            aligned_alloc(64, (size_t)round_up((int64_t)panel * s.panels + 1, 64));
    if (!copy->bytes)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a packed weight");
    if (copy->version != w->version || copy->scale != call->scale) {
#pragma omp parallel for schedule(static) num_threads(c->base.threads)
        for (int64_t p = 0; p < s.panels; p++)
            pack_panel(copy->bytes + (size_t)p * panel, v, call, p * v->int8_columns,
                       s.words);
        copy->version = w->version;
        copy->scale = call->scale;
    }
    *bytes = copy->bytes;
    return FB_OK;
}

/* ---- the product ------------------------------------------------------------------ */

/* What a thread needs beside the numbers themselves. */
typedef struct int8_scratch {
    int32_t *x, *panel;
    float *scale;
} int8_scratch;

static size_t scratch_bytes(const int8_shape *s, int64_t columns)
{
    int64_t numbers = (s->chunk + columns) * s->words + s->chunk; /* and scales */
    return (size_t)round_up(numbers * (int64_t)sizeof(int32_t), 64);
}

static int8_scratch scratch_at(char *at, const int8_shape *s, int64_t columns)
{
    int8_scratch part = {.panel = (int32_t *)(void *)at};
    part.x = part.panel + columns * s->words;
    part.scale = (float *)(void *)(part.x + s->chunk * s->words);
    return part;
}

/* Rows and panels of one part. */
static void run_part(const fb_vector *v, vector_int8 a, const int8_shape *s,
                     const cpu_int8_rows *x, cpu_range rows, cpu_range panels,
                     int8_scratch scratch)
{
    float *y = a.y;
    const float *residual = a.residual;
    a.x = scratch.x;
    a.x_scale = scratch.scale;
    a.panel = scratch.panel;
    for (int64_t t = rows.from; t < rows.to; t += s->chunk) {
        a.rows = rows.to - t < s->chunk ? rows.to - t : s->chunk;
        int64_t whole = round_up(a.rows, VECTOR_INT8_ROWS);
        cpu_int8_rows_take(x, scratch.x, scratch.scale, t, a.rows);
        memset(scratch.x + a.rows * s->words, 0,
               (size_t)((whole - a.rows) * s->words) * sizeof *scratch.x);
        a.y = y + t * s->out;
        a.residual = residual ? residual + t * s->out : NULL;
        v->int8_product(&a, panels.from, panels.to);
    }
}

static fb_status run_own(fb_context *ctx, cpu_backend *c, const int8_shape *s,
                         const vector_int8 *a, const cpu_int8_call *call)
{
    cpu_grid g = cpu_grid_of(c, s->rows * s->in * s->out, s->rows, LEAST_ROWS);
    int64_t columns = c->v->int8_columns, kept;
    cpu_int8_rows x = cpu_int8_rows_of(c, call, &kept);
    size_t bytes = scratch_bytes(s, columns),
           keep = (size_t)round_up(kept * (int64_t)sizeof(float), 64);
    void *scratch;
    FB_TRY(cpu_scratch(ctx, c, keep + bytes * (size_t)g.threads, &scratch));
    cpu_int8_rows_open(c, &x, scratch);
    char *at = (char *)scratch + keep;
#pragma omp parallel for schedule(static) num_threads(g.threads) if (g.threads > 1)
    for (int32_t i = 0; i < g.cells; i++)
        run_part(c->v, *a, s, &x,
                 cpu_part(s->rows, VECTOR_INT8_ROWS, i / g.beside, g.parts),
                 cpu_part(s->panels, 1, i % g.beside, g.beside),
                 scratch_at(at + (size_t)i * bytes, s, columns));
    return FB_OK;
}

fb_status cpu_int8_own(fb_context *ctx, cpu_backend *c, const cpu_int8_call *call)
{
    int8_shape s = shape_of(c->v, call->y->dims[0], call->w);
    vector_int8 a = {.words = s.words,
                     .out = s.out,
                     .w_scale = call->scale,
                     .bias = call->bias,
                     .residual = call->residual,
                     .act = call->act,
                     .y = call->y->data};
    FB_TRY(packed_copy_of(ctx, c, &a.w, call));
    return run_own(ctx, c, &s, &a, call);
}

static fb_status forward(fb_context *ctx, cpu_backend *c, const cpu_int8_call *call)
{
    if (call->y->dims[0] == 0 || call->w->out == 0)
        return FB_OK;
    if (c->int8 == CPU_INT8_UNDECIDED)
        FB_TRY(cpu_int8_choose(ctx, c));
    return c->int8 == CPU_INT8_LIBRARY ? cpu_int8_library(ctx, c, call)
                                       : cpu_int8_own(ctx, c, call);
}

fb_status cpu_linear_int8_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                                  const fb_tensor *x, fb_weight *w, const float *scale,
                                  const float *bias, fb_activation act)
{
    const cpu_int8_call call = {y, x, w, scale, bias, act, NULL, NULL};
    return forward(ctx, cpu_of(be), &call);
}

fb_status cpu_conv_int8_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                                const fb_tensor *x, fb_weight *w, const float *scale,
                                const fb_conv *c, const fb_conv_epilogue *after)
{
    const float *residual = after->residual ? after->residual->data : NULL;
    const cpu_int8_call call = {
        y, x,       w, scale, after->bias, after->relu ? FB_ACT_RELU : FB_ACT_NONE,
        c, residual};
    return forward(ctx, cpu_of(be), &call);
}

fb_status cpu_int8_begin(fb_context *ctx, fb_backend *be, const char **by)
{
    cpu_backend *c = cpu_of(be);
    if (c->int8 == CPU_INT8_UNDECIDED)
        FB_TRY(cpu_int8_choose(ctx, c));
    *by = c->int8 == CPU_INT8_LIBRARY ? "oneDNN" : c->v->int8_by;
    return FB_OK;
}
