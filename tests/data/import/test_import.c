/* test_import.c - what --map makes of a record, how images are stored, and what an
 * import tells its caller. */
#include "support/catalogue_fixture.h"

#include "base/id_set.h"
#include "data/catalogue/catalogue.h"
#include "data/image/image_load.h"
#include "data/import/import_image.h"
#include "data/import/import_map.h"

/* ---- map ----------------------------------------------------------------------------
 */

static const char *const shirt[] = {
    "id", "15970", "name", "  Turtle  Check\tShirt ", "type", "Shirts", "colour",
    "",   "size",  "M"};
static const fb_record shirt_record = {
    .where = "shop.csv:2", .fields = shirt, .field_count = 5};

static fb_import_map *parse(const char *text, bool only_mapped)
{
    struct fb_context ctx = {0};
    fb_import_map *map = NULL;
    if (fb_import_map_parse(&ctx, &map, text, only_mapped) != FB_OK)
        fail_msg("%s", ctx.message);
    return map;
}

/* "title=...|product=...|NAME=..." of what is there. */
static void expect_item(const char *map_text, bool only_mapped, const fb_record *record,
                        const char *wanted)
{
    fb_import_item item;
    fb_arena *arena = fb_arena_create(1 << 12);
    fb_import_map *map = parse(map_text, only_mapped);
    char *got = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&got, &size);
    assert_int_equal(fb_import_map_apply(NULL, map, record, arena, &item), FB_OK);
    const char *known[][2] = {{"title", item.title},
                              {"id", item.id},
                              {"product", item.product_id},
                              {"image", item.image},
                              {"split", item.split},
                              {"category", item.category[1]},
                              {"description", item.description}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i][1])
            fprintf(to, "%s=%s|", known[i][0], known[i][1]);
    for (int32_t i = 0; i < item.query_count; i++)
        fprintf(to, "query=%s|", item.queries[i]);
    for (int32_t i = 0; i < item.attribute_count; i++)
        fprintf(to, "%s:%s|", item.attributes[2 * i], item.attributes[2 * i + 1]);
    fclose(to);
    assert_string_equal(got, wanted);
    free(got);
    fb_import_map_free(map);
    fb_arena_free(arena);
}

static void fields_go_where_the_map_says(void **state)
{
    (void)state;
    expect_item("title=name, category = type", false, &shirt_record,
                "title=Turtle Check Shirt|id=15970|category=Shirts|size:M|");
    expect_item("title=name,image=images/{id}.jpg", false, &shirt_record,
                "title=Turtle Check Shirt|id=15970|image=images/15970.jpg|type:Shirts|"
                "size:M|");
    expect_item("title=name,kind=type", true, &shirt_record,
                "title=Turtle Check Shirt|id=15970|kind:Shirts|");
    expect_item("title={type}: {name} ({{{size}}}),product_id=id", true, &shirt_record,
                "title=Shirts: Turtle Check Shirt ({M})|product=15970|");
}

static void empty_fields_give_no_value(void **state)
{
    (void)state;
    expect_item("title=colour,image={id}/{colour}.jpg,fit={colour}{size}", true,
                &shirt_record, "id=15970|fit:M|");
    expect_item("title=nowhere", true, &shirt_record, "id=15970|");
}

static void names_that_speak_for_themselves_need_no_map(void **state)
{
    (void)state;
    static const char *const fields[] = {
        "file_name", "a.jpg",   "title", "Hat", "split",    "val",   "queries",
        "sun hat",   "queries", "hat",   "",    "x",        "title", "no",
        "brand",     "B",       "brand", "C",   "category", "Hats"};
    fb_record record = {.where = "r", .fields = fields, .field_count = 10};
    expect_item("", false, &record,
                "title=Hat|image=a.jpg|split=val|category=Hats|query=sun hat|query=hat|"
                "brand:B, C|");
    /* What the map gives wins over a field of that name. */
    expect_item("title=brand,image=photos/{file_name}", false, &record,
                "title=B|image=photos/a.jpg|split=val|category=Hats|query=sun "
                "hat|query=hat|");
}

