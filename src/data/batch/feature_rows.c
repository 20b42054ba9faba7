/* feature_rows.c - see feature_rows.h. */
#include "data/batch/feature_rows.h"

#include "base/intern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

fb_status fb_feature_rows_create(fb_context *ctx, fb_feature_rows *rows,
                                 const fb_catalogue *catalogue)
{
    int32_t items = fb_catalogue_count(catalogue);
    fb_feature_rows r = {0};
    r.item = malloc(((size_t)items + 1) * sizeof *r.item);
    r.row_of = malloc(((size_t)items + 1) * sizeof *r.row_of);
    if (!r.item || !r.row_of) {
        fb_feature_rows_clear(&r);
        return fb_fail(ctx, FB_E_MEMORY, "no memory to list %d images", (int)items);
    }
    for (int32_t i = 0; i < items; i++) {
        bool needed = fb_catalogue_get(catalogue, i)->split != FB_SPLIT_TEST;
        r.row_of[i] = needed ? r.count : -1;
        if (needed)
            r.item[r.count++] = i;
    }
    *rows = r;
    return FB_OK;
}

void fb_feature_rows_clear(fb_feature_rows *rows)
{
    free(rows->item);
    free(rows->row_of);
    *rows = (fb_feature_rows){0};
}

fb_status fb_feature_rows_hash(fb_context *ctx, uint64_t *hash,
                               const fb_feature_rows *rows,
                               const fb_catalogue *catalogue)
{
    uint64_t h = fb_catalogue_fingerprint(catalogue);
    for (int32_t i = 0; i < rows->count; i++) {
        char path[4096];
        struct stat st;
        FB_TRY(fb_catalogue_image_path(ctx, catalogue, rows->item[i], path));
        if (stat(path, &st) != 0)
            return fb_fail(ctx, FB_E_MISSING, "%s: cannot be looked at: %s", path,
                           strerror(errno));
        uint64_t size = (uint64_t)st.st_size;
        h = fb_hash_bytes(h, &size, sizeof size);
    }
    *hash = h;
    return FB_OK;
}
