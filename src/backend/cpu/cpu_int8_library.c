/* cpu_int8_library.c - int8 products by oneDNN, and whether it is taken.
 *
 * The library gives s32 sums of a block of rows, which stay in the cache until the vector
 * kernels have made f32 numbers of them: its own scales are by column alone, and ours are
 * by row too.
 */
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/cpu_int8_rows.h"
#include "backend/cpu/cpu_onednn.h"
#include "backend/int8.h"
#include "base/clock.h"

#include <stdlib.h>

enum { BLOCK_ROWS = 256 };

static int64_t in_lines(int64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* ---- packed weights -------------------------------------------------------------- */

static fb_status renew(fb_context *ctx, cpu_backend *c, packed_weight *packed,
                       const cpu_int8_call *call)
{
    const fb_weight *w = call->w;
    packed_copy *copy = &packed->int8_library;
    if (copy->memory && copy->version == w->version &&
        packed->int8_library_scale == call->scale)
        return FB_OK;
    int8_t *plain = malloc((size_t)(w->out * w->in) + 1);
    if (!plain)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a packed weight");
#pragma omp parallel for schedule(static) num_threads(c->base.threads)
    for (int64_t n = 0; n < w->out; n++) {
        float inverse = fb_int8_inverse(call->scale[n]);
        for (int64_t k = 0; k < w->in; k++)
            plain[n * w->in + k] = (int8_t)fb_int8_round(
                w->data[n * w->in + cpu_int8_weight_at(call->conv, k)], inverse);
    }
    fb_status status = cpu_gemm_int8_pack(ctx, c->gemm, copy, plain, w->in, w->out);
    free(plain);
    if (status == FB_OK)
        copy->version = w->version;
    packed->int8_library_scale = call->scale;
    return status;
}

/* ---- the product ------------------------------------------------------------------ */

/* The rows, and of one block of them: quantised numbers, scales, sums. */
typedef struct int8_block {
    cpu_int8_rows rows;
    int8_t *q;
    float *scale;
    int32_t *sums;
} int8_block;

static fb_status take_block(fb_context *ctx, cpu_backend *c, const cpu_int8_call *call,
                            int8_block *block)
{
    const fb_weight *w = call->w;
    int64_t q = in_lines(BLOCK_ROWS * w->in), scale = in_lines(BLOCK_ROWS * 4), kept;
    block->rows = cpu_int8_rows_of(c, call, &kept);
    kept = in_lines(kept * 4);
    void *scratch;
    FB_TRY(cpu_scratch(ctx, c, (size_t)(kept + q + scale + BLOCK_ROWS * w->out * 4),
                       &scratch));
    cpu_int8_rows_open(c, &block->rows, scratch);
    scratch = (char *)scratch + kept;
    block->q = scratch;
    block->scale = (float *)(void *)((char *)scratch + q);
    block->sums = (int32_t *)(void *)((char *)scratch + q + scale);
    return FB_OK;
}

static fb_status run_block(fb_context *ctx, cpu_backend *c, const cpu_int8_call *call,
                           const packed_copy *copy, const int8_block *b, int64_t first,
                           int64_t rows)
{
    int64_t in = call->w->in, out = call->w->out;
    const float *residual = call->residual;
    float *y = (float *)call->y->data + first * out;
    int32_t threads = c->base.threads;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int32_t t = 0; t < threads; t++) {
        cpu_range part = cpu_part(rows, 1, t, threads);
        cpu_int8_rows_take_bytes(&b->rows, b->q + part.from * in, b->scale + part.from,
                                 first + part.from, part.to - part.from);
    }
    FB_TRY(cpu_gemm_int8(ctx, c->gemm, b->sums, b->q, rows, copy, in, out));
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int32_t t = 0; t < threads; t++) {
        cpu_range part = cpu_part(rows, 1, t, threads);
        const vector_int8 a = {
            .rows = part.to - part.from,
            .out = out,
            .x_scale = b->scale + part.from,
            .w_scale = call->scale,
            .bias = call->bias,
            .residual = residual ? residual + (first + part.from) * out : NULL,
            .act = call->act,
            .y = y + part.from * out};
        c->v->int8_finish(b->sums + part.from * out, &a);
    }
    return FB_OK;
}

fb_status cpu_int8_library(fb_context *ctx, cpu_backend *c, const cpu_int8_call *call)
{
    packed_weight *packed;
    int8_block block;
    int64_t rows = call->y->dims[0];
    FB_TRY(cpu_onednn_packed(ctx, &packed, call->w));
    FB_TRY(renew(ctx, c, packed, call));
    FB_TRY(take_block(ctx, c, call, &block));
    for (int64_t t = 0; t < rows; t += BLOCK_ROWS)
        FB_TRY(run_block(ctx, c, call, &packed->int8_library, &block, t,
                         rows - t < BLOCK_ROWS ? rows - t : BLOCK_ROWS));
    return FB_OK;
}

