/* test_regions.c - regions of images: base64, TSV and numpy's arrays in, the mapped
 * file out. */
#include "support/catalogue_fixture.h"

#include "base/base64.h"
#include "data/import/npy_stream.h"
#include "data/regions/region_file.h"
#include "data/regions/region_npy.h"
#include "data/regions/region_tsv.h"
#include "data/regions/region_writer.h"

#include "support/region_formats.h"

#include <archive.h>
#include <archive_entry.h>
#include <math.h>
#include <stdarg.h>

static void expect_words(const char *sentence, const char *words)
{
    if (!strstr(sentence, words))
        fail_msg("\"%s\" does not say \"%s\"", sentence, words);
}

/* ---- base64 ------------------------------------------------------------------------
 */

static void base64_is_decoded_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text, *bytes; /* NULL: refused */
    } cases[] = {{"", ""},           {"Zg==", "f"},        {"Zm8=", "fo"},
                 {"Zm9v", "foo"},    {"Zm9vYg==", "foob"}, {"/+8A", "\xff\xef"},
                 {"Zg=", NULL},      {"Zg", NULL},         {"Zh==", NULL},
                 {"Zm9=", NULL},     {"Z===", NULL},       {"====", NULL},
                 {"Zg==Zg==", NULL}, {"Zm 9v", NULL},      {"Zm9-", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t bytes[16] = {0};
        size_t size = 0, length = strlen(cases[i].text);
        assert_true(fb_base64_room(length) <= sizeof bytes);
        bool good = fb_base64_decode(cases[i].text, length, bytes, &size);
        if (good != (cases[i].bytes != NULL))
            fail_msg("\"%s\" was %s", cases[i].text, good ? "read" : "refused");
        if (good)
            assert_memory_equal(bytes, cases[i].bytes, strlen(cases[i].bytes));
    }
}

/* ---- TSV ---------------------------------------------------------------------------
 */

static const float some_boxes[] = {0, 0, 50, 20, 10, 5, 100, 40};
static const int64_t some_classes[] = {1599, 3};
static const float some_scores[] = {0.75f, 1};
static const float some_features[] = {1, 2, 3, -4, 0.5f, 0};

/* Two regions of three numbers in an image of 100 x 40. */
static void put_line(char out[1024], bool lxmert, const char *id, const char *width,
                     const float *boxes, const float *features, size_t numbers)
{
    char box_text[128], feature_text[256], ids[64], sure[64];
    put_base64(ids, some_classes, sizeof some_classes);
    put_base64(sure, some_scores, sizeof some_scores);
    put_base64(box_text, boxes, 8 * sizeof *boxes);
    put_base64(feature_text, features, numbers * sizeof *features);
    if (lxmert)
        snprintf(out, 1024, "%s\t40\t%s\t%s\t%s\tAA==\tAA==\t2\t%s\t%s", id, width, ids,
                 sure, box_text, feature_text);
    else
        snprintf(out, 1024, "%s\t%s\t40\t2\t%s\t%s", id, width, box_text, feature_text);
}

static void both_orders_of_columns_are_read(void **state)
{
    fixture *f = *state;
    for (int lxmert = 0; lxmert < 2; lxmert++) {
        char line[1024];
        fb_region_tsv_room room = {.boxes = NULL};
        fb_region_record r;
        float shares[8];
        put_line(line, lxmert, "COCO_17", "100", some_boxes, some_features, 6);
        strcat(line, "\r");
        if (fb_region_tsv_read(f->ctx, line, strlen(line), &room, &r) != FB_OK)
            fail_msg("%s", fb_context_message(f->ctx));
        assert_string_equal(r.name, "COCO_17");
        assert_int_equal(r.width, 100);
        assert_int_equal(r.height, 40);
        assert_int_equal(r.regions, 2);
        assert_int_equal(r.feature_width, 3);
        assert_memory_equal(r.boxes, some_boxes, sizeof some_boxes);
        assert_memory_equal(r.features, some_features, sizeof some_features);
        assert_int_equal(fb_region_record_check(f->ctx, &r, shares), FB_OK);
        assert_true(shares[2] == 0.5f && shares[3] == 0.5f && shares[6] == 1.0f);
        assert_true(lxmert == (r.classes != NULL) && lxmert == (r.scores != NULL));
        if (lxmert) {
            assert_true(r.classes[0] == 1599 && r.classes[1] == 3);
            assert_memory_equal(r.scores, some_scores, sizeof some_scores);
        }
        fb_region_tsv_room_clear(&room);
    }
}

