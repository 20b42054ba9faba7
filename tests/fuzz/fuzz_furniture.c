/* fuzz_furniture.c - the .properties parser: keys and values are strings of valid UTF-8
 * that can be looked up. */
#include "data/import/properties.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_utf8(const char *text)
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

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct fb_context ctx = {0};
    fb_properties *p = NULL;
    if (fb_properties_parse(&ctx, &p, "catalogue", bytes, size) != FB_OK) {
        if (!ctx.message[0])
            abort();
        return 0;
    }
    for (int32_t i = 0; i < fb_properties_count(p); i++) {
        const char *key = fb_properties_key(p, i), *value = fb_properties_get(p, key);
        if (!value)
            abort();
        check_utf8(key);
        check_utf8(value);
    }
    fb_properties_free(p);
    return 0;
}
