/* json_write.c - the streaming JSON writer of json.h. */
#include "base/json.h"

#include "base/number_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

void fb_json_begin(fb_json_writer *w, FILE *stream, int32_t indent)
{
    *w = (fb_json_writer){.stream = stream, .indent = indent};
}

static void new_line(fb_json_writer *w)
{
    if (w->indent > 0)
        fprintf(w->stream, "\n%*s", w->depth * w->indent, "");
}

/* What stands between the item before and the one that comes now. */
static void begin_item(fb_json_writer *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->depth == 0)
        return;
    if (w->has_item[w->depth])
        fputs(w->indent > 0 ? "," : ", ", w->stream);
    w->has_item[w->depth] = true;
    new_line(w);
}

static void open_nest(fb_json_writer *w, char bracket)
{
    begin_item(w);
    fputc(bracket, w->stream);
    if (w->depth >= FB_JSON_DEPTH - 1)
        abort(); /* the caller's nesting is fixed in its code, never by input */
    w->has_item[++w->depth] = false;
}

static void close_nest(fb_json_writer *w, char bracket)
{
    bool had_item = w->has_item[w->depth--];
    if (had_item)
        new_line(w);
    fputc(bracket, w->stream);
}

void fb_json_open_object(fb_json_writer *w)
{
    open_nest(w, '{');
}

void fb_json_close_object(fb_json_writer *w)
{
    close_nest(w, '}');
}

void fb_json_open_array(fb_json_writer *w)
{
    open_nest(w, '[');
}

void fb_json_close_array(fb_json_writer *w)
{
    close_nest(w, ']');
}

static void write_character(FILE *stream, const char *bytes, size_t size)
{
    unsigned char c = (unsigned char)bytes[0];
    if (c == '"' || c == '\\')
        fprintf(stream, "\\%c", c);
    else if (c == '\n')
        fputs("\\n", stream);
    else if (c == '\t')
        fputs("\\t", stream);
    else if (c < 0x20 || c == 0x7f)
        fprintf(stream, "\\u%04x", c);
    else
        fwrite(bytes, 1, size, stream);
}

static void write_text(FILE *stream, const char *text)
{
    size_t left = strlen(text);
    fputc('"', stream);
    while (left > 0) {
        utf8proc_int32_t code;
        utf8proc_ssize_t size = utf8proc_iterate((const utf8proc_uint8_t *)text,
                                                 (utf8proc_ssize_t)left, &code);
        if (size > 0)
            write_character(stream, text, (size_t)size);
        else
            fputs("\xef\xbf\xbd", stream);
        size_t step = size > 0 ? (size_t)size : 1;
        text += step;
        left -= step;
    }
    fputc('"', stream);
}

void fb_json_key(fb_json_writer *w, const char *key)
{
    begin_item(w);
    write_text(w->stream, key);
    fputs(": ", w->stream);
    w->after_key = true;
}

void fb_json_string(fb_json_writer *w, const char *text)
{
    begin_item(w);
    write_text(w->stream, text);
}

void fb_json_int(fb_json_writer *w, int64_t value)
{
    begin_item(w);
    fprintf(w->stream, "%" PRId64, value);
}

/* The shortest of 1 to `digits` digits that reads back as value, to float if is_float.
 */
static void write_number(fb_json_writer *w, double value, int digits, bool is_float)
{
    char text[40];
    begin_item(w);
    if (!isfinite(value)) {
        fputs("null", w->stream);
        return;
    }
    if (fabs(value) < 1e6 && value == trunc(value) && !(value == 0 && signbit(value))) {
        fb_stream_print(w->stream, "%.0f", value);
        return;
    }
    for (int n = 1; n <= digits; n++) {
        fb_text_print(text, sizeof text, "%.*g", n, value);
        double back = fb_number_read(text, NULL);
        if (is_float ? (float)back == (float)value : back == value)
            break;
    }
    fputs(text, w->stream);
}

void fb_json_float(fb_json_writer *w, float value)
{
    write_number(w, (double)value, 9, true);
}

void fb_json_double(fb_json_writer *w, double value)
{
    write_number(w, value, 17, false);
}

void fb_json_bool(fb_json_writer *w, bool value)
{
    begin_item(w);
    fputs(value ? "true" : "false", w->stream);
}

void fb_json_key_string(fb_json_writer *w, const char *key, const char *text)
{
    fb_json_key(w, key);
    fb_json_string(w, text);
}

void fb_json_key_int(fb_json_writer *w, const char *key, int64_t value)
{
    fb_json_key(w, key);
    fb_json_int(w, value);
}

void fb_json_key_double(fb_json_writer *w, const char *key, double value)
{
    fb_json_key(w, key);
    fb_json_double(w, value);
}

void fb_json_key_float(fb_json_writer *w, const char *key, float value)
{
    fb_json_key(w, key);
    fb_json_float(w, value);
}

void fb_json_key_bool(fb_json_writer *w, const char *key, bool value)
{
    fb_json_key(w, key);
    fb_json_bool(w, value);
}
