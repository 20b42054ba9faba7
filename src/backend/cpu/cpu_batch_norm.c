/* cpu_batch_norm.c - batch norm over rows, rows cut between threads.
 *
 *     forward    one pass for the statistics (unless given), one for y
 *     backward   one pass for sum g and sum g (x - mean), which leaves g in dresidual;
 *                one for dx = scale g - shift - (x - mean) slope with
 *                scale = gamma inv, shift = scale mean(g),
 *                slope = scale inv^2 mean(g (x - mean))
 *
 * Each thread leaves sums of its rows in f64; they are joined in the threads' order.
 * Scratch: 3 C floats of factors, then for each thread 2 C doubles and 3 C floats.
 */
#include "backend/cpu/cpu_backend.h"
#include <math.h>

typedef struct norm_scratch {
    float *factors; /* [3,C] */
    char *threads;
    size_t thread_bytes;
    int64_t width;
} norm_scratch;

static double *thread_sums(const norm_scratch *s, int32_t thread)
{
    return (double *)(void *)(s->threads + (size_t)thread * s->thread_bytes);
}

static float *thread_row(const norm_scratch *s, int32_t thread)
{
    return (float *)(void *)(thread_sums(s, thread) + 2 * s->width);
}

static fb_status make_scratch(fb_context *ctx, cpu_backend *c, int64_t width,
                              norm_scratch *s)
{
    size_t columns = (size_t)width;
    size_t factors = (3 * columns * sizeof(float) + 63) / 64 * 64;
    size_t own = 2 * columns * sizeof(double) + 3 * columns * sizeof(float);
    *s = (norm_scratch){.thread_bytes = (own + 127) / 64 * 64, .width = width};
    void *memory;
    FB_TRY(cpu_scratch(ctx, c, factors + (size_t)c->base.threads * s->thread_bytes,
                       &memory));
    s->factors = memory;
    s->threads = (char *)memory + factors;
    return FB_OK;
}

/* stats = mean, inv of x's columns; T > 0 */
static void statistics(cpu_backend *c, const norm_scratch *s, float *stats,
                       const fb_tensor *x, float eps, bool large)
{
    int64_t rows = x->dims[0], width = x->dims[1];
    int32_t threads = c->base.threads;
#pragma omp parallel for schedule(static) num_threads(threads) if (large)
    for (int32_t t = 0; t < threads; t++) {
        cpu_range part = cpu_part(rows, 1, t, threads);
        c->v->batch_norm_moments(x->dtype, cpu_at(x, part.from * width),
                                 part.to - part.from, width, thread_sums(s, t),
                                 thread_row(s, t));
    }
    for (int64_t i = 0; i < width; i++) {
        double mean = 0.0, squares = 0.0;
        for (int32_t t = 0; t < threads; t++) {
            cpu_range part = cpu_part(rows, 1, t, threads);
            if (part.from == part.to)
                continue;
            const double *own = thread_sums(s, t);
            double share = (double)(part.to - part.from) / (double)part.to;
            double apart = own[i] - mean;
            squares += own[width + i] + apart * apart * share * (double)part.from;
            mean += apart * share;
        }
        stats[i] = (float)mean;
        stats[width + i] = (float)(1.0 / sqrt(squares / (double)rows + (double)eps));
    }
}

fb_status cpu_batch_norm_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                                 float *stats, const fb_tensor *x,
                                 const fb_tensor *residual, const fb_batch_norm *n)
{
    cpu_backend *c = cpu_of(be);
    int64_t rows = x->dims[0], width = x->dims[1];
    if (rows == 0 || width == 0)
        return FB_OK;
    norm_scratch s;
    FB_TRY(make_scratch(ctx, c, width, &s));
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(x));
    if (!n->given)
        statistics(c, &s, stats, x, n->eps, large);
    for (int64_t i = 0; i < width; i++)
        s.factors[i] = n->gamma[i] * stats[width + i];
    vector_batch_norm a = {.dtype = x->dtype,
                           .width = width,
                           .relu = n->relu,
                           .x = x->data,
                           .mean = stats,
                           .scale = s.factors,
                           .shift = n->beta,
                           .y = y->data};
    a.residual = residual ? residual->data : NULL;
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(rows, 1, t, be->threads);
        c->v->batch_norm_forward(&a, part.from, part.to - part.from);
    }
    return FB_OK;
}