/* ---- the trial -------------------------------------------------------------------- */

enum { EXACT_ROWS = 8, EXACT_IN = 256, EXACT_OUT = 64 };
enum { TIMED_ROWS = 512, TIMED_IN = 768, TIMED_OUT = 768, TIMES = 3 };

typedef struct trial {
    cpu_int8_call call;
    fb_tensor x, y;
    fb_weight w;
    float *numbers; /* all of them */
} trial;

/* Numbers of 127 and -127 with scales of 1, rows of one sign among them. */
static fb_status trial_make(fb_context *ctx, trial *t, int64_t rows, int64_t in,
                            int64_t out)
{
    int64_t inputs = rows * in + out * in;
    *t = (trial){.numbers =
                     malloc((size_t)(inputs + rows * out + out) * sizeof *t->numbers)};
    if (!t->numbers)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to try int8 products");
    float *x = t->numbers, *w = x + rows * in, *y = w + out * in,
          *scale = y + rows * out;
    for (int64_t i = 0; i < inputs; i++)
        x[i] = i / in % 2 && i * 7 % 11 > 4 ? -127.0f : 127.0f;
    for (int64_t n = 0; n < out; n++)
        scale[n] = 1.0f;
    t->x = fb_tensor_2d(x, FB_F32, rows, in);
    t->y = fb_tensor_2d(y, FB_F32, rows, out);
    t->w = (fb_weight){w, out, in, 1, NULL};
    return FB_OK;
}

static cpu_int8_call trial_call(trial *t)
{
    const float *scale = (const float *)t->y.data + t->y.dims[0] * t->y.dims[1];
    return (cpu_int8_call){&t->y, &t->x, &t->w, scale, NULL, FB_ACT_NONE, NULL, NULL};
}

static void trial_free(trial *t)
{
    cpu_onednn_weight_release(&t->w);
    free(t->numbers);
}

static bool sums_are_right(const trial *t)
{
    const float *x = t->x.data, *w = t->w.data, *y = t->y.data;
    for (int64_t i = 0; i < EXACT_ROWS * EXACT_OUT; i++) {
        const float *a = x + i / EXACT_OUT * EXACT_IN,
                    *b = w + i % EXACT_OUT * EXACT_IN;
        int32_t sum = 0;
        for (int64_t k = 0; k < EXACT_IN; k++)
            sum += (int32_t)a[k] * (int32_t)b[k];
        if (y[i] != (float)sum)
            return false;
    }
    return true;
}

/* Whatever fails in the library says only that it is not taken. */
static fb_status library_is_exact(fb_context *ctx, cpu_backend *c, bool *exact)
{
    trial t;
    FB_TRY(trial_make(ctx, &t, EXACT_ROWS, EXACT_IN, EXACT_OUT));
    const cpu_int8_call call = trial_call(&t);
    *exact = cpu_int8_library(NULL, c, &call) == FB_OK && sums_are_right(&t);
    trial_free(&t);
    return FB_OK;
}

/* The best of some; the first packs the weight and is not counted. */
static fb_status time_way(fb_context *ctx, cpu_backend *c, const cpu_int8_call *call,
                          fb_status (*way)(fb_context *, cpu_backend *,
                                           const cpu_int8_call *),
                          double *seconds)
{
    *seconds = 1e9;
    for (int i = 0; i <= TIMES; i++) {
        double started_s = fb_clock_s(), took_s;
        FB_TRY(way(ctx, c, call));
        took_s = fb_clock_s() - started_s;
        if (i > 0 && took_s < *seconds)
            *seconds = took_s;
    }
    return FB_OK;
}

fb_status cpu_int8_choose(fb_context *ctx, cpu_backend *c)
{
    trial t;
    bool exact;
    double own_s, library_s;
    c->int8 = CPU_INT8_OWN;
    FB_TRY(library_is_exact(ctx, c, &exact));
    if (!exact)
        return FB_OK;
    FB_TRY(trial_make(ctx, &t, TIMED_ROWS, TIMED_IN, TIMED_OUT));
    const cpu_int8_call call = trial_call(&t);
    fb_status status = time_way(ctx, c, &call, cpu_int8_own, &own_s);
    if (status == FB_OK &&
        time_way(NULL, c, &call, cpu_int8_library, &library_s) == FB_OK &&
        library_s < own_s)
        c->int8 = CPU_INT8_LIBRARY;
    trial_free(&t);
    return status;
}
