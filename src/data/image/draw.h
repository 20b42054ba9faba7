/* draw.h - the little that pictures of results need: filled boxes and lines of text in
 * a built-in 5x7 font of ASCII; any other character is a hollow box. All is cut at the
 * image's edges.
 */
#ifndef FB_DATA_IMAGE_DRAW_H
#define FB_DATA_IMAGE_DRAW_H

#include "data/image/image_decode.h"

enum { FB_GLYPH_WIDTH = 5, FB_GLYPH_HEIGHT = 7 }; /* pixels, at scale 1 */

/* A white image. FB_E_LIMIT, naming `what` is made: wider than 16384, or more than
 * FB_IMAGE_PIXELS_MAX pixels. */
fb_status fb_draw_begin(fb_context *ctx, fb_image *image, int64_t width, int64_t height,
                        const char *what);
void fb_draw_box(fb_image *image, int32_t x, int32_t y, int32_t width, int32_t height,
                 const uint8_t rgb[3]);
/* One line of UTF-8 in dark grey, each font pixel `scale` pixels a side, the upper left
 * corner at x, y; ends in "..." where it is longer than `width` pixels. */
void fb_draw_text(fb_image *image, int32_t x, int32_t y, int32_t width, int32_t scale,
                  const char *text);
/* Pixels a line of that many characters takes. */
int32_t fb_draw_text_width(const char *text, int32_t scale);
/* rgb [height, width, 3] into the image. */
void fb_draw_image(fb_image *image, int32_t x, int32_t y, int32_t width, int32_t height,
                   const uint8_t *rgb);

#endif
