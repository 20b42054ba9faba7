/* contact_sheet_task.c - the public face of the contact sheet: a grid of equal rows. */
#include "data/image/contact_sheet.h"
#include "fashionbert.h"

#include <stdlib.h>

enum { THUMB_SIZE = 160 };

fb_status fb_contact_sheet(fb_context *ctx, const char *path,
                           const char *const *captions, int32_t row_count,
                           const char *const *image_files, int32_t images_per_row,
                           const char *const *image_captions)
{
    fb_context_clear(ctx);
    if (row_count < 1 || images_per_row < 1)
        return fb_fail(ctx, FB_E_USAGE, "%s: a contact sheet of %d rows of %d images",
                       path, (int)row_count, (int)images_per_row);
    size_t columns = (size_t)images_per_row;
    fb_sheet_row *rows = calloc((size_t)row_count, sizeof *rows);
    if (!rows)
        return fb_fail(ctx, FB_E_MEMORY, "out of memory for %s", path);
    for (size_t r = 0; r < (size_t)row_count; r++)
        rows[r] = (fb_sheet_row){captions[r], image_files + r * columns,
                                 image_captions ? image_captions + r * columns : NULL,
                                 images_per_row};
    fb_status status = fb_contact_sheet_write(ctx, path, rows, row_count, THUMB_SIZE);
    free(rows);
    return status;
}
