/* test_product_mask.c - the product of a photo by the colour of its border, and where
 * there is nothing to be said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/regions/product_mask.h"

enum { WIDTH = 20, HEIGHT = 10 };

typedef struct mask {
    uint8_t at[HEIGHT][WIDTH];
    int64_t product;
    bool plain;
} mask;

/* A picture of one grey, with a rectangle of another from x1, y1 up to x2, y2. */
static mask take(uint8_t background, uint8_t inside, int x1, int y1, int x2, int y2)
{
    uint8_t rgb[HEIGHT][WIDTH][3];
    mask m;
    fb_image image = {WIDTH, HEIGHT, &rgb[0][0][0]};
    memset(rgb, background, sizeof rgb);
    for (int y = y1; y < y2; y++)
        for (int x = x1; x < x2; x++)
            rgb[y][x][1] = inside; /* one channel is enough */
    fb_product_mask_take(&m.at[0][0], &m.product, &m.plain, &image);
    return m;
}

static void what_differs_from_the_border_is_product(void **state)
{
    (void)state;
    mask m = take(240, 20, 4, 3, 9, 7);
    assert_true(m.plain);
    assert_int_equal(m.product, 5 * 4);
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            assert_int_equal(m.at[y][x], x >= 4 && x < 9 && y >= 3 && y < 7);
}

static void a_little_noise_is_background(void **state)
{
    (void)state;
    assert_int_equal(take(200, 200 - FB_MASK_LEVELS, 4, 3, 9, 7).product, 0);
    assert_int_equal(take(200, 200 - FB_MASK_LEVELS - 1, 4, 3, 9, 7).product, 20);
}

/* The border has 56 pixels. */
static void a_product_may_touch_the_border(void **state)
{
    (void)state;
    mask m = take(255, 0, 0, 8, 20, 10); /* 22 of the border */
    assert_true(m.plain);
    assert_int_equal(m.product, 40);
}

static void a_border_of_many_colours_says_nothing(void **state)
{
    (void)state;
    uint8_t rgb[HEIGHT][WIDTH][3];
    mask m;
    fb_image image = {WIDTH, HEIGHT, &rgb[0][0][0]};
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            memset(rgb[y][x], (x * 53 + y * 101) % 256, 3);
    fb_product_mask_take(&m.at[0][0], &m.product, &m.plain, &image);
    assert_false(m.plain);
    assert_int_equal(m.product, 0);
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            assert_int_equal(m.at[y][x], 0);
}

static void one_pixel_is_all_border(void **state)
{
    (void)state;
    uint8_t rgb[3] = {1, 2, 3}, at = 7;
    int64_t product = 5;
    bool plain = false;
    fb_image image = {1, 1, rgb};
    fb_product_mask_take(&at, &product, &plain, &image);
    assert_true(plain);
    assert_int_equal(at, 0);
    assert_int_equal(product, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_differs_from_the_border_is_product),
        cmocka_unit_test(a_little_noise_is_background),
        cmocka_unit_test(a_product_may_touch_the_border),
        cmocka_unit_test(a_border_of_many_colours_says_nothing),
        cmocka_unit_test(one_pixel_is_all_border),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
