/* test_image_resize.c - resizing and fitting equal Pillow's to the last level.
 * The cases and their hashes are lines of golden/image/resize.txt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "data/image/image_resize.h"
#include "support/image_pattern.h"

enum { SIDE_MAX = 1600 };

static uint64_t hash_of_case(fb_context *ctx, fb_resizer *resizer, uint8_t *out,
                             const fb_image *image, const char *fit, int32_t width,
                             int32_t height, const char *filter_name)
{
    size_t bytes = (size_t)width * (size_t)height * 3;
    fb_filter filter;
    assert_int_equal(fb_filter_parse(ctx, filter_name, &filter), FB_OK);
    memset(out, 77, bytes + 1);
    if (strcmp(fit, "exact") == 0) {
        assert_int_equal(fb_image_resize(ctx, resizer, out, (size_t)width * 3, width,
                                         height, image, filter),
                         FB_OK);
    } else {
        fb_fit how;
        assert_int_equal(width, height);
        assert_int_equal(fb_fit_parse(ctx, fit, &how), FB_OK);
        assert_int_equal(fb_image_fit(ctx, resizer, out, image, width, how, filter),
                         FB_OK);
    }
    assert_int_equal(out[bytes], 77); /* nothing past the end */
    return image_hash(out, bytes);
}

static void test_resize_equals_pillow_exactly(void **state)
{
    (void)state;
    FILE *file = fopen(FB_TEST_DATA "/golden/image/resize.txt", "r");
    assert_non_null(file);
    fb_context *ctx = fb_context_create();
    fb_resizer *resizer = fb_resizer_create();
    uint8_t *out = malloc(SIDE_MAX * SIDE_MAX * 3 + 1);
    assert_non_null(out);
    char line[200], fit[16], filter[16];
    int kind, in_width, in_height, width, height, cases = 0, wrong = 0;
    unsigned long long expected;
    while (fgets(line, sizeof line, file) != NULL) {
        int fields = sscanf(line, "%d %d %d %15s %d %d %15s %llx", &kind, &in_width,
                            &in_height, fit, &width, &height, filter, &expected);
        assert_int_equal(fields, 8);
        assert_true(width <= SIDE_MAX && height <= SIDE_MAX);
        fb_image image = {in_width, in_height,
                          image_pattern(kind, (uint32_t)in_width, (uint32_t)in_height)};
        uint64_t hash =
            hash_of_case(ctx, resizer, out, &image, fit, width, height, filter);
        if (hash != expected) {
            print_error("differs from Pillow: %s", line);
            wrong++;
        }
        fb_image_free(&image);
        cases++;
    }
    fclose(file);
    free(out);
    fb_resizer_free(resizer);
    fb_context_free(ctx);
    assert_int_equal(wrong, 0);
    assert_int_equal(cases, 168);
}

static void test_pad_is_white_around_the_centred_image(void **state)
{
    (void)state;
    uint8_t red[2 * 4 * 3], out[8 * 8 * 3];
    for (size_t i = 0; i < sizeof red; i++)
        red[i] = i % 3 == 0 ? 200 : 0;
    fb_image image = {2, 4, red};
    fb_resizer *resizer = fb_resizer_create();
    assert_int_equal(
        fb_image_fit(NULL, resizer, out, &image, 8, FB_FIT_PAD, FB_FILTER_BILINEAR),
        FB_OK);
    for (size_t i = 0; i < sizeof out; i++) {
        size_t x = i / 3 % 8;
        bool inside = x >= 2 && x < 6;
        assert_int_equal(out[i], !inside ? 255 : i % 3 == 0 ? 200 : 0);
    }
    fb_resizer_free(resizer);
}

static void test_a_sliver_keeps_one_pixel(void **state)
{
    (void)state;
    enum { LONG = 65535 };
    uint8_t *black = calloc(LONG, 3), out[8 * 8 * 3];
    fb_image image = {1, LONG, black};
    fb_resizer *resizer = fb_resizer_create();
    assert_int_equal(
        fb_image_fit(NULL, resizer, out, &image, 8, FB_FIT_PAD, FB_FILTER_BICUBIC),
        FB_OK);
    int dark = 0;
    for (size_t i = 0; i < sizeof out; i++)
        dark += out[i] == 0;
    assert_int_equal(dark, 8 * 3);
    fb_resizer_free(resizer);
    free(black);
}

static void test_wrong_sizes_and_words_are_misuse(void **state)
{
    (void)state;
    uint8_t pixel[3] = {1, 2, 3}, out[3] = {9, 9, 9};
    fb_image image = {1, 1, pixel};
    fb_context *ctx = fb_context_create();
    fb_resizer *resizer = fb_resizer_create();
    fb_fit fit = FB_FIT_PAD;
    fb_filter filter = FB_FILTER_BILINEAR;
    const int32_t sizes[] = {0, -1, FB_RESIZE_SIDE_MAX + 1};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(fb_image_fit(ctx, resizer, out, &image, sizes[i], fit, filter),
                         FB_E_USAGE);
        assert_int_equal(
            fb_image_resize(ctx, resizer, out, 3, sizes[i], 1, &image, filter),
            FB_E_USAGE);
    }
    assert_int_equal(out[0], 9);
    assert_int_equal(fb_fit_parse(ctx, "stretch", &fit), FB_E_USAGE);
    assert_non_null(strstr(fb_context_message(ctx), "squash"));
    assert_int_equal(fb_filter_parse(ctx, "lanczos", &filter), FB_E_USAGE);
    assert_non_null(strstr(fb_context_message(ctx), "bicubic"));
    fb_resizer_free(resizer);
    fb_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resize_equals_pillow_exactly),
        cmocka_unit_test(test_pad_is_white_around_the_centred_image),
        cmocka_unit_test(test_a_sliver_keeps_one_pixel),
        cmocka_unit_test(test_wrong_sizes_and_words_are_misuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