static void expect_line(const fixture *f, const char *line, const char *words)
{
    fb_region_tsv_room room = {.boxes = NULL};
    fb_region_record r = {.end = true};
    float shares[8];
    fb_status status = fb_region_tsv_read(f->ctx, line, strlen(line), &room, &r);
    if (status == FB_OK)
        status = fb_region_record_check(f->ctx, &r, shares);
    if (status == FB_OK)
        fail_msg("read, though: %s", words);
    expect_words(fb_context_message(f->ctx), words);
    fb_region_tsv_room_clear(&room);
}

static void broken_lines_say_what_is_wrong(void **state)
{
    fixture *f = *state;
    char line[1024];
    put_line(line, false, "1", "100", some_boxes, some_features, 6);
    char *end = line + strlen(line);
    end[-1] = 0;
    expect_line(f, line, "features: 31 characters that are no base64");
    end[-4] = 0;
    expect_line(f, line,
                "features: base64 of 21 bytes, 2 regions need a multiple of 8");
    *strrchr(line, '\t') = 0;
    expect_line(f, line, "5 columns; 6 or 10 are right");
    put_line(line, false, "1", "100", some_boxes, some_features, 5);
    expect_line(f, line, "features: base64 of 20 bytes, 2 regions need");
    put_line(line, false, "1", "wide", some_boxes, some_features, 6);
    expect_line(f, line, "the image's width is \"wide\"");
    put_line(line, false, "", "100", some_boxes, some_features, 6);
    expect_line(f, line, "its image_id is empty");
    put_line(line, false, "1", "100", some_boxes, some_features, 6);
    strstr(line, "\t2\t")[1] = '3';
    expect_line(f, line, "boxes: base64 of 32 bytes, 3 boxes of 4 numbers are 48");
    put_line(line, false, "1", "0", some_boxes, some_features, 6);
    expect_line(f, line, "2 boxes in an image of 0 x 40");
    put_line(line, false, "1", "80", some_boxes, some_features, 6);
    expect_line(f, line, "box 1 (10, 5, 100, 40) is not within the image's 80 x 40");
    const float nan_features[] = {1, 2, 3, 4, NAN, 6};
    put_line(line, true, "1", "100", some_boxes, nan_features, 6);
    expect_line(f, line, "number 1 of region 1 is not finite");
    const float turned[] = {0, 0, 20, 90, 0, 0, 40, 100};
    put_line(line, false, "1", "100", turned, some_features, 6);
    expect_line(f, line, "were width and height exchanged");
}

/* ---- numpy -------------------------------------------------------------------------
 */