static void broken_maps_say_what_is_right(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "title", "=name", "title=", "a=b,,c=d", "title=x,title=y",
        "a={b",  "a=b}",  "a={}",   "a=b,"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct fb_context ctx = {0};
        fb_import_map *map = NULL;
        assert_int_equal(fb_import_map_parse(&ctx, &map, broken[i], false), FB_E_USAGE);
        assert_non_null(strstr(ctx.message, "--map"));
        assert_null(map);
    }
}

static void map_knows_its_fields(void **state)
{
    (void)state;
    const char *const columns[] = {"id", "name"};
    const char *missing = NULL;
    fb_import_map *map = parse("title={name} the {a, b},image=id", false);
    assert_false(fb_import_map_fits(map, columns, 2, &missing));
    assert_string_equal(missing, "a, b");
    assert_true(fb_import_map_is_prose(map, "name"));
    assert_false(fb_import_map_is_prose(map, "id"));
    assert_true(fb_import_map_is_prose(map, "description"));
    assert_true(fb_import_map_gives(map, "image", columns, 2));
    assert_false(fb_import_map_gives(map, "category", columns, 2));
    fb_import_map_free(map);
}

/* ---- ids ----------------------------------------------------------------------------
 */

static void ids_remember_who_came_first(void **state)
{
    (void)state;
    fb_id_set set = {0};
    for (int64_t round = 0; round < 2; round++)
        for (uint64_t i = 0; i < 5000; i++) {
            int64_t first = -1;
            /* Keys of one low half all begin at one place. */
            assert_true(
                fb_id_set_add(&set, i << 32, (int64_t)i + 10000 * round, &first));
            assert_int_equal(first, i);
        }
    assert_int_equal(set.count, 5000);
    fb_id_set_clear(&set);
}

/* ---- images -------------------------------------------------------------------------
 */

static fb_image gradient(int32_t width, int32_t height)
{
    fb_image image = {width, height, malloc((size_t)width * (size_t)height * 3)};
    for (int32_t y = 0; y < height; y++)
        for (int32_t x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                image.rgb[3 * (y * width + x) + c] =
                    (uint8_t)((x * (c + 1) + y * (3 - c) + (x * y * 7919 >> 5)) & 255);
    return image;
}

/* The encoded bytes of the image, to be freed. */
static uint8_t *encode(fixture *f, const fb_image *image, size_t *size)
{
    char path[4096];
    uint8_t *bytes = NULL;
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, "in.jpg"), FB_OK);
    assert_int_equal(fb_image_write_jpeg(f->ctx, path, image, 95), FB_OK);
    assert_int_equal(fb_file_read(f->ctx, path, 1 << 24, &bytes, size), FB_OK);
    return bytes;
}

static fb_stored_image store(fixture *f, const fb_record_image *image, int32_t resize,
                             fb_image *back)
{
    char stem[4096], path[4096 + 8];
    fb_stored_image stored;
    fb_record_fault fault;
    fb_resizer *resizer = fb_resizer_create();
    assert_int_equal(fb_path_join(f->ctx, stem, f->folder, "out"), FB_OK);
    assert_int_equal(
        fb_import_image_store(f->ctx, resizer, image, stem, resize, &stored, &fault),
        FB_OK);
    assert_int_equal(fault, FB_RECORD_GOOD);
    snprintf(path, sizeof path, "%s%s", stem, stored.suffix);
    assert_true(fb_import_image_is_there(path, stored.size_bytes, stored.hash));
    assert_false(fb_import_image_is_there(path, stored.size_bytes, stored.hash + 1));
    assert_int_equal(fb_image_open(f->ctx, path, back), FB_OK);
    fb_resizer_free(resizer);
    return stored;
}