/* The sums into the first thread's place; dresidual = g on the way. */
static void sum_gradients(cpu_backend *c, const norm_scratch *s,
                          const vector_batch_norm *a, int64_t rows, bool large)
{
    int32_t threads = c->base.threads;
#pragma omp parallel for schedule(static) num_threads(threads) if (large)
    for (int32_t t = 0; t < threads; t++) {
        cpu_range part = cpu_part(rows, 1, t, threads);
        c->v->batch_norm_sums(a, part.from, part.to - part.from, thread_sums(s, t),
                              thread_row(s, t));
    }
    double *sums = thread_sums(s, 0);
    for (int32_t t = 1; t < threads; t++)
        for (int64_t i = 0; i < 2 * s->width; i++)
            sums[i] += thread_sums(s, t)[i];
}

/* Parameter gradients of the sums, and the means in dx unless the statistics were
 * given. */
static void use_sums(const norm_scratch *s, float *dgamma, float *dbeta,
                     const float *stats, int64_t rows, bool given)
{
    int64_t width = s->width;
    const double *sum = thread_sums(s, 0), *product = sum + width;
    float *scale = s->factors, *shift = scale + width, *slope = shift + width;
    for (int64_t i = 0; i < width; i++) {
        double inv = (double)stats[width + i], by = (double)scale[i] / (double)rows;
        if (dgamma)
            dgamma[i] = (float)((double)dgamma[i] + product[i] * inv);
        if (dbeta)
            dbeta[i] = (float)((double)dbeta[i] + sum[i]);
        if (given)
            continue;
        shift[i] = (float)(by * sum[i]);
        slope[i] = (float)(by * inv * inv * product[i]);
    }
}

fb_status cpu_batch_norm_backward(fb_context *ctx, fb_backend *be,
                                  const fb_norm_grads *d, const fb_tensor *dy,
                                  const fb_tensor *y, const fb_tensor *x,
                                  const float *stats, const fb_batch_norm *n)
{
    cpu_backend *c = cpu_of(be);
    int64_t rows = x->dims[0], width = x->dims[1];
    if (rows == 0 || width == 0)
        return FB_OK;
    norm_scratch s;
    FB_TRY(make_scratch(ctx, c, width, &s));
    memset(s.factors, 0, 3 * (size_t)width * sizeof(float));
    for (int64_t i = 0; i < width; i++)
        s.factors[i] = n->gamma[i] * stats[width + i];
    vector_batch_norm a = {.dtype = x->dtype,
                           .width = width,
                           .relu = n->relu,
                           .x = x->data,
                           .mean = stats,
                           .scale = s.factors,
                           .shift = s.factors + width,
                           .slope = s.factors + 2 * width,
                           .dy = dy->data,
                           .y_in = y->data,
                           .dx = d->dx->data};
    a.dresidual = d->dresidual ? d->dresidual->data : NULL;
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(x));
    if (!n->given || d->dgamma || d->dbeta) {
        sum_gradients(c, &s, &a, rows, large);
        use_sums(&s, d->dgamma, d->dbeta, stats, rows, n->given);
        if (a.dresidual) { /* it holds g now */
            a.dy = a.dresidual;
            a.dresidual = NULL;
            a.relu = false;
        }
    }
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(rows, 1, t, be->threads);
        c->v->batch_norm_backward(&a, part.from, part.to - part.from);
    }
    return FB_OK;
}

fb_status cpu_batch_norm_running(fb_context *ctx, fb_backend *be, float *stats,
                                 const fb_running *r)
{
    for (int64_t c = 0; c < r->width; c++) {
        stats[c] = r->mean[c];
        stats[r->width + c] = (float)(1.0 / sqrt((double)r->var[c] + (double)r->eps));
    }
    return FB_OK;
}

fb_status cpu_batch_norm_move(fb_context *ctx, fb_backend *be, const fb_running *r,
                              const float *stats, int64_t rows, float momentum)
{
    double unbiased = (double)rows / (double)(rows - 1), share = (double)momentum;
    for (int64_t c = 0; c < r->width; c++) {
        double inv = (double)stats[r->width + c];
        double variance = 1.0 / (inv * inv) - (double)r->eps;
        if (variance < 0.0) /* the rounding of inv */
            variance = 0.0;
        float *mean = &r->mean[c], *var = &r->var[c];
        *mean = (float)((1.0 - share) * (double)*mean + share * (double)stats[c]);
        *var = (float)((1.0 - share) * (double)*var + share * variance * unbiased);
    }
    return FB_OK;
}
