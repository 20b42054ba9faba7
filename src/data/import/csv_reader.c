/* csv_reader.c - a window over the file that always holds the row that is read:
 *
 *     buffer:  [ rows before | row ........ | bytes ahead | free ]
 *                             at                          end
 *
 * A row is split in one pass into `text`, where each field is followed by a 0 byte.
 * When the window ends within a row, more is read and the row is split anew; a window
 * grows by doubling, so that this costs at most as much again.
 */
#include "data/import/csv_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { CHUNK_BYTES = 1 << 16 };
/* Of one byte in another encoding. */
enum { MOST_UTF8_BYTES = 3 };

struct fb_csv_reader {
    char name[4096];
    FILE *stream;
    char delimiter;
    fb_csv_encoding encoding;
    uint8_t *buffer;
    size_t capacity, at, end;
    int64_t line; /* of buffer[at] */
    int64_t bytes_read;
    bool eof;
    char *text; /* [MOST_UTF8_BYTES * capacity + 1] */
    size_t text_used;
    size_t starts[FB_CSV_FIELDS_MAX]; /* of fields in text */
    const char *fields[FB_CSV_FIELDS_MAX];
    int32_t count;
    bool quoted;
    char why[160];
};

static const char *const encoding_names[] = {[FB_CSV_UTF8] = "utf-8",
                                             [FB_CSV_LATIN1] = "latin-1",
                                             [FB_CSV_WINDOWS1252] = "windows-1252"};

/* Characters of the bytes 0x80 to 0x9f; 0: none, kept as the control character. */
static const uint16_t windows1252[32] = {
    0x20ac, 0,      0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
    0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0,      0x017d, 0,
    0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
    0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0,      0x017e, 0x0178};

fb_status fb_csv_encoding_parse(fb_context *ctx, const char *text,
                                fb_csv_encoding *encoding)
{
    for (size_t i = 0; i < sizeof encoding_names / sizeof *encoding_names; i++)
        if (strcmp(text, encoding_names[i]) == 0) {
            *encoding = (fb_csv_encoding)i;
            return FB_OK;
        }
    return fb_fail(ctx, FB_E_USAGE,
                   "encoding \"%.32s\" is none of utf-8, latin-1, windows-1252", text);
}

/* ---- the window --------------------------------------------------------------------
 */

static fb_status grow(fb_context *ctx, fb_csv_reader *r)
{
    size_t capacity = r->capacity ? 2 * r->capacity : CHUNK_BYTES;
    uint8_t *buffer = realloc(r->buffer, capacity);
    if (buffer)
        r->buffer = buffer;
    char *text = realloc(r->text, MOST_UTF8_BYTES * capacity + 1);
    if (text)
        r->text = text;
    if (!buffer || !text)
        return fb_fail(ctx, FB_E_MEMORY, "%s:%lld: no memory for the row", r->name,
                       (long long)r->line);
    r->capacity = capacity;
    return FB_OK;
}

/* More bytes behind those that are there, or eof. */
static fb_status fill(fb_context *ctx, fb_csv_reader *r)
{
    if (r->at > 0) {
        memmove(r->buffer, r->buffer + r->at, r->end - r->at);
        r->end -= r->at;
        r->at = 0;
    }
    if (r->end == r->capacity)
        FB_TRY(grow(ctx, r));
    size_t got = fread(r->buffer + r->end, 1, r->capacity - r->end, r->stream);
    r->end += got;
    if (got == 0 && ferror(r->stream))
        return fb_fail(ctx, FB_E_IO, "%s:%lld: cannot be read: %s", r->name,
                       (long long)r->line, strerror(errno));
    r->eof = got == 0;
    return FB_OK;
}

static void pass(fb_csv_reader *r, size_t to, int64_t lines)
{
    r->bytes_read += (int64_t)(to - r->at);
    r->at = to;
    r->line += lines;
}

/* ---- a row -------------------------------------------------------------------------
 */

typedef enum split_result {
    SPLIT_ROW,
    SPLIT_MORE, /* the window ends within the row */
    SPLIT_BAD
} split_result;

static void put(fb_csv_reader *r, uint8_t byte)
{
    r->text[r->text_used++] = (char)byte;
}

static void put_character(fb_csv_reader *r, uint8_t byte)
{
    utf8proc_int32_t point = byte;
    if (byte < 0x80 || r->encoding == FB_CSV_UTF8) {
        put(r, byte);
        return;
    }
    if (r->encoding == FB_CSV_WINDOWS1252 && byte < 0xa0 && windows1252[byte - 0x80])
        point = windows1252[byte - 0x80];
    r->text_used +=
        (size_t)utf8proc_encode_char(point, (utf8proc_uint8_t *)r->text + r->text_used);
}

