/* test_inspect_regions.c - regions of a catalogue in numbers that are known beforehand,
 * from a region file and as proposed, and the sheet.
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

#include "base/file.h"
#include "data/image/image_load.h"
#include "data/regions/region_writer.h"
#include "fashionbert.h"
#include "support/small_catalogue.h"

enum { SIDE = 40 };

typedef struct shop {
    small_catalogue catalogue;
    char regions[4096], sheet[4096], page[4096];
} shop;

/* White, with a dark square of pixels 10 to 29. */
static fb_image square(void)
{
    fb_image image = {SIDE, SIDE, malloc(SIDE * SIDE * 3)};
    assert_non_null(image.rgb);
    memset(image.rgb, 255, SIDE * SIDE * 3);
    for (int y = 10; y < 30; y++)
        memset(image.rgb + 3 * (SIDE * y + 10), 40, 20 * 3);
    return image;
}

/* Image 0: two of three boxes nearly the same; 1: the whole alone; 2: no regions; 3: the
 * same, and cannot be read. */
static const float first[] = {0.25f, 0.25f, 0.5f, 0.75f, /* left half of the square */
                              0.25f, 0.25f, 0.5f, 0.7f,  /* IoU .9 with it */
                              0.75f, 0.75f, 1.0f, 1.0f}; /* nothing but background */
static const float second[] = {0, 0, 1, 1};

static void add_regions(fb_region_writer *w, const char *name, const float *boxes,
                        int32_t count, bool with_boxes)
{
    static const float features[6] = {1, 2, 3, 4, 5, 6};
    fb_region_record r = {.regions = count,
                          .feature_width = 2,
                          .boxes = with_boxes ? boxes : NULL,
                          .features = features};
    assert_int_equal(fb_region_writer_add(NULL, w, name, &r), FB_OK);
}

static void shop_open(shop *s, bool with_boxes)
{
    fb_region_writer *w;
    small_catalogue_make(&s->catalogue);
    for (int i = 0; i < 3; i++)
        small_catalogue_add(&s->catalogue, square(), 0, "\"title\": \"Square\"");
    small_catalogue_add_bytes(&s->catalogue, "GIF89a..", 8, "\"title\": \"Broken\"");
    small_catalogue_flush(&s->catalogue);
    const char *folder = s->catalogue.folder;
    assert_int_equal(fb_path_join(NULL, s->regions, folder, "regions"), FB_OK);
    assert_int_equal(fb_path_join(NULL, s->sheet, folder, "sheet.png"), FB_OK);
    assert_int_equal(fb_path_join(NULL, s->page, folder, "page.html"), FB_OK);
    assert_int_equal(fb_region_writer_open(NULL, &w, s->regions), FB_OK);
    add_regions(w, "images/0.png", first, 3, with_boxes);
    add_regions(w, "images/1.png", second, 1, with_boxes);
    assert_int_equal(fb_region_writer_finish(NULL, w), FB_OK);
    fb_region_writer_close(w);
}

static fb_inspect_options options_of(const shop *s)
{
    fb_inspect_options o;
    fb_inspect_options_defaults(&o);
    o.catalog = s->catalogue.folder;
    o.quiet = true;
    o.threads = 2;
    return o;
}

static fb_inspection *inspect(const fb_inspect_options *options)
{
    fb_context *ctx = fb_context_create();
    fb_inspection *in = NULL;
    if (fb_inspect(ctx, options, &in) != FB_OK)
        fail_msg("%s", fb_context_message(ctx));
    fb_context_free(ctx);
    return in;
}

static void is_near(const char *what, double got, double want)
{
    if (!(fabs(got - want) < 1e-6))
        fail_msg("%s is %.9g, not %.9g", what, got, want);
}

