/* test_proposals.c - segments of drawn images whose segments are known, their grouping,
 * and proposals: objects that are found, images of any shape, the same every time.
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
#include "data/regions/colour_space.h"
#include "data/regions/graph_segment.h"
#include "data/regions/proposals.h"
#include "data/regions/selective_search.h"
#include "support/drawn_photo.h"

static fb_image blank(int32_t width, int32_t height)
{
    size_t bytes = (size_t)width * (size_t)height * 3;
    fb_image image = {width, height, malloc(bytes)};
    assert_non_null(image.rgb);
    memset(image.rgb, 255, bytes);
    return image;
}

/* Pixels x1 .. x2 - 1, y1 .. y2 - 1; round: the ellipse within. */
static void draw(fb_image *image, const int32_t box[4], uint32_t rgb, bool round)
{
    double a = (box[2] - box[0]) / 2.0, b = (box[3] - box[1]) / 2.0;
    for (int32_t y = box[1]; y < box[3]; y++)
        for (int32_t x = box[0]; x < box[2]; x++) {
            double dx = (x + 0.5 - box[0] - a) / a, dy = (y + 0.5 - box[1] - b) / b;
            uint8_t *pixel = image->rgb + 3 * ((int64_t)y * image->width + x);
            for (int c = 0; c < 3 && (!round || dx * dx + dy * dy <= 1); c++)
                pixel[c] = (uint8_t)(rgb >> (16 - 8 * c));
        }
}

