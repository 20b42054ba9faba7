/* test_resnet_int8.c - residual networks by int8 products: near the float network, the
 * same by plain loops and by the fast ones, scales that follow the norms folded into the
 * weights, and float again where gradients are recorded or the scales are taken away.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "nn/encoder.h"
#include "nn/encoders/resnet.h"
#include "nn/quantization.h"
#include "support/poison_backend.h"

/* Bottlenecks: 16 pixels' channels to 32, an inner width of 16, strides, a shortcut. */
static const fb_resnet_spec deep = {
    "deep", true, 1, 64, 3, 2, 16, true, 2, {{2, 16, 1}, {1, 32, 2}}, false};
/* The same in groups, which stay in float between 1x1 convolutions of int8. */
static const fb_resnet_spec grouped = {
    "grouped", true, 4, 16, 3, 2, 16, true, 2, {{2, 16, 1}, {1, 32, 2}}, false};

typedef struct world {
    fb_context *ctx;
    fb_backend *be;
    fb_params *params;
    fb_resnet *net;
    fb_arena *arena;
    fb_quantization *q;
} world;

static void must(const world *w, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s", fb_context_message(w->ctx));
}

/* Norms that scale channels up, down and the other way round. */
static void draw_norms(world *w)
{
    for (fb_param *p = w->params->first; p; p = p->next)
        for (int64_t n = 0; strstr(p->leaf.name, ".bn") && n < p->rows; n++) {
            float *value = fb_params_value(w->params, &p->leaf) + n;
            float drawn =
                (float)fb_random_hash32((uint64_t)p->offset + 1, (uint32_t)n) *
                0x1p-32f;
            *value =
                strstr(p->leaf.name, "weight") ? 1.6f * drawn - 0.3f : drawn - 0.5f;
        }
}

static void world_open(world *w, const fb_resnet_spec *spec, const char *backend)
{
    *w = (world){.ctx = fb_context_create(),
                 .arena = fb_arena_create(1 << 20),
                 .net = malloc(sizeof(fb_resnet))};
    assert_non_null(w->net);
    must(w, test_backend_create(w->ctx, &w->be, backend, "f32", 2));
    must(w, fb_params_create(w->ctx, &w->params));
    must(w, fb_resnet_declare(w->params, w->net, "r", spec));
    must(w, fb_params_allocate(w->params, false));
    fb_params_initialise(w->params, 3);
    draw_norms(w);
    must(w, fb_quantization_make(w->ctx, &w->q, w->params, false));
    must(w, fb_params_move(w->ctx, w->params, w->be));
}

static void world_close(world *w)
{
    fb_quantization_free(w->q);
    fb_resnet_free(w->net, w->be);
    fb_params_free(w->params, w->be);
    fb_arena_free(w->arena);
    fb_backend_free(w->be);
    fb_context_free(w->ctx);
    free(w->net);
}

/* The last map of two smooth pictures; *count numbers, free() them. */
static float *forward(world *w, int32_t size, bool recording, int64_t *count)
{
    enum { IMAGES = 2 };
    fb_tape tape = {0};
    fb_var *x, *y;
    int64_t rows = (int64_t)IMAGES * size * size;
    float *pixels = malloc((size_t)(rows * 3) * sizeof *pixels);
    assert_non_null(pixels);
    for (int64_t i = 0; i < rows * 3; i++)
        pixels[i] = sinf((float)i * 0.013f) + cosf((float)(i % (size * 3)) * 0.1f);
    fb_tensor host = fb_tensor_2d(pixels, FB_F32, rows, 3);
    fb_arena_reset(w->arena);
    fb_tape_begin(&tape, w->ctx, w->be, w->arena, recording);
    must(w, fb_tape_new_var(&tape, &x, FB_F32, rows, 3));
    x->needs_grad = false;
    must(w, fb_tape_upload(&tape, &x->value, &host));
    must(w, fb_resnet_forward(&tape, &y, w->net, &(fb_pictures){x, IMAGES, size, size},
                              FB_ENCODER_FROZEN, NULL));
    const void *got;
    *count = fb_tensor_count(&y->value);
    must(w, fb_tape_read(&tape, &got, &y->value));
    must(w, fb_tape_fetch(&tape));
    float *numbers = malloc((size_t)(*count + 1) * sizeof *numbers);
    assert_non_null(numbers);
    memcpy(numbers, got, (size_t)*count * sizeof *numbers);
    free(pixels);
    return numbers;
}

/* |a - b| / |b| */
static double distance(const float *a, const float *b, int64_t count)
{
    double difference = 0, length = 0;
    for (int64_t i = 0; i < count; i++) {
        double d = (double)a[i] - (double)b[i];
        difference += d * d;
        length += (double)b[i] * (double)b[i];
    }
    assert_true(length > 0);
    return sqrt(difference / length);
}