static void large_images_are_shrunk_by_their_longer_side(void **state)
{
    fixture *f = *state;
    fb_image image = gradient(300, 120), back;
    size_t size = 0;
    uint8_t *bytes = encode(f, &image, &size);
    fb_record_image source = {
        .kind = FB_RECORD_IMAGE_BYTES, .bytes = bytes, .size_bytes = size};
    fb_stored_image stored = store(f, &source, 100, &back);
    assert_true(stored.resized);
    assert_int_equal(back.width, 100);
    assert_int_equal(back.height, 40);
    assert_true(stored.size_bytes < (int64_t)size);
    fb_image_free(&back);
    stored = store(f, &source, 0, &back);
    assert_false(stored.resized);
    assert_int_equal(stored.size_bytes, size);
    fb_image_free(&back);
    stored = store(f, &source, 300, &back); /* no larger than asked for */
    assert_false(stored.resized);
    assert_int_equal(stored.size_bytes, size);
    fb_image_free(&back);
    fb_image_free(&image);
    free(bytes);
}

static void an_image_that_would_not_shrink_in_bytes_is_kept(void **state)
{
    fixture *f = *state;
    fb_image flat = {64, 64, malloc(64 * 64 * 3)}, back;
    char path[4096];
    memset(flat.rgb, 200, 64 * 64 * 3);
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, "in.png"), FB_OK);
    assert_int_equal(fb_image_write_png(f->ctx, path, &flat), FB_OK);
    fb_record_image source = {.kind = FB_RECORD_IMAGE_PATH, .path = path};
    fb_stored_image stored = store(f, &source, 60, &back);
    assert_false(stored.resized);
    assert_string_equal(stored.suffix, ".png");
    assert_int_equal(back.width, 64);
    fb_image_free(&back);
    fb_image_free(&flat);
}

static void pixels_are_kept_exactly_or_as_jpeg(void **state)
{
    fixture *f = *state;
    fb_image image = gradient(40, 30), back;
    fb_record_image source = {.kind = FB_RECORD_IMAGE_PIXELS,
                              .bytes = image.rgb,
                              .size_bytes = 40 * 30 * 3,
                              .width = 40,
                              .height = 30};
    fb_stored_image stored = store(f, &source, 0, &back);
    assert_string_equal(stored.suffix, ".png");
    assert_memory_equal(back.rgb, image.rgb, 40 * 30 * 3);
    fb_image_free(&back);
    stored = store(f, &source, 256, &back);
    assert_string_equal(stored.suffix, ".jpg");
    assert_int_equal(back.width, 40);
    fb_image_free(&back);
    fb_image_free(&image);
}

static void what_is_wrong_with_an_image_is_a_fault(void **state)
{
    fixture *f = *state;
    char stem[4096];
    fb_stored_image stored;
    fb_record_fault fault;
    fb_resizer *resizer = fb_resizer_create();
    fb_record_image missing = {.kind = FB_RECORD_IMAGE_PATH, .path = "/nowhere/1.jpg"};
    fb_record_image no_image = {.kind = FB_RECORD_IMAGE_BYTES,
                                .bytes = (const uint8_t *)"GIF89a",
                                .size_bytes = 6};
    fb_record_image empty = {.kind = FB_RECORD_IMAGE_PIXELS};
    assert_int_equal(fb_path_join(f->ctx, stem, f->folder, "out"), FB_OK);
    assert_int_equal(
        fb_import_image_store(f->ctx, resizer, &missing, stem, 0, &stored, &fault),
        FB_OK);
    assert_int_equal(fault, FB_RECORD_BAD_NO_IMAGE);
    assert_non_null(strstr(fb_context_message(f->ctx), "/nowhere/1.jpg"));
    assert_int_equal(
        fb_import_image_store(f->ctx, resizer, &no_image, stem, 0, &stored, &fault),
        FB_OK);
    assert_int_equal(fault, FB_RECORD_BAD_IMAGE);
    assert_int_equal(
        fb_import_image_store(f->ctx, resizer, &empty, stem, 0, &stored, &fault),
        FB_OK);
    assert_int_equal(fault, FB_RECORD_BAD_IMAGE);
    fb_resizer_free(resizer);
}

/* ---- import -------------------------------------------------------------------------
 */

typedef struct notices {
    int32_t count;
    char last[512];
} notices;

