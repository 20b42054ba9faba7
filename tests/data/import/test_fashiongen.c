/* test_fashiongen.c - reading files like Fashion-Gen's, which are written here. */
#include "support/catalogue_fixture.h"

#include "data/import/fashiongen_source.h"
#include "data/import/hdf5_text.h"
#include "support/fashiongen_file.h"

static void write_file(const fixture *f, const char *name, const fashiongen_options *o,
                       char path[4096])
{
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, name), FB_OK);
    assert_true(fashiongen_write(path, o));
}

static void open_source(const fixture *f, const char *path, fb_record_source *source)
{
    if (fb_fashiongen_source_open(f->ctx, source, path, NULL) != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
}

static const char *get(const fb_record *r, const char *name)
{
    for (int32_t i = 0; i < r->field_count; i++)
        if (strcmp(r->fields[2 * i], name) == 0)
            return r->fields[2 * i + 1];
    return NULL;
}

static void fields_of_fixed_size_are_latin1(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        bool utf8;
        const char *text;
    } cases[] = {
        {"caf\xe9\0\0x", 7, false, "caf\xc3\xa9"},
        {"full", 4, false, "full"},
        {" \t padded \xa0 ", 11, false, "padded"},
        {"a\nb\x85z", 5, false, "a b z"},
        {"\xff\xfe", 2, false, "\xc3\xbf\xc3\xbe"},
        {"caf\xc3\xa9", 5, true, "caf\xc3\xa9"},
        {"caf\xe9", 4, true, "caf\xc3\xa9"},
        {"", 0, false, ""},
        {"\0abc", 4, false, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[64];
        size_t used = fb_hdf5_field((const uint8_t *)cases[i].bytes, cases[i].size,
                                    cases[i].utf8, out);
        assert_string_equal(out, cases[i].text);
        assert_int_equal(used, strlen(out));
    }
}

/* All rows of a file, hashed, and how many are of each split. */
static uint64_t read_all(const fixture *f, const char *path, int32_t rows,
                         int32_t count[3])
{
    fb_record_source source;
    fb_record r;
    uint64_t hash = 1;
    static const char *const splits[] = {"train", "val", "test"};
    memset(count, 0, 3 * sizeof *count);
    open_source(f, path, &source);
    for (int32_t row = 0;; row++) {
        char where[64];
        if (source.next(f->ctx, source.self, &r) != FB_OK)
            fail_msg("%s", fb_context_message(f->ctx));
        if (r.end) {
            assert_int_equal(row, rows);
            break;
        }
        assert_int_equal(r.fault, FB_RECORD_GOOD);
        snprintf(where, sizeof where, ": row %d", (int)row);
        assert_non_null(strstr(r.where, where));
        for (int i = 0; i < 3; i++)
            count[i] += strcmp(get(&r, "split"), splits[i]) == 0;
        for (size_t i = 0; i < r.image.size_bytes; i++)
            hash = hash * 31 + r.image.bytes[i];
        for (const char *at = get(&r, "title"); *at; at++)
            hash = hash * 31 + (uint8_t)*at;
    }
    source.close(source.self);
    return hash;
}

static void rows_become_records(void **state)
{
    fixture *f = *state;
    char path[4096];
    fb_record_source source;
    fb_record r;
    const fashiongen_options o = {.rows = 7, .side = 12, .seed = 1};
    write_file(f, "fashiongen_256_256_validation.h5", &o, path);
    assert_true(fb_fashiongen_source_recognise(NULL, path));
    assert_false(fb_fashiongen_source_recognise(NULL, "h5.csv"));
    open_source(f, path, &source);
    assert_int_equal(source.column_count, 16);
    for (int i = 0; i < 3; i++)
        assert_int_equal(source.next(f->ctx, source.self, &r), FB_OK);
    assert_non_null(strstr(r.where, "validation.h5: row 2"));
    assert_string_equal(get(&r, "product_id"), "1002");
    assert_string_equal(get(&r, "id"), "fashiongen_256_256_validation:2");
    assert_string_equal(get(&r, "split"), "test");
    assert_string_equal(get(&r, "pose"), "id_gridfs_2");
    assert_non_null(strstr(get(&r, "brand"), "Caf\xc3\xa9 "));
    assert_non_null(strstr(get(&r, "description"), "Drap\xc3\xa9 "));
    char title[512];
    snprintf(title, sizeof title, "%s. %s", get(&r, "name"), get(&r, "description"));
    assert_string_equal(get(&r, "title"), title);
    assert_int_equal(r.image.kind, FB_RECORD_IMAGE_PIXELS);
    assert_int_equal(r.image.width, 12);
    assert_int_equal(r.image.height, 12);
    assert_int_equal(r.image.size_bytes, 12 * 12 * 3);
    const uint8_t first[] = {1002 & 255, 1002 >> 8, 1}; /* number and view */
    assert_memory_equal(r.image.bytes, first, 3);
    source.close(source.self);
}

static void compressed_chunks_and_variable_strings_read_the_same(void **state)
{
    fixture *f = *state;
    char path[4096];
    int32_t count[3];
    fashiongen_options o = {.rows = 1000, .side = 9, .seed = 2};
    write_file(f, "a_train.h5", &o, path);
    uint64_t plain = read_all(f, path, o.rows, count);
    assert_int_equal(count[2], 0);
    assert_in_range(count[1], 1, 30); /* 1 in 100 products */
    o.compressed = true;
    o.variable = true;
    write_file(f, "a_train.h5", &o, path);
    assert_true(read_all(f, path, o.rows, count) == plain);
    o.variable = false;
    write_file(f, "test.h5", &o, path);
    assert_true(read_all(f, path, o.rows, count) == plain);
    assert_int_equal(count[2], 1000);
}

static void expect_refused(const fixture *f, const char *path, fb_status status,
                           const char *words)
{
    fb_record_source source;
    assert_int_equal(fb_fashiongen_source_open(f->ctx, &source, path, NULL), status);
    if (!strstr(fb_context_message(f->ctx), words))
        fail_msg("\"%s\" does not say \"%s\"", fb_context_message(f->ctx), words);
}

static void files_without_the_fields_are_refused(void **state)
{
    fixture *f = *state;
    char path[4096];
    fashiongen_options o = {.rows = 4, .side = 8, .seed = 1, .leave_out = "input_name"};
    write_file(f, "a.h5", &o, path);
    expect_refused(f, path, FB_E_MISSING,
                   "a.h5: not a Fashion-Gen file: without the "
                   "datasets input_name");
    o.leave_out = "input_image";
    write_file(f, "b.h5", &o, path);
    expect_refused(f, path, FB_E_MISSING, "without the datasets input_image");
    o.leave_out = "input_brand"; /* optional */
    write_file(f, "c.h5", &o, path);
    int32_t count[3];
    (void)read_all(f, path, 4, count);
    o = (fashiongen_options){
        .rows = 4, .side = 8, .seed = 1, .shorten = "input_gender"};
    write_file(f, "d.h5", &o, path);
    expect_refused(f, path, FB_E_SHAPE, "d.h5: input_gender has 3 rows, input_image 4");
}

static void broken_files_are_refused(void **state)
{
    fixture *f = *state;
    char path[4096];
    uint8_t *bytes = NULL;
    size_t size = 0;
    const fashiongen_options o = {.rows = 60, .side = 16, .seed = 1};
    write_file(f, "a.h5", &o, path);
    assert_int_equal(fb_file_read(f->ctx, path, 1 << 24, &bytes, &size), FB_OK);
    fixture_write(f, "cut.h5", bytes, size / 2);
    free(bytes);
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, "cut.h5"), FB_OK);
    expect_refused(f, path, FB_E_FORMAT, "cut.h5: cannot be read as HDF5: truncated");
    fixture_text(f, "text.h5", "not HDF5 at all");
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, "text.h5"), FB_OK);
    expect_refused(f, path, FB_E_FORMAT, "text.h5: cannot be read as HDF5");
    expect_refused(f, "/nowhere/x.h5", FB_E_MISSING, "/nowhere/x.h5: no such file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(fields_of_fixed_size_are_latin1),
        FIXTURE_TEST(rows_become_records),
        FIXTURE_TEST(compressed_chunks_and_variable_strings_read_the_same),
        FIXTURE_TEST(files_without_the_fields_are_refused),
        FIXTURE_TEST(broken_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
