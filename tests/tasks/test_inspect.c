/* test_inspect.c - an inspection of a small catalogue whose every number is known. */
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
#include "fashionbert.h"
#include "support/drawn_photo.h"
#include "support/small_catalogue.h"

enum { SIDE = 72 };

static void add(small_catalogue *c, uint64_t photo, const char *fields)
{
    small_catalogue_add(c, drawn_photo(photo, photo, SIDE, SIDE), 0, fields);
}

static fb_image blank(uint8_t level)
{
    fb_image image = {30, 20, malloc(30 * 20 * 3)};
    assert_non_null(image.rgb);
    memset(image.rgb, level, 30 * 20 * 3);
    return image;
}

/* Line by line what the tests below count. */
static void make(small_catalogue *c)
{
    small_catalogue_make(c);
    add(c, 1,
        "\"title\": \"Red dress\", \"product_id\": 1, \"category\": \"Dresses\", "
        "\"colour\": \"red\", \"queries\": [\"red dress\", \"dress\"], "
        "\"queries_composed\": true");
    add(c, 2,
        "\"title\": \"Blue dress\", \"product_id\": 2, \"category\": \"Dresses\", "
        "\"colour\": \"blue\"");
    add(c, 3,
        "\"title\": \"Green hat, big\", \"product_id\": 3, \"category\": \"Hats\", "
        "\"colour\": \" \"");
    /* 4: photo 1 as a JPEG, in test; 5: the very file of 2, in val; both their titles
     * new */
    small_catalogue_add(c, drawn_photo(1, 1, SIDE, SIDE), 70,
                        "\"title\": \"Scarlet dress\", \"product_id\": 4, "
                        "\"category\": \"Dresses\", \"split\": \"test\"");
    add(c, 2,
        "\"title\": \"Azure gown\", \"product_id\": 5, \"category\": \"Dresses\", "
        "\"split\": \"val\", \"queries\": \"gown\"");
    /* 6: title of 1; 7: product of 3; 8: near 6, a pair within test only */
    add(c, 6,
        "\"title\": \"RED  dress\", \"product_id\": 6, \"category\": \"Dresses\", "
        "\"split\": \"test\"");
    add(c, 7,
        "\"title\": \"Green hat\", \"product_id\": 3, \"category\": \"Hats\", "
        "\"split\": \"test\"");
    small_catalogue_add(c, drawn_photo(6, 6, 2 * SIDE, 2 * SIDE), 0,
                        "\"title\": \"Violet dress\", \"product_id\": 8, "
                        "\"split\": \"test\"");
    /* 9, 10: blank, of two shades: near to none */
    small_catalogue_add(c, blank(255), 0, "\"title\": \"Ghost\", \"split\": \"val\"");
    small_catalogue_add(c, blank(254), 0, "\"title\": \"Ghost 2\"");
    /* 11: no image at all */
    small_catalogue_add_bytes(c, "GIF89a..", 8, "\"title\": \"Broken dress\"");
    small_catalogue_flush(c);
}

static fb_inspection *inspect(const small_catalogue *c, const char *html)
{
    fb_context *ctx = fb_context_create();
    fb_inspect_options options;
    fb_inspection *in = NULL;
    fb_inspect_options_defaults(&options);
    options.catalog = c->folder;
    options.html = html;
    options.quiet = true;
    options.threads = 2;
    if (fb_inspect(ctx, &options, &in) != FB_OK)
        fail_msg("%s", fb_context_message(ctx));
    fb_context_free(ctx);
    return in;
}