static void numbers_of_a_region_file(void **state)
{
    (void)state;
    shop s;
    shop_open(&s, true);
    fb_inspect_options o = options_of(&s);
    o.regions_file = s.regions;
    fb_inspection *in = inspect(&o);
    const fb_inspect_regions *r = in->regions;
    assert_non_null(r);
    assert_string_equal(r->from, s.regions);
    assert_int_equal(r->images, 2);
    assert_int_equal(r->without, 2);
    assert_int_equal(r->unread, 1);
    assert_int_equal(r->regions, 4);
    assert_int_equal(r->whole, 1);
    assert_int_equal(r->plain, 2);
    is_near("regions an image", r->per_image.mean, 2);
    is_near("its deviation", r->per_image_sd, sqrt(2.0));
    is_near("most", r->per_image.max, 3);
    /* one pair of three overlaps, by .9; the other image has no pair */
    is_near("overlap", r->overlap, 0.3);
    is_near("near duplicates", r->near_duplicates, 0.5);
    is_near("area", r->area, (0.125 + 0.1125 + 0.0625) / 3 / 2 + 0.5);
    /* half of the product; of the second image none, as its box is whole */
    is_near("covered", r->covered, 0.25);
    /* 200 + 180 of 200 + 180 + 100 pixels */
    is_near("of it product", r->product, 380.0 / 480);
    is_near("of the image", r->product_of_image, 0.25);
    assert_int_equal(r->patches, 64);
    /* 5 pixels a patch: 4 x 4 patches */
    is_near("patches", r->patches_with_product, 0.25);
    assert_null(r->sheet);
    fb_inspection_free(in);
    small_catalogue_remove(&s.catalogue);
}

static void without_boxes_there_is_only_their_number(void **state)
{
    (void)state;
    shop s;
    shop_open(&s, false);
    fb_inspect_options o = options_of(&s);
    o.regions_file = s.regions;
    fb_inspection *in = inspect(&o);
    const fb_inspect_regions *r = in->regions;
    assert_int_equal(r->regions, 4);
    is_near("regions an image", r->per_image.mean, 2);
    assert_true(isnan(r->body));
    assert_true(isnan(r->overlap) && isnan(r->near_duplicates) && isnan(r->covered));
    fb_inspection_free(in);
    small_catalogue_remove(&s.catalogue);
}

/* As of features that came without photos. */
static void regions_are_counted_without_the_image(void **state)
{
    (void)state;
    shop s;
    char image[4096];
    shop_open(&s, true);
    fb_inspect_options o = options_of(&s);
    o.regions_file = s.regions;
    assert_int_equal(fb_path_join(NULL, image, s.catalogue.folder, "images/0.png"),
                     FB_OK);
    assert_int_equal(remove(image), 0);
    fb_inspection *in = inspect(&o);
    const fb_inspect_regions *r = in->regions;
    assert_int_equal(r->images, 2);
    assert_int_equal(r->unread, 2);
    assert_int_equal(r->plain, 1);
    is_near("overlap", r->overlap, 0.3);
    is_near("covered", r->covered, 0);
    fb_inspection_free(in);
    small_catalogue_remove(&s.catalogue);
}

/* Classes 0, 1 and 2 of image 0's regions, 1 of image 1's. */
static void classes_say_what_is_no_product(void **state)
{
    (void)state;
    static const int32_t classes[] = {0, 1, 2}, one[] = {1};
    static const float scores[] = {1, 0.5f, 0}, features[6] = {1, 2, 3, 4, 5, 6};
    shop s;
    char names[4096];
    fb_region_writer *w;
    shop_open(&s, true);
    fb_region_record a = {.regions = 3,
                          .feature_width = 2,
                          .boxes = first,
                          .features = features,
                          .classes = classes,
                          .scores = scores};
    fb_region_record b = {.regions = 1,
                          .feature_width = 2,
                          .boxes = second,
                          .features = features,
                          .classes = one,
                          .scores = scores};
    assert_int_equal(fb_region_writer_open(NULL, &w, s.regions), FB_OK);
    assert_int_equal(fb_region_writer_add(NULL, w, "images/0.png", &a), FB_OK);
    assert_int_equal(fb_region_writer_add(NULL, w, "images/1.png", &b), FB_OK);
    assert_int_equal(fb_region_writer_finish(NULL, w), FB_OK);
    fb_region_writer_close(w);
    assert_int_equal(fb_path_join(NULL, names, s.catalogue.folder, "names"), FB_OK);
    FILE *file = fopen(names, "w");
    assert_non_null(file);
    fputs("shirt\r\nlong hair,hairs\r\nhandbag\n", file);
    fclose(file);
    fb_inspect_options o = options_of(&s);
    o.regions_file = s.regions;
    o.class_names = names;
    fb_inspection *in = inspect(&o);
    is_near("head, hair, hands", in->regions->body, 0.5);
    fb_inspection_free(in);
    fb_context *ctx = fb_context_create();
    in = NULL;
    file = fopen(names, "w");
    assert_non_null(file);
    fputs("shirt\n", file);
    fclose(file);
    assert_int_equal(fb_inspect(ctx, &o, &in), FB_E_FORMAT);
    assert_non_null(strstr(fb_context_message(ctx), "names 1 classes"));
    o.regions_file = "";
    o.regions = true;
    assert_int_equal(fb_inspect(ctx, &o, &in), FB_E_USAGE);
    fb_context_free(ctx);
    small_catalogue_remove(&s.catalogue);
}

