/* fuzz_csv.c - any bytes as CSV: rows are valid text within the limits and lines go up;
 * rows that are written again with every field quoted are read back the same. */
#include "data/import/csv_reader.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_text(const char *text)
{
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text;
    while (*at) {
        utf8proc_int32_t point;
        utf8proc_ssize_t length = utf8proc_iterate(at, -1, &point);
        if (length <= 0)
            abort();
        at += length;
    }
}

static void write_row(FILE *out, const fb_csv_row *row)
{
    for (int32_t i = 0; i < row->count; i++) {
        fputs(i ? ",\"" : "\"", out);
        for (const char *c = row->fields[i]; *c; c++) {
            if (*c == '"')
                fputc('"', out);
            fputc(*c, out);
        }
        fputc('"', out);
    }
    fputs("\r\n", out);
}

/* Every row once, checked; good ones are written to `out`. */
static int64_t read_rows(fb_csv_reader *reader, FILE *out)
{
    struct fb_context ctx = {0};
    int64_t good = 0, line = 0;
    for (;;) {
        fb_csv_row row;
        if (fb_csv_next(&ctx, reader, &row) != FB_OK)
            abort();
        if (row.end)
            return good;
        if (row.line <= line)
            abort();
        line = row.line;
        if (row.fault != FB_RECORD_GOOD) {
            if (!row.why || !row.why[0])
                abort();
            continue;
        }
        if (row.count < 1 || row.count > FB_CSV_FIELDS_MAX)
            abort();
        for (int32_t i = 0; i < row.count; i++)
            check_text(row.fields[i]);
        write_row(out, &row);
        good++;
    }
}

static fb_csv_reader *open_bytes(void *bytes, size_t size, char delimiter,
                                 fb_csv_encoding encoding)
{
    fb_csv_reader *reader = NULL;
    struct fb_context ctx = {0};
    FILE *stream = size > 0 ? fmemopen(bytes, size, "rb") : fopen("/dev/null", "rb");
    if (!stream)
        abort();
    if (fb_csv_open(&ctx, &reader, "fuzz", stream, delimiter, encoding) == FB_OK)
        return reader;
    if (!ctx.message[0])
        abort();
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char delimiters[] = {0, ',', ';', '\t'};
    if (size < 1)
        return 0;
    char delimiter = delimiters[bytes[0] & 3];
    fb_csv_encoding encoding = (fb_csv_encoding)((bytes[0] >> 2) % 3);
    uint8_t *copy = malloc(size);
    memcpy(copy, bytes, size);
    fb_csv_reader *reader = open_bytes(copy + 1, size - 1, delimiter, encoding);
    if (reader) {
        char *text = NULL, *again = NULL;
        size_t text_size = 0, again_size = 0;
        FILE *out = open_memstream(&text, &text_size);
        int64_t good = read_rows(reader, out);
        fclose(out);
        fb_csv_close(reader);
        /* A mark that was text within the first field would be taken for one. */
        bool marked = text_size >= 4 && memcmp(text + 1, "\xef\xbb\xbf", 3) == 0;
        reader = open_bytes(text, text_size, ',', FB_CSV_UTF8);
        out = open_memstream(&again, &again_size);
        if (read_rows(reader, out) != good && !marked)
            abort();
        fclose(out);
        if (again_size != text_size || memcmp(text, again, text_size) != 0)
            abort();
        fb_csv_close(reader);
        free(text);
        free(again);
    }
    free(copy);
    return 0;
}
