/* test_heat_map.c - an explanation drawn: patches tinted where they lie in the photo,
 * bars for words, into a file and into memory.
 */
#include "support/catalogue_fixture.h"

#include "data/image/draw.h"
#include "data/image/heat_map.h"
#include "data/image/image_load.h"

#include <unistd.h>

enum { MARGIN = 12, PHOTO = 384, TOP = 34 }; /* TOP: below the line at the head */

static double patches[4] = {2, -1, 0, 0.5};
static fb_word_weight words[2] = {{"red", 1, 1.5}, {"dress", 2, -0.75}};
static fb_explanation why = {.method = "by hand",
                             .score_kind = "tia",
                             .probability = 0.5,
                             .words = words,
                             .word_count = 2,
                             .grid = 2,
                             .patches = patches,
                             .photo = {0, 0, 1, 1}};

static fb_image white(int32_t width, int32_t height)
{
    size_t bytes = (size_t)width * (size_t)height * 3;
    fb_image image = {width, height, malloc(bytes)};
    memset(image.rgb, 0xff, bytes);
    return image;
}

static const uint8_t *at(const fb_image *image, int32_t x, int32_t y)
{
    assert_true(x >= 0 && x < image->width && y >= 0 && y < image->height);
    return image->rgb + 3 * ((size_t)y * (size_t)image->width + (size_t)x);
}

static bool is_red(const uint8_t *p)
{
    return p[0] > p[1] + 20 && p[0] > p[2] + 20;
}

static bool is_blue(const uint8_t *p)
{
    return p[2] > p[0] + 20;
}

static fb_image drawn(const fb_explanation *e, int32_t width, int32_t height)
{
    fb_context *ctx = fb_context_create();
    fb_image photo = white(width, height), picture = {0};
    assert_int_equal(fb_heat_map_draw(ctx, e, &photo, &picture), FB_OK);
    fb_image_free(&photo);
    fb_context_free(ctx);
    return picture;
}

static void patches_are_tinted_by_sign_and_size(void **state)
{
    (void)state;
    fb_image p = drawn(&why, 40, 40);
    int32_t left = 2 * MARGIN + PHOTO, quarter = PHOTO / 4;
    const uint8_t *most = at(&p, left + quarter, TOP + quarter),
                  *against = at(&p, left + 3 * quarter, TOP + quarter),
                  *none = at(&p, left + quarter, TOP + 3 * quarter),
                  *little = at(&p, left + 3 * quarter, TOP + 3 * quarter);
    assert_true(is_red(most) && is_blue(against) && is_red(little));
    assert_true(none[0] == none[1] && none[1] == none[2]);
    assert_true(most[1] < little[1]); /* the stronger, the deeper */
    for (int32_t i = 0; i < 3; i++)   /* the photo itself stays as it is */
        assert_int_equal(at(&p, MARGIN + quarter, TOP + quarter)[i], 0xff);
    /* Each up to its patch's edge. */
    assert_memory_equal(most, at(&p, left + PHOTO / 2 - 1, TOP + PHOTO / 2 - 1), 3);
    assert_memory_equal(little, at(&p, left + PHOTO / 2, TOP + PHOTO / 2), 3);
    fb_image_free(&p);
}

static void padding_is_not_drawn(void **state)
{
    (void)state;
    double weights[4 * 4] = {0};
    fb_explanation padded = why;
    padded.grid = 4;
    padded.patches = weights;
    padded.photo[0] = 0.25; /* a photo half as wide as high: columns 1 and 2 */
    padded.photo[2] = 0.75;
    for (int32_t row = 0; row < 4; row++) {
        weights[row * 4] = -1; /* of the padding: in no pixel of the photo */
        weights[row * 4 + 1] = 1;
        weights[row * 4 + 3] = -1;
    }
    fb_image p = drawn(&padded, 20, 40);
    int32_t left = 2 * MARGIN + PHOTO + PHOTO / 4;
    for (int32_t y = 0; y < PHOTO; y++)
        for (int32_t x = 0; x < PHOTO / 2; x++) {
            const uint8_t *rgb = at(&p, left + x, TOP + y);
            assert_true(!is_blue(rgb) && is_red(rgb) == (x < PHOTO / 4));
        }
    fb_image_free(&p);
}