static void arrays_of_all_types_come_out_as_floats(void **state)
{
    fixture *f = *state;
    static const double f8[] = {1.5, -2, 1e300};
    static const int16_t i2[] = {-3, 7, 30000};
    static const uint8_t u1[] = {0, 128, 255};
    static const struct {
        const char *type;
        const void *numbers;
        size_t size;
        float expected[3];
    } cases[] = {{"<f4", some_features, 12, {1, 2, 3}},
                 {"<f8", f8, 24, {1.5f, -2, INFINITY}},
                 {"<i2", i2, 6, {-3, 7, 30000}},
                 {"|u1", u1, 3, {0, 128, 255}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t bytes[256];
        char header[128];
        float out[3];
        fb_npy_stream *npy = NULL;
        snprintf(header, sizeof header,
                 "{'descr': '%s', 'fortran_order': False, 'shape': (3, 1), }",
                 cases[i].type);
        size_t size = put_npy(bytes, header, cases[i].numbers, cases[i].size);
        if (fb_npy_stream_open_bytes(f->ctx, &npy, "a.npy", bytes, size) != FB_OK)
            fail_msg("%s", fb_context_message(f->ctx));
        assert_int_equal(fb_npy_stream_shape(npy)->rank, 2);
        assert_int_equal(fb_npy_stream_shape(npy)->dim[0], 3);
        assert_int_equal(fb_npy_stream_read(f->ctx, npy, out, 3), FB_OK);
        assert_memory_equal(out, cases[i].expected, sizeof out);
        assert_int_equal(fb_npy_stream_finish(f->ctx, npy), FB_OK);
        assert_int_equal(fb_npy_stream_read(f->ctx, npy, out, 1), FB_E_FORMAT);
        fb_npy_stream_close(npy);
    }
}

static void expect_npy(const fixture *f, const char *header, size_t size, int cut,
                       fb_status status, const char *words)
{
    uint8_t bytes[512];
    float out[64];
    fb_npy_stream *npy = NULL;
    size_t whole = put_npy(bytes, header, some_features, size);
    fb_status got = fb_npy_stream_open_bytes(f->ctx, &npy, "a.npy", bytes,
                                             (size_t)((int)whole - cut));
    if (got == FB_OK)
        got = fb_npy_stream_read(f->ctx, npy, out, fb_npy_stream_shape(npy)->count);
    if (got == FB_OK)
        got = fb_npy_stream_finish(f->ctx, npy);
    assert_int_equal(got, status);
    expect_words(fb_context_message(f->ctx), words);
    fb_npy_stream_close(npy);
}

static void broken_arrays_say_what_is_wrong(void **state)
{
    fixture *f = *state;
    const char good[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    expect_npy(f, good, 24, 1, FB_E_FORMAT, "a.npy: ends in its numbers");
    expect_npy(f, good, 20, 0, FB_E_FORMAT, "a.npy: ends in its numbers");
    expect_npy(f, good, 24, 100, FB_E_FORMAT, "a.npy: ends in its header");
    expect_npy(f, good, 24, 152, FB_E_FORMAT, "a.npy: an empty file");
    expect_npy(f, "{'descr': '<f4', 'fortran_order': False, 'shape': (5,), }", 24, 0,
               FB_E_FORMAT, "a.npy: more bytes than its shape says");
    expect_npy(f, "{'descr': '<f2', 'fortran_order': False, 'shape': (6,), }", 12, 0,
               FB_E_DTYPE, "a.npy: its numbers are \"<f2\"; \"<f4\" or \"<f8\"");
    expect_npy(f, "{'descr': '>f4', 'fortran_order': False, 'shape': (6,), }", 24, 0,
               FB_E_DTYPE, "\">f4\"");
    expect_npy(f, "{'descr': '|O', 'fortran_order': False, 'shape': (), }", 24, 0,
               FB_E_DTYPE, "\"|O\"");
    expect_npy(f, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,)}",
               24, 0, FB_E_DTYPE, "compound");
    expect_npy(f, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", 24, 0,
               FB_E_DTYPE, "Fortran");
    expect_npy(f, "{'descr': '<f4', 'fortran_order': False, 'shape': [2, 3]}", 24, 0,
               FB_E_FORMAT, "whose shape is none");
    expect_npy(f, "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", 24, 0,
               FB_E_FORMAT, "whose shape is none");
    expect_npy(f, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1)}", 4,
               0, FB_E_LIMIT, "more than 4 dimensions");
    expect_npy(
        f, "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999, 99999999)}", 4,
        0, FB_E_LIMIT, "more numbers");
    expect_npy(f, "{'shape': (6,)}", 24, 0, FB_E_FORMAT, "without descr");
    fb_npy_stream *npy = NULL;
    assert_int_equal(fb_npy_stream_open_bytes(f->ctx, &npy, "a.npy",
                                              (const uint8_t *)"\x80\x04}q\0....", 9),
                     FB_E_FORMAT);
    assert_int_equal(fb_npy_stream_open_bytes(f->ctx, &npy, "a.npy",
                                              (const uint8_t *)"a pickled dictionary",
                                              20),
                     FB_E_FORMAT);
    expect_words(fb_context_message(f->ctx), "a.npy: not an array of numpy");
}

