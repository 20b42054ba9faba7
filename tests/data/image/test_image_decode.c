/* test_image_decode.c - decoding equals Pillow's on golden/image; hostile bytes are
 * refused; written files read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <unistd.h>

#include "base/file.h"
#include "data/image/image_load.h"
#include "support/image_pattern.h"

#define GOLDEN FB_TEST_DATA "/golden/image/"

enum { GOLDEN_FILES = 48, FILE_MAX = 1 << 20 };

static uint8_t *golden_read(const char *name, size_t *size_bytes)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s", GOLDEN, name);
    uint8_t *bytes = NULL;
    assert_int_equal(fb_file_read(NULL, path, FILE_MAX, &bytes, size_bytes), FB_OK);
    return bytes;
}

/* Decode a copy that ends where its memory ends, so that a sanitizer sees reads past
 * it. On failure the output must be what it was. */
static fb_status decode_copy(fb_context *ctx, const uint8_t *bytes, size_t size_bytes,
                             fb_image *image)
{
    uint8_t *copy = malloc(size_bytes > 0 ? size_bytes : 1), marker = 0;
    assert_non_null(copy);
    memcpy(copy, bytes, size_bytes);
    *image = (fb_image){-1, -2, &marker};
    fb_status status = fb_image_decode(ctx, "picture", copy, size_bytes, image);
    free(copy);
    if (status != FB_OK) {
        assert_true(image->width == -1 && image->height == -2 && image->rgb == &marker);
        *image = (fb_image){0, 0, NULL};
    }
    return status;
}

static void expect_status(const uint8_t *bytes, size_t size_bytes, fb_status expected)
{
    fb_context *ctx = fb_context_create();
    fb_image image;
    fb_status status = decode_copy(ctx, bytes, size_bytes, &image);
    if (status != expected)
        print_error("%zu bytes: %s\n", size_bytes, fb_context_message(ctx));
    assert_int_equal(status, expected);
    assert_non_null(strstr(fb_context_message(ctx), "picture"));
    fb_context_free(ctx);
}

/* Largest difference from the golden pixels; 1000 when the size differs. */
static int golden_difference(const char *name)
{
    char ppm_name[300];
    snprintf(ppm_name, sizeof ppm_name, "%s.ppm", name);
    size_t size, ppm_size;
    uint8_t *bytes = golden_read(name, &size), *ppm = golden_read(ppm_name, &ppm_size);
    fb_image image;
    int width = 0, height = 0, header = 0, worst = 0;
    assert_int_equal(sscanf((char *)ppm, "P6 %d %d 255%n", &width, &height, &header),
                     2);
    header++; /* the newline */
    assert_int_equal(decode_copy(NULL, bytes, size, &image), FB_OK);
    size_t count = (size_t)width * (size_t)height * 3;
    assert_int_equal(ppm_size, (size_t)header + count);
    if (image.width != width || image.height != height)
        worst = 1000;
    for (size_t i = 0; worst < 1000 && i < count; i++) {
        int difference = abs(image.rgb[i] - ppm[(size_t)header + i]);
        worst = difference > worst ? difference : worst;
    }
    fb_image_free(&image);
    free(bytes);
    free(ppm);
    return worst;
}

static void test_decoding_equals_pillow_exactly(void **state)
{
    (void)state;
    DIR *folder = opendir(GOLDEN);
    assert_non_null(folder);
    int files = 0, wrong = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot == NULL || (strcmp(dot, ".jpg") != 0 && strcmp(dot, ".png") != 0 &&
                            strcmp(dot, ".webp") != 0))
            continue;
        int difference = golden_difference(entry->d_name);
        if (difference > 0) {
            print_error("%s is off by %d levels\n", entry->d_name, difference);
            wrong++;
        }
        files++;
    }
    closedir(folder);
    assert_int_equal(wrong, 0);
    assert_int_equal(files, GOLDEN_FILES);
}

static void test_probe_tells_format_and_stored_size(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        fb_image_format format;
        int32_t width, height;
    } cases[] = {
        {"exif6.jpg", FB_IMAGE_JPEG, 6, 4},    {"cmyk.jpg", FB_IMAGE_JPEG, 21, 13},
        {"rgba.png", FB_IMAGE_PNG, 19, 11},    {"exif5.png", FB_IMAGE_PNG, 19, 11},
        {"lossy.webp", FB_IMAGE_WEBP, 37, 27}, {"lossless.webp", FB_IMAGE_WEBP, 37, 27},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t size;
        uint8_t *bytes = golden_read(cases[i].name, &size);
        fb_image_info info;
        assert_int_equal(fb_image_probe(NULL, "picture", bytes, size, &info), FB_OK);
        assert_int_equal(info.format, cases[i].format);
        assert_int_equal(info.width, cases[i].width);
        assert_int_equal(info.height, cases[i].height);
        free(bytes);
    }
}

