/* test_index_files.c - arrays, vectors of others and product tables read back as they
 * were written; what is cut short, foreign or damaged is refused. */
#include "retrieval/index/npy.h"
#include "retrieval/index/product_table.h"
#include "retrieval/index/vector_file.h"
#include "support/catalogue_fixture.h"

#include <math.h>

/* ---- .npy ------------------------------------------------------------------------ */

static size_t make_npy(uint8_t *out, const char *head, size_t length, size_t data)
{
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = (uint8_t)length;
    out[9] = (uint8_t)(length >> 8);
    memcpy(out + 10, head, length);
    memset(out + 10 + length, 0, data);
    return 10 + length + data;
}

static fb_status parse_text(fb_context *ctx, fb_npy *npy, const char *head, size_t data)
{
    uint8_t bytes[600];
    size_t size = make_npy(bytes, head, strlen(head), data);
    return fb_npy_parse(ctx, npy, "a", bytes, size);
}

static void an_array_reads_back_as_its_header_was_written(void **state)
{
    (void)state;
    char bytes[FB_NPY_HEADER + 96] = {0};
    fb_npy npy;
    const int64_t dims[4] = {2, 3, 4, 1};
    for (int32_t rank = 1; rank <= 4; rank++) {
        size_t count = rank == 1 ? 2 : rank == 2 ? 6 : 24;
        fb_npy_header(bytes, "<f4", rank, dims);
        assert_int_equal(
            fb_npy_parse(NULL, &npy, "a", (uint8_t *)bytes, FB_NPY_HEADER + 4 * count),
            FB_OK);
        assert_int_equal(npy.rank, rank);
        assert_string_equal(npy.descr, "<f4");
        assert_int_equal(npy.data_at, FB_NPY_HEADER);
        assert_memory_equal(npy.dims, dims, (size_t)rank * sizeof *dims);
    }
}

static void headers_that_numpy_writes_are_read_and_others_refused(void **state)
{
    const fixture *f = *state;
    fb_npy npy;
    static const struct {
        const char *head;
        size_t data;
        fb_status status;
    } cases[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }  \n", 24, FB_OK},
        {"{'shape':(2,3),'fortran_order':False,'descr':'<f4'}", 24, FB_OK},
        {"{\"descr\": \"|u1\", 'fortran_order': False, 'shape': (5,)}", 5, FB_OK},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3)}", 0, FB_OK},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", 23, FB_E_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", 25, FB_E_FORMAT},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3)}", 24, FB_E_FORMAT},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}", 24, FB_E_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': ()}", 4, FB_E_FORMAT},
        {"{'descr': '<f4', 'shape': (2, 3)}", 24, FB_E_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, -3)}", 24, FB_E_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, "
         "1099511627776, 16777216)}",
         0, FB_E_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999,)}", 0,
         FB_E_FORMAT},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", 8,
         FB_E_FORMAT},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", 8, FB_E_FORMAT},
        {"", 0, FB_E_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fb_status status = parse_text(f->ctx, &npy, cases[i].head, cases[i].data);
        if (status != cases[i].status)
            fail_msg("%s: %s", cases[i].head, fb_status_name(status));
    }
    uint8_t whole[FB_NPY_HEADER + 24] = {0};
    const int64_t dims[2] = {2, 3};
    fb_npy_header((char *)whole, "<f4", 2, dims);
    for (size_t size = 0; size < sizeof whole; size++)
        assert_int_equal(fb_npy_parse(f->ctx, &npy, "a", whole, size), FB_E_FORMAT);
}

/* ---- vectors --------------------------------------------------------------------- */

