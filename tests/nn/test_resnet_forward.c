/* test_resnet_forward.c - residual networks run forwards in each mode: what is
 * recorded, what is folded anew, how pictures are divided, and what is refused. What
 * they compute is checked against torchvision in test_resnet_reference.c.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "nn/encoders/resnet.h"

static const fb_resnet_spec small = {
    "small", false, 1, 64, 3, 2, 8, true, 2, {{1, 8, 1}, {2, 12, 2}}, false};
/* Two pictures of 32 x 32 fill what the stem may put out at once. */
static const fb_resnet_spec wide = {"wide", false, 1, 64,          1,    1,
                                    1024,   false, 1, {{1, 4, 4}}, false};

typedef struct world {
    fb_context *ctx;
    fb_backend *be;
    fb_params *params;
    fb_resnet *net;
    fb_arena *arena;
    fb_tape tape;
} world;

static void world_open(world *w, const fb_resnet_spec *spec, const char *backend)
{
    *w = (world){.ctx = fb_context_create(),
                 .arena = fb_arena_create(1 << 20),
                 .net = malloc(sizeof(fb_resnet))};
    assert_non_null(w->net);
    assert_int_equal(fb_backend_create(w->ctx, &w->be, backend, "f32", 2), FB_OK);
    assert_int_equal(fb_params_create(w->ctx, &w->params), FB_OK);
    assert_int_equal(fb_resnet_declare(w->params, w->net, "r", spec), FB_OK);
    assert_int_equal(fb_params_allocate(w->params, true), FB_OK);
    fb_params_initialise(w->params, 3);
}

static void world_close(world *w)
{
    fb_resnet_free(w->net, w->be);
    fb_params_free(w->params, w->be);
    fb_arena_free(w->arena);
    fb_backend_free(w->be);
    fb_context_free(w->ctx);
    free(w->net);
}

/* A fresh tape and random pictures; picture i is the same whatever their number. */
static fb_var *start(world *w, bool recording, int32_t images, int32_t size)
{
    fb_var *x;
    int64_t rows = (int64_t)images * size * size;
    fb_arena_reset(w->arena);
    fb_tape_begin(&w->tape, w->ctx, w->be, w->arena, recording);
    assert_int_equal(fb_tape_new_var(&w->tape, &x, FB_F32, rows, 3), FB_OK);
    x->needs_grad = false;
    uint64_t key = fb_random_key(1, FB_STREAM_TEST, 2);
    for (int64_t i = 0; i < rows * 3; i++)
        ((float *)x->value.data)[i] =
            (float)fb_random_hash32(key, (uint32_t)i) * 0x1p-31f - 1.0f;
    return x;
}

static fb_var *forward(world *w, fb_var *x, int32_t images, int32_t size,
                       fb_encoder_mode mode)
{
    fb_var *y;
    fb_status status = fb_resnet_forward(
        &w->tape, &y, w->net, &(fb_pictures){x, images, size, size}, mode, NULL);
    if (status != FB_OK)
        fail_msg("%s", fb_context_message(w->ctx));
    return y;
}

static float *copy(const fb_var *y)
{
    float *numbers = malloc(fb_tensor_bytes(&y->value) + 1);
    assert_non_null(numbers);
    memcpy(numbers, y->value.data, fb_tensor_bytes(&y->value));
    return numbers;
}

static void compare(const float *got, const float *want, int64_t count)
{
    double largest = 0;
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)want[i]));
    assert_true(largest > 0.01);
    for (int64_t i = 0; i < count; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <= 1e-5 * largest))
            fail_msg("number %lld is %.9g, not %.9g (largest %.3g)", (long long)i,
                     (double)got[i], (double)want[i], largest);
}

static void pictures_are_divided_without_a_trace(void **state)
{
    (void)state;
    world w;
    world_open(&w, &wide, "cpu");
    enum { COUNT = 9, SIZE = 32, MAP = 8 * 8 * 4 }; /* two at a time, then one */
    fb_var *x = start(&w, false, COUNT, SIZE);
    float *want = copy(forward(&w, x, COUNT, SIZE, FB_ENCODER_FROZEN));
    x = start(&w, false, COUNT, SIZE);
    float *pixels = x->value.data;
    for (int i = 0; i < COUNT; i++) {
        fb_var one = {.value = fb_tensor_2d(pixels + (ptrdiff_t)i * SIZE * SIZE * 3,
                                            FB_F32, SIZE * SIZE, 3)};
        fb_var *y = forward(&w, &one, 1, SIZE, FB_ENCODER_FROZEN);
        assert_int_equal(fb_tensor_count(&y->value), MAP);
        compare(y->value.data, want + (ptrdiff_t)i * MAP, MAP);
    }
    free(want);
    world_close(&w);
}

