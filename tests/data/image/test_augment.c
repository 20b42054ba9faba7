/* test_augment.c - mirrored, moved and zoomed images, against what is written by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/image/augment.h"

enum { SIZE = 12, BYTES = SIZE * SIZE * 3 };

/* No byte is 255, so that white is seen. */
static void fill(uint8_t *pixels)
{
    fb_random random = fb_random_start(3, FB_STREAM_TEST, 0);
    for (int32_t i = 0; i < BYTES; i++)
        pixels[i] = (uint8_t)fb_random_below(&random, 255);
}

static void augment(const fb_augment *a, uint64_t draw, fb_fit fit, uint8_t *pixels)
{
    fb_random random = fb_random_start(7, FB_STREAM_AUGMENT, draw);
    fb_resizer *resizer = fb_resizer_create();
    uint8_t *scratch = malloc(BYTES);
    fill(pixels);
    const fb_fitted_image image = {SIZE, fit, FB_FILTER_BILINEAR, pixels, scratch};
    assert_int_equal(fb_augment_image(NULL, a, &random, resizer, &image), FB_OK);
    fb_resizer_free(resizer);
    free(scratch);
}

static const uint8_t *pixel(const uint8_t *pixels, int32_t y, int32_t x)
{
    return pixels + ((ptrdiff_t)y * SIZE + x) * 3;
}

static void nothing_asked_for_changes_nothing(void **state)
{
    (void)state;
    uint8_t before[BYTES], after[BYTES];
    const fb_augment none = {0};
    fill(before);
    assert_false(fb_augment_any(&none));
    for (uint64_t draw = 0; draw < 20; draw++) {
        augment(&none, draw, FB_FIT_PAD, after);
        assert_memory_equal(before, after, BYTES);
    }
}

static void half_of_the_images_are_mirrored(void **state)
{
    (void)state;
    uint8_t before[BYTES], mirrored[BYTES], after[BYTES];
    int32_t flips = 0;
    const fb_augment half = {.flip = 0.5}, always = {.flip = 1.0};
    fill(before);
    for (int32_t y = 0; y < SIZE; y++)
        for (int32_t x = 0; x < SIZE; x++)
            memcpy(mirrored + (y * SIZE + x) * 3, pixel(before, y, SIZE - 1 - x), 3);
    for (uint64_t draw = 0; draw < 400; draw++) {
        augment(&half, draw, FB_FIT_PAD, after);
        bool flipped = memcmp(after, mirrored, BYTES) == 0;
        flips += flipped;
        assert_true(flipped || memcmp(after, before, BYTES) == 0);
        augment(&always, draw, FB_FIT_PAD, after);
        assert_memory_equal(after, mirrored, BYTES);
    }
    assert_true(flips > 150 && flips < 250); /* of 200, sigma 10 */
}

/* Whether `after` is `before` moved by (across, down). */
static bool moved_by(const uint8_t *before, const uint8_t *after, int32_t across,
                     int32_t down, fb_fit fit)
{
    static const uint8_t white[3] = {255, 255, 255};
    for (int32_t y = 0; y < SIZE; y++)
        for (int32_t x = 0; x < SIZE; x++) {
            int32_t from_y = y - down, from_x = x - across;
            bool inside = from_y >= 0 && from_y < SIZE && from_x >= 0 && from_x < SIZE;
            from_y = from_y < 0 ? 0 : from_y >= SIZE ? SIZE - 1 : from_y;
            from_x = from_x < 0 ? 0 : from_x >= SIZE ? SIZE - 1 : from_x;
            const uint8_t *wanted =
                inside || fit == FB_FIT_SQUASH ? pixel(before, from_y, from_x) : white;
            if (memcmp(wanted, pixel(after, y, x), 3) != 0)
                return false;
        }
    return true;
}

