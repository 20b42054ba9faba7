/* region_sheet.c - see region_sheet.h. */
#include "data/regions/region_sheet.h"
#include "data/image/draw.h"
#include "data/image/image_load.h"

#include <stdlib.h>

enum {
    CELL = 160, /* pixels a side of a photo, letterboxed */
    GAP = 4,
    MARGIN = 14,
    LABEL = FB_GLYPH_HEIGHT + 6,
    LINE = 2
};

/* Told apart on any photo; taken in turn. */
static const uint8_t colours[][3] = {{230, 25, 75},  {60, 180, 75},  {0, 130, 200},
                                     {245, 130, 48}, {145, 30, 180}, {70, 200, 220},
                                     {240, 50, 230}, {128, 128, 0}};
enum { COLOURS = sizeof colours / sizeof colours[0] };
static const uint8_t grid_colour[3] = {0, 130, 200};

/* The outline of pixels x1 .. x2 - 1, y1 .. y2 - 1. */
static void outline(fb_image *sheet, int32_t x1, int32_t y1, int32_t x2, int32_t y2,
                    const uint8_t rgb[3])
{
    fb_draw_box(sheet, x1, y1, x2 - x1, LINE, rgb);
    fb_draw_box(sheet, x1, y2 - LINE, x2 - x1, LINE, rgb);
    fb_draw_box(sheet, x1, y1, LINE, y2 - y1, rgb);
    fb_draw_box(sheet, x2 - LINE, y1, LINE, y2 - y1, rgb);
}

static int32_t place_of(int32_t start, int32_t size, float share)
{
    return start + (int32_t)(share * (float)size + 0.5f);
}

static void draw_boxes(fb_image *sheet, const fb_region_photo *photo, fb_fit_place at)
{
    for (int32_t i = 0; i < photo->count; i++) {
        const float *b = photo->boxes + 4 * (size_t)i;
        outline(sheet, place_of(at.left, at.width, b[0]),
                place_of(at.top, at.height, b[1]), place_of(at.left, at.width, b[2]),
                place_of(at.top, at.height, b[3]), colours[i % COLOURS]);
    }
}

static void draw_grid(fb_image *sheet, fb_fit_place at, int32_t grid)
{
    for (int32_t i = 0; i <= grid; i++) {
        float share = (float)i / (float)grid;
        int32_t x = place_of(at.left, at.width - 1, share);
        int32_t y = place_of(at.top, at.height - 1, share);
        fb_draw_box(sheet, x, at.top, 1, at.height, grid_colour);
        fb_draw_box(sheet, at.left, y, at.width, 1, grid_colour);
    }
}

static fb_status draw_photo(fb_context *ctx, fb_image *sheet, fb_resizer *resizer,
                            const fb_region_photo *photo, int32_t x, int32_t y,
                            int32_t grid)
{
    uint8_t pixels[CELL * CELL * 3];
    char label[200];
    fb_image image = {0};
    FB_TRY(fb_image_open(ctx, photo->path, &image));
    fb_fit_place at = fb_image_fit_place(image.width, image.height, CELL, FB_FIT_PAD);
    fb_status status =
        fb_image_fit(ctx, resizer, pixels, &image, CELL, FB_FIT_PAD, FB_FILTER_BICUBIC);
    fb_image_free(&image);
    FB_TRY(status);
    fb_draw_image(sheet, x, y, CELL, CELL, pixels);
    fb_draw_image(sheet, x + CELL + GAP, y, CELL, CELL, pixels);
    at.left += x;
    at.top += y;
    draw_boxes(sheet, photo, at);
    at.left += CELL + GAP;
    draw_grid(sheet, at, grid);
    snprintf(label, sizeof label, "%d regions: %.150s", (int)photo->count,
             photo->title);
    fb_draw_text(sheet, x, y + CELL + GAP, 2 * CELL + GAP, 1, label);
    return FB_OK;
}

fb_status fb_region_sheet_draw(fb_context *ctx, fb_image *sheet,
                               const fb_region_photo *photos, int32_t count,
                               int32_t grid)
{
    if (count < 1)
        return fb_fail(ctx, FB_E_USAGE, "a sheet of regions needs at least one photo");
    int32_t rows = (count + FB_REGION_SHEET_PAIRS - 1) / FB_REGION_SHEET_PAIRS;
    int32_t columns = count < FB_REGION_SHEET_PAIRS ? count : FB_REGION_SHEET_PAIRS;
    int32_t across = 2 * CELL + GAP + MARGIN, down = CELL + LABEL + MARGIN;
    fb_image made = {0};
    fb_resizer *resizer = fb_resizer_create();
    fb_status status = resizer ? FB_OK : fb_fail(ctx, FB_E_MEMORY, "no memory");
    if (status == FB_OK)
        status = fb_draw_begin(ctx, &made, MARGIN + columns * across,
                               MARGIN + rows * down, "a sheet of regions");
    for (int32_t i = 0; i < count && status == FB_OK; i++)
        status = draw_photo(ctx, &made, resizer, &photos[i],
                            MARGIN + i % FB_REGION_SHEET_PAIRS * across,
                            MARGIN + i / FB_REGION_SHEET_PAIRS * down, grid);
    fb_resizer_free(resizer);
    if (status == FB_OK)
        *sheet = made;
    else
        fb_image_free(&made);
    return status;
}