static void memory_does_not_grow_with_the_pictures(void **state)
{
    (void)state;
    world w;
    world_open(&w, &wide, "cpu");
    size_t peak[2];
    for (int i = 0; i < 2; i++) {
        fb_arena_free(w.arena);
        w.arena = fb_arena_create(1 << 20);
        fb_var *x = start(&w, false, i ? 16 : 4, 32);
        (void)forward(&w, x, i ? 16 : 4, 32, FB_ENCODER_FROZEN);
        peak[i] = fb_arena_peak_bytes(w.arena);
    }
    size_t given = (size_t)12 * (32 * 32 * 3 + 8 * 8 * 4) * sizeof(float);
    assert_true(peak[1] <= peak[0] + given + 4096);
    (void)start(&w, false, 16, 32); /* merges the chunks */
    (void)forward(&w, start(&w, false, 16, 32), 16, 32, FB_ENCODER_FROZEN);
    int64_t allocations = fb_arena_system_allocations(w.arena);
    (void)forward(&w, start(&w, false, 16, 32), 16, 32, FB_ENCODER_FROZEN);
    assert_int_equal(fb_arena_system_allocations(w.arena), allocations);
    world_close(&w);
}

static void frozen_leaves_nothing_on_the_tape(void **state)
{
    (void)state;
    world w;
    world_open(&w, &small, "ref");
    fb_var *y = forward(&w, start(&w, true, 2, 24), 2, 24, FB_ENCODER_FROZEN);
    assert_true(!y->needs_grad);
    assert_null(w.tape.last);
    assert_true(w.tape.recording);
    y = forward(&w, start(&w, true, 2, 24), 2, 24, FB_ENCODER_TUNE);
    assert_true(y->needs_grad);
    assert_non_null(w.tape.last);
    world_close(&w);
}

/* A training step moves the statistics, tuning and freezing do not. */
static void only_training_moves_the_running_statistics(void **state)
{
    (void)state;
    world w;
    world_open(&w, &small, "ref");
    size_t bytes = (size_t)w.params->buffer_total * sizeof(float);
    float *before = malloc(bytes);
    assert_non_null(before);
    memcpy(before, w.params->buffer, bytes);
    (void)forward(&w, start(&w, true, 2, 24), 2, 24, FB_ENCODER_TUNE);
    (void)forward(&w, start(&w, true, 2, 24), 2, 24, FB_ENCODER_FROZEN);
    (void)forward(&w, start(&w, false, 2, 24), 2, 24, FB_ENCODER_TRAIN);
    assert_memory_equal(before, w.params->buffer, bytes);
    (void)forward(&w, start(&w, true, 2, 24), 2, 24, FB_ENCODER_TRAIN);
    for (const fb_buffer *b = w.params->first_buffer; b; b = b->next)
        assert_memory_not_equal(before + b->offset, *b->value,
                                (size_t)b->count * sizeof(float));
    free(before);
    world_close(&w);
}

static void check_folded_equals_unfolded(world *w)
{
    fb_var *y = forward(w, start(w, true, 2, 24), 2, 24, FB_ENCODER_TUNE);
    int64_t count = fb_tensor_count(&y->value);
    float *want = copy(y);
    y = forward(w, start(w, false, 2, 24), 2, 24, FB_ENCODER_TUNE);
    compare(y->value.data, want, count);
    free(want);
}

static void folded_copies_follow_whatever_changed(void **state)
{
    (void)state;
    static const char *const backends[] = {"ref", "cpu"};
    for (int i = 0; i < 2; i++) {
        world w;
        world_open(&w, &small, backends[i]);
        check_folded_equals_unfolded(&w);
        /* running statistics, which have no version */
        (void)forward(&w, start(&w, true, 2, 24), 2, 24, FB_ENCODER_TRAIN);
        check_folded_equals_unfolded(&w);
        for (fb_param *p = w.params->first; p; p = p->next) {
            w.params->value[p->offset] += 0.5f;
            p->leaf.weight.version++;
            check_folded_equals_unfolded(&w);
        }
        /* a touch that changes nothing repacks nothing */
        uint64_t version = w.net->stem.folded.version;
        fb_params_touch(w.params);
        check_folded_equals_unfolded(&w);
        assert_int_equal(w.net->stem.folded.version, version);
        world_close(&w);
    }
}