static void note(void *self, const char *sentence)
{
    notices *n = self;
    n->count++;
    snprintf(n->last, sizeof n->last, "%s", sentence);
}

static void put_image(fixture *f, const char *name, uint8_t shade)
{
    uint8_t rgb[16 * 16 * 3];
    char path[4096];
    memset(rgb, shade, sizeof rgb);
    fb_image image = {16, 16, rgb};
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, name), FB_OK);
    assert_int_equal(fb_image_write_png(f->ctx, path, &image), FB_OK);
}

static void several_sources_make_one_catalogue(void **state)
{
    fixture *f = *state;
    char one[128], two[128], out[128];
    const char *sources[] = {one, two};
    fb_import_options options;
    fb_import_report report;
    notices told = {0};
    fb_catalogue *cat = NULL;
    put_image(f, "1.png", 10);
    put_image(f, "2.png", 90);
    put_image(f, "3.png", 10); /* the bytes of 1.png */
    fixture_text(f, "one.csv", "image,title,product_id\n1.png,One,p1\n2.png,Two,p1\n");
    fixture_text(f, "two.jsonl",
                 "{\"image\":\"3.png\",\"title\":\"Three\",\"product_id\":\"p3\","
                 "\"price\":5}\n\n[1]\n{\"image\":\"4.png\",\"title\":\"Four\"}\n"
                 "{\"image\":\"2.png\",\"title\":\"Two\",\"product_id\":\"p1\"}\n");
    snprintf(one, sizeof one, "%s/one.csv", f->folder);
    snprintf(two, sizeof two, "%s/two.jsonl", f->folder);
    snprintf(out, sizeof out, "%s/out", f->folder);
    fb_import_options_defaults(&options);
    options.sources = sources;
    options.source_count = 2;
    options.out = out;
    options.quiet = true;
    options.notice = note;
    options.notice_self = &told;
    options.threads = 2;
    assert_int_equal(fb_import(f->ctx, &options, &report), FB_E_FORMAT);
    assert_int_equal(told.count, 3);
    assert_non_null(strstr(told.last, "two.jsonl:5: product \"p1\""));
    assert_non_null(strstr(fb_context_message(f->ctx), "two.jsonl:3:"));
    assert_false(fb_path_exists(out));
    options.skip_bad = true;
    assert_int_equal(fb_import(f->ctx, &options, &report), FB_OK);
    assert_int_equal(report.items, 3);
    assert_int_equal(report.faults[FB_RECORD_BAD_ROW], 1);
    assert_int_equal(report.faults[FB_RECORD_BAD_NO_IMAGE], 1);
    assert_int_equal(report.faults[FB_RECORD_BAD_REPEATED], 1);
    assert_int_equal(report.duplicates, 1);
    assert_int_equal(fb_catalogue_open(f->ctx, &cat, out, NULL), FB_OK);
    const fb_catalogue_item *first = fb_catalogue_get(cat, 0);
    assert_int_equal(first[0].product, first[1].product);
    assert_int_equal(first[0].split, first[1].split); /* one product */
    assert_int_equal(first[0].split, first[2].split); /* one photo */
    assert_string_equal(fb_catalogue_attribute(&first[2], "price"), "5");
    fb_catalogue_close(cat);
    assert_int_equal(fb_folder_remove(f->ctx, out), FB_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_go_where_the_map_says),
        cmocka_unit_test(empty_fields_give_no_value),
        cmocka_unit_test(names_that_speak_for_themselves_need_no_map),
        cmocka_unit_test(broken_maps_say_what_is_right),
        cmocka_unit_test(map_knows_its_fields),
        cmocka_unit_test(ids_remember_who_came_first),
        FIXTURE_TEST(large_images_are_shrunk_by_their_longer_side),
        FIXTURE_TEST(an_image_that_would_not_shrink_in_bytes_is_kept),
        FIXTURE_TEST(pixels_are_kept_exactly_or_as_jpeg),
        FIXTURE_TEST(what_is_wrong_with_an_image_is_a_fault),
        FIXTURE_TEST(several_sources_make_one_catalogue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
