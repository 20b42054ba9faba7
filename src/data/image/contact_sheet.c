/* contact_sheet.c - see contact_sheet.h. */
#include "data/image/contact_sheet.h"

#include "data/image/draw.h"
#include "data/image/image_load.h"

#include <stdlib.h>
#include <string.h>

enum { MARGIN = 8, CAPTION_SCALE = 2, LABEL_SCALE = 1, DEFAULT_THUMB = 128 };

static bool has_caption(const fb_sheet_row *row)
{
    return row->caption && row->caption[0];
}

static bool has_labels(const fb_sheet_row *row)
{
    for (int32_t i = 0; row->labels && i < row->count; i++)
        if (row->labels[i] && row->labels[i][0])
            return true;
    return false;
}

static int32_t caption_height(const fb_sheet_row *row)
{
    return has_caption(row) ? FB_GLYPH_HEIGHT * CAPTION_SCALE + MARGIN : 0;
}

static int64_t row_height(const fb_sheet_row *row, int32_t thumb)
{
    int32_t label = has_labels(row) ? FB_GLYPH_HEIGHT * LABEL_SCALE + MARGIN / 2 : 0;
    return caption_height(row) + (row->count > 0 ? thumb + label + MARGIN : 0);
}

static fb_status lay_out(fb_context *ctx, const fb_sheet_row *rows, int32_t row_count,
                         int32_t thumb, fb_image *sheet)
{
    int64_t columns = 0, height = MARGIN;
    if (thumb < 16 || thumb > 1024)
        return fb_fail(ctx, FB_E_USAGE, "thumbnails of %d pixels, 16 to 1024 are drawn",
                       thumb);
    for (int32_t i = 0; i < row_count; i++) {
        columns = rows[i].count > columns ? rows[i].count : columns;
        height += row_height(&rows[i], thumb);
    }
    if (columns == 0)
        return fb_fail(ctx, FB_E_USAGE, "a contact sheet needs at least one image");
    int64_t width = MARGIN + columns * (thumb + MARGIN);
    return fb_draw_begin(ctx, sheet, width, height, "a contact sheet");
}

static fb_status draw_row(fb_context *ctx, fb_image *sheet, fb_resizer *resizer,
                          uint8_t *pixels, const fb_sheet_row *row, int32_t thumb,
                          int32_t y)
{
    if (has_caption(row))
        fb_draw_text(sheet, MARGIN, y, sheet->width - 2 * MARGIN, CAPTION_SCALE,
                     row->caption);
    y += caption_height(row);
    for (int32_t i = 0; i < row->count; i++) {
        int32_t x = MARGIN + i * (thumb + MARGIN);
        FB_TRY(fb_image_load(ctx, row->image_files[i], resizer, thumb, FB_FIT_PAD,
                             FB_FILTER_BICUBIC, pixels));
        fb_draw_image(sheet, x, y, thumb, thumb, pixels);
        if (row->labels && row->labels[i])
            fb_draw_text(sheet, x, y + thumb + MARGIN / 2, thumb, LABEL_SCALE,
                         row->labels[i]);
    }
    return FB_OK;
}

fb_status fb_contact_sheet_write(fb_context *ctx, const char *path,
                                 const fb_sheet_row *rows, int32_t row_count,
                                 int32_t thumb_size)
{
    int32_t thumb = thumb_size == 0 ? DEFAULT_THUMB : thumb_size, y = MARGIN;
    fb_image sheet = {0};
    FB_TRY(lay_out(ctx, rows, row_count, thumb, &sheet));
    fb_resizer *resizer = fb_resizer_create();
    uint8_t *pixels = malloc((size_t)thumb * (size_t)thumb * 3);
    fb_status status = FB_OK;
    if (!resizer || !pixels)
        status = fb_fail(ctx, FB_E_MEMORY, "no memory for a contact sheet");
    for (int32_t i = 0; i < row_count && status == FB_OK; i++) {
        status = draw_row(ctx, &sheet, resizer, pixels, &rows[i], thumb, y);
        y += (int32_t)row_height(&rows[i], thumb);
    }
    if (status == FB_OK)
        status = fb_image_write_png(ctx, path, &sheet);
    free(pixels);
    fb_resizer_free(resizer);
    fb_image_free(&sheet);
    return status;
}
