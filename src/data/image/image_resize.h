/* image_resize.h - resizing equal to Pillow's Image.resize, to the last level.
 *
 * Separable, antialiased, 8-bit fixed point: for each output position the filter is
 * stretched by max(1, in/out), sampled at the input centres that it covers, normalised
 * to a sum of 1 in double, rounded to 22 fractional bits; sums start at one half and
 * are cut to 0..255. First across, into 8 bits again, then down; a pass that keeps the
 * size is left out. Down comes first when the height shrinks by more than twice what
 * the width does (in_h - out_h > 0 and > 2 (in_w - out_w)): so Pillow 13. Up to Pillow
 * 12 across always came first, which gives such tall images other pixels by one level
 * here and there (by a few with bicubic at hard edges).
 *
 *     bilinear  w(x) = 1 - |x|                                  |x| < 1
 *     bicubic   w(x) = 3/2 |x|^3 - 5/2 |x|^2 + 1                |x| < 1    (a = -1/2)
 *                    = -1/2 |x|^3 + 5/2 |x|^2 - 4 |x| + 2       |x| < 2
 */
#ifndef FB_DATA_IMAGE_IMAGE_RESIZE_H
#define FB_DATA_IMAGE_IMAGE_RESIZE_H

#include "data/image/image_decode.h"

typedef enum fb_filter { FB_FILTER_BILINEAR, FB_FILTER_BICUBIC } fb_filter;

typedef enum fb_fit {
    FB_FIT_PAD,   /* longer side to `size`, centred on white */
    FB_FIT_SQUASH /* both sides to `size` */
} fb_fit;

/* "pad" or "squash", "bilinear" or "bicubic"; FB_E_USAGE names the two. */
fb_status fb_fit_parse(fb_context *ctx, const char *text, fb_fit *fit);
fb_status fb_filter_parse(fb_context *ctx, const char *text, fb_filter *filter);

/* Scratch memory and the filter tables of the last size; one per thread. Memory only
 * grows; images of a size seen before allocate nothing. NULL when memory is out. */
typedef struct fb_resizer fb_resizer;
fb_resizer *fb_resizer_create(void);
void fb_resizer_free(fb_resizer *resizer);

/* out [height, width, 3], rows stride_bytes apart (at least width * 3), from image,
 * which it may not overlap. Sides 1 to FB_RESIZE_SIDE_MAX. FB_E_USAGE (a side),
 * FB_E_MEMORY: out is untouched */
#define FB_RESIZE_SIDE_MAX 16384
fb_status fb_image_resize(fb_context *ctx, fb_resizer *resizer, uint8_t *out,
                          size_t stride_bytes, int32_t width, int32_t height,
                          const fb_image *image, fb_filter filter);

/* Where in a square of `size` pixels a side an image of that size comes to lie. */
typedef struct fb_fit_place {
    int32_t left, top, width, height;
} fb_fit_place;
fb_fit_place fb_image_fit_place(int32_t width, int32_t height, int32_t size,
                                fb_fit fit);

/* out [size, size, 3]. Pad is Pillow's ImageOps.pad(image, (size, size), filter,
 * "white"): the shorter side becomes rint(shorter / longer * size), but at least 1, and
 * starts at rint((size - side) / 2); rint rounds halves to even. */
fb_status fb_image_fit(fb_context *ctx, fb_resizer *resizer, uint8_t *out,
                       const fb_image *image, int32_t size, fb_fit fit,
                       fb_filter filter);

#endif