/* From the byte behind the opening quote; to the byte behind the closing one. */
static split_result quoted_field(fb_csv_reader *r, size_t *at, int64_t *lines)
{
    for (size_t i = *at; i < r->end; i++) {
        uint8_t c = r->buffer[i];
        if (c != '"') {
            *lines += c == '\n' ||
                      (c == '\r' && !(i + 1 < r->end && r->buffer[i + 1] == '\n'));
            put_character(r, c);
            continue;
        }
        if (i + 1 == r->end && !r->eof)
            return SPLIT_MORE;
        uint8_t next = i + 1 < r->end ? r->buffer[i + 1] : (uint8_t)'\n';
        if (next == '"') {
            put(r, '"');
            i++;
        } else if (next == (uint8_t)r->delimiter || next == '\r' || next == '\n') {
            *at = i + 1;
            return SPLIT_ROW;
        } else {
            snprintf(r->why, sizeof r->why,
                     "text behind the closing quote of field %d; a quote within "
                     "quotes is written twice",
                     r->count);
            return SPLIT_BAD;
        }
    }
    if (!r->eof)
        return SPLIT_MORE;
    snprintf(r->why, sizeof r->why, "the quote that opens field %d is never closed",
             r->count);
    return SPLIT_BAD;
}

static split_result plain_field(fb_csv_reader *r, size_t *at)
{
    size_t i = *at;
    for (; i < r->end; i++) {
        uint8_t c = r->buffer[i];
        if (c == (uint8_t)r->delimiter || c == '\n' || c == '\r')
            break;
        put_character(r, c);
    }
    *at = i;
    return i < r->end || r->eof ? SPLIT_ROW : SPLIT_MORE;
}

/* The row at r->at into text and starts; *next is where the one behind it begins. */
static split_result split(fb_csv_reader *r, size_t *next, int64_t *lines)
{
    size_t at = r->at;
    r->text_used = 0;
    r->count = 0;
    r->quoted = false;
    for (*lines = 1;; at++) {
        if (r->count == FB_CSV_FIELDS_MAX) {
            snprintf(r->why, sizeof r->why, "more than %d fields", FB_CSV_FIELDS_MAX);
            return SPLIT_BAD;
        }
        if (at == r->end && !r->eof)
            return SPLIT_MORE;
        r->starts[r->count++] = r->text_used;
        bool quote = at < r->end && r->buffer[at] == '"';
        r->quoted |= quote;
        at += quote;
        split_result result = quote ? quoted_field(r, &at, lines) : plain_field(r, &at);
        if (result != SPLIT_ROW)
            return result;
        put(r, 0);
        if (at >= r->end || r->buffer[at] != (uint8_t)r->delimiter)
            break;
    }
    if (at + 1 >= r->end && !r->eof) /* whether LF follows CR */
        return SPLIT_MORE;
    if (at < r->end && r->buffer[at] == '\r' && at + 1 < r->end &&
        r->buffer[at + 1] == '\n')
        at++;
    *next = at < r->end ? at + 1 : at;
    return SPLIT_ROW;
}

/* Pass over the rest of the line. */
static fb_status pass_line(fb_context *ctx, fb_csv_reader *r)
{
    for (;;) {
        for (size_t i = r->at; i < r->end; i++) {
            uint8_t c = r->buffer[i];
            if (c == '\r' && i + 1 == r->end && !r->eof)
                break;
            if (c != '\n' && c != '\r')
                continue;
            bool both = c == '\r' && i + 1 < r->end && r->buffer[i + 1] == '\n';
            pass(r, i + 1 + both, 1);
            return FB_OK;
        }
        bool keep = r->end > r->at && r->buffer[r->end - 1] == '\r';
        pass(r, r->end - (keep && !r->eof), 0);
        if (r->eof)
            return FB_OK;
        FB_TRY(fill(ctx, r));
    }
}

static bool is_blank_line(const fb_csv_reader *r)
{
    return r->count == 1 && !r->quoted && r->text_used == 1;
}

/* Fault TEXT and why where a field is not text. */
static void check_text(fb_csv_reader *r, fb_csv_row *row)
{
    for (int32_t i = 0; i < r->count && row->fault == FB_RECORD_GOOD; i++) {
        size_t end = i + 1 < r->count ? r->starts[i + 1] : r->text_used;
        const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)r->text + r->starts[i];
        const utf8proc_uint8_t *stop = (const utf8proc_uint8_t *)r->text + end - 1;
        while (at < stop) {
            utf8proc_int32_t point;
            utf8proc_ssize_t length = utf8proc_iterate(at, stop - at, &point);
            if (length <= 0 || point == 0) {
                snprintf(r->why, sizeof r->why,
                         point == 0 && length > 0
                             ? "field %d has a byte 0x%02x, which is not text"
                             : "field %d has a byte 0x%02x that is not UTF-8; is the "
                               "file in --encoding latin-1?",
                         i + 1, *at);
                row->fault = FB_RECORD_BAD_TEXT;
                row->why = r->why;
                break;
            }
            at += length;
        }
    }
}