static void write_npz(const fixture *f, const char *name, int arrays)
{
    static const char *const headers[] = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 4), }",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (1, 2), }"};
    static const char *const members[] = {"feat.npy", "bbox.npy", "sizes.npy"};
    static const int32_t sizes[] = {100, 40};
    const void *const numbers[] = {some_features, some_boxes, sizes};
    static const size_t bytes_of[] = {sizeof some_features, sizeof some_boxes,
                                      sizeof sizes};
    char path[4096];
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, name), FB_OK);
    struct archive *a = archive_write_new();
    archive_write_set_format_zip(a);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    for (int i = arrays - 1; i >= 0; i--) {
        uint8_t bytes[512];
        size_t size = put_npy(bytes, headers[i], numbers[i], bytes_of[i]);
        struct archive_entry *entry = archive_entry_new();
        archive_entry_set_pathname(entry, members[i]);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_size(entry, (la_int64_t)size);
        assert_int_equal(archive_write_header(a, entry), ARCHIVE_OK);
        assert_int_equal(archive_write_data(a, bytes, size), (int)size);
        archive_entry_free(entry);
    }
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
}

static void arrays_of_regions_are_read_image_by_image(void **state)
{
    fixture *f = *state;
    uint8_t bytes[512];
    char path[4096];
    fb_region_source source;
    fb_region_record r;
    size_t size =
        put_npy(bytes, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 1, 2), }",
                some_features, sizeof some_features);
    fixture_write(f, "many.npy", bytes, size);
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, "many.npy"), FB_OK);
    assert_int_equal(fb_region_npy_open(f->ctx, &source, path), FB_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(source.next(f->ctx, source.self, &r), FB_OK);
        assert_false(r.end || r.bad);
        assert_null(r.name);
        assert_null(r.boxes);
        assert_int_equal(r.place, i);
        assert_int_equal(r.regions, 1);
        assert_memory_equal(r.features, some_features + 2 * i, 8);
    }
    expect_words(r.where, "many.npy: image 2");
    assert_int_equal(source.next(f->ctx, source.self, &r), FB_OK);
    assert_true(r.end);
    source.close(source.self);

    size = put_npy(bytes, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
                   some_features, sizeof some_features);
    fixture_write(f, "one.npy", bytes, size);
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, "one.npy"), FB_OK);
    assert_int_equal(fb_region_npy_open(f->ctx, &source, path), FB_OK);
    assert_int_equal(source.next(f->ctx, source.self, &r), FB_OK);
    assert_string_equal(r.name, "one");
    assert_int_equal(r.regions, 2);
    source.close(source.self);

    write_npz(f, "all.npz", 3);
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, "all.npz"), FB_OK);
    if (fb_region_npy_open(f->ctx, &source, path) != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
    assert_int_equal(source.next(f->ctx, source.self, &r), FB_OK);
    assert_int_equal(r.width, 100);
    assert_int_equal(r.height, 40);
    assert_memory_equal(r.boxes, some_boxes, sizeof some_boxes);
    assert_memory_equal(r.features, some_features, sizeof some_features);
    assert_int_equal(source.next(f->ctx, source.self, &r), FB_OK);
    assert_true(r.end);
    source.close(source.self);

    write_npz(f, "none.npz", 0);
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, "none.npz"), FB_OK);
    assert_int_equal(fb_region_npy_open(f->ctx, &source, path), FB_E_MISSING);
    expect_words(fb_context_message(f->ctx), "none.npz: without an array called");
    size = put_npy(bytes, "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }",
                   some_features, sizeof some_features);
    fixture_write(f, "flat.npy", bytes, size);
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, "flat.npy"), FB_OK);
    assert_int_equal(fb_region_npy_open(f->ctx, &source, path), FB_E_SHAPE);
    expect_words(fb_context_message(f->ctx), "features are (6); (N, n, F) or (n, F)");
}