static const char *const hostile_bases[] = {
    "exif6.jpg",
    "progressive444.jpg",
    "cmyk.jpg",
    "restart.jpg",
    "rgba.png",
    "rgb_interlaced.png",
    "palette_trns.png",
    "exif8_after.png",
    "lossy.webp",
    "lossy_alpha.webp",
    "lossless_alpha.webp",
    "exif7.webp",
};
enum { HOSTILE_BASES = sizeof hostile_bases / sizeof hostile_bases[0] };

static void test_every_truncation_is_a_format_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < HOSTILE_BASES; i++) {
        size_t size;
        uint8_t *bytes = golden_read(hostile_bases[i], &size);
        for (size_t length = 0; length < size; length++)
            expect_status(bytes, length, FB_E_FORMAT);
        free(bytes);
    }
}

static void test_any_corrupt_byte_is_survived(void **state)
{
    (void)state;
    for (size_t i = 0; i < HOSTILE_BASES; i++) {
        size_t size;
        uint8_t *bytes = golden_read(hostile_bases[i], &size);
        for (size_t at = 0; at < size; at++) {
            fb_image image;
            uint8_t was = bytes[at];
            bytes[at] ^= (uint8_t)(at % 3 == 0 ? 0xff : at % 3 == 1 ? 0x10 : 0x01);
            fb_status status = decode_copy(NULL, bytes, size, &image);
            assert_true(status == FB_OK || status == FB_E_FORMAT ||
                        status == FB_E_LIMIT);
            if (status == FB_OK)
                assert_true(image.width > 0 && image.height > 0);
            fb_image_free(&image);
            bytes[at] = was;
        }
        free(bytes);
    }
}

static void test_garbage_and_other_formats_are_format_errors(void **state)
{
    (void)state;
    static const char *const others[] = {"",
                                         "G",
                                         "GIF89a\1\0\1\0",
                                         "BM",
                                         "\xff",
                                         "\xff\xd8",
                                         "\xff\xd8\xff",
                                         "\x89PNG\r\n\x1a\n",
                                         "RIFFxxxxWEBP",
                                         "RIFFxxxxWAVE",
                                         "<svg/>"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        expect_status((const uint8_t *)others[i], strlen(others[i]), FB_E_FORMAT);
    uint8_t *noise = image_pattern(1, 64, 64);
    expect_status(noise, 64 * 64 * 3, FB_E_FORMAT);
    free(noise);
}

/* Where a JPEG's frame header keeps height and width (2 bytes each). */
static size_t jpeg_size_at(const uint8_t *bytes, size_t size_bytes)
{
    for (size_t at = 2; at + 9 < size_bytes;
         at += 2 + (size_t)(bytes[at + 2] << 8 | bytes[at + 3]))
        if (bytes[at + 1] >= 0xc0 && bytes[at + 1] <= 0xc2)
            return at + 5;
    fail();
    return 0;
}

static void test_declared_sizes_are_checked_before_decoding(void **state)
{
    (void)state;
    size_t size;
    uint8_t *png = golden_read("rgb.png", &size);
    memcpy(png + 16, "\0\0\x20\0\0\0\x20\0", 8); /* 8192 x 8192 */
    expect_status(png, size, FB_E_LIMIT);
    memcpy(png + 16, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    expect_status(png, size, FB_E_LIMIT);
    memcpy(png + 16, "\0\1\0\0\0\0\0\1", 8); /* 65536 x 1 */
    expect_status(png, size, FB_E_LIMIT);
    memcpy(png + 16, "\0\0\0\0\0\0\0\1", 8);
    expect_status(png, size, FB_E_FORMAT);
    free(png);
    uint8_t *jpeg = golden_read("rgb444.jpg", &size);
    size_t at = jpeg_size_at(jpeg, size);
    memcpy(jpeg + at, "\xff\xff\xff\xff", 4);
    expect_status(jpeg, size, FB_E_FORMAT); /* libjpeg's own limit is 65500 */
    memcpy(jpeg + at, "\xff\0\xff\0", 4);
    expect_status(jpeg, size, FB_E_LIMIT);
    memcpy(jpeg + at, "\0\0\0\x10", 4);
    expect_status(jpeg, size, FB_E_FORMAT);
    free(jpeg);
    uint8_t *webp = golden_read("lossless.webp", &size);
    memcpy(webp + 21, "\xff\xff\xff\x0f", 4); /* 16384 x 16384 */
    expect_status(webp, size, FB_E_LIMIT);
    free(webp);
}

static void test_other_kinds_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *start;
        size_t size;
        const char *word;
    } kinds[] = {{"GIF89a\1\0\1\0", 10, "a GIF image"},
                 {"BM6\3\0\0\0\0\0\0", 10, "a BMP image"},
                 {"II*\0\10\0\0\0", 8, "a TIFF image"},
                 {"MM\0*\0\0\0\10", 8, "a TIFF image"},
                 {"\0\0\0\30ftypheic\0\0\0\0", 16, "a HEIC image"},
                 {"\0\0\0\34ftypavif\0\0\0\0", 16, "an AVIF image"},
                 {"<?xml version='1.0'?><svg />", 28, "an SVG image"},
                 {"\n<svg />", 8, "an SVG image"},
                 {"<!DOCTYPE HTML><html>", 21, "an HTML page"},
                 {"version https://git-lfs.github.com/spec/v1\n", 43, "Git LFS"},
                 {"BMX", 3, "starts like no JPEG"}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        fb_context *ctx = fb_context_create();
        fb_image image;
        assert_int_equal(fb_image_decode(ctx, "x.jpg", (const uint8_t *)kinds[i].start,
                                         kinds[i].size, &image),
                         FB_E_FORMAT);
        if (!strstr(fb_context_message(ctx), kinds[i].word))
            fail_msg("\"%s\" does not say \"%s\"", fb_context_message(ctx),
                     kinds[i].word);
        fb_context_free(ctx);
    }
}

