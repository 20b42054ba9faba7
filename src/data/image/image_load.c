/* image_load.c - read, decode, fit. */
#include "data/image/image_load.h"

#include "base/file.h"
#include <stdlib.h>

fb_status fb_image_open(fb_context *ctx, const char *path, fb_image *image)
{
    uint8_t *bytes;
    size_t size_bytes;
    FB_TRY(fb_file_read(ctx, path, FB_IMAGE_BYTES_MAX, &bytes, &size_bytes));
    fb_status status = fb_image_decode(ctx, path, bytes, size_bytes, image);
    free(bytes);
    return status;
}

fb_status fb_image_load(fb_context *ctx, const char *path, fb_resizer *resizer,
                        int32_t size, fb_fit fit, fb_filter filter, uint8_t *out_pixels)
{
    fb_image image;
    FB_TRY(fb_image_open(ctx, path, &image));
    fb_status status =
        fb_image_fit(ctx, resizer, out_pixels, &image, size, fit, filter);
    fb_image_free(&image);
    return status;
}
