/* test_csv_reader.c - rows of CSV as RFC 4180 and its deviations have them. */
#include "support/catalogue_fixture.h"

#include "data/import/csv_reader.h"

/* Rows as "LINE:field|field", bad ones as "LINE!kind why", each ended by a newline. */
static char *read_all(const char *text, size_t size, char delimiter,
                      fb_csv_encoding encoding)
{
    struct fb_context ctx = {0};
    fb_csv_reader *reader = NULL;
    char *out = NULL;
    size_t out_size = 0;
    FILE *stream = fmemopen((void *)(uintptr_t)text, size, "rb");
    assert_int_equal(fb_csv_open(&ctx, &reader, "t", stream, delimiter, encoding),
                     FB_OK);
    FILE *to = open_memstream(&out, &out_size);
    for (;;) {
        fb_csv_row row;
        assert_int_equal(fb_csv_next(&ctx, reader, &row), FB_OK);
        if (row.end)
            break;
        fprintf(to, "%d%s", (int)row.line, row.fault == FB_RECORD_GOOD ? ":" : "!");
        if (row.fault != FB_RECORD_GOOD)
            fprintf(to, "%d %s", (int)row.fault, row.why);
        for (int32_t i = 0; row.fault == FB_RECORD_GOOD && i < row.count; i++)
            fprintf(to, "%s%s", i ? "|" : "", row.fields[i]);
        fputc('\n', to);
    }
    fclose(to);
    fb_csv_close(reader);
    return out;
}

static void expect(const char *text, const char *rows)
{
    char *got = read_all(text, strlen(text), 0, FB_CSV_UTF8);
    assert_string_equal(got, rows);
    free(got);
}

static void rows_are_those_of_rfc_4180(void **state)
{
    (void)state;
    expect("a,b\r\n1,2\r\n", "1:a|b\n2:1|2\n");
    expect("a,b\n1,2", "1:a|b\n2:1|2\n");
    expect("a,\"b,c\"\n", "1:a|b,c\n");
    expect("\"a \"\"x\"\"\",\"\"\n", "1:a \"x\"|\n");
    expect("a,\"two\nlines\"\nb,c\n", "1:a|two\nlines\n3:b|c\n");
    expect("a,b,\n", "1:a|b|\n");
    expect(",\n", "1:|\n");
}

static void deviations_are_read_as_they_are_meant(void **state)
{
    (void)state;
    expect("a,b\r1,2\r", "1:a|b\n2:1|2\n");         /* old Macintosh */
    expect("a,b\n\n\r\n1,2\n\n", "1:a|b\n4:1|2\n"); /* empty lines */
    expect("\xef\xbb\xbf"
           "a,b\n",
           "1:a|b\n");                                  /* a byte order mark */
    expect("15\" screen,b\n", "1:15\" screen|b\n");     /* a quote within a field */
    expect("a;b,c;d\n1;2;3\n", "1:a|b,c|d\n2:1|2|3\n"); /* semicolons */
    expect("a\tb,c\td\n\"1\t2\"\t3\n", "1:a|b,c|d\n2:1\t2|3\n");
    expect("\"a;b;c\",d\n", "1:a;b;c|d\n"); /* counted outside of quotes */
}

static void bad_rows_take_no_others_with_them(void **state)
{
    (void)state;
    expect(
        "a,b\n\"x\" y,2\n3,4\n",
        "1:a|b\n2!1 text behind the closing quote of field 1; a quote within quotes is "
        "written twice\n3:3|4\n");
    expect("a,b\n1,\"open\n3,4\n",
           "1:a|b\n2!1 the quote that opens field 2 is never closed\n3:3|4\n");
    char *got = read_all("a,b\n1,\xff\n3,4\n", 12, 0, FB_CSV_UTF8);
    assert_non_null(strstr(got, "2!2 field 2 has a byte 0xff that is not UTF-8"));
    assert_non_null(strstr(got, "\n3:3|4\n"));
    free(got);
    got = read_all("a,b\n1,\0\n3,4\n", 12, 0, FB_CSV_UTF8);
    assert_non_null(strstr(got, "2!2 field 2 has a byte 0x00, which is not text"));
    assert_non_null(strstr(got, "\n3:3|4\n"));
    free(got);
}

static void other_encodings_become_utf8(void **state)
{
    (void)state;
    static const char text[] = "Caf\xe9,\x80 5,\x96\n";
    char *got = read_all(text, sizeof text - 1, ',', FB_CSV_WINDOWS1252);
    assert_string_equal(got, "1:Caf\xc3\xa9|\xe2\x82\xac 5|\xe2\x80\x93\n");
    free(got);
    got = read_all(text, sizeof text - 1, ',', FB_CSV_LATIN1);
    assert_string_equal(got, "1:Caf\xc3\xa9|\xc2\x80 5|\xc2\x96\n");
    free(got);
}

static void utf16_is_named(void **state)
{
    (void)state;
    struct fb_context ctx = {0};
    fb_csv_reader *reader = NULL;
    FILE *stream = fmemopen("\xff\xfe"
                            "a\0",
                            4, "rb");
    assert_int_equal(fb_csv_open(&ctx, &reader, "t", stream, 0, FB_CSV_UTF8),
                     FB_E_FORMAT);
    assert_non_null(strstr(ctx.message, "UTF-16"));
}

/* Rows on both sides of every border of the window, and longer than it was at first. */
static void long_files_are_read_row_by_row(void **state)
{
    (void)state;
    char *text = NULL, *wanted = NULL;
    size_t size = 0, wanted_size = 0;
    FILE *to = open_memstream(&text, &size);
    FILE *rows = open_memstream(&wanted, &wanted_size);
    for (int i = 0, line = 1; i < 400; i++) {
        int length = i % 97 * i % 2741;
        fprintf(to, "%d,\"%0*d\"\"\r\n\",x\r\n", i, length, 7);
        fprintf(rows, "%d:%d|%0*d\"\r\n|x\n", line, i, length, 7);
        line += 2;
    }
    fprintf(to, "last,%0*d,x", 300000, 3);
    fprintf(rows, "801:last|%0*d|x\n", 300000, 3);
    fclose(to);
    fclose(rows);
    char *got = read_all(text, size, 0, FB_CSV_UTF8);
    assert_string_equal(got, wanted);
    free(got);
    free(text);
    free(wanted);
}

static void a_row_past_the_limit_is_bad_and_the_next_is_read(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    fprintf(to, "a,b\n%0*d,2\n3,4\n", FB_CSV_ROW_BYTES_MAX, 1);
    fclose(to);
    char *got = read_all(text, size, 0, FB_CSV_UTF8);
    assert_non_null(strstr(got, "2!1 a row longer than 1048576 bytes"));
    assert_non_null(strstr(got, "\n3:3|4\n"));
    free(got);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_those_of_rfc_4180),
        cmocka_unit_test(deviations_are_read_as_they_are_meant),
        cmocka_unit_test(bad_rows_take_no_others_with_them),
        cmocka_unit_test(other_encodings_become_utf8),
        cmocka_unit_test(utf16_is_named),
        cmocka_unit_test(long_files_are_read_row_by_row),
        cmocka_unit_test(a_row_past_the_limit_is_bad_and_the_next_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
