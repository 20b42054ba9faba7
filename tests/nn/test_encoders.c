/* test_encoders.c - the list of image encoders: names, what each row says of itself, and
 * that it makes what it says, of whole images and of patches alone.
 */
#include <ctype.h>
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
#include "fashionbert.h"
#include "nn/patch_encoder.h"

enum { SIZE = 64, GRID = 2, IMAGES = 2, BYTES = SIZE * SIZE * 3 };

#define EACH_ROW(row)                                                                  \
    for (int32_t row##_at = 0; ((row) = fb_encoder_at(row##_at)) != NULL; row##_at++)

static void every_name_in_the_list_is_found(void **state)
{
    (void)state;
    int32_t found = 0;
    for (const char *name; (name = fb_encoder_name(found)) != NULL; found++) {
        const fb_encoder *row = fb_encoder_find(name);
        assert_non_null(row);
        assert_string_equal(row->name, name);
        assert_ptr_equal(row, fb_encoder_at(found));
    }
    assert_true(found >= 8);
    assert_null(fb_encoder_at(found));
    assert_null(fb_encoder_at(-1));
    assert_null(fb_encoder_name(-1));
}

static void names_that_are_not_there_are_refused_with_those_that_are(void **state)
{
    (void)state;
    static const char *const strangers[] = {"resnet19", "", "pixel", "thin "};
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        fb_context *ctx = fb_context_create();
        const fb_encoder *row;
        assert_null(fb_encoder_find(strangers[i]));
        assert_false(fb_encoder_learns(strangers[i]));
        assert_int_equal(fb_encoder_get(ctx, &row, strangers[i]), FB_E_USAGE);
        assert_non_null(strstr(fb_context_message(ctx), strangers[i]));
        EACH_ROW(row)
        assert_non_null(strstr(fb_context_message(ctx), row->name));
        fb_context_free(ctx);
    }
}

static void rows_are_whole_and_fit_what_they_say(void **state)
{
    (void)state;
    const fb_encoder *row;
    EACH_ROW(row)
    {
        print_message("%s\n", row->name);
        assert_true(strlen(row->name) < 16); /* fb_bench_run.encoder */
        for (const char *c = row->name; *c; c++)
            assert_true(islower((unsigned char)*c) || isdigit((unsigned char)*c) ||
                        *c == '_');
        for (int i = 0; i < 3; i++)
            assert_true(row->std[i] > 0 && row->mean[i] >= 0 && row->mean[i] <= 1);
        assert_true(row->views == 1 || row->views == 2);
        assert_true(row->shape && row->flops && row->declare && row->forward);
        assert_int_equal(row->learns, row->import && row->release);
        assert_int_equal(row->learns, row->flops(row, SIZE) > 0);
        assert_true(row->shape(row, row->patch_size).side >= 1);
        int32_t side = row->shape(row, row->image_size).side;
        assert_true(side >= 1 && side <= 64);
        assert_int_equal(row->image_size % side, 0);
    }
}

typedef struct world {
    fb_context *ctx;
    fb_backend *be;
    fb_arena *arena;
    fb_params *params;
    fb_patch_encoder encoder;
} world;

static void must(const world *w, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s", fb_context_message(w->ctx));
}

/* As fb_params_initialise, but for equal numbers of either sign in the place of normal
 * ones, which take long in the large networks. */
static void fill(fb_params *params)
{
    uint32_t bits = 1;
    for (fb_param *p = params->first; p; p = p->next) {
        float *value = fb_params_value(params, &p->leaf);
        for (int64_t i = 0; i < p->rows * p->columns; i++) {
            bits = bits * 1664525u + 1013904223u;
            float sign = bits >> 31 ? 1.0f : -1.0f;
            value[i] = p->init == FB_INIT_NORMAL ? sign * p->init_std
                                                 : (float)(p->init == FB_INIT_ONE);
        }
    }
    for (fb_buffer *b = params->first_buffer; b; b = b->next)
        for (int64_t i = 0; i < b->count; i++)
            (*b->value)[i] = b->initial;
    fb_params_touch(params);
}

static void world_open(world *w, const fb_patch_encoder_options *o)
{
    *w = (world){.ctx = fb_context_create()};
    must(w, fb_backend_create(w->ctx, &w->be, "cpu", "f32", 2));
    w->arena = fb_arena_create(1 << 20);
    must(w, fb_params_create(w->ctx, &w->params));
    must(w, fb_patch_encoder_declare(w->params, &w->encoder, o));
    must(w, fb_params_allocate(w->params, false));
    fill(w->params);
}

static void world_close(world *w)
{
    fb_patch_encoder_free(&w->encoder, w->be);
    fb_params_free(w->params, w->be);
    fb_arena_free(w->arena);
    fb_backend_free(w->be);
    fb_context_free(w->ctx);
}

/* Two unlike images give as many rows as they have patches, as wide as the row says,
 * finite, and not the same for both. */