static void proposals_show_the_product(void **state)
{
    (void)state;
    shop s;
    shop_open(&s, true);
    fb_inspect_options o = options_of(&s);
    o.regions = true;
    fb_inspection *in = inspect(&o);
    const fb_inspect_regions *r = in->regions;
    assert_string_equal(r->from, "single");
    assert_int_equal(r->images, 3);
    assert_int_equal(r->without, 0);
    assert_int_equal(r->whole, 3);
    assert_true(r->per_image.min >= 2);
    is_near("covered", r->covered, 1);
    fb_inspection_free(in);
    o.region_images = 2; /* items 0 and 2 */
    in = inspect(&o);
    assert_int_equal(in->regions->images, 2);
    fb_inspection_free(in);
    small_catalogue_remove(&s.catalogue);
}

static int32_t near_colour(const fb_image *image, int r, int g, int b)
{
    int32_t count = 0;
    for (int64_t i = 0; i < (int64_t)image->width * image->height; i++) {
        const uint8_t *p = image->rgb + 3 * i;
        count += abs(p[0] - r) < 3 && abs(p[1] - g) < 3 && abs(p[2] - b) < 3;
    }
    return count;
}

/* The sheet has the boxes' and the grid's lines, and the page holds it. */
static void the_sheet_is_drawn(void **state)
{
    (void)state;
    shop s;
    shop_open(&s, true);
    fb_inspect_options o = options_of(&s);
    o.regions_file = s.regions;
    o.sheet = s.sheet;
    o.html = s.page;
    fb_inspection *in = inspect(&o);
    fb_image sheet;
    assert_int_equal(fb_image_open(NULL, s.sheet, &sheet), FB_OK);
    assert_true(sheet.width > 3 * 320 && sheet.height > 160);
    assert_true(near_colour(&sheet, 230, 25, 75) > 200);  /* first boxes */
    assert_true(near_colour(&sheet, 0, 130, 200) > 3000); /* three grids */
    fb_image_free(&sheet);
    uint8_t *page = NULL;
    size_t size = 0;
    assert_int_equal(fb_file_read(NULL, s.page, 1 << 24, &page, &size), FB_OK);
    assert_non_null(strstr((char *)page, "<h2>Regions</h2>"));
    assert_non_null(strstr((char *)page, "data:image/png;base64,"));
    free(page);
    fb_inspection_free(in);
    small_catalogue_remove(&s.catalogue);
}

static void a_bad_region_file_is_told_first(void **state)
{
    (void)state;
    shop s;
    shop_open(&s, true);
    fb_context *ctx = fb_context_create();
    fb_inspect_options o = options_of(&s);
    fb_inspection *in = NULL;
    o.regions_file = "/nowhere/regions";
    assert_int_equal(fb_inspect(ctx, &o, &in), FB_E_MISSING);
    char metadata[4096];
    assert_int_equal(fb_path_join(NULL, metadata, s.catalogue.folder, "metadata.jsonl"),
                     FB_OK);
    o.regions_file = metadata;
    assert_int_equal(fb_inspect(ctx, &o, &in), FB_E_FORMAT);
    assert_null(in);
    fb_context_free(ctx);
    small_catalogue_remove(&s.catalogue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_a_region_file),
        cmocka_unit_test(without_boxes_there_is_only_their_number),
        cmocka_unit_test(regions_are_counted_without_the_image),
        cmocka_unit_test(classes_say_what_is_no_product),
        cmocka_unit_test(proposals_show_the_product),
        cmocka_unit_test(the_sheet_is_drawn),
        cmocka_unit_test(a_bad_region_file_is_told_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