static bool are_same(const float *a, const float *b, int64_t count)
{
    return memcmp(a, b, (size_t)count * sizeof *a) == 0;
}

/* Float, int8, recorded with scales, float again; distance of int8 from float. */
static double check_spec(const fb_resnet_spec *spec, const char *backend, int32_t size,
                         int32_t layers)
{
    world w;
    int64_t count;
    world_open(&w, spec, backend);
    assert_int_equal(w.q->count, layers);
    float *plain = forward(&w, size, false, &count);
    must(&w, fb_quantization_use(w.ctx, w.q, w.params, w.be));
    assert_false(w.q->no_network);
    float *int8 = forward(&w, size, false, &count);
    float *recorded = forward(&w, size, true, &count);
    float *again = forward(&w, size, false, &count);
    fb_quantization_stop(w.q);
    float *after = forward(&w, size, false, &count);
    assert_true(are_same(plain, recorded, count));
    assert_true(are_same(plain, after, count));
    assert_true(are_same(int8, again, count));
    double far = distance(int8, plain, count);
    free(plain);
    free(int8);
    free(recorded);
    free(again);
    free(after);
    world_close(&w);
    return far;
}

static void int8_is_near_float(void **state)
{
    (void)state;
    static const char *const backends[] = {"ref", "poison", "cpu"};
    for (int b = 0; b < 3; b++) {
        double far = check_spec(&deep, backends[b], 33, 11);
        double groups = check_spec(&grouped, backends[b], 33, 8);
        if (!(far > 1e-4 && far < 0.06 && groups > 1e-4 && groups < 0.06))
            fail_msg("%s: %g, in groups %g", backends[b], far, groups);
    }
}

static void a_whole_resnet18_is_near_float(void **state)
{
    (void)state;
    double far = check_spec(fb_encoder_find("resnet18")->spec, "cpu", 64, 19);
    if (!(far > 1e-4 && far < 0.06))
        fail_msg("%g", far);
}

/* Scales of backends that do not know one another; only f32 roundings differ, which
 * move a number to the next step of its grid here and there. */
static void plain_loops_agree(void **state)
{
    (void)state;
    float *numbers[2];
    int64_t count = 0;
    for (int b = 0; b < 2; b++) {
        world w;
        world_open(&w, &deep, b ? "cpu" : "ref");
        must(&w, fb_quantization_use(w.ctx, w.q, w.params, w.be));
        numbers[b] = forward(&w, 33, false, &count);
        world_close(&w);
    }
    double far = distance(numbers[1], numbers[0], count);
    if (!(far < 2e-3))
        fail_msg("%g", far);
    free(numbers[0]);
    free(numbers[1]);
}

/* Weights, or norms alone, that change behind the scales: folded anew. */
static void folded_copies_follow(void **state)
{
    (void)state;
    world w;
    int64_t count;
    world_open(&w, &deep, "cpu");
    must(&w, fb_quantization_use(w.ctx, w.q, w.params, w.be));
    float *before = forward(&w, 32, false, &count);
    fb_leaf *gamma = w.net->block[0].unit[0].norm.gamma;
    float *value = fb_params_value(w.params, gamma);
    for (int64_t n = 0; n < gamma->weight.out; n++)
        value[n] *= -2.0f;
    gamma->weight.version++;
    float *after = forward(&w, 32, false, &count);
    fb_quantization_stop(w.q);
    float *plain = forward(&w, 32, false, &count);
    assert_true(distance(after, before, count) > 0.1);
    assert_true(distance(after, plain, count) < 0.06);
    free(before);
    free(after);
    free(plain);
    world_close(&w);
}

/* As in data that older programs wrote: no convolution among the layers. */
static void data_without_convolutions_leave_the_network_in_float(void **state)
{
    (void)state;
    world w;
    int64_t count;
    world_open(&w, &deep, "cpu");
    float *plain = forward(&w, 32, false, &count);
    w.q->count = 0;
    must(&w, fb_quantization_use(w.ctx, w.q, w.params, w.be));
    assert_true(w.q->no_network);
    float *after = forward(&w, 32, false, &count);
    assert_true(are_same(plain, after, count));
    free(plain);
    free(after);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(int8_is_near_float),
        cmocka_unit_test(a_whole_resnet18_is_near_float),
        cmocka_unit_test(plain_loops_agree),
        cmocka_unit_test(folded_copies_follow),
        cmocka_unit_test(data_without_convolutions_leave_the_network_in_float),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