/* ---- the file ----------------------------------------------------------------------
 */

/* Image i has i % 3 + 1 regions of 5 numbers. */
static void fill(fb_region_record *r, int i, float boxes[12], float features[15])
{
    static const int32_t classes[] = {4, 0, 17};
    static const float scores[] = {0.5f, 1, 0};
    *r = (fb_region_record){.regions = i % 3 + 1,
                            .feature_width = 5,
                            .width = 100 + i,
                            .height = 50,
                            .boxes = boxes,
                            .features = features,
                            .classes = classes,
                            .scores = scores};
    for (int k = 0; k < 15; k++)
        features[k] = (float)(i + k) / 8;
    for (int k = 0; k < 3; k++)
        memcpy(boxes + 4 * k, (const float[]){0, 25, 50 + (float)i / 2, 50}, 16);
}

static void write_regions(const fixture *f, const char *path, int images)
{
    fb_region_writer *w = NULL;
    assert_int_equal(fb_region_writer_open(f->ctx, &w, path), FB_OK);
    for (int i = 0; i < images; i++) {
        fb_region_record r;
        float boxes[12], features[15];
        char name[16];
        fill(&r, i, boxes, features);
        snprintf(name, sizeof name, "%d.jpg", i);
        assert_int_equal(fb_region_writer_add(f->ctx, w, name, &r), FB_OK);
    }
    assert_int_equal(fb_region_writer_finish(f->ctx, w), FB_OK);
    fb_region_writer_close(w);
}

static void what_is_written_is_read(void **state)
{
    fixture *f = *state;
    char path[4096];
    fb_region_file *file = NULL;
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, "x.regions"), FB_OK);
    write_regions(f, path, 7);
    if (fb_region_file_open(f->ctx, &file, path) != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
    assert_int_equal(fb_region_file_images(file), 7);
    assert_int_equal(fb_region_file_width(file), 5);
    assert_int_equal(fb_region_file_most(file), 3);
    assert_int_equal(fb_region_file_regions(file), 13);
    assert_true(fb_region_file_has_boxes(file));
    assert_int_equal(fb_region_file_classes(file), 18);
    assert_int_equal(fb_region_file_find(file, "none.jpg"), -1);
    for (int i = 0; i < 7; i++) {
        fb_region_record r;
        float boxes[12], features[15];
        char name[16];
        fill(&r, i, boxes, features);
        snprintf(name, sizeof name, "%d.jpg", i);
        assert_int_equal(fb_region_file_find(file, name), i);
        fb_region_image image = fb_region_file_get(file, i);
        assert_string_equal(image.name, name);
        assert_int_equal(image.regions, r.regions);
        assert_int_equal(image.width, 100 + i);
        assert_int_equal(image.height, 50);
        assert_true(image.boxes[1] == 0.5f && image.boxes[2] == 0.5f);
        assert_memory_equal(image.classes, r.classes, (size_t)r.regions * 4);
        assert_memory_equal(image.scores, r.scores, (size_t)r.regions * 4);
        for (int k = 0; k < 5 * r.regions; k++) /* exact in bf16 */
            assert_true(fb_bf16_to_f32(image.features[k]) == features[k]);
        assert_int_equal(fb_region_file_verify(f->ctx, file, i), FB_OK);
    }
    fb_region_file_close(file);
}

