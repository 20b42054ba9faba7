/* json.h - JSON in through jansson, bounded; JSON out through a small streaming writer.
 *
 * Reading: fb_json_parse returns jansson's json_t (json_decref it). Duplicate keys,
 * bytes behind the value, invalid UTF-8 and nesting past 64 are errors naming line and
 * column.
 *
 * Writing: the writer keeps commas and nesting; numbers are the shortest decimal that
 * reads back the same (%.9g for float, %.17g for double, tried shorter first); NaN and
 * infinity are written as null.
 */
#ifndef FB_BASE_JSON_H
#define FB_BASE_JSON_H

#include "base/status.h"
#include <jansson.h>
#include <stdio.h>

/* `name` is what errors call the text ("config.json", "metadata.jsonl:17"). */
fb_status fb_json_parse(fb_context *ctx, const char *name, const char *text,
                        size_t size_bytes, json_t **value);
/* The same of text from outside: more than most_values values, each of which takes
 * memory of its own, are FB_E_LIMIT before any is made. */
fb_status fb_json_parse_few(fb_context *ctx, const char *name, const char *text,
                            size_t size_bytes, size_t most_values, json_t **value);
fb_status fb_json_read(fb_context *ctx, const char *path, size_t limit_bytes,
                       json_t **value);
/* The same with whole numbers as doubles too: any number of digits passes. */
fb_status fb_json_read_as_reals(fb_context *ctx, const char *path, size_t limit_bytes,
                                json_t **value);

/* Members of an object, checked: FB_E_FORMAT naming `name` and key when it is of
 * another type or out of range; absent: *out keeps what it had. */
fb_status fb_json_get_int(fb_context *ctx, const char *name, const json_t *object,
                          const char *key, int64_t low, int64_t high, int64_t *out);
fb_status fb_json_get_double(fb_context *ctx, const char *name, const json_t *object,
                             const char *key, double low, double high, double *out);
fb_status fb_json_get_bool(fb_context *ctx, const char *name, const json_t *object,
                           const char *key, bool *out);
/* Borrowed from the object. */
fb_status fb_json_get_string(fb_context *ctx, const char *name, const json_t *object,
                             const char *key, const char **out);

enum { FB_JSON_DEPTH = 32 };
typedef struct fb_json_writer {
    FILE *stream;
    int32_t depth, indent; /* indent 0: all on one line */
    bool has_item[FB_JSON_DEPTH], after_key;
} fb_json_writer;

void fb_json_begin(fb_json_writer *w, FILE *stream, int32_t indent);
void fb_json_open_object(fb_json_writer *w);
void fb_json_close_object(fb_json_writer *w);
void fb_json_open_array(fb_json_writer *w);
void fb_json_close_array(fb_json_writer *w);
void fb_json_key(fb_json_writer *w, const char *key);
void fb_json_string(fb_json_writer *w, const char *text); /* invalid UTF-8 -> U+FFFD */
void fb_json_int(fb_json_writer *w, int64_t value);
void fb_json_float(fb_json_writer *w, float value);
void fb_json_double(fb_json_writer *w, double value);
void fb_json_bool(fb_json_writer *w, bool value);
/* key and value in one */
void fb_json_key_string(fb_json_writer *w, const char *key, const char *text);
void fb_json_key_int(fb_json_writer *w, const char *key, int64_t value);
void fb_json_key_double(fb_json_writer *w, const char *key, double value);
void fb_json_key_float(fb_json_writer *w, const char *key, float value);
void fb_json_key_bool(fb_json_writer *w, const char *key, bool value);

#endif