static void counts_are_right(void **state)
{
    (void)state;
    small_catalogue c;
    make(&c);
    fb_inspection *in = inspect(&c, "");
    assert_int_equal(in->items, 11);
    assert_int_equal(in->split[0], 5);
    assert_int_equal(in->split[1], 2);
    assert_int_equal(in->split[2], 4);
    assert_int_equal(in->products, 10);
    assert_int_equal(in->titles, 10);
    assert_string_equal(in->category_level, "category");
    assert_int_equal(in->category_count, 3);
    assert_string_equal(in->categories[0].name, "Dresses");
    assert_int_equal(in->categories[0].items, 5);
    assert_int_equal(in->categories[0].split[0], 2);
    assert_int_equal(in->categories[0].split[1], 1);
    assert_int_equal(in->categories[0].split[2], 2);
    assert_string_equal(in->categories[1].name, "(none)");
    assert_int_equal(in->categories[1].items, 4);
    assert_string_equal(in->categories[2].name, "Hats");
    fb_inspection_free(in);
    small_catalogue_remove(&c);
}

static void what_repeats_is_found(void **state)
{
    (void)state;
    small_catalogue c;
    make(&c);
    fb_inspection *in = inspect(&c, "");
    assert_int_equal(in->duplicates, 1);      /* 5 */
    assert_int_equal(in->near_duplicates, 4); /* 1, 4, 6, 8 */
    assert_int_equal(in->flat_images, 2);
    assert_int_equal(in->duplicates_across_splits, 1);
    assert_int_equal(in->near_duplicates_across_splits, 2); /* 4 and 5 */
    assert_int_equal(in->duplicate_titles, 1);
    assert_int_equal(in->titles_across_splits, 1);   /* 6 */
    assert_int_equal(in->products_across_splits, 1); /* 7 */
    assert_int_equal(in->pair_count, 2);
    assert_int_equal(in->pairs[0].line, 4);
    assert_int_equal(in->pairs[0].earlier_line, 1);
    assert_string_equal(in->pairs[0].split, "test");
    assert_string_equal(in->pairs[0].earlier_split, "train");
    assert_string_equal(in->pairs[0].file_name, "images/3.jpg");
    assert_string_equal(in->pairs[0].earlier_file_name, "images/0.png");
    assert_string_equal(in->pairs[0].title, "Scarlet dress");
    assert_false(in->pairs[0].same_bytes);
    assert_int_equal(in->pairs[1].line, 5);
    assert_int_equal(in->pairs[1].earlier_line, 2);
    assert_true(in->pairs[1].same_bytes);
    fb_inspection_free(in);
    small_catalogue_remove(&c);
}

/* Three files of one look (a PNG and bytes behind its end), and one near them; what is
 * near is looked for across all of a look's files and all of a file's items. */
static void repeats_are_found_through_equal_looks(void **state)
{
    (void)state;
    small_catalogue c;
    char path[4096];
    uint8_t *bytes = NULL;
    size_t size;
    small_catalogue_make(&c);
    add(&c, 1, "\"title\": \"a\", \"split\": \"val\"");
    small_catalogue_flush(&c);
    assert_int_equal(fb_path_join(NULL, path, c.folder, "images/0.png"), FB_OK);
    assert_int_equal(fb_file_read(NULL, path, 1 << 20, &bytes, &size), FB_OK);
    bytes[size] = 'x'; /* a byte of room is behind what was read */
    small_catalogue_add_bytes(&c, bytes, size + 1, "\"title\": \"b\"");
    bytes[size] = 'y';
    small_catalogue_add_bytes(&c, bytes, size + 1,
                              "\"title\": \"c\", \"split\": \"test\"");
    small_catalogue_add(&c, drawn_photo(1, 1, SIDE, SIDE), 70,
                        "\"title\": \"d\", \"split\": \"test\"");
    small_catalogue_add_bytes(&c, bytes, size + 1,
                              "\"title\": \"e\", \"split\": \"val\"");
    small_catalogue_flush(&c);
    fb_inspection *in = inspect(&c, "");
    assert_int_equal(in->images_broken, 0);
    assert_int_equal(in->duplicates, 1);                    /* e */
    assert_int_equal(in->near_duplicates, 4);               /* the others */
    assert_int_equal(in->duplicates_across_splits, 1);      /* c, of e */
    assert_int_equal(in->near_duplicates_across_splits, 4); /* all but b */
    for (int32_t i = 0; i < in->pair_count; i++) {
        assert_string_equal(in->pairs[i].earlier_split,
                            in->pairs[i].same_bytes ? "val" : "train");
        assert_int_equal(in->pairs[i].earlier_line, in->pairs[i].same_bytes ? 5 : 2);
    }
    fb_inspection_free(in);
    free(bytes);
    small_catalogue_remove(&c);
}

