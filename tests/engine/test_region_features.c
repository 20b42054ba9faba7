/* test_region_features.c - features of boxes by a model's image network: the whole image
 * is the mean of its patches, a patch's box is that patch, wherever the fit puts the
 * image; a network without a grid reads what lies in the boxes.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/region_features.h"
#include "support/drawn_photo.h"
#include "support/model_world.h"

enum { SIDE = 48, GRID = 4, PLACES = GRID * GRID, WIDEST = 1024, BOXES_MOST = 40 };

typedef struct network {
    world w;
    fb_scorer *scorer;
    fb_region_network of;
    fb_resizer *resizer;
} network;

static void network_open(network *n, const char *encoder, bool squash, int32_t views)
{
    static const kind on = {"cpu", "f32", 0};
    fb_model_config c = config();
    snprintf(c.encoder, sizeof c.encoder, "%s", encoder);
    c.image_size = SIDE;
    c.grid = GRID;
    c.squash = squash;
    c.views = views;
    *n = (network){.resizer = fb_resizer_create()};
    /* the world's batch is of small pictures */
    n->w = (world){.ctx = fb_context_create(), .arena = fb_arena_create(1 << 16)};
    if (fb_model_config_check(n->w.ctx, &c, "test") != FB_OK)
        fail_msg("%s", fb_context_message(n->w.ctx));
    assert_int_equal(fb_backend_create(n->w.ctx, &n->w.be, on.backend, on.dtype, 2),
                     FB_OK);
    assert_int_equal(fb_matcher_create(n->w.ctx, &n->w.m, &c, FB_MODEL_SCORE), FB_OK);
    fb_params_initialise(n->w.m->params, 12);
    assert_int_equal(fb_params_move(n->w.ctx, n->w.m->params, n->w.be), FB_OK);
    assert_int_equal(fb_scorer_create(n->w.ctx, &n->scorer, n->w.be, n->w.m), FB_OK);
    assert_int_equal(fb_region_network_of(n->w.ctx, &n->of, n->w.m, "test"), FB_OK);
    assert_true(n->of.width <= WIDEST);
}

static void network_close(network *n)
{
    fb_scorer_free(n->scorer);
    fb_resizer_free(n->resizer);
    n->w.m->system->free(n->w.m, n->w.be);
    fb_backend_free(n->w.be);
    fb_arena_free(n->w.arena);
    fb_context_free(n->w.ctx);
}

/* features [all boxes, F], to be freed, of two images with these boxes each. */
static float *run(network *n, const fb_image *images, int32_t count, const float *boxes,
                  int32_t box_count)
{
    size_t square = SIDE * SIDE * 3;
    int32_t each = fb_region_squares(&n->of, box_count);
    uint8_t *squares = malloc((size_t)(count * each) * square);
    float *features = malloc((size_t)(count * box_count) * WIDEST * sizeof *features);
    fb_boxed_image boxed[2];
    for (int32_t i = 0; i < count; i++) {
        boxed[i] =
            (fb_boxed_image){images[i].width, images[i].height, box_count, boxes};
        assert_int_equal(fb_region_squares_draw(n->w.ctx, &n->of, n->resizer,
                                                squares + (size_t)(i * each) * square,
                                                &images[i], boxes, box_count),
                         FB_OK);
    }
    assert_int_equal(fb_region_features(n->w.ctx, &n->of, n->scorer, features, squares,
                                        boxed, count),
                     FB_OK);
    free(squares);
    return features;
}

/* Patch features [P, F] of the image. */
static float *patches_of(network *n, const fb_image *image)
{
    uint8_t pixels[SIDE * SIDE * 3];
    size_t count = PLACES * (size_t)n->of.width;
    fb_bf16 *made = malloc(count * sizeof *made);
    float *patches = malloc(count * sizeof *patches);
    assert_int_equal(fb_image_fit(n->w.ctx, n->resizer, pixels, image, SIDE, n->of.fit,
                                  FB_FILTER_BILINEAR),
                     FB_OK);
    assert_int_equal(fb_scorer_features(n->w.ctx, n->scorer, pixels, 1, made), FB_OK);
    for (size_t i = 0; i < count; i++)
        patches[i] = fb_bf16_to_f32(made[i]);
    free(made);
    return patches;
}

