/* image_load.h - an image file to the square of pixels that a batch carries. */
#ifndef FB_DATA_IMAGE_IMAGE_LOAD_H
#define FB_DATA_IMAGE_IMAGE_LOAD_H

#include "data/image/image_resize.h"

/* Read a whole file of at most FB_IMAGE_BYTES_MAX bytes and decode it. */
fb_status fb_image_open(fb_context *ctx, const char *path, fb_image *image);

/* The same, then fitted: out_pixels [size, size, 3]. On failure out_pixels is
 * untouched. FB_E_MISSING, FB_E_IO, FB_E_FORMAT, FB_E_LIMIT, FB_E_MEMORY, FB_E_USAGE
 * (size) */
fb_status fb_image_load(fb_context *ctx, const char *path, fb_resizer *resizer,
                        int32_t size, fb_fit fit, fb_filter filter,
                        uint8_t *out_pixels);

#endif