static void add_noise(fb_image *image, int32_t most)
{
    fb_random r = fb_random_start(7, FB_STREAM_TEST, 0);
    for (int64_t i = 0; i < (int64_t)image->width * image->height * 3; i++) {
        int32_t value = image->rgb[i] +
                        (int32_t)fb_random_below(&r, (uint32_t)(2 * most + 1)) - most;
        image->rgb[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
}

/* ---- segments ------------------------------------------------------------------- */

enum { WIDTH = 60, HEIGHT = 50, PIXELS = WIDTH * HEIGHT };

typedef struct scene {
    fb_context *ctx;
    fb_arena *arena;
    fb_image image;
    float colours[PIXELS * 3];
    int32_t label[PIXELS], count;
} scene;

static void scene_open(scene *s)
{
    *s = (scene){.ctx = fb_context_create(),
                 .arena = fb_arena_create(1 << 16),
                 .image = blank(WIDTH, HEIGHT)};
    assert_non_null(s->arena);
}

static void scene_close(scene *s)
{
    fb_image_free(&s->image);
    fb_arena_free(s->arena);
    fb_context_free(s->ctx);
}

static void segment(scene *s, float sigma, float k, int32_t least)
{
    fb_segment_options o = {sigma, k, least};
    fb_colour_convert(FB_COLOUR_HSV, s->colours, s->image.rgb, PIXELS);
    assert_int_equal(fb_graph_segment(s->ctx, s->arena, s->label, &s->count, s->colours,
                                      WIDTH, HEIGHT, &o),
                     FB_OK);
}

static int32_t label_at(const scene *s, int32_t x, int32_t y)
{
    return s->label[y * WIDTH + x];
}

static const int32_t red_box[] = {5, 5, 25, 20}, blue_box[] = {25, 5, 45, 20},
                     grey_box[] = {10, 30, 50, 45};

static void draw_three(scene *s)
{
    draw(&s->image, red_box, 0xc02020, false);
    draw(&s->image, blue_box, 0x2020c0, false);
    draw(&s->image, grey_box, 0x808080, true);
}

/* Each pixel's label is that of its colour: 0 white, 1 red, 2 blue, 3 grey, in the order
 * of first pixels. */
static void plain_areas_are_segments(void **state)
{
    (void)state;
    scene s;
    scene_open(&s);
    draw_three(&s);
    segment(&s, 0, 200, 20);
    assert_int_equal(s.count, 4);
    for (int32_t i = 0; i < PIXELS; i++) {
        const uint8_t *p = s.image.rgb + 3 * i;
        assert_int_equal(s.label[i], p[0] == 255    ? 0
                                     : p[0] == 0xc0 ? 1
                                     : p[2] == 0xc0 ? 2
                                                    : 3);
    }
    scene_close(&s);
}

/* Blurred edges may be segments of their own; what lies inside of them is one. */
static void noise_is_smoothed_away(void **state)
{
    (void)state;
    static const int32_t middles[][2] = {{2, 2}, {15, 12}, {35, 12}, {30, 37}};
    scene s;
    scene_open(&s);
    draw_three(&s);
    add_noise(&s.image, 6);
    segment(&s, 0, 100, 1);
    int32_t rough = s.count;
    segment(&s, 0.8f, 100, 1);
    if (!(s.count * 3 < rough * 2))
        fail_msg("%d segments smoothed, %d as it is", (int)s.count, (int)rough);
    for (int i = 0; i < 4; i++) {
        int32_t x = middles[i][0], y = middles[i][1];
        for (int32_t k = -2; k <= 2; k++) {
            assert_int_equal(label_at(&s, x + k, y), label_at(&s, x, y));
            assert_int_equal(label_at(&s, x, y + k), label_at(&s, x, y));
        }
        for (int j = 0; j < i; j++)
            assert_int_not_equal(label_at(&s, middles[j][0], middles[j][1]),
                                 label_at(&s, x, y));
    }
    scene_close(&s);
}

/* tau(C) = k / |C|: two areas of 300 pixels join at a step of w where k / 300 >= w. */
static void k_says_what_is_one(void **state)
{
    (void)state;
    for (int larger = 0; larger < 2; larger++) {
        scene s;
        scene_open(&s);
        memset(s.image.rgb, 0, PIXELS * 3);
        draw(&s.image, (const int32_t[]){0, 0, WIDTH, HEIGHT}, 0x000000, false);
        draw(&s.image, (const int32_t[]){0, 0, WIDTH / 2, HEIGHT}, 0x0a0a0a, false);
        /* w = 10 between halves of 1500 pixels */
        segment(&s, 0, larger ? 15001 : 14999, 1);
        assert_int_equal(s.count, larger ? 1 : 2);
        scene_close(&s);
    }
}

static void small_components_join_their_nearest(void **state)
{
    (void)state;
    for (int32_t least = 16; least <= 17; least++) {
        scene s;
        scene_open(&s);
        draw_three(&s);
        draw(&s.image, (const int32_t[]){12, 10, 16, 14}, 0xe03030, false);
        segment(&s, 0, 100, least);
        assert_int_equal(s.count, least == 16 ? 5 : 4);
        assert_int_equal(label_at(&s, 13, 12) == label_at(&s, 8, 8), least == 17);
        scene_close(&s);
    }
}

/* ---- grouping ------------------------------------------------------------------- */

static void regions_merge_up_to_the_whole(void **state)
{
    (void)state;
    scene s;
    scene_open(&s);
    draw_three(&s);
    segment(&s, 0, 200, 20);
    fb_segments in = {WIDTH, HEIGHT, s.count, s.label, s.colours};
    fb_grouped_region *r;
    int32_t count;
    assert_int_equal(fb_selective_search(s.ctx, s.arena, &r, &count, &in,
                                         FB_SIMILAR_COLOUR | FB_SIMILAR_TEXTURE |
                                             FB_SIMILAR_SIZE | FB_SIMILAR_FILL),
                     FB_OK);
    assert_int_equal(count, 7);
    const int32_t *boxes[] = {NULL, red_box, blue_box, grey_box};
    for (int i = 1; i < 4; i++) {
        assert_int_equal(r[i].x1, boxes[i][0]);
        assert_int_equal(r[i].y1, boxes[i][1]);
        assert_int_equal(r[i].x2, boxes[i][2]);
        assert_int_equal(r[i].y2, boxes[i][3]);
    }
    assert_int_equal(r[1].pixels, 300);
    assert_int_equal(r[6].pixels, PIXELS);
    assert_int_equal(r[6].depth, 0);
    /* red and blue are alike in size and fill a box without a gap: the first pair */
    assert_int_equal(r[4].pixels, 600);
    assert_int_equal(r[4].x1, 5);
    assert_int_equal(r[4].x2, 45);
    assert_int_equal(r[1].depth, 3);
    assert_int_equal(r[2].depth, 3);
    int32_t at_depth[4] = {0};
    for (int32_t i = 0; i < count; i++)
        at_depth[r[i].depth]++;
    assert_int_equal(at_depth[1], 2);
    assert_int_equal(at_depth[2], 2);
    scene_close(&s);
}

static void one_segment_is_one_region(void **state)
{
    (void)state;
    scene s;
    scene_open(&s);
    segment(&s, 0.8f, 200, 20);
    fb_segments in = {WIDTH, HEIGHT, s.count, s.label, s.colours};
    fb_grouped_region *r;
    int32_t count;
    assert_int_equal(fb_selective_search(s.ctx, s.arena, &r, &count, &in, 15), FB_OK);
    assert_int_equal(count, 1);
    assert_int_equal(r[0].pixels, PIXELS);
    assert_int_equal(r[0].depth, 0);
    scene_close(&s);
}

/* Of three stripes the two of one colour are the first pair by colour, though the third
 * lies between them and the middle one. */
static void colour_decides_by_colour_alone(void **state)
{
    (void)state;
    scene s;
    scene_open(&s);
    for (int32_t i = 0; i < PIXELS; i++) {
        s.label[i] = i % WIDTH / 20;
        for (int c = 0; c < 3; c++)
            s.colours[3 * i + c] = s.label[i] == 2 ? 200.0f : 40.0f;
    }
    fb_segments in = {WIDTH, HEIGHT, 3, s.label, s.colours};
    fb_grouped_region *r;
    int32_t count;
    assert_int_equal(
        fb_selective_search(s.ctx, s.arena, &r, &count, &in, FB_SIMILAR_COLOUR), FB_OK);
    assert_int_equal(count, 5);
    assert_int_equal(r[3].x1, 0);
    assert_int_equal(r[3].x2, 40);
    scene_close(&s);
}

/* ---- proposals ------------------------------------------------------------------ */

typedef struct found {
    int32_t count;
    float boxes[200][4];
} found;

static found propose(const char *preset, const fb_image *image, int32_t most)
{
    found f;
    fb_context *ctx = fb_context_create();
    fb_proposer *p = NULL;
    assert_int_equal(fb_proposer_create(ctx, &p, preset), FB_OK);
    assert_int_equal(fb_proposer_run(ctx, p, &f.boxes[0][0], &f.count, image, most),
                     FB_OK);
    fb_proposer_free(p);
    fb_context_free(ctx);
    return f;
}

static double best_overlap(const found *f, const int32_t box[4], const fb_image *of)
{
    double best = 0;
    float w = (float)of->width, h = (float)of->height;
    float want[4] = {(float)box[0] / w, (float)box[1] / h, (float)box[2] / w,
                     (float)box[3] / h};
    for (int32_t i = 0; i < f->count; i++) {
        double overlap = fb_box_overlap(f->boxes[i], want);
        best = overlap > best ? overlap : best;
    }
    return best;
}

/* A shirt of two colours, a bag and a disc on white with noise, at three sizes. */
static void drawn_objects_are_found(void **state)
{
    (void)state;
    static const char *const presets[] = {"single", "fast"};
    for (int32_t scale = 1; scale <= 8; scale *= 2)
        for (int p = 0; p < 2; p++) {
            fb_image image = blank(60 * scale, 80 * scale);
            int32_t top[] = {6, 8, 32, 26}, rest[] = {6, 26, 32, 40};
            int32_t shirt[] = {6, 8, 32, 40}, bag[] = {36, 44, 56, 72};
            int32_t disc[] = {8, 48, 28, 70};
            int32_t *all[] = {top, rest, shirt, bag, disc};
            for (int i = 0; i < 5; i++)
                for (int k = 0; k < 4; k++)
                    all[i][k] *= scale;
            draw(&image, top, 0xb03030, false);
            draw(&image, rest, 0x902828, false);
            draw(&image, bag, 0x305090, false);
            draw(&image, disc, 0x409040, true);
            add_noise(&image, 3);
            found f = propose(presets[p], &image, 36);
            static const char *const names[] = {"top", "rest", "shirt", "bag", "disc"};
            for (int i = 2; i < 5; i++)
                if (!(best_overlap(&f, all[i], &image) > 0.7))
                    fail_msg("%s, scale %d: the %s is found with an IoU of %.2f",
                             presets[p], (int)scale, names[i],
                             best_overlap(&f, all[i], &image));
            fb_image_free(&image);
        }
}

/* The promises of the header, whatever the image. */
static void check_promises(const found *f, const fb_image *image, int32_t most)
{
    static const float whole[4] = {0, 0, 1, 1};
    float longer = (float)(image->width > image->height ? image->width : image->height);
    assert_true(f->count >= 1 && f->count <= most);
    assert_memory_equal(f->boxes[0], whole, sizeof whole);
    for (int32_t i = 1; i < f->count; i++) {
        const float *b = f->boxes[i];
        assert_true(b[0] >= 0 && b[0] < b[2] && b[2] <= 1);
        assert_true(b[1] >= 0 && b[1] < b[3] && b[3] <= 1);
        float width = (b[2] - b[0]) * (float)image->width;
        float height = (b[3] - b[1]) * (float)image->height;
        float less = width < height ? width : height;
        /* one pixel of rounding of a side of at most 256 */
        float slack = longer / 256.0f + 1e-3f;
        assert_true(less >= 20.0f / 256.0f * longer - slack);
        for (int32_t k = 0; k < i; k++)
            assert_true(fb_box_overlap(f->boxes[k], b) <= FB_PROPOSALS_OVERLAP);
    }
}

static void images_of_any_shape_work(void **state)
{
    (void)state;
    static const int32_t sizes[][2] = {{1, 1},     {1, 500},  {500, 1},
                                       {2, 3},     {5000, 3}, {3, 5000},
                                       {257, 255}, {60, 80},  {1000, 700}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        fb_image plain = blank(sizes[i][0], sizes[i][1]);
        found f = propose("single", &plain, 36);
        check_promises(&f, &plain, 36);
        assert_int_equal(f.count, 1); /* nothing but the image */
        add_noise(&plain, 255);
        f = propose("fast", &plain, 200);
        check_promises(&f, &plain, 200);
        fb_image_free(&plain);
    }
}

static void no_more_than_most_and_the_first_are_the_same(void **state)
{
    (void)state;
    fb_image photo = drawn_photo(3, 4, 120, 160);
    found all = propose("fast", &photo, 200);
    assert_true(all.count > 8);
    for (int32_t most = 1; most <= 8; most += 7) {
        found few = propose("fast", &photo, most);
        assert_int_equal(few.count, most);
        assert_memory_equal(few.boxes, all.boxes, (size_t)most * sizeof few.boxes[0]);
    }
    fb_image_free(&photo);
}

/* One proposer after other images, and one that is new. */
static void the_same_image_gives_the_same_boxes(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_proposer *p = NULL;
    assert_int_equal(fb_proposer_create(ctx, &p, "fast"), FB_OK);
    for (uint64_t i = 0; i < 6; i++) {
        fb_image photo = drawn_photo(i, 9 - i, 300 - 50 * (int32_t)i, 160);
        found fresh = propose("fast", &photo, 100), used = {0};
        assert_int_equal(
            fb_proposer_run(ctx, p, &used.boxes[0][0], &used.count, &photo, 100),
            FB_OK);
        assert_int_equal(used.count, fresh.count);
        assert_memory_equal(used.boxes, fresh.boxes,
                            (size_t)used.count * sizeof used.boxes[0]);
        fb_image_free(&photo);
    }
    fb_proposer_free(p);
    fb_context_free(ctx);
}

static void an_unknown_preset_is_refused(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_proposer *p = NULL;
    assert_int_equal(fb_proposer_create(ctx, &p, "quality"), FB_E_USAGE);
    assert_non_null(strstr(fb_context_message(ctx), "single or fast"));
    assert_null(p);
    fb_context_free(ctx);
}

static void overlap_of_boxes(void **state)
{
    (void)state;
    const float a[] = {0, 0, 0.5f, 0.5f}, b[] = {0.25f, 0, 0.75f, 0.5f};
    const float apart[] = {0.5f, 0.5f, 1, 1}, none[] = {0.2f, 0.2f, 0.2f, 0.2f};
    assert_true(fabs(fb_box_overlap(a, a) - 1) < 1e-9);
    assert_true(fabs(fb_box_overlap(a, b) - 1.0 / 3) < 1e-9);
    assert_true(fb_box_overlap(a, apart) == 0);
    assert_true(fb_box_overlap(none, none) == 0);
}

/* ---- colours -------------------------------------------------------------------- */

static void colours_lie_where_they_should(void **state)
{
    (void)state;
    const uint8_t rgb[] = {255, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255, 255};
    float hsv[12], lab[12];
    fb_colour_convert(FB_COLOUR_HSV, hsv, rgb, 4);
    fb_colour_convert(FB_COLOUR_LAB, lab, rgb, 4);
    const float want_hsv[] = {127.5f, 127.5f, 255, 127.5f, 127.5f, 0,
                              255,    127.5f, 255, 0,      127.5f, 255};
    /* CIE L*a*b* of sRGB white, black and red under D65 */
    const float want_lab[] = {255, 128, 128, 0, 128, 128, 135.76f, 208.09f, 195.20f};
    for (int i = 0; i < 12; i++)
        assert_true(fabsf(hsv[i] - want_hsv[i]) < 0.01f);
    for (int i = 0; i < 9; i++)
        if (!(fabsf(lab[i] - want_lab[i]) < 0.1f))
            fail_msg("lab[%d] is %g, not %g", i, (double)lab[i], (double)want_lab[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_areas_are_segments),
        cmocka_unit_test(noise_is_smoothed_away),
        cmocka_unit_test(k_says_what_is_one),
        cmocka_unit_test(small_components_join_their_nearest),
        cmocka_unit_test(regions_merge_up_to_the_whole),
        cmocka_unit_test(one_segment_is_one_region),
        cmocka_unit_test(colour_decides_by_colour_alone),
        cmocka_unit_test(drawn_objects_are_found),
        cmocka_unit_test(images_of_any_shape_work),
        cmocka_unit_test(no_more_than_most_and_the_first_are_the_same),
        cmocka_unit_test(the_same_image_gives_the_same_boxes),
        cmocka_unit_test(an_unknown_preset_is_refused),
        cmocka_unit_test(overlap_of_boxes),
        cmocka_unit_test(colours_lie_where_they_should),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