static void show(fb_csv_reader *r, fb_csv_row *row)
{
    for (int32_t i = 0; i < r->count; i++)
        r->fields[i] = r->text + r->starts[i];
    row->fields = r->fields;
    row->count = r->count;
    row->quoted = r->quoted;
}

fb_status fb_csv_next(fb_context *ctx, fb_csv_reader *r, fb_csv_row *row)
{
    for (;;) {
        *row = (fb_csv_row){.line = r->line};
        if (r->at == r->end) {
            if (!r->eof)
                FB_TRY(fill(ctx, r));
            row->end = r->at == r->end && r->eof;
            if (row->end)
                return FB_OK;
        }
        size_t next = r->at;
        int64_t lines = 0;
        split_result result = split(r, &next, &lines);
        if (result == SPLIT_MORE && r->end - r->at <= FB_CSV_ROW_BYTES_MAX) {
            FB_TRY(fill(ctx, r));
            continue;
        }
        if (result == SPLIT_ROW && next - r->at > FB_CSV_ROW_BYTES_MAX)
            result = SPLIT_MORE; /* whatever the window */
        if (result == SPLIT_MORE)
            snprintf(r->why, sizeof r->why,
                     "a row longer than %d bytes; is a quote never closed?",
                     FB_CSV_ROW_BYTES_MAX);
        if (result != SPLIT_ROW) {
            row->fault = FB_RECORD_BAD_ROW;
            row->why = r->why;
            return pass_line(ctx, r);
        }
        pass(r, next, lines);
        if (is_blank_line(r))
            continue;
        check_text(r, row);
        if (row->fault == FB_RECORD_GOOD)
            show(r, row);
        return FB_OK;
    }
}

/* ---- open --------------------------------------------------------------------------
 */

static char guess_delimiter(const fb_csv_reader *r)
{
    static const char candidates[] = ",;\t";
    int32_t counts[3] = {0};
    bool quoted = false;
    for (size_t i = r->at; i < r->end; i++) {
        char c = (char)r->buffer[i];
        quoted ^= c == '"';
        if (!quoted && (c == '\n' || c == '\r'))
            break;
        const char *found = quoted || c == 0 ? NULL : strchr(candidates, c);
        if (found)
            counts[found - candidates]++;
    }
    int best = 0;
    for (int i = 1; i < 3; i++)
        if (counts[i] > counts[best])
            best = i;
    return candidates[best];
}

static fb_status begin(fb_context *ctx, fb_csv_reader *r)
{
    FB_TRY(grow(ctx, r));
    while (!r->eof && r->end < r->capacity)
        FB_TRY(fill(ctx, r));
    if (r->end >= 3 && memcmp(r->buffer, "\xef\xbb\xbf", 3) == 0)
        pass(r, 3, 0);
    else if (r->end >= 2 && (memcmp(r->buffer, "\xff\xfe", 2) == 0 ||
                             memcmp(r->buffer, "\xfe\xff", 2) == 0))
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: UTF-16 text; save it as UTF-8 (\"CSV UTF-8\")", r->name);
    if (r->delimiter == 0)
        r->delimiter = guess_delimiter(r);
    return FB_OK;
}

fb_status fb_csv_open(fb_context *ctx, fb_csv_reader **reader, const char *name,
                      FILE *stream, char delimiter, fb_csv_encoding encoding)
{
    fb_csv_reader *r = calloc(1, sizeof *r);
    if (!r) {
        (void)fclose(stream);
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", name);
    }
    snprintf(r->name, sizeof r->name, "%s", name);
    r->stream = stream;
    r->delimiter = delimiter;
    r->encoding = encoding;
    r->line = 1;
    fb_status status = begin(ctx, r);
    if (status == FB_OK)
        *reader = r;
    else
        fb_csv_close(r);
    return status;
}

void fb_csv_close(fb_csv_reader *r)
{
    if (!r)
        return;
    (void)fclose(r->stream);
    free(r->buffer);
    free(r->text);
    free(r);
}

char fb_csv_delimiter(const fb_csv_reader *r)
{
    return r->delimiter;
}

int64_t fb_csv_bytes_read(const fb_csv_reader *r)
{
    return r->bytes_read;
}