/* fb_op_patchify's rows are patches end to end: each is a picture. */
static void patches_are_pictures_of_their_own(void **state)
{
    (void)state;
    enum { SIZE = 24, GRID = 2, PATCHES = GRID * GRID, SIDE = SIZE / GRID };
    static uint8_t pixels[SIZE * SIZE * 3];
    world w;
    world_open(&w, &small, "ref");
    for (int i = 0; i < SIZE * SIZE * 3; i++)
        pixels[i] = (uint8_t)(fb_random_hash32(7, (uint32_t)i) & 255);
    fb_patchify cut = {1, SIZE, GRID, {.5f, .5f, .5f}, {.2f, .2f, .2f}, NULL};
    (void)start(&w, false, 0, 1);
    fb_var *x, *y, *vectors;
    assert_int_equal(fb_op_patchify(&w.tape, &x, pixels, &cut), FB_OK);
    assert_int_equal(fb_resnet_vectors(&w.tape, &vectors, w.net,
                                       &(fb_pictures){x, PATCHES, SIDE, SIDE},
                                       FB_ENCODER_FROZEN),
                     FB_OK);
    assert_int_equal(vectors->value.dims[0], PATCHES);
    assert_int_equal(vectors->value.dims[1], 12);
    for (int p = 0; p < PATCHES; p++) { /* cut out by hand, then averaged by hand */
        float patch[SIDE * SIDE * 3], mean[12] = {0};
        for (int i = 0; i < SIDE * SIDE * 3; i++) {
            int row = p / GRID * SIDE + i / 3 / SIDE;
            int column = p % GRID * SIDE + i / 3 % SIDE;
            float u = (float)pixels[(row * SIZE + column) * 3 + i % 3] / 255;
            patch[i] = (u - .5f) / .2f;
        }
        fb_var one = {.value = fb_tensor_2d(patch, FB_F32, SIDE * SIDE, 3)};
        y = forward(&w, &one, 1, SIDE, FB_ENCODER_FROZEN);
        int64_t rows = y->value.dims[0];
        assert_int_equal(rows, 4);
        for (int64_t i = 0; i < rows * 12; i++)
            mean[i % 12] += ((const float *)y->value.data)[i] / (float)rows;
        compare((const float *)vectors->value.data + (ptrdiff_t)p * 12, mean, 12);
    }
    world_close(&w);
}

static void sizes_need_not_divide_and_none_is_fine(void **state)
{
    (void)state;
    static const int32_t sides[][2] = {{1, 1}, {1, 7}, {13, 5}, {24, 17}};
    world w;
    world_open(&w, &small, "ref");
    for (int i = 0; i < 4; i++)
        for (int recording = 0; recording < 2; recording++) {
            int32_t height = sides[i][0], width = sides[i][1];
            (void)start(&w, recording, 0, 1);
            fb_var *x, *y;
            assert_int_equal(
                fb_tape_new_var(&w.tape, &x, FB_F32, 3 * height * width, 3), FB_OK);
            memset(x->value.data, 0, fb_tensor_bytes(&x->value));
            x->needs_grad = false;
            assert_int_equal(fb_resnet_forward(&w.tape, &y, w.net,
                                               &(fb_pictures){x, 3, height, width},
                                               FB_ENCODER_TUNE, NULL),
                             FB_OK);
            assert_int_equal(y->value.dims[0], 3 * fb_resnet_out(&small, height) *
                                                   fb_resnet_out(&small, width));
        }
    for (int mode = FB_ENCODER_TUNE; mode <= FB_ENCODER_FROZEN; mode++) {
        fb_var *y = forward(&w, start(&w, true, 0, 24), 0, 24, (fb_encoder_mode)mode);
        assert_int_equal(y->value.dims[0], 0);
        assert_int_equal(y->value.dims[1], 12);
    }
    world_close(&w);
}

static void refuse(world *w, fb_var *x, int32_t images, int32_t height,
                   const char *sentence)
{
    fb_var *y = x;
    assert_int_equal(fb_resnet_forward(&w->tape, &y, w->net,
                                       &(fb_pictures){x, images, height, 8},
                                       FB_ENCODER_FROZEN, NULL),
                     FB_E_SHAPE);
    if (!strstr(fb_context_message(w->ctx), sentence))
        fail_msg("\"%s\" does not say \"%s\"", fb_context_message(w->ctx), sentence);
}

static void inputs_of_another_size_are_refused(void **state)
{
    (void)state;
    world w;
    world_open(&w, &small, "ref");
    fb_var *x = start(&w, true, 2, 8);
    refuse(&w, x, 3, 8, "the input is [128, 3] f32, its pictures have [192, 3]");
    refuse(&w, x, 2, 7, "[112, 3]");
    refuse(&w, x, -1, 8, "-1 pictures of 8 x 8");
    refuse(&w, x, 2, 0, "2 pictures of 0 x 8");
    x->value.dims[0] = 2; /* a view of a variable that wants a gradient would lose it */
    x->value.dims[1] = 192;
    x->needs_grad = true;
    refuse(&w, x, 2, 8, "the input is [2, 192] f32");
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_are_divided_without_a_trace),
        cmocka_unit_test(memory_does_not_grow_with_the_pictures),
        cmocka_unit_test(frozen_leaves_nothing_on_the_tape),
        cmocka_unit_test(only_training_moves_the_running_statistics),
        cmocka_unit_test(folded_copies_follow_whatever_changed),
        cmocka_unit_test(patches_are_pictures_of_their_own),
        cmocka_unit_test(sizes_need_not_divide_and_none_is_fine),
        cmocka_unit_test(inputs_of_another_size_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
