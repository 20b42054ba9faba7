/* floor_features.c - see floor_features.h. */
#include "data/image/floor_features.h"

#include <math.h>
#include <string.h>

enum {
    THUMB = 14,
    THUMB_NUMBERS = THUMB * THUMB * 3,
    COLOURS = 8 * 8 * 8,
    EDGE_SIDE = 56,
    CELLS = 4,
    CELL = EDGE_SIDE / CELLS,
    DIRECTIONS = 8
};

static void take_colours(const fb_image *image, float *shares)
{
    int32_t counts[COLOURS] = {0};
    size_t pixels = (size_t)image->width * (size_t)image->height;
    for (size_t i = 0; i < pixels; i++) {
        const uint8_t *p = image->rgb + 3 * i;
        counts[(p[0] >> 5) << 6 | (p[1] >> 5) << 3 | p[2] >> 5]++;
    }
    for (int i = 0; i < COLOURS; i++)
        shares[i] = (float)counts[i] / (float)pixels;
}

/* edges [CELLS, CELLS, DIRECTIONS] of pixels [EDGE_SIDE, EDGE_SIDE, 3] */
static void take_edges(const uint8_t *pixels, float *edges)
{
    float grey[EDGE_SIDE][EDGE_SIDE];
    const float pi = 3.14159265f;
    for (int i = 0; i < EDGE_SIDE * EDGE_SIDE; i++) {
        const uint8_t *p = &pixels[3 * i];
        grey[i / EDGE_SIDE][i % EDGE_SIDE] =
            (float)(299 * p[0] + 587 * p[1] + 114 * p[2]) / 255000.0f;
    }
    memset(edges, 0, sizeof *edges * CELLS * CELLS * DIRECTIONS);
    for (int y = 0; y < EDGE_SIDE; y++)
        for (int x = 0; x < EDGE_SIDE; x++) {
            bool inside_x = x > 0 && x + 1 < EDGE_SIDE;
            bool inside_y = y > 0 && y + 1 < EDGE_SIDE;
            float dx = inside_x ? grey[y][x + 1] - grey[y][x - 1] : 0.0f;
            float dy = inside_y ? grey[y + 1][x] - grey[y - 1][x] : 0.0f;
            float turn = atan2f(dy, dx) / pi; /* -1 .. 1; opposite ways are one */
            int bin = (int)((turn < 0 ? turn + 1 : turn) * DIRECTIONS) % DIRECTIONS;
            edges[((y / CELL) * CELLS + x / CELL) * DIRECTIONS + bin] +=
                sqrtf(dx * dx + dy * dy);
        }
}

fb_status fb_floor_features_take(fb_context *ctx, fb_resizer *resizer,
                                 const fb_image *image,
                                 float features[FB_FLOOR_FEATURES])
{
    uint8_t thumb[THUMB_NUMBERS], larger[EDGE_SIDE * EDGE_SIDE * 3];
    FB_TRY(fb_image_fit(ctx, resizer, thumb, image, THUMB, FB_FIT_SQUASH,
                        FB_FILTER_BILINEAR));
    FB_TRY(fb_image_fit(ctx, resizer, larger, image, EDGE_SIDE, FB_FIT_SQUASH,
                        FB_FILTER_BILINEAR));
    for (int i = 0; i < THUMB_NUMBERS; i++)
        features[i] = (float)thumb[i] / 255.0f;
    take_colours(image, features + THUMB_NUMBERS);
    take_edges(larger, features + THUMB_NUMBERS + COLOURS);
    return FB_OK;
}
