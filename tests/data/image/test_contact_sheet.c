/* test_contact_sheet.c - pictures and captions lie where they should. */
#include "support/catalogue_fixture.h"

#include "data/image/contact_sheet.h"
#include "data/image/image_load.h"

#include <unistd.h>

typedef struct sheet_files {
    char wide[128], out[128];
} sheet_files;

/* A red picture, twice as wide as high. */
static sheet_files make_files(fixture *f)
{
    uint8_t rgb[32 * 16 * 3];
    sheet_files files;
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = i % 3 == 0 ? 255 : 0;
    fb_image image = {32, 16, rgb};
    snprintf(files.wide, sizeof files.wide, "%s/wide.png", f->folder);
    snprintf(files.out, sizeof files.out, "%s/sheet.png", f->folder);
    assert_int_equal(fb_image_write_png(f->ctx, files.wide, &image), FB_OK);
    return files;
}

static const uint8_t *pixel(const fb_image *image, int32_t x, int32_t y)
{
    return image->rgb + 3 * ((size_t)y * (size_t)image->width + (size_t)x);
}

static int32_t dark_in(const fb_image *image, int32_t x0, int32_t y0, int32_t x1,
                       int32_t y1)
{
    int32_t dark = 0;
    for (int32_t y = y0; y < y1; y++)
        for (int32_t x = x0; x < x1; x++)
            dark += pixel(image, x, y)[0] == 0x20;
    return dark;
}

static void thumbnails_are_letterboxed_in_a_grid(void **state)
{
    fixture *f = *state;
    sheet_files files = make_files(f);
    const char *images[] = {files.wide, files.wide};
    const fb_sheet_row rows[] = {{"Two", images, NULL, 2}, {"One", images, NULL, 1}};
    if (fb_contact_sheet_write(f->ctx, files.out, rows, 2, 32) != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
    fb_image sheet = {0};
    assert_int_equal(fb_image_open(f->ctx, files.out, &sheet), FB_OK);
    assert_int_equal(sheet.width, 8 + 2 * 40);
    assert_int_equal(sheet.height, 8 + 2 * (14 + 8 + 32 + 8));
    const uint8_t red[] = {255, 0, 0}, white[] = {255, 255, 255};
    int32_t top = 8 + 14 + 8;
    assert_memory_equal(pixel(&sheet, 8 + 16, top + 16), red, 3);
    assert_memory_equal(pixel(&sheet, 48 + 16, top + 16), red, 3);
    assert_memory_equal(pixel(&sheet, 8 + 16, top + 2), white, 3); /* letterbox */
    assert_memory_equal(pixel(&sheet, 48 + 16, top + 62 + 16), white, 3);
    assert_memory_equal(pixel(&sheet, 8 + 16, top + 62 + 16), red, 3);
    assert_true(dark_in(&sheet, 8, 8, 8 + 36, 8 + 14) > 0);
    fb_image_free(&sheet);
}

static void glyphs_are_drawn_as_the_font_says(void **state)
{
    fixture *f = *state;
    sheet_files files = make_files(f);
    const char *images[] = {files.wide}, *labels[] = {"I\xc3\xa9"};
    const fb_sheet_row row = {NULL, images, labels, 1};
    assert_int_equal(fb_contact_sheet_write(f->ctx, files.out, &row, 1, 32), FB_OK);
    fb_image sheet = {0};
    assert_int_equal(fb_image_open(f->ctx, files.out, &sheet), FB_OK);
    static const char *const want[] = {".###..#####", "..#...#...#", "..#...#...#",
                                       "..#...#...#", "..#...#...#", "..#...#...#",
                                       ".###..#####"};
    for (int32_t y = 0; y < 7; y++)
        for (int32_t x = 0; x < 11; x++)
            assert_int_equal(pixel(&sheet, 8 + x, 8 + 32 + 4 + y)[0] == 0x20,
                             want[y][x] == '#');
    fb_image_free(&sheet);
}

static void long_caption_stays_on_the_sheet(void **state)
{
    fixture *f = *state;
    sheet_files files = make_files(f);
    char caption[5000];
    memset(caption, 'W', sizeof caption - 1);
    caption[sizeof caption - 1] = 0;
    const char *images[] = {files.wide}, *labels[] = {caption};
    const fb_sheet_row row = {caption, images, labels, 1};
    assert_int_equal(fb_contact_sheet_write(f->ctx, files.out, &row, 1, 16), FB_OK);
    fb_image sheet = {0};
    assert_int_equal(fb_image_open(f->ctx, files.out, &sheet), FB_OK);
    assert_int_equal(dark_in(&sheet, sheet.width - 8, 0, sheet.width, sheet.height), 0);
    fb_image_free(&sheet);
}

static void what_cannot_be_drawn_is_refused(void **state)
{
    fixture *f = *state;
    sheet_files files = make_files(f);
    const char *images[] = {files.wide}, *missing[] = {"/nowhere/x.png"};
    fb_sheet_row row = {"A", images, NULL, 1};
    assert_int_equal(fb_contact_sheet_write(f->ctx, files.out, &row, 1, 8), FB_E_USAGE);
    assert_int_equal(fb_contact_sheet_write(f->ctx, files.out, &row, 0, 32),
                     FB_E_USAGE);
    row.count = 100000;
    assert_int_equal(fb_contact_sheet_write(f->ctx, files.out, &row, 1, 32),
                     FB_E_LIMIT);
    row = (fb_sheet_row){"A", missing, NULL, 1};
    assert_int_equal(fb_contact_sheet_write(f->ctx, files.out, &row, 1, 32),
                     FB_E_MISSING);
    assert_non_null(strstr(fb_context_message(f->ctx), "/nowhere/x.png"));
    assert_false(fb_path_exists(files.out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(thumbnails_are_letterboxed_in_a_grid),
        FIXTURE_TEST(glyphs_are_drawn_as_the_font_says),
        FIXTURE_TEST(long_caption_stays_on_the_sheet),
        FIXTURE_TEST(what_cannot_be_drawn_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
