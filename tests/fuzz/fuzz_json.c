/* fuzz_json.c - any bytes as JSON: parsed or refused; what is parsed and whose strings
 * are written again can be parsed again. */
#include "base/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void write_value(fb_json_writer *w, const json_t *value, int levels)
{
    if (levels == 0 || json_is_null(value)) {
        fb_json_bool(w, false);
    } else if (json_is_object(value)) {
        fb_json_open_object(w);
        const char *key;
        json_t *member;
        json_object_foreach((json_t *)(uintptr_t)value, key, member)
        {
            fb_json_key(w, key);
            write_value(w, member, levels - 1);
        }
        fb_json_close_object(w);
    } else if (json_is_array(value)) {
        fb_json_open_array(w);
        for (size_t i = 0; i < json_array_size(value); i++)
            write_value(w, json_array_get(value, i), levels - 1);
        fb_json_close_array(w);
    } else if (json_is_string(value)) {
        fb_json_string(w, json_string_value(value));
    } else if (json_is_integer(value)) {
        fb_json_int(w, json_integer_value(value));
    } else {
        fb_json_double(w, json_number_value(value));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fb_context *ctx = fb_context_create();
    json_t *value = NULL, *again = NULL;
    if (fb_json_parse(ctx, "fuzz", (const char *)bytes, size, &value) == FB_OK) {
        char *text = NULL;
        size_t text_size = 0;
        FILE *stream = open_memstream(&text, &text_size);
        fb_json_writer writer;
        fb_json_begin(&writer, stream, size % 2 ? 2 : 0);
        write_value(&writer, value, FB_JSON_DEPTH - 2);
        fclose(stream);
        if (fb_json_parse(ctx, "written", text, text_size, &again) != FB_OK)
            abort();
        int64_t i = 0;
        double d = 0;
        (void)fb_json_get_int(ctx, "fuzz", value, "a", 0, 9, &i);
        (void)fb_json_get_double(ctx, "fuzz", value, "a", 0, 9, &d);
        json_decref(again);
        json_decref(value);
        free(text);
    }
    fb_context_free(ctx);
    return 0;
}