static const fb_inspect_field *field_of(const fb_inspection *in, const char *name)
{
    for (int64_t i = 0; i < in->field_count; i++)
        if (strcmp(in->fields[i].name, name) == 0)
            return &in->fields[i];
    fail_msg("no field %s", name);
    return NULL;
}

static void fields_titles_and_queries_are_measured(void **state)
{
    (void)state;
    small_catalogue c;
    make(&c);
    fb_inspection *in = inspect(&c, "");
    assert_int_equal(field_of(in, "product_id")->present, 8);
    assert_int_equal(field_of(in, "product_id")->distinct, 7);
    assert_int_equal(field_of(in, "category")->present, 7);
    assert_int_equal(field_of(in, "category")->distinct, 2);
    assert_int_equal(field_of(in, "colour")->present, 2); /* a blank is no value */
    assert_int_equal(field_of(in, "queries")->present, 2);
    assert_int_equal(in->query_items, 2);
    assert_int_equal(in->queries, 3);
    assert_int_equal(in->composed_items, 1);
    /* words: 2 2 3 2 2 2 2 2 1 2 2 */
    assert_true(in->title_words.min == 1 && in->title_words.max == 3);
    assert_true(in->title_words.median == 2 && in->title_words.p95 == 2);
    assert_true(fabs(in->title_words.mean - 22.0 / 11) < 1e-12);
    assert_true(in->title_characters.min == 5 && in->title_characters.max == 14);
    /* training: red dress blue green hat big ghost 2 broken */
    assert_int_equal(in->train_words, 9);
    assert_int_equal(in->test_words.words, 8);
    assert_int_equal(in->test_words.seen, 6); /* not scarlet, violet */
    assert_int_equal(in->test_words.distinct, 6);
    assert_int_equal(in->test_words.distinct_seen, 4);
    assert_int_equal(in->test_words.titles, 4);
    assert_int_equal(in->test_words.titles_seen, 2);
    assert_int_equal(in->val_words.words, 3);
    assert_int_equal(in->val_words.seen, 1);
    fb_inspection_free(in);
    small_catalogue_remove(&c);
}

static void images_are_measured_and_broken_ones_named(void **state)
{
    (void)state;
    small_catalogue c;
    char path[4096];
    make(&c);
    assert_int_equal(fb_path_join(NULL, path, c.folder, "images/2.png"), FB_OK);
    assert_int_equal(remove(path), 0); /* line 3 */
    fb_inspection *in = inspect(&c, "");
    assert_int_equal(in->images_read, 9);
    assert_int_equal(in->images_broken, 2);
    assert_int_equal(in->broken[0].line, 3);
    assert_non_null(strstr(in->broken[0].message, "images/2.png"));
    assert_int_equal(in->broken[1].line, 11);
    assert_non_null(strstr(in->broken[1].message, "images/10.png"));
    assert_int_equal(in->jpeg, 1);
    assert_int_equal(in->png, 8);
    assert_int_equal(in->webp, 0);
    assert_int_equal(in->distinct_sizes, 3);
    assert_int_equal(in->size_count, 3);
    assert_int_equal(in->sizes[0].width, SIDE);
    assert_int_equal(in->sizes[0].items, 6);
    assert_int_equal(in->sizes[1].width, 30);
    assert_int_equal(in->sizes[1].height, 20);
    assert_int_equal(in->sizes[1].items, 2);
    assert_true(in->width.min == 30 && in->width.median == SIDE &&
                in->width.max == 2 * SIDE);
    assert_true(in->height.min == 20);
    fb_inspection_free(in);
    small_catalogue_remove(&c);
}