static void expect_row(const char *what, const float *got, const float *want,
                       int32_t width, double tolerance)
{
    double largest = 0;
    for (int32_t i = 0; i < width; i++)
        largest = fmax(largest, fabs((double)want[i]));
    assert_true(largest > 0.01);
    for (int32_t i = 0; i < width; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <= tolerance * largest))
            fail_msg("%s: number %d is %g, not %g", what, (int)i, (double)got[i],
                     (double)want[i]);
}

static void mean_of_rows(float *mean, const float *rows, int32_t first, int32_t step,
                         int32_t count, int32_t width)
{
    for (int32_t c = 0; c < width; c++) {
        double sum = 0;
        for (int32_t r = 0; r < count; r++)
            sum += (double)rows[(size_t)(first + r * step) * (size_t)width + (size_t)c];
        mean[c] = (float)(sum / count);
    }
}

/* Of two images in one call; the box in the middle is a patch when it is sampled at its
 * centre alone, which a box of no size is. */
static void a_grid_network_reads_its_map(void **state)
{
    (void)state;
    for (int32_t views = 1; views <= 2; views++) {
        network n;
        network_open(&n, "thin", true, views);
        assert_false(n.of.each);
        assert_int_equal(fb_region_squares(&n.of, 1000), 1);
        fb_image images[] = {drawn_photo(1, 2, 90, 60), drawn_photo(5, 6, 50, 120)};
        const float boxes[][4] = {{0, 0, 1, 1}, {0.375f, 0.625f, 0.375f, 0.625f}};
        float *got = run(&n, images, 2, boxes[0], 2);
        for (int32_t i = 0; i < 2; i++) {
            float mean[WIDEST], *patches = patches_of(&n, &images[i]);
            mean_of_rows(mean, patches, 0, 1, PLACES, n.of.width);
            expect_row("the whole", got + 2 * i * n.of.width, mean, n.of.width, 1e-4);
            expect_row("a place", got + (2 * i + 1) * n.of.width,
                       patches + (2 * GRID + 1) * n.of.width, n.of.width, 1e-4);
            free(patches);
            fb_image_free(&images[i]);
        }
        free(got);
        network_close(&n);
    }
}

/* 60 x 30 padded into 48 x 48 lies in its rows 12 to 35, the middle two rows of the map,
 * and the middle of its left upper quarter is that of a place. */
static void boxes_follow_the_padding(void **state)
{
    (void)state;
    network n;
    network_open(&n, "thin", false, 1);
    fb_image image = drawn_photo(1, 2, 60, 30);
    const float boxes[][4] = {{0.125f, 0.25f, 0.125f, 0.25f}};
    float *patches = patches_of(&n, &image), *got = run(&n, &image, 1, boxes[0], 1);
    expect_row("first of the second row", got, patches + GRID * n.of.width, n.of.width,
               1e-4);
    free(got);
    free(patches);
    fb_image_free(&image);
    network_close(&n);
}

/* Features that are the pixels themselves: a box of one colour has that colour, whatever
 * lies around; more boxes than a square has places fill a second one. */
static void a_network_of_patches_reads_crops(void **state)
{
    (void)state;
    network n;
    network_open(&n, "pixels", false, 1);
    assert_true(n.of.each);
    assert_int_equal(fb_region_squares(&n.of, PLACES), 1);
    assert_int_equal(fb_region_squares(&n.of, PLACES + 1), 2);
    fb_image image = {40, 40, malloc(40 * 40 * 3)};
    memset(image.rgb, 255, 40 * 40 * 3);
    for (int32_t y = 10; y < 20; y++)
        for (int32_t x = 20; x < 40; x++)
            image.rgb[3 * (40 * y + x) + 1] = 0;
    float boxes[BOXES_MOST][4];
    for (int32_t i = 0; i < BOXES_MOST; i++) {
        const float box[] = {0.5f, 0.25f, i % 2 ? 1.0f : 0.75f, 0.5f};
        memcpy(boxes[i], box, sizeof box);
    }
    float *got = run(&n, &image, 1, boxes[0], BOXES_MOST);
    for (int32_t i = 0; i < BOXES_MOST; i++)
        for (int32_t k = 0; k < n.of.width; k++) /* (pixel / 255 - .5) / .25 */
            assert_true(fabsf(got[i * n.of.width + k] - (k % 3 == 1 ? -2.0f : 2.0f)) <
                        0.02f);
    free(got);
    fb_image_free(&image);
    network_close(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_grid_network_reads_its_map),
        cmocka_unit_test(boxes_follow_the_padding),
        cmocka_unit_test(a_network_of_patches_reads_crops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
