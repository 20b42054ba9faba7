/* csv_reader.h - the rows of a CSV or TSV file of any size, one after the other.
 *
 * As RFC 4180 says, and as files are: a field that begins with a quote ends with one,
 * "" in it is a quote, and delimiters and line ends in it are text. A quote further on
 * in a field is text. Rows end with LF, CR LF or CR; empty lines are left out. A byte
 * order mark is passed over.
 *
 * A row that cannot be read does not take others with it: text behind a closing quote,
 * a quote that is never closed, a row past FB_CSV_ROW_BYTES_MAX, and the reader goes on
 * with the next line. The memory is that of the longest row.
 */
#ifndef FB_DATA_IMPORT_CSV_READER_H
#define FB_DATA_IMPORT_CSV_READER_H

#include "data/import/record_source.h"
#include "fashionbert.h"
#include <stdio.h>

#define FB_CSV_ROW_BYTES_MAX (1 << 20)
#define FB_CSV_FIELDS_MAX    4096

typedef enum fb_csv_encoding {
    FB_CSV_UTF8,
    FB_CSV_LATIN1,     /* ISO 8859-1: each byte is the character of its number */
    FB_CSV_WINDOWS1252 /* the same, but for 0x80 to 0x9f */
} fb_csv_encoding;

/* "utf-8", "latin-1" or "windows-1252"; FB_E_USAGE names them. */
fb_status fb_csv_encoding_parse(fb_context *ctx, const char *text,
                                fb_csv_encoding *encoding);

typedef struct fb_csv_row {
    bool end;
    int64_t line;          /* where it begins, from 1 */
    fb_record_fault fault; /* ROW or TEXT: fields are not set, `why` is */
    const char *why;
    const char *const *fields; /* [count], valid UTF-8; until the next call */
    int32_t count;
    bool quoted; /* some field was in quotes */
} fb_csv_row;

typedef struct fb_csv_reader fb_csv_reader;

/* The stream becomes the reader's, also on failure; `name` begins sentences. delimiter
 * 0: the one of comma, semicolon and tab that is most often in the first line.
 * FB_E_FORMAT (UTF-16), FB_E_IO, FB_E_MEMORY */
fb_status fb_csv_open(fb_context *ctx, fb_csv_reader **reader, const char *name,
                      FILE *stream, char delimiter, fb_csv_encoding encoding);
void fb_csv_close(fb_csv_reader *reader);

/* FB_E_IO, FB_E_MEMORY */
fb_status fb_csv_next(fb_context *ctx, fb_csv_reader *reader, fb_csv_row *row);

char fb_csv_delimiter(const fb_csv_reader *reader);
int64_t fb_csv_bytes_read(const fb_csv_reader *reader); /* of the rows so far */

#endif
