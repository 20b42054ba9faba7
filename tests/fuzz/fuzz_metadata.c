/* fuzz_metadata.c - one line of metadata.jsonl; a row that is accepted must keep its
 * promises. */
#include "base/file.h"
#include "data/catalogue/catalogue_row.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct fb_context ctx = {0};
    fb_arena *arena = fb_arena_create(1 << 16);
    fb_string_pool pool = {arena, NULL, 0};
    fb_catalogue_row row = {0};
    if (fb_catalogue_row_read(&ctx, "metadata.jsonl:1", (const char *)bytes, size,
                              &pool, &row) == FB_OK) {
        if (!fb_path_is_inside(row.item.file_name) || !row.item.title[0] ||
            (int)row.item.split >= FB_SPLITS)
            abort();
        char *title = fb_title_normalise(row.item.title);
        char *again = title ? fb_title_normalise(title) : NULL;
        if (again && strlen(again) > 4 * strlen(row.item.title))
            abort();
        free(title);
        free(again);
        for (int32_t i = 0; i < 2 * row.item.attribute_count; i++)
            if (!row.item.attributes[i])
                abort();
    } else if (!ctx.message[0]) {
        abort();
    }
    fb_arena_free(arena);
    return 0;
}