static void test_too_many_bytes_are_refused_unread(void **state)
{
    (void)state;
    fb_image image;
    assert_int_equal(fb_image_decode(NULL, "picture", (const uint8_t *)"",
                                     (size_t)FB_IMAGE_BYTES_MAX + 1, &image),
                     FB_E_LIMIT);
}

static void test_endless_progressive_scans_are_refused(void **state)
{
    (void)state;
    enum { COPIES = 150 };
    size_t size, scan = 0, after;
    uint8_t *bytes = golden_read("progressive444.jpg", &size);
    while (bytes[scan] != 0xff || bytes[scan + 1] != 0xda)
        scan++;
    after = scan + 2;
    while (bytes[after] != 0xff || bytes[after + 1] == 0)
        after++;
    size_t scan_bytes = after - scan;
    uint8_t *longer = malloc(size + COPIES * scan_bytes);
    assert_non_null(longer);
    memcpy(longer, bytes, after);
    for (size_t i = 0; i < COPIES; i++)
        memcpy(longer + after + i * scan_bytes, bytes + scan, scan_bytes);
    memcpy(longer + after + COPIES * scan_bytes, bytes + after, size - after);
    fb_context *ctx = fb_context_create();
    fb_image image;
    assert_int_equal(decode_copy(ctx, longer, size + COPIES * scan_bytes, &image),
                     FB_E_FORMAT);
    assert_non_null(strstr(fb_context_message(ctx), "scans"));
    fb_context_free(ctx);
    free(longer);
    free(bytes);
}

static void test_written_png_reads_back_equal(void **state)
{
    (void)state;
    char folder[] = "/tmp/fb_image_XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/sheet.png", folder);
    fb_image written = {33, 17, image_pattern(0, 33, 17)}, read;
    assert_int_equal(fb_image_write_png(NULL, path, &written), FB_OK);
    assert_int_equal(fb_image_open(NULL, path, &read), FB_OK);
    assert_int_equal(read.width, 33);
    assert_int_equal(read.height, 17);
    assert_memory_equal(read.rgb, written.rgb, 33 * 17 * 3);
    fb_image_free(&written);
    fb_image_free(&read);
    unlink(path);
    assert_int_equal(rmdir(folder), 0); /* nothing else was left there */
}

static void test_written_jpeg_reads_back_close(void **state)
{
    (void)state;
    char folder[] = "/tmp/fb_image_XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/sheet.jpg", folder);
    fb_image written = {33, 17, malloc(33 * 17 * 3)}, read;
    for (size_t i = 0; i < 33 * 17 * 3; i++)
        written.rgb[i] = (uint8_t)(i / 3 % 33 * 5 + i % 3 * 20);
    assert_int_equal(fb_image_write_jpeg(NULL, path, &written, 95), FB_OK);
    assert_int_equal(fb_image_open(NULL, path, &read), FB_OK);
    assert_int_equal(read.width, 33);
    assert_int_equal(read.height, 17);
    for (size_t i = 0; i < 33 * 17 * 3; i++)
        assert_true(abs(read.rgb[i] - written.rgb[i]) <= 8);
    fb_image_free(&written);
    fb_image_free(&read);
    unlink(path);
    assert_int_equal(rmdir(folder), 0);
}

