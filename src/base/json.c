/* json.c - bounded reading through jansson. The writer is json_write.c. */
#include "base/json.h"
#include "base/file.h"

#include <inttypes.h>
#include <stdlib.h>

enum { MAX_NESTING = 64 };

/* Where an allocation fails jansson's reader leaves a character out and goes on, so
 * that a text is changed without a word: its allocator notes it, for each thread. The
 * one that was set before, a host program's, is still what allocates. */
static _Thread_local bool allocation_failed;
static json_malloc_t allocate_before;

static void *allocate(size_t size)
{
    void *memory = allocate_before(size);
    if (!memory)
        allocation_failed = true;
    return memory;
}

__attribute__((constructor)) static void note_failures(void)
{
    json_free_t release;
    json_get_alloc_funcs(&allocate_before, &release);
    json_set_alloc_funcs(allocate, release);
}

/* jansson recurses up to 2048 deep, and takes up to 80 bytes of memory for one of text;
 * brackets and commas are counted first so that it need not. */
static fb_status check_shape(fb_context *ctx, const char *name, const char *text,
                             size_t size, size_t most_values)
{
    int depth = 0;
    size_t values = 1;
    long line = 1, column = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        column++;
        if (!in_string && (c == ',' || c == '[' || c == '{') && ++values > most_values)
            return fb_fail(ctx, FB_E_LIMIT, "%s: more than %zu values", name,
                           most_values);
        if (c == '\n') {
            line++;
            column = 0;
        } else if (in_string && c == '\\') {
            i++;
            column++;
        } else if (c == '"') {
            in_string = !in_string;
        } else if (!in_string && (c == '[' || c == '{') && ++depth > MAX_NESTING) {
            return fb_fail(ctx, FB_E_FORMAT,
                           "%s: line %ld column %ld: nested deeper than %d", name, line,
                           column, MAX_NESTING);
        } else if (!in_string && (c == ']' || c == '}')) {
            depth--;
        }
    }
    return FB_OK;
}

static fb_status parse(fb_context *ctx, const char *name, const char *text,
                       size_t size_bytes, size_t flags, size_t most_values,
                       json_t **value)
{
    FB_TRY(check_shape(ctx, name, text, size_bytes, most_values));
    json_error_t error;
    flags |= JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
    allocation_failed = false;
    json_t *parsed = json_loadb(text, size_bytes, flags, &error);
    if (allocation_failed) {
        json_decref(parsed);
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", name);
    }
    if (!parsed)
        return fb_fail(ctx, FB_E_FORMAT, "%s: line %d column %d: not JSON: %s", name,
                       error.line, error.column, error.text);
    *value = parsed;
    return FB_OK;
}

fb_status fb_json_parse(fb_context *ctx, const char *name, const char *text,
                        size_t size_bytes, json_t **value)
{
    return parse(ctx, name, text, size_bytes, 0, SIZE_MAX, value);
}

fb_status fb_json_parse_few(fb_context *ctx, const char *name, const char *text,
                            size_t size_bytes, size_t most_values, json_t **value)
{
    return parse(ctx, name, text, size_bytes, 0, most_values, value);
}

static fb_status read_file(fb_context *ctx, const char *path, size_t limit_bytes,
                           size_t flags, json_t **value)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    FB_TRY(fb_file_read(ctx, path, limit_bytes, &bytes, &size));
    fb_status status =
        parse(ctx, path, (const char *)bytes, size, flags, SIZE_MAX, value);
    free(bytes);
    return status;
}

fb_status fb_json_read(fb_context *ctx, const char *path, size_t limit_bytes,
                       json_t **value)
{
    return read_file(ctx, path, limit_bytes, 0, value);
}

fb_status fb_json_read_as_reals(fb_context *ctx, const char *path, size_t limit_bytes,
                                json_t **value)
{
    return read_file(ctx, path, limit_bytes, JSON_DECODE_INT_AS_REAL, value);
}

fb_status fb_json_get_int(fb_context *ctx, const char *name, const json_t *object,
                          const char *key, int64_t low, int64_t high, int64_t *out)
{
    const json_t *member = json_object_get(object, key);
    if (!member)
        return FB_OK;
    int64_t value = json_integer_value(member);
    if (!json_is_integer(member) || value < low || value > high)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: \"%s\" must be a whole number from %" PRId64 " to %" PRId64,
                       name, key, low, high);
    *out = value;
    return FB_OK;
}

fb_status fb_json_get_double(fb_context *ctx, const char *name, const json_t *object,
                             const char *key, double low, double high, double *out)
{
    const json_t *member = json_object_get(object, key);
    if (!member)
        return FB_OK;
    double value = json_number_value(member);
    if (!json_is_number(member) || !(value >= low && value <= high))
        return fb_fail(ctx, FB_E_FORMAT, "%s: \"%s\" must be a number from %g to %g",
                       name, key, low, high);
    *out = value;
    return FB_OK;
}

fb_status fb_json_get_bool(fb_context *ctx, const char *name, const json_t *object,
                           const char *key, bool *out)
{
    const json_t *member = json_object_get(object, key);
    if (!member)
        return FB_OK;
    if (!json_is_boolean(member))
        return fb_fail(ctx, FB_E_FORMAT, "%s: \"%s\" must be true or false", name, key);
    *out = json_is_true(member);
    return FB_OK;
}

fb_status fb_json_get_string(fb_context *ctx, const char *name, const json_t *object,
                             const char *key, const char **out)
{
    const json_t *member = json_object_get(object, key);
    if (!member)
        return FB_OK;
    if (!json_is_string(member))
        return fb_fail(ctx, FB_E_FORMAT, "%s: \"%s\" must be a string", name, key);
    *out = json_string_value(member);
    return FB_OK;
}