static void images_that_do_not_fit_are_refused(void **state)
{
    fixture *f = *state;
    char path[4096];
    fb_region_writer *w = NULL;
    fb_region_record r;
    float boxes[12], features[15];
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, "x.regions"), FB_OK);
    assert_int_equal(fb_region_writer_open(f->ctx, &w, path), FB_OK);
    assert_int_equal(fb_region_writer_finish(f->ctx, w), FB_E_FORMAT);
    fill(&r, 2, boxes, features);
    assert_int_equal(fb_region_writer_add(f->ctx, w, "a", &r), FB_OK);
    assert_int_equal(fb_region_writer_add(f->ctx, w, "a", &r), FB_E_FORMAT);
    expect_words(fb_context_message(f->ctx), "image a was there before");
    r.feature_width = 4;
    assert_int_equal(fb_region_writer_add(f->ctx, w, "b", &r), FB_E_FORMAT);
    expect_words(fb_context_message(f->ctx), "features of 4 numbers");
    r.feature_width = 5;
    r.boxes = NULL;
    assert_int_equal(fb_region_writer_add(f->ctx, w, "b", &r), FB_E_FORMAT);
    expect_words(fb_context_message(f->ctx), "has no boxes, the first image has");
    r.boxes = boxes;
    r.classes = NULL;
    assert_int_equal(fb_region_writer_add(f->ctx, w, "b", &r), FB_E_FORMAT);
    expect_words(fb_context_message(f->ctx), "has no classes, the first image has");
    r.classes = (const int32_t[]){0, FB_REGION_CLASSES_MOST, 1};
    assert_int_equal(fb_region_writer_add(f->ctx, w, "b", &r), FB_E_FORMAT);
    expect_words(fb_context_message(f->ctx), "class 1000000 of region 1");
    r.classes = (const int32_t[]){0, 2, 1};
    r.scores = (const float[]){0, 1.5f, 1};
    assert_int_equal(fb_region_writer_add(f->ctx, w, "b", &r), FB_E_NUMBER);
    expect_words(fb_context_message(f->ctx), "a score of 1.5 of region 1");
    r.scores = (const float[]){0, 1, 1};
    features[7] = INFINITY;
    assert_int_equal(fb_region_writer_add(f->ctx, w, "b", &r), FB_E_NUMBER);
    features[7] = 0;
    boxes[4] = NAN;
    assert_int_equal(fb_region_writer_add(f->ctx, w, "b", &r), FB_E_FORMAT);
    assert_int_equal(fb_region_writer_images(w), 1);
    fb_region_writer_close(w); /* not finished */
    assert_false(fb_path_exists(path));
    strcat(path, ".new");
    assert_false(fb_path_exists(path));
}

static void damage_is_noticed(void **state)
{
    fixture *f = *state;
    char path[4096];
    uint8_t *bytes = NULL;
    size_t size = 0;
    fb_region_file *file = NULL;
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, "x.regions"), FB_OK);
    write_regions(f, path, 4);
    assert_int_equal(fb_file_read(f->ctx, path, 1 << 20, &bytes, &size), FB_OK);
    uint8_t *aligned = aligned_alloc(64, (size + 63) / 64 * 64);
    assert_non_null(aligned);
    for (size_t at = 0; at < size; at += at < 128 || at >= 4352 ? 1 : 61) {
        memcpy(aligned, bytes, size);
        aligned[at] ^= 4;
        fb_status status = fb_region_file_parse(f->ctx, &file, "x", aligned, size);
        if (status == FB_OK) { /* in the numbers, or in a gap between images */
            assert_in_range(at, 128, size - 1);
            for (int32_t i = 0; status == FB_OK && i < 4; i++)
                status = fb_region_file_verify(f->ctx, file, i);
            if (at >= 4096 && at < 4096 + 26)
                assert_int_equal(status, FB_E_FORMAT);
            fb_region_file_close(file);
        }
    }
    for (size_t cut = 1; cut < size; cut += 97) {
        memcpy(aligned, bytes, size - cut);
        assert_int_equal(fb_region_file_parse(f->ctx, &file, "x", aligned, size - cut),
                         FB_E_FORMAT);
    }
    free(aligned);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_is_decoded_strictly),
        FIXTURE_TEST(both_orders_of_columns_are_read),
        FIXTURE_TEST(broken_lines_say_what_is_wrong),
        FIXTURE_TEST(arrays_of_all_types_come_out_as_floats),
        FIXTURE_TEST(broken_arrays_say_what_is_wrong),
        FIXTURE_TEST(arrays_of_regions_are_read_image_by_image),
        FIXTURE_TEST(what_is_written_is_read),
        FIXTURE_TEST(images_that_do_not_fit_are_refused),
        FIXTURE_TEST(damage_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
