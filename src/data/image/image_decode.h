/* image_decode.h - JPEG, PNG and WebP bytes to RGB pixels, and pixels to PNG and JPEG
 * files.
 *
 *     rgb  [height, width, 3] u8
 *
 * The pixels are those of Pillow's ImageOps.exif_transpose(Image.open(...)), then
 * .convert("RGB") where the image has no transparency and, where it has, composited on
 * white as Image.alpha_composite does:
 *
 *     t = 128 * (alpha * colour + (255 - alpha) * 255 + 128)
 *     out = ((t >> 8) + t) >> 15               i.e. rounded, per channel
 *
 * Colour types:
 *   - CMYK and YCCK JPEG count as Adobe's inverted ones: with stored ink s and black k,
 *     out = k - (255 - s) k / 255, rounded.
 *   - 16 bits a channel keep the high byte; but 16-bit grey is cut at 255, as Pillow
 *     does.
 *   - Colour profiles and gamma are not applied.
 *   - A tRNS colour is compared as the PNG standard says, at the file's own depth
 *     (Pillow compares it with 8-bit values and so misses it below and above 8 bits).
 *   - The orientation comes from EXIF (APP1, eXIf, WebP's EXIF), else from XMP.
 *
 * Stricter than Pillow: corrupt or missing entropy-coded data is an error, never grey
 * rows. Of an animated WebP or PNG the first picture is read. The format is told by the
 * first bytes, never by a name.
 */
#ifndef FB_DATA_IMAGE_IMAGE_DECODE_H
#define FB_DATA_IMAGE_IMAGE_DECODE_H

#include "base/status.h"
#include <stdio.h>

#define FB_IMAGE_PIXELS_MAX 40000000   /* width * height */
#define FB_IMAGE_SIDE_MAX   65535      /* bounds the resizing tables of a sliver */
#define FB_IMAGE_BYTES_MAX  (64 << 20) /* of the encoded file */

typedef struct fb_image {
    int32_t width, height;
    uint8_t *rgb; /* [height, width, 3], malloc'ed */
} fb_image;

typedef enum fb_image_format {
    FB_IMAGE_JPEG,
    FB_IMAGE_PNG,
    FB_IMAGE_WEBP
} fb_image_format;

typedef struct fb_image_info {
    fb_image_format format;
    int32_t width, height; /* as stored, before the orientation is applied */
} fb_image_info;

/* `name` is only for the sentences. On failure the output is untouched.
 * FB_E_FORMAT  not one of the three formats, truncated, corrupt, or of an unread kind
 * FB_E_LIMIT   past one of the limits above, told before anything is decoded
 * FB_E_MEMORY */
fb_status fb_image_probe(fb_context *ctx, const char *name, const uint8_t *bytes,
                         size_t size_bytes, fb_image_info *info);
fb_status fb_image_decode(fb_context *ctx, const char *name, const uint8_t *bytes,
                          size_t size_bytes, fb_image *image);
void fb_image_free(fb_image *image); /* takes an image of zeros; leaves one */

/* Write 8-bit RGB by way of `path.new`; quality 1 to 100, no chroma subsampling.
 * FB_E_IO, FB_E_MEMORY, FB_E_USAGE (an empty image): an older file is left as it was.
 */
fb_status fb_image_write_png(fb_context *ctx, const char *path, const fb_image *image);
fb_status fb_image_write_jpeg(fb_context *ctx, const char *path, const fb_image *image,
                              int32_t quality);
/* The same to a stream, which `name` names in sentences; halved: colour at half the
 * width and height, as cameras write it. On failure the stream holds a part. */
fb_status fb_image_encode_jpeg(fb_context *ctx, FILE *stream, const char *name,
                               const fb_image *image, int32_t quality, bool halved);
fb_status fb_image_encode_png(fb_context *ctx, FILE *stream, const char *name,
                              const fb_image *image);

#endif
