/* image_codec.h - what image_decode.c and the three formats share; no one else's
 * business.
 *
 * A codec fills `info` and, unless `header_only`, allocates image->rgb at the stored
 * size and gives the EXIF orientation. On failure image->rgb is NULL.
 */
#ifndef FB_DATA_IMAGE_IMAGE_CODEC_H
#define FB_DATA_IMAGE_IMAGE_CODEC_H

#include "data/image/image_decode.h"

typedef struct fb_image_source {
    const char *name;
    const uint8_t *bytes;
    size_t size_bytes;
    bool header_only;
} fb_image_source;

fb_status fb_jpeg_read(fb_context *ctx, const fb_image_source *source,
                       fb_image_info *info, fb_image *image, int *orientation);
fb_status fb_png_read(fb_context *ctx, const fb_image_source *source,
                      fb_image_info *info, fb_image *image, int *orientation);
fb_status fb_webp_read(fb_context *ctx, const fb_image_source *source,
                       fb_image_info *info, fb_image *image, int *orientation);

/* Accept a declared size into info: FB_E_FORMAT when empty, FB_E_LIMIT when too large.
 */
fb_status fb_image_accept_size(fb_context *ctx, const char *name, uint64_t width,
                               uint64_t height, fb_image_info *info);
/* FB_E_USAGE: there is nothing to write. */
fb_status fb_image_check_not_empty(fb_context *ctx, const char *name,
                                   const fb_image *image);
/* image of info's size, pixels not set */
fb_status fb_image_alloc(fb_context *ctx, const char *name, const fb_image_info *info,
                         fb_image *image);
/* rgb [count, 3] from rgba [count, 4], composited on white */
void fb_image_on_white(uint8_t *rgb, const uint8_t *rgba, size_t count);

/* Orientation 1 to 8; 0 when there is none that can be read. `exif` is a TIFF
 * structure, with or without "Exif\0\0" in front. */
int fb_exif_orientation(const uint8_t *exif, size_t size_bytes);
int fb_xmp_orientation(const uint8_t *xmp, size_t size_bytes);

#endif