static void images_move_by_up_to_the_shift(void **state)
{
    (void)state;
    enum { MOST = 3, WAYS = 2 * MOST + 1 };
    uint8_t before[BYTES], after[BYTES];
    const fb_augment shift = {.shift = 0.3}; /* 3.6 pixels */
    fill(before);
    for (int fit = FB_FIT_PAD; fit <= FB_FIT_SQUASH; fit++) {
        int32_t across_hits[WAYS] = {0}, down_hits[WAYS] = {0};
        for (uint64_t draw = 0; draw < 350; draw++) {
            int32_t found = 0;
            augment(&shift, draw, (fb_fit)fit, after);
            for (int32_t way = 0; way < WAYS * WAYS; way++) {
                if (!moved_by(before, after, way % WAYS - MOST, way / WAYS - MOST,
                              (fb_fit)fit))
                    continue;
                found++;
                across_hits[way % WAYS]++;
                down_hits[way / WAYS]++;
            }
            assert_int_equal(found, 1);
        }
        for (int32_t i = 0; i < WAYS; i++) /* expected 50, sigma 6.5 */
            assert_true(across_hits[i] > 15 && down_hits[i] > 15);
    }
}

/* Whether `after` is some crop of `before` of this side, brought back to SIZE. */
static bool is_crop(fb_resizer *resizer, const uint8_t *before, const uint8_t *after,
                    int32_t side)
{
    uint8_t cut[BYTES], back[BYTES];
    for (int32_t place = 0; place < (SIZE - side + 1) * (SIZE - side + 1); place++) {
        int32_t top = place / (SIZE - side + 1), left = place % (SIZE - side + 1);
        for (int32_t y = 0; y < side; y++)
            memcpy(cut + y * side * 3, pixel(before, top + y, left), (size_t)side * 3);
        const fb_image image = {side, side, cut};
        assert_int_equal(fb_image_resize(NULL, resizer, back, (size_t)SIZE * 3, SIZE,
                                         SIZE, &image, FB_FILTER_BILINEAR),
                         FB_OK);
        if (memcmp(back, after, BYTES) == 0)
            return true;
    }
    return false;
}

static void zoomed_images_are_crops_brought_back(void **state)
{
    (void)state;
    uint8_t before[BYTES], after[BYTES];
    int32_t sides[SIZE + 1] = {0};
    const fb_augment zoom = {.zoom = 0.25}; /* sides 12 to 9 */
    fb_resizer *resizer = fb_resizer_create();
    fill(before);
    for (uint64_t draw = 0; draw < 120; draw++) {
        int32_t found = 0;
        augment(&zoom, draw, FB_FIT_PAD, after);
        for (int32_t side = 9; side <= SIZE; side++) {
            if (!is_crop(resizer, before, after, side))
                continue;
            found++;
            sides[side]++;
        }
        assert_int_equal(found, 1);
    }
    for (int32_t side = 9; side <= SIZE;
         side++) /* the two at the ends: half as often */
        assert_true(sides[side] > 5);
    fb_resizer_free(resizer);
}

static void one_change_leaves_the_draws_of_the_others(void **state)
{
    (void)state;
    uint8_t moved[BYTES], both[BYTES];
    const fb_augment shift = {.shift = 0.3}, more = {.shift = 0.3, .flip = 1.0};
    for (uint64_t draw = 0; draw < 50; draw++) {
        augment(&shift, draw, FB_FIT_PAD, moved);
        augment(&more, draw, FB_FIT_PAD, both);
        for (int32_t y = 0; y < SIZE; y++)
            for (int32_t x = 0; x < SIZE; x++)
                assert_memory_equal(pixel(both, y, x), pixel(moved, y, SIZE - 1 - x),
                                    3);
    }
}

static void numbers_out_of_range_are_refused_by_name(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    const struct {
        fb_augment augment;
        const char *name;
    } cases[] = {
        {{.flip = 1.1}, "flip"}, {{.shift = -0.1}, "shift"}, {{.zoom = 1.0}, "zoom"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(fb_augment_check(ctx, &cases[i].augment), FB_E_USAGE);
        assert_non_null(strstr(fb_context_message(ctx), cases[i].name));
    }
    const fb_augment right = {.flip = 1.0, .shift = 1.0, .zoom = 0.5};
    assert_int_equal(fb_augment_check(ctx, &right), FB_OK);
    fb_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_asked_for_changes_nothing),
        cmocka_unit_test(half_of_the_images_are_mirrored),
        cmocka_unit_test(images_move_by_up_to_the_shift),
        cmocka_unit_test(zoomed_images_are_crops_brought_back),
        cmocka_unit_test(one_change_leaves_the_draws_of_the_others),
        cmocka_unit_test(numbers_out_of_range_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