static int32_t count(const fb_image *p, int32_t row, bool (*is)(const uint8_t *))
{
    int32_t n = 0;
    for (int32_t x = 0; x < p->width; x++)
        n += is(at(p, x, row));
    return n;
}

static void words_have_bars_as_long_as_their_weights(void **state)
{
    (void)state;
    fb_image p = drawn(&why, 40, 40);
    int32_t y = TOP + PHOTO + MARGIN + 4, line = (FB_GLYPH_HEIGHT + 4) * 2;
    int32_t red = count(&p, y, is_red), blue = count(&p, y + line, is_blue);
    assert_true(red > 100 && count(&p, y, is_blue) == 0);
    assert_true(blue > 50 && count(&p, y + line, is_red) == 0);
    assert_true(abs(red - 2 * blue) <= 2);
    fb_image_free(&p);
}

static void shapes_at_the_ends_of_what_there_is(void **state)
{
    (void)state;
    fb_explanation none = why;
    double zeros[4] = {0};
    none.word_count = 0;
    none.patches = zeros;
    const int32_t sizes[][2] = {{1, 1}, {1, 3000}, {3000, 1}, {500, 333}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fb_image p = drawn(&none, sizes[i][0], sizes[i][1]);
        assert_int_equal(p.width, 3 * MARGIN + 2 * PHOTO);
        fb_image_free(&p);
    }
    fb_word_weight many[300];
    for (int i = 0; i < 300; i++)
        many[i] = (fb_word_weight){"verylongwordthatdoesnotfitthecolumn", 1, i - 150.0};
    none.words = many;
    none.word_count = 300;
    fb_image p = drawn(&none, 10, 10);
    assert_true(p.height < 3000); /* the first ones, then "..." */
    fb_image_free(&p);
}

static void file_and_memory_hold_the_same(void **state)
{
    fixture *f = *state;
    char photo[160], out[160];
    uint8_t *bytes = NULL, *png = NULL;
    size_t size = 0, png_size = 0;
    fb_image image = white(30, 20);
    snprintf(photo, sizeof photo, "%s/photo.png", f->folder);
    snprintf(out, sizeof out, "%s/heat.png", f->folder);
    assert_int_equal(fb_image_write_png(f->ctx, photo, &image), FB_OK);
    fb_image_free(&image);
    fb_image_input from_file = {.file = photo}, from_memory = {0}, neither = {0};
    assert_int_equal(fb_explanation_draw(f->ctx, &why, &from_file, out), FB_OK);
    assert_int_equal(fb_file_read(f->ctx, photo, 1 << 20, &bytes, &size), FB_OK);
    from_memory.bytes = bytes;
    from_memory.size_bytes = size;
    assert_int_equal(fb_explanation_png(f->ctx, &why, &from_memory, &png, &png_size),
                     FB_OK);
    free(bytes);
    assert_int_equal(fb_file_read(f->ctx, out, 1 << 20, &bytes, &size), FB_OK);
    assert_int_equal(size, png_size);
    assert_memory_equal(bytes, png, size);
    free(png);
    free(bytes);
    png = NULL;
    assert_int_equal(fb_explanation_png(f->ctx, &why, &neither, &png, &png_size),
                     FB_E_USAGE);
    from_memory = (fb_image_input){.bytes = "nothing", .size_bytes = 7};
    assert_int_equal(fb_explanation_png(f->ctx, &why, &from_memory, &png, &png_size),
                     FB_E_FORMAT);
    assert_null(png);
    unlink(photo);
    unlink(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patches_are_tinted_by_sign_and_size),
        cmocka_unit_test(padding_is_not_drawn),
        cmocka_unit_test(words_have_bars_as_long_as_their_weights),
        cmocka_unit_test(shapes_at_the_ends_of_what_there_is),
        FIXTURE_TEST(file_and_memory_hold_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