/* Nothing can be read: no spread is made up. */
static void a_catalogue_without_a_readable_image_is_inspected(void **state)
{
    (void)state;
    small_catalogue c;
    char path[4096];
    small_catalogue_make(&c);
    for (int i = 0; i < 25; i++)
        small_catalogue_add_bytes(&c, "", 0,
                                  "\"title\": \"\xe2\x98\x85\""); /* a star */
    small_catalogue_flush(&c);
    assert_int_equal(fb_path_join(NULL, path, c.folder, "page.html"), FB_OK);
    fb_inspection *in = inspect(&c, path);
    assert_int_equal(in->images_broken, 25);
    assert_int_equal(in->broken[19].line, 20); /* the first twenty are named */
    assert_true(isnan(in->width.median));
    assert_true(in->title_words.max == 0);
    assert_int_equal(in->size_count, 0);
    fb_inspection_free(in);
    small_catalogue_remove(&c);
}

static int32_t times(const char *text, const char *word)
{
    int32_t count = 0;
    for (const char *at = text; (at = strstr(at, word)); at++)
        count++;
    return count;
}

static void the_page_shows_pictures_and_keeps_text_text(void **state)
{
    (void)state;
    small_catalogue c;
    char path[4096];
    uint8_t *page = NULL;
    size_t size;
    make(&c);
    add(&c, 9, "\"title\": \"<script>alert(1)</script>\", \"category\": \"A & B\"");
    small_catalogue_flush(&c);
    assert_int_equal(fb_path_join(NULL, path, c.folder, "page.html"), FB_OK);
    fb_inspection_free(inspect(&c, path));
    assert_int_equal(fb_file_read(NULL, path, 1 << 24, &page, &size), FB_OK);
    const char *html = (const char *)page;
    /* two pairs; 5 dresses, 2 hats, 1 of A & B */
    assert_int_equal(times(html, "src=\"data:image/jpeg;base64,/9j/"), 2 * 2 + 8);
    assert_int_equal(times(html, "<img"), times(html, "src=\"data:image/jpeg"));
    assert_int_equal(times(html, "<script"), 0);
    assert_true(times(html, "&lt;script&gt;alert(1)&lt;/script&gt;") >= 1);
    assert_true(times(html, "A &amp; B") >= 2);
    assert_int_equal(times(html, "http:") + times(html, "https:") + times(html, "url("),
                     0);
    assert_non_null(strstr(html, "images/10.png")); /* the broken one */
    assert_non_null(strstr(html, "</html>"));
    free(page);
    small_catalogue_remove(&c);
}

static void a_page_that_cannot_be_written_fails(void **state)
{
    (void)state;
    small_catalogue c;
    make(&c);
    fb_context *ctx = fb_context_create();
    fb_inspect_options options;
    fb_inspection *in = NULL;
    fb_inspect_options_defaults(&options);
    options.catalog = c.folder;
    options.html = "/nowhere/at/all/page.html";
    options.quiet = true;
    assert_int_not_equal(fb_inspect(ctx, &options, &in), FB_OK);
    assert_null(in);
    assert_non_null(strstr(fb_context_message(ctx), "/nowhere/at/all"));
    options.html = "";
    options.catalog = "";
    assert_int_equal(fb_inspect(ctx, &options, &in), FB_E_USAGE);
    fb_context_free(ctx);
    small_catalogue_remove(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_right),
        cmocka_unit_test(what_repeats_is_found),
        cmocka_unit_test(repeats_are_found_through_equal_looks),
        cmocka_unit_test(fields_titles_and_queries_are_measured),
        cmocka_unit_test(images_are_measured_and_broken_ones_named),
        cmocka_unit_test(a_catalogue_without_a_readable_image_is_inspected),
        cmocka_unit_test(the_page_shows_pictures_and_keeps_text_text),
        cmocka_unit_test(a_page_that_cannot_be_written_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
