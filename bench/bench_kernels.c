/* bench_kernels.c - every kernel of the cpu backend at the sizes of a training step.
 *
 *     bench_kernels [base|mini] [f32|bf16] [threads] [pairs]
 *
 * T = 84 tokens a pair (20 of text, 64 patches). One line a kernel: median
 * milliseconds, GFLOP/s or GB/s, how often a step runs it, and its share of the step's
 * sum; "rate" is against the product 2048 x 768 x 3072 measured in the same run.
 */
#include "backend/backend.h"
#include "base/clock.h"
#include "base/random.h"
#include <stdio.h>
#include <stdlib.h>

enum { REPEATS = 9, TOKENS = 84, LINES = 64, VOCABULARY = 30522 };

typedef struct line {
    const char *name;
    double seconds, work; /* work: flops when a product, else bytes */
    double count;         /* times a training step */
    bool product;
} line;

typedef struct bench {
    fb_context *ctx;
    fb_backend *be;
    int64_t width, heads, inner, layers, pairs, rows, masked;
    double rate;
    line lines[LINES];
    int count;
    double started;
    double times[REPEATS];
} bench;

static void must(const bench *b, fb_status status)
{
    if (status == FB_OK)
        return;
    fprintf(stderr, "bench_kernels: %s\n", fb_context_message(b->ctx));
    exit(1);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* for (TIMED(b)) call;  runs it REPEATS + 1 times, the first one to warm up. */
static bool next_run(bench *b, int *run)
{
    double now = fb_clock_s();
    if (*run > 1)
        b->times[*run - 2] = now - b->started;
    b->started = fb_clock_s();
    return (*run)++ <= REPEATS;
}

static void add_line(bench *b, const char *name, double work, double count,
                     bool product)
{
    qsort(b->times, REPEATS, sizeof b->times[0], by_size);
    b->lines[b->count++] = (line){name, b->times[REPEATS / 2], work, count, product};
}

#define MEASURE(b, name, work, count, product, call)                                   \
    do {                                                                               \
        for (int run_ = 0; next_run((b), &run_);)                                      \
            must((b), (call));                                                         \
        add_line((b), (name), (work), (count), (product));                             \
    } while (0)

static fb_tensor tensor(const bench *b, fb_dtype dtype, int64_t rows, int64_t columns)
{
    int64_t n = rows * columns;
    void *data = aligned_alloc(64, ((size_t)n * fb_dtype_size(dtype) + 127) / 64 * 64);
    if (!data)
        must(b, fb_fail(b->ctx, FB_E_MEMORY, "no memory"));
    fb_random r = fb_random_start(1, FB_STREAM_TEST, (uint64_t)n);
    for (int64_t i = 0; i < n; i++) {
        float value = (float)fb_random_uniform(&r) - 0.5f;
        if (dtype == FB_BF16)
            ((fb_bf16 *)data)[i] = fb_bf16_from_f32(value);
        else
            ((float *)data)[i] = value;
    }
    return fb_tensor_2d(data, dtype, rows, columns);
}

static void linear(bench *b, const char *names[4], int64_t rows, int64_t in,
                   int64_t out, double count, bool f32_out)
{
    const fb_kernels *k = b->be->k;
    fb_dtype dtype = b->be->dtype;
    fb_tensor x = tensor(b, dtype, rows, in);
    fb_tensor y = tensor(b, f32_out ? FB_F32 : dtype, rows, out);
    fb_tensor dy = tensor(b, dtype, rows, out), dx = tensor(b, dtype, rows, in);
    fb_tensor weights = tensor(b, FB_F32, out, in), dw = tensor(b, FB_F32, out, in);
    fb_tensor bias = tensor(b, FB_F32, 1, out);
    fb_weight w = {weights.data, out, in, 1, NULL};
    double flops = 2.0 * (double)rows * (double)in * (double)out;
    double numbers = (double)in * (double)out;
    MEASURE(b, names[0], flops, count, true,
            k->linear_forward(b->ctx, b->be, &y, &x, &w, bias.data, FB_ACT_NONE));
    MEASURE(b, names[1], flops, count, true,
            k->linear_backward_input(b->ctx, b->be, &dx, &dy, &w, false));
    MEASURE(b, names[2], flops, count, true,
            k->linear_backward_weight(b->ctx, b->be, dw.data, bias.data, &x, &dy));
    if (b->rows != rows)
        return;
    double plain = b->lines[b->count - 3].seconds + b->lines[b->count - 2].seconds;
    MEASURE(b, names[3], 2.0 * numbers * 6.0, count, false,
            (w.version++,
             k->linear_forward(b->ctx, b->be, &y, &x, &w, bias.data, FB_ACT_NONE))
                ? FB_E_BACKEND
                : k->linear_backward_input(b->ctx, b->be, &dx, &dy, &w, false));
    b->lines[b->count - 1].seconds -= plain; /* what repacking both ways added */
    b->be->k->weight_release(b->be, &w);
    void *all[] = {x.data, y.data, dy.data, dx.data, weights.data, dw.data, bias.data};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
}

static void linears(bench *b)
{
    double n = (double)b->layers;
    linear(b, (const char *[]){"qkv forward", "qkv dx", "qkv dw", "qkv repack"},
           b->rows, b->width, 3 * b->width, n, false);
    linear(b, (const char *[]){"proj forward", "proj dx", "proj dw", "proj repack"},
           b->rows, b->width, b->width, n, false);
    linear(b, (const char *[]){"up forward", "up dx", "up dw", "up repack"}, b->rows,
           b->width, b->inner, n, false);
    linear(b, (const char *[]){"down forward", "down dx", "down dw", "down repack"},
           b->rows, b->inner, b->width, n, false);
    linear(b, (const char *[]){"mlm forward", "mlm dx", "mlm dw", ""}, b->masked,
           b->width, VOCABULARY, 1, true);
}

static void rowwise(bench *b)
{
    const fb_kernels *k = b->be->k;
    fb_backend *be = b->be;
    fb_dtype dtype = be->dtype;
    double size = (double)fb_dtype_size(dtype), rows = (double)b->rows;
    double wide = rows * (double)b->inner * size, thin = rows * (double)b->width * size;
    double n = (double)b->layers;
    fb_tensor x = tensor(b, dtype, b->rows, b->inner);
    fb_tensor y = tensor(b, dtype, b->rows, b->inner);
    MEASURE(b, "gelu forward", 2 * wide, n, false,
            k->act_forward(b->ctx, be, &y, &x, FB_ACT_GELU));
    MEASURE(b, "gelu backward", 3 * wide, n, false,
            k->act_backward(b->ctx, be, &y, &y, &x, FB_ACT_GELU));
    fb_tensor u = tensor(b, dtype, b->rows, b->width), v = u, z = u, d = u;
    v = tensor(b, dtype, b->rows, b->width);
    z = tensor(b, dtype, b->rows, b->width);
    d = tensor(b, dtype, b->rows, b->width);
    fb_tensor gamma = tensor(b, FB_F32, 2, b->width),
              stats = tensor(b, FB_F32, b->rows, 2);
    float *beta = (float *)gamma.data + b->width;
    fb_norm still = {gamma.data, beta, 1e-12f, {0.0f, 0}}, norm = still;
    norm.dropout = (fb_dropout){0.1f, 12345678901u};
    fb_norm_grads grads = {&u, &v, gamma.data, beta};
    MEASURE(b, "norm forward, no dropout", 3 * thin, 0, false,
            k->norm_forward(b->ctx, be, &d, NULL, NULL, &u, &v, &still));
    MEASURE(b, "norm forward", 4 * thin, 2 * n, false,
            k->norm_forward(b->ctx, be, &d, &z, stats.data, &u, &v, &norm));
    MEASURE(b, "norm backward", 4 * thin, 2 * n, false,
            k->norm_backward(b->ctx, be, &grads, &d, &z, stats.data, &norm));
    MEASURE(b, "add", 3 * thin, 0, false, k->add(b->ctx, be, &u, &v));
}

static void attention(bench *b)
{
    const fb_kernels *k = b->be->k;
    fb_dtype dtype = b->be->dtype;
    fb_tensor qkv = tensor(b, dtype, b->rows, 3 * b->width);
    fb_tensor dqkv = tensor(b, dtype, b->rows, 3 * b->width);
    fb_tensor out = tensor(b, dtype, b->rows, b->width);
    fb_tensor dout = tensor(b, dtype, b->rows, b->width);
    fb_tensor lse = tensor(b, FB_F32, b->rows, b->heads);
    int32_t *offsets = calloc((size_t)b->pairs + 1, sizeof *offsets);
    for (int64_t i = 0; offsets && i <= b->pairs; i++)
        offsets[i] = (int32_t)(i * TOKENS);
    fb_attention a = {(int32_t)b->pairs, (int32_t)b->heads, (int32_t)b->width,
                      offsets,           {0.0f, 1},         false};
    double flops = 4.0 * (double)b->rows * TOKENS * (double)b->width;
    double n = (double)b->layers;
    MEASURE(b, "attention forward, no dropout", flops, 0, true,
            k->attention_forward(b->ctx, b->be, &out, lse.data, &qkv, &a));
    a.dropout.p = 0.1f;
    MEASURE(b, "attention forward", flops, n, true,
            k->attention_forward(b->ctx, b->be, &out, lse.data, &qkv, &a));
    MEASURE(
        b, "attention backward", 2.5 * flops, n, true,
        k->attention_backward(b->ctx, b->be, &dqkv, &dout, &out, lse.data, &qkv, &a));
    free(offsets);
}

static void once_a_step(bench *b)
{
    const fb_kernels *k = b->be->k;
    fb_backend *be = b->be;
    int64_t images = b->pairs, m = b->masked;
    int64_t parameters = b->layers * (4 * b->width + 2 * b->inner) * b->width +
                         (VOCABULARY + 3072) * b->width;
    fb_tensor logits = tensor(b, FB_F32, m, VOCABULARY);
    fb_tensor dlogits = tensor(b, be->dtype, m, VOCABULARY);
    fb_tensor loss = tensor(b, FB_F32, 2, m);
    int32_t *ids = calloc((size_t)b->rows, sizeof *ids);
    uint8_t *pixels = calloc((size_t)images, 256 * 256 * 3);
    if (!ids || !pixels)
        must(b, fb_fail(b->ctx, FB_E_MEMORY, "no memory"));
    for (int64_t i = 0; i < b->rows; i++)
        ids[i] = (int32_t)((i * 7919) % (m < b->rows ? m : b->rows));
    float *lse = (float *)loss.data + m;
    double bytes = 4.0 * (double)m * VOCABULARY;
    MEASURE(b, "cross entropy forward", bytes, 1, false,
            k->cross_entropy_forward(b->ctx, be, loss.data, lse, &logits, ids));
    MEASURE(b, "cross entropy backward", bytes * 1.5, 1, false,
            k->cross_entropy_backward(b->ctx, be, &dlogits, &logits, lse, ids, 0.1f));
    fb_tensor patches = tensor(b, be->dtype, images * 64, 3072);
    fb_patchify p = {(int32_t)images,    256, 8, {0.5f, 0.5f, 0.5f},
                     {0.2f, 0.2f, 0.2f}, NULL};
    MEASURE(b, "patchify", 3.0 * (double)images * 196608, 1, false,
            k->patchify(b->ctx, be, &patches, pixels, &p));
    fb_tensor rows = tensor(b, be->dtype, b->rows, b->width), from = rows;
    from = tensor(b, be->dtype, b->rows, b->width);
    double moved = 2.0 * (double)fb_tensor_bytes(&rows);
    MEASURE(b, "gather", moved, 2, false,
            k->gather_rows(b->ctx, be, &rows, &from, NULL, ids));
    MEASURE(b, "scatter", moved, 2, false,
            k->scatter_rows(b->ctx, be, &from, NULL, &rows, ids, false));
    fb_tensor table = tensor(b, FB_F32, VOCABULARY, b->width);
    fb_embed e = {1, {table.data}, {ids}};
    float *dtable[FB_EMBED_TABLES] = {table.data};
    MEASURE(b, "embed forward", moved, 2, false,
            k->embed_forward(b->ctx, be, &rows, &from, &e));
    MEASURE(b, "embed backward", moved, 2, false,
            k->embed_backward(b->ctx, be, dtable, &rows, &e));
    fb_tensor x = tensor(b, FB_F32, 4, parameters);
    float *x0 = x.data;
    for (int64_t i = 2 * parameters; i < 3 * parameters; i++)
        x0[i] = x0[i] * x0[i]; /* second moments */
    fb_tensor g = fb_tensor_1d(x0 + 3 * parameters, FB_F32, parameters);
    fb_adamw o = {1e-4f, 0.9f, 0.999f, 1e-8f, 0.01f, 0.1f, 0.001f, 1.0f};
    double sum;
    int64_t found;
    MEASURE(b, "adamw", 28.0 * (double)parameters, 1, false,
            k->adamw_step(b->ctx, be, x0, x0 + parameters, x0 + 2 * parameters, g.data,
                          parameters, &o));
    MEASURE(b, "sum of squares", 4.0 * (double)parameters, 1, false,
            k->sum_squares(b->ctx, be, &sum, &g));
    MEASURE(b, "find nonfinite", 4.0 * (double)parameters, 0, false,
            k->find_nonfinite(b->ctx, be, &found, &g));
}

static void print_lines(const bench *b)
{
    double step = 0.0, flops = 0.0;
    for (int i = 0; i < b->count; i++) {
        step += b->lines[i].seconds * b->lines[i].count;
        flops += b->lines[i].product ? b->lines[i].work * b->lines[i].count : 0.0;
    }
    for (int i = 0; i < b->count; i++) {
        const line *l = &b->lines[i];
        double speed = l->work / l->seconds;
        printf("%-30s %8.3f ms %7.1f %s", l->name, l->seconds * 1e3, speed * 1e-9,
               l->product ? "GFLOP/s" : "GB/s   ");
        if (l->product)
            printf("  rate %4.2f", speed / b->rate);
        else
            printf("           ");
        printf("  x %2.0f  %5.1f %%\n", l->count, 100.0 * l->seconds * l->count / step);
    }
    printf("step %.1f ms, %.1f GFLOP/s, %.3f of the rate %.1f GFLOP/s\n", step * 1e3,
           flops / step * 1e-9, flops / step / b->rate, b->rate * 1e-9);
}

int main(int count, char **words)
{
    bool mini = count > 1 && strcmp(words[1], "mini") == 0;
    bool f32 = count > 2 && strcmp(words[2], "f32") == 0;
    bench *b = calloc(1, sizeof *b);
    if (!b || !(b->ctx = fb_context_create()))
        return 1;
    b->width = mini ? 256 : 768;
    b->heads = mini ? 4 : 12;
    b->inner = 4 * b->width;
    b->layers = mini ? 4 : 12;
    b->pairs = count > 4 ? atoi(words[4]) : 32;
    b->rows = b->pairs * TOKENS;
    b->masked = b->pairs * 3;
    if (b->pairs < 1) {
        fprintf(stderr, "bench_kernels: pairs must be 1 or more\n");
        return 2;
    }
    must(b, fb_backend_create(b->ctx, &b->be, "cpu", f32 ? "f32" : "bf16",
                              count > 3 ? atoi(words[3]) : 0));
    must(b, b->be->k->gemm_rate(b->ctx, b->be, &b->rate, 2048, 768, 3072, 15, false));
    linears(b);
    rowwise(b);
    attention(b);
    once_a_step(b);
    print_lines(b);
    b->be->k->free(b->be);
    fb_context_free(b->ctx);
    free(b);
    return 0;
}