static void look(const world *w, fb_patch_encoder *encoder, int64_t width)
{
    static uint8_t pixels[IMAGES * BYTES];
    for (uint32_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(fb_random_hash32(7, i) >> 24);
    int64_t count = encoder->grid * encoder->grid * width;
    fb_tape tape = {0};
    fb_var *x;
    fb_arena_reset(w->arena);
    fb_tape_begin(&tape, w->ctx, w->be, w->arena, false);
    must(w, fb_patch_encoder_forward(&tape, &x, encoder, pixels, IMAGES));
    assert_int_equal(fb_tensor_count(&x->value), IMAGES * count);
    assert_int_equal(x->value.dims[1], width);
    const float *value = x->value.data;
    double apart = 0;
    for (int64_t i = 0; i < count; i++) {
        assert_true(isfinite(value[i]) && isfinite(value[count + i]));
        apart = fmax(apart, fabs((double)value[i] - (double)value[count + i]));
    }
    assert_true(apart > 1e-3);
    assert_true((fb_patch_encoder_flops(encoder) > 0) == encoder->kind->learns);
}

/* Over whole images, then the same network over each of their patches alone. */
static void run(const fb_encoder *row)
{
    fb_patch_encoder_options o = {.name = row->name, .image_size = SIZE, .grid = GRID};
    memcpy(o.mean, row->mean, sizeof o.mean);
    memcpy(o.std, row->std, sizeof o.std);
    if (!row->alone)
        o.grid = row->shape(row, SIZE).side;
    int32_t width = row->shape(row, row->alone ? SIZE / GRID : SIZE).features;
    int32_t features;
    world w;
    world_open(&w, &o);
    must(&w, fb_patch_encoder_features(w.ctx, &features, &o));
    assert_int_equal(features, width);
    look(&w, &w.encoder, width);
    fb_patch_encoder each = w.encoder;
    each.each = true;
    each.grid = GRID;
    look(&w, &each, row->shape(row, SIZE / GRID).features);
    world_close(&w);
}

static void every_row_makes_the_shape_that_it_says(void **state)
{
    (void)state;
    const fb_encoder *row;
    EACH_ROW(row)
    {
        print_message("%s\n", row->name);
        run(row);
    }
}

/* Features of a noisy image [rows, width], of which the first patch's pixels are grey;
 * borrowed from the arena. */
static const float *features_of(const world *w, fb_tape *tape,
                                fb_patch_encoder *encoder, bool grey)
{
    static uint8_t pixels[BYTES];
    int32_t side = SIZE / encoder->grid;
    fb_var *x;
    for (int32_t y = 0; y < SIZE; y++)
        for (int32_t i = 0; i < SIZE * 3; i++) {
            uint32_t at = (uint32_t)(y * SIZE * 3 + i);
            bool masked = grey && y < side && i < side * 3;
            pixels[at] = masked ? 128 : (uint8_t)(fb_random_hash32(9, at) >> 24);
        }
    fb_tape_begin(tape, w->ctx, w->be, w->arena, false);
    must(w, fb_patch_encoder_forward(tape, &x, encoder, pixels, 1));
    return x->value.data;
}

/* How far the features of all other patches move with the pixels of the first one. */
static double leak(const world *w, fb_patch_encoder *encoder, int64_t width)
{
    fb_tape tapes[2] = {{0}};
    fb_arena_reset(w->arena);
    const float *whole = features_of(w, &tapes[0], encoder, false);
    const float *grey = features_of(w, &tapes[1], encoder, true);
    double moved = 0, size = 0;
    for (int64_t i = width; i < encoder->grid * encoder->grid * width; i++) {
        moved += fabs((double)whole[i] - (double)grey[i]);
        size += fabs((double)whole[i]);
    }
    return moved / size;
}

static void only_patches_run_alone_do_not_see_each_other(void **state)
{
    (void)state;
    static const char *const names[] = {"pixels", "thin", "resnet18"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (int each = 0; each < 2; each++) {
            const fb_encoder *row = fb_encoder_find(names[i]);
            fb_patch_encoder_options o = {.name = row->name,
                                          .each = each,
                                          .image_size = SIZE,
                                          .grid = GRID,
                                          .std = {1, 1, 1}};
            int32_t side = row->shape(row, SIZE).side, width;
            world w;
            if (!row->alone && !each)
                o.grid = side;
            world_open(&w, &o);
            must(&w, fb_patch_encoder_features(w.ctx, &width, &o));
            double moved = leak(&w, &w.encoder, width);
            print_message("%s, %s: %.3f\n", row->name, each ? "each" : "grid", moved);
            if (fb_encoder_sees_around(row->name, each))
                assert_true(moved > 0.01);
            else
                assert_true(moved == 0);
            world_close(&w);
        }
    assert_true(fb_encoder_sees_around("resnext101", false));
    assert_false(fb_encoder_sees_around("resnext101", true));
}

/* Nothing is made for 8 x 8 patches. */
static void the_map_of_a_larger_image_has_more_places(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    int32_t features;
    fb_patch_encoder_options o = {.name = "thin", .image_size = 192, .grid = 8};
    assert_int_equal(fb_patch_encoder_features(ctx, &features, &o), FB_E_USAGE);
    assert_non_null(strstr(fb_context_message(ctx), "a map of 16 a side"));
    o.grid = 16;
    assert_int_equal(fb_patch_encoder_features(ctx, &features, &o), FB_OK);
    assert_int_equal(features, 256);
    fb_context_free(ctx);
}

/* An encoder that sees patches alone has
 * the features that it would have with "each". */
static void pixels_are_patches_alone_either_way(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_patch_encoder_options o = {.name = "pixels", .image_size = SIZE, .grid = 4};
    int32_t features[2];
    for (int i = 0; i < 2; i++) {
        o.each = i;
        assert_int_equal(fb_patch_encoder_features(ctx, &features[i], &o), FB_OK);
        assert_int_equal(features[i], 16 * 16 * 3);
    }
    fb_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_in_the_list_is_found),
        cmocka_unit_test(names_that_are_not_there_are_refused_with_those_that_are),
        cmocka_unit_test(rows_are_whole_and_fit_what_they_say),
        cmocka_unit_test(every_row_makes_the_shape_that_it_says),
        cmocka_unit_test(only_patches_run_alone_do_not_see_each_other),
        cmocka_unit_test(the_map_of_a_larger_image_has_more_places),
        cmocka_unit_test(pixels_are_patches_alone_either_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