static void test_encoded_jpeg_may_halve_its_colour(void **state)
{
    (void)state;
    fb_image stripes = {32, 32, malloc(32 * 32 * 3)}, read[2];
    size_t size_bytes[2];
    for (size_t i = 0; i < 32 * 32; i++) /* red and blue by turns, as bright */
        memcpy(stripes.rgb + i * 3, i % 2 ? "\xc0\x10\x20" : "\x20\x40\xd0", 3);
    for (int halved = 0; halved < 2; halved++) {
        char *bytes = NULL;
        FILE *stream = open_memstream(&bytes, &size_bytes[halved]);
        assert_non_null(stream);
        assert_int_equal(
            fb_image_encode_jpeg(NULL, stream, "stripes", &stripes, 95, halved), FB_OK);
        assert_int_equal(fclose(stream), 0);
        assert_int_equal(fb_image_decode(NULL, "stripes", (uint8_t *)bytes,
                                         size_bytes[halved], &read[halved]),
                         FB_OK);
        assert_int_equal(read[halved].width, 32);
        free(bytes);
    }
    /* whole colour keeps the stripes apart, halved colour mixes neighbours */
    assert_true(read[0].rgb[3] - read[0].rgb[0] > 120);
    assert_true(read[1].rgb[3] - read[1].rgb[0] < 60);
    fb_image_free(&stripes);
    fb_image_free(&read[0]);
    fb_image_free(&read[1]);
}

static void test_writing_fails_with_a_sentence(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_image image = {2, 2, image_pattern(0, 2, 2)}, empty = {0, 0, NULL};
    const char *path = "/nonexistent/folder/sheet.png";
    assert_int_not_equal(fb_image_write_png(ctx, path, &image), FB_OK);
    assert_non_null(strstr(fb_context_message(ctx), "/nonexistent/folder"));
    assert_int_not_equal(fb_image_write_jpeg(ctx, path, &image, 90), FB_OK);
    assert_int_equal(fb_image_write_png(ctx, path, &empty), FB_E_USAGE);
    assert_int_equal(fb_image_write_jpeg(ctx, path, &empty, 90), FB_E_USAGE);
    fb_image_free(&image);
    fb_context_free(ctx);
}

static void test_load_reads_decodes_and_fits(void **state)
{
    (void)state;
    enum { SIZE = 16, BYTES = SIZE * SIZE * 3 };
    uint8_t loaded[BYTES], fitted[BYTES];
    fb_context *ctx = fb_context_create();
    fb_resizer *resizer = fb_resizer_create();
    fb_image image;
    assert_int_equal(fb_image_open(ctx, GOLDEN "exif6.jpg", &image), FB_OK);
    assert_int_equal(image.width, 4); /* upright */
    fb_image_fit(ctx, resizer, fitted, &image, SIZE, FB_FIT_PAD, FB_FILTER_BILINEAR);
    fb_image_free(&image);
    assert_int_equal(fb_image_load(ctx, GOLDEN "exif6.jpg", resizer, SIZE, FB_FIT_PAD,
                                   FB_FILTER_BILINEAR, loaded),
                     FB_OK);
    assert_memory_equal(loaded, fitted, BYTES);
    assert_int_equal(fb_image_load(ctx, GOLDEN "missing.jpg", resizer, SIZE, FB_FIT_PAD,
                                   FB_FILTER_BILINEAR, loaded),
                     FB_E_MISSING);
    assert_int_equal(fb_image_load(ctx, GOLDEN "resize.txt", resizer, SIZE, FB_FIT_PAD,
                                   FB_FILTER_BILINEAR, loaded),
                     FB_E_FORMAT);
    assert_non_null(strstr(fb_context_message(ctx), "resize.txt"));
    assert_memory_equal(loaded, fitted, BYTES);
    fb_resizer_free(resizer);
    fb_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decoding_equals_pillow_exactly),
        cmocka_unit_test(test_probe_tells_format_and_stored_size),
        cmocka_unit_test(test_every_truncation_is_a_format_error),
        cmocka_unit_test(test_any_corrupt_byte_is_survived),
        cmocka_unit_test(test_garbage_and_other_formats_are_format_errors),
        cmocka_unit_test(test_declared_sizes_are_checked_before_decoding),
        cmocka_unit_test(test_other_kinds_are_named),
        cmocka_unit_test(test_too_many_bytes_are_refused_unread),
        cmocka_unit_test(test_endless_progressive_scans_are_refused),
        cmocka_unit_test(test_written_png_reads_back_equal),
        cmocka_unit_test(test_written_jpeg_reads_back_close),
        cmocka_unit_test(test_encoded_jpeg_may_halve_its_colour),
        cmocka_unit_test(test_writing_fails_with_a_sentence),
        cmocka_unit_test(test_load_reads_decodes_and_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
