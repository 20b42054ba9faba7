/* bench_conv.c - convolutions of the cpu backend at the sizes of two encoders.
 *
 *     bench_conv [thin|resnet50] [f32|bf16] [threads] [images]
 *
 * One line a layer: forward (with bias and ReLU, as a folded norm leaves it), the same
 * with a residual, gradient of the input, gradient of the weight; best milliseconds of
 * a few runs, TFLOP/s, and their share of the product 2048 x 768 x 3072 measured in the
 * same run.
 */
#include "backend/backend.h"
#include "base/clock.h"
#include <stdio.h>
#include <stdlib.h>

enum { REPEATS = 5 };

typedef struct bench {
    fb_context *ctx;
    fb_backend *be;
    double rate;
    double sum_s[4], sum_flops[4];
} bench;

/* height == width, in, out, kernel, stride, padding, how often in the encoder */
typedef struct layer {
    int32_t size, in, out, kernel, stride, padding, count;
} layer;

static const layer THIN[] = {
    {96, 3, 32, 5, 3, 2, 1},   {32, 32, 64, 3, 1, 1, 1},   {32, 64, 64, 3, 1, 1, 1},
    {32, 64, 128, 3, 2, 1, 1}, {16, 128, 128, 3, 1, 1, 1}, {16, 128, 256, 3, 2, 1, 1},
    {8, 256, 256, 3, 1, 1, 1},
};
static const layer RESNET50[] = {
    {256, 3, 64, 7, 2, 3, 1},     {64, 64, 64, 1, 1, 0, 1},
    {64, 256, 64, 1, 1, 0, 2},    {64, 64, 64, 3, 1, 1, 3},
    {64, 64, 256, 1, 1, 0, 4},    {64, 256, 128, 1, 1, 0, 1},
    {64, 128, 128, 3, 2, 1, 1},   {32, 128, 512, 1, 1, 0, 4},
    {64, 256, 512, 1, 2, 0, 1},   {32, 512, 128, 1, 1, 0, 3},
    {32, 128, 128, 3, 1, 1, 3},   {32, 512, 256, 1, 1, 0, 1},
    {32, 256, 256, 3, 2, 1, 1},   {16, 256, 1024, 1, 1, 0, 6},
    {32, 512, 1024, 1, 2, 0, 1},  {16, 1024, 256, 1, 1, 0, 5},
    {16, 256, 256, 3, 1, 1, 5},   {16, 1024, 512, 1, 1, 0, 1},
    {16, 512, 512, 3, 2, 1, 1},   {8, 512, 2048, 1, 1, 0, 3},
    {16, 1024, 2048, 1, 2, 0, 1}, {8, 2048, 512, 1, 1, 0, 2},
    {8, 512, 512, 3, 1, 1, 2},
};

static void must(const bench *b, fb_status status)
{
    if (status == FB_OK)
        return;
    fprintf(stderr, "bench_conv: %s\n", fb_context_message(b->ctx));
    exit(1);
}

static fb_tensor tensor(const bench *b, fb_dtype dtype, int64_t rows, int64_t columns)
{
    int64_t n = rows * columns;
    void *data = aligned_alloc(64, ((size_t)n * fb_dtype_size(dtype) + 127) / 64 * 64);
    if (!data)
        must(b, fb_fail(b->ctx, FB_E_MEMORY, "no memory"));
    for (int64_t i = 0; i < n; i++) {
        float value = (float)(i * 2654435761 % 1009) / 1009.0f - 0.5f;
        if (dtype == FB_BF16)
            ((fb_bf16 *)data)[i] = fb_bf16_from_f32(value);
        else
            ((float *)data)[i] = value;
    }
    return fb_tensor_2d(data, dtype, rows, columns);
}

typedef struct numbers {
    fb_tensor x, y, dx, dy, w, dw, bias, residual;
    fb_weight weight;
    fb_conv c;
} numbers;