static void vectors_of_both_kinds_come_in_as_unit_rows(void **state)
{
    const fixture *f = *state;
    const float rows[2][3] = {{3, 0, 4}, {0, -2, 0}};
    uint8_t npy[FB_NPY_HEADER + sizeof rows], fvecs[2 * 16];
    const int64_t dims[2] = {2, 3};
    fb_npy_header((char *)npy, "<f4", 2, dims);
    memcpy(npy + FB_NPY_HEADER, rows, sizeof rows);
    for (size_t r = 0; r < 2; r++) {
        memcpy(fvecs + 16 * r, "\x03\0\0\0", 4);
        memcpy(fvecs + 16 * r + 4, rows[r], 12);
    }
    for (int kind = 0; kind < 2; kind++) {
        fb_vector_file file;
        float row[3];
        assert_int_equal(fb_vector_file_parse(f->ctx, &file, "v", kind ? fvecs : npy,
                                              kind ? sizeof fvecs : sizeof npy),
                         FB_OK);
        assert_int_equal(file.rows, 2);
        assert_int_equal(file.width, 3);
        assert_int_equal(fb_vector_file_row(f->ctx, &file, 0, row), FB_OK);
        assert_true(fabsf(row[0] - 0.6f) < 1e-7f && fabsf(row[2] - 0.8f) < 1e-7f);
        assert_int_equal(fb_vector_file_row(f->ctx, &file, 1, row), FB_OK);
        assert_true(row[1] == -1.0f);
    }
}

static void vectors_that_are_broken_are_refused(void **state)
{
    const fixture *f = *state;
    fb_vector_file file;
    const uint8_t cut[] = {3, 0, 0, 0, 1, 2, 3};
    uint8_t uneven[32] = {3};
    uneven[16] = 4;
    const uint8_t zero[4] = {0}, huge[4] = {0xff, 0xff, 0xff, 0x7f};
    assert_int_equal(fb_vector_file_parse(f->ctx, &file, "v", cut, sizeof cut),
                     FB_E_FORMAT);
    assert_int_equal(fb_vector_file_parse(f->ctx, &file, "v", uneven, sizeof uneven),
                     FB_E_FORMAT);
    assert_int_equal(fb_vector_file_parse(f->ctx, &file, "v", zero, sizeof zero),
                     FB_E_FORMAT);
    assert_int_equal(fb_vector_file_parse(f->ctx, &file, "v", huge, sizeof huge),
                     FB_E_FORMAT);
    assert_int_equal(fb_vector_file_parse(f->ctx, &file, "v", cut, 0), FB_E_FORMAT);
    uint8_t nothing[16] = {3};
    float row[3], bad[3] = {1, NAN, 0};
    assert_int_equal(fb_vector_file_parse(f->ctx, &file, "v", nothing, 16), FB_OK);
    assert_int_equal(fb_vector_file_row(f->ctx, &file, 0, row), FB_E_NUMBER);
    memcpy(nothing + 4, bad, sizeof bad);
    assert_int_equal(fb_vector_file_row(f->ctx, &file, 0, row), FB_E_NUMBER);
}

/* ---- product tables -------------------------------------------------------------- */

static const char *const shoe[] = {"colour", "Red", "size", "42"};
static const char *const dress[] = {"Season", "Summer", "colour", "Blue"};
static const char *const hat[] = {"colour", "Red"};
static const fb_product_row products[] = {
    {"b", "A shoe", "images/1.jpg", shoe, 2},
    {"a", "A dress", "images/2.jpg", dress, 2},
    {"b", "The shoe again", "images/3.jpg", shoe, 2},
    {"\xc3\xa9", "", "images/4.jpg", NULL, 0},
    {"0", "A hat", "images/5.jpg", hat, 1},
};
enum { PRODUCTS = sizeof products / sizeof products[0] };