/* 0 forward, 1 with a residual, 2 gradient of the input, 3 of the weight */
static fb_status one(bench *b, numbers *n, int direction)
{
    const fb_kernels *k = b->be->k;
    switch (direction) {
    case 0:
        return k->conv_forward(b->ctx, b->be, &n->y, &n->x, &n->weight, &n->c,
                               &(fb_conv_epilogue){n->bias.data, NULL, true});
    case 1:
        return k->conv_forward(b->ctx, b->be, &n->y, &n->x, &n->weight, &n->c,
                               &(fb_conv_epilogue){n->bias.data, &n->residual, true});
    case 2:
        return k->conv_backward_input(b->ctx, b->be, &n->dx, &n->dy, &n->weight, &n->c,
                                      false);
    default:
        return k->conv_backward_weight(b->ctx, b->be, n->dw.data, &n->x, &n->dy, &n->c);
    }
}

static void measure(bench *b, const layer *l, int32_t images)
{
    numbers n = {.c = {images, l->size, l->size, l->in, l->out, l->kernel, l->stride,
                       l->padding, 1}};
    int64_t side = fb_window_out(l->size, l->kernel, l->stride, l->padding);
    int64_t in = (int64_t)images * l->size * l->size, out = images * side * side;
    int64_t inner = (int64_t)l->in * l->kernel * l->kernel;
    fb_dtype dtype = b->be->dtype;
    n.x = tensor(b, dtype, in, l->in);
    n.dx = tensor(b, dtype, in, l->in);
    n.y = tensor(b, dtype, out, l->out);
    n.dy = tensor(b, dtype, out, l->out);
    n.residual = tensor(b, dtype, out, l->out);
    n.w = tensor(b, FB_F32, l->out, inner);
    n.dw = tensor(b, FB_F32, l->out, inner);
    n.bias = tensor(b, FB_F32, 1, l->out);
    n.weight = (fb_weight){n.w.data, l->out, inner, 1, NULL};
    double flops = 2.0 * (double)out * (double)inner * l->out;
    printf("%4d %4d>%-4d k%d s%d", l->size, l->in, l->out, l->kernel, l->stride);
    for (int direction = 0; direction < 4; direction++) {
        double best = 1e9;
        for (int i = 0; i <= REPEATS; i++) {
            double started = fb_clock_s();
            must(b, one(b, &n, direction));
            double s = fb_clock_s() - started;
            best = s < best ? s : best;
        }
        b->sum_s[direction] += best * l->count;
        b->sum_flops[direction] += flops * l->count;
        printf("  %8.2f ms %5.3f %4.2f", best * 1e3, flops / best * 1e-12,
               flops / best / b->rate);
    }
    printf("\n");
    b->be->k->weight_release(b->be, &n.weight);
    void *all[] = {n.x.data, n.dx.data, n.y.data,    n.dy.data,
                   n.w.data, n.dw.data, n.bias.data, n.residual.data};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
}

int main(int count, char **words)
{
    bool resnet = count > 1 && strcmp(words[1], "resnet50") == 0;
    bool f32 = count > 2 && strcmp(words[2], "f32") == 0;
    int32_t images = count > 4 ? atoi(words[4]) : resnet ? 16 : 256;
    bench b = {.ctx = fb_context_create()};
    if (!b.ctx || images < 1) {
        fprintf(stderr, "bench_conv: images must be 1 or more\n");
        return 2;
    }
    must(&b, fb_backend_create(b.ctx, &b.be, "cpu", f32 ? "f32" : "bf16",
                               count > 3 ? atoi(words[3]) : 0));
    must(&b, b.be->k->gemm_rate(b.ctx, b.be, &b.rate, 2048, 768, 3072, 15, false));
    printf("%d images; forward, with a residual, dx, dw: ms, TFLOP/s, of the rate %.3f "
           "TFLOP/s\n",
           images, b.rate * 1e-12);
    const layer *layers = resnet ? RESNET50 : THIN;
    size_t n = resnet ? sizeof RESNET50 / sizeof *RESNET50 : sizeof THIN / sizeof *THIN;
    for (size_t i = 0; i < n; i++)
        measure(&b, &layers[i], images);
    printf("%-18s", "all layers");
    for (int d = 0; d < 4; d++)
        printf("  %8.2f ms %5.3f %4.2f", b.sum_s[d] * 1e3,
               b.sum_flops[d] / b.sum_s[d] * 1e-12,
               b.sum_flops[d] / b.sum_s[d] / b.rate);
    printf("\n");
    b.be->k->free(b.be);
    fb_context_free(b.ctx);
    return 0;
}