static uint8_t *make_table(const fixture *f, int64_t count, size_t *size)
{
    uint8_t *bytes = NULL;
    if (fb_product_table_make(f->ctx, products, count, &bytes, size) != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
    return bytes;
}

static void check_attribute(const fb_product_table *t, int64_t row, const char *name,
                            const char *wanted)
{
    int32_t c = fb_product_table_find_column(t, name);
    assert_true(c >= 0);
    int32_t cell = fb_product_table_cells(t, c)[row];
    if (!wanted)
        assert_int_equal(cell, -1);
    else
        assert_string_equal(fb_product_table_value(t, c, cell), wanted);
}

static void products_read_back_as_they_were_written(void **state)
{
    const fixture *f = *state;
    size_t size;
    uint8_t *bytes = make_table(f, PRODUCTS, &size);
    fb_product_table *t = NULL;
    assert_int_equal(fb_product_table_parse(f->ctx, &t, "t", bytes, size), FB_OK);
    assert_int_equal(fb_product_table_rows(t), PRODUCTS);
    for (int64_t i = 0; i < PRODUCTS; i++) {
        assert_string_equal(fb_product_table_id(t, i), products[i].id);
        assert_string_equal(fb_product_table_title(t, i), products[i].title);
        assert_string_equal(fb_product_table_image(t, i), products[i].image);
        assert_int_equal(fb_product_table_first(t, i), i == 2 ? 0 : i);
        assert_int_equal(fb_product_table_find(t, products[i].id), i == 2 ? 0 : i);
    }
    assert_true(fb_product_table_repeats(t));
    assert_int_equal(fb_product_table_find(t, "c"), -1);
    assert_int_equal(fb_product_table_find(t, ""), -1);
    assert_int_equal(fb_product_table_columns(t), 3);
    check_attribute(t, 0, "COLOUR", "Red");
    check_attribute(t, 1, "colour", "Blue");
    check_attribute(t, 1, "season", "Summer");
    check_attribute(t, 4, "colour", "Red");
    check_attribute(t, 3, "colour", NULL);
    check_attribute(t, 0, "season", NULL);
    assert_int_equal(fb_product_table_find_column(t, "price"), -1);
    assert_int_equal(
        fb_product_table_values(t, fb_product_table_find_column(t, "colour")), 2);
    fb_product_table_close(t);
    free(bytes);
}

static void no_products_are_a_table_too(void **state)
{
    const fixture *f = *state;
    size_t size;
    uint8_t *bytes = make_table(f, 0, &size);
    fb_product_table *t = NULL;
    assert_int_equal(fb_product_table_parse(f->ctx, &t, "t", bytes, size), FB_OK);
    assert_int_equal(fb_product_table_rows(t), 0);
    assert_int_equal(fb_product_table_find(t, "a"), -1);
    fb_product_table_close(t);
    free(bytes);
}

static void a_table_cut_or_changed_anywhere_is_refused(void **state)
{
    const fixture *f = *state;
    size_t size;
    uint8_t *bytes = make_table(f, PRODUCTS, &size);
    fb_product_table *t = NULL;
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(fb_product_table_parse(f->ctx, &t, "t", bytes, cut),
                         FB_E_FORMAT);
    for (size_t at = 0; at < size; at++) {
        bytes[at] ^= 0x40;
        assert_int_equal(fb_product_table_parse(f->ctx, &t, "t", bytes, size),
                         FB_E_FORMAT);
        bytes[at] ^= 0x40;
    }
    free(bytes);
}

/* Made as others would be, so that its checksum is right. */
static void an_image_outside_of_its_catalogue_is_refused(void **state)
{
    const fixture *f = *state;
    static const char *const images[] = {"images/1.png",         "",
                                         "a..b/c.png",           "../key.png",
                                         "images/../../key.png", "/etc/key.png"};
    for (int i = 0; i < 6; i++) {
        const fb_product_row row = {"p", "a title", images[i], NULL, 0};
        uint8_t *bytes;
        size_t size;
        fb_product_table *t = NULL;
        assert_int_equal(fb_product_table_make(f->ctx, &row, 1, &bytes, &size), FB_OK);
        assert_int_equal(fb_product_table_parse(f->ctx, &t, "t", bytes, size),
                         i < 3 ? FB_OK : FB_E_FORMAT);
        fb_product_table_close(t);
        free(bytes);
    }
    assert_non_null(strstr(fb_context_message(f->ctx), "outside of its catalogue"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(an_array_reads_back_as_its_header_was_written),
        FIXTURE_TEST(headers_that_numpy_writes_are_read_and_others_refused),
        FIXTURE_TEST(vectors_of_both_kinds_come_in_as_unit_rows),
        FIXTURE_TEST(vectors_that_are_broken_are_refused),
        FIXTURE_TEST(products_read_back_as_they_were_written),
        FIXTURE_TEST(no_products_are_a_table_too),
        FIXTURE_TEST(a_table_cut_or_changed_anywhere_is_refused),
        FIXTURE_TEST(an_image_outside_of_its_catalogue_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
