/* image_decode.c - tell the format by its first bytes, decode, turn upright.
 *
 * Orientation o maps the stored image S (w x h) to the upright one:
 *
 *     1 S   2 mirrored   3 turned 180   4 flipped   5 transposed
 *     6 turned 90 clockwise   7 transverse   8 turned 90 counter-clockwise
 *
 * Each is three bits: swap x and y, then run x backwards, then run y backwards.
 */
#include "data/image/image_decode.h"

#include "base/file_kind.h"
#include "data/image/image_codec.h"
#include <stdlib.h>
#include <string.h>

fb_status fb_image_accept_size(fb_context *ctx, const char *name, uint64_t width,
                               uint64_t height, fb_image_info *info)
{
    if (width == 0 || height == 0)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: declares an empty image of %llu x %llu pixels", name,
                       (unsigned long long)width, (unsigned long long)height);
    if (width > FB_IMAGE_SIDE_MAX || height > FB_IMAGE_SIDE_MAX ||
        width * height > FB_IMAGE_PIXELS_MAX)
        return fb_fail(
            ctx, FB_E_LIMIT,
            "%s: declares %llu x %llu pixels; at most %d and %d a side are read", name,
            (unsigned long long)width, (unsigned long long)height, FB_IMAGE_PIXELS_MAX,
            FB_IMAGE_SIDE_MAX);
    info->width = (int32_t)width;
    info->height = (int32_t)height;
    return FB_OK;
}

fb_status fb_image_check_not_empty(fb_context *ctx, const char *name,
                                   const fb_image *image)
{
    if (image->rgb == NULL || image->width < 1 || image->height < 1)
        return fb_fail(ctx, FB_E_USAGE, "%s: an empty image cannot be written", name);
    return FB_OK;
}

fb_status fb_image_alloc(fb_context *ctx, const char *name, const fb_image_info *info,
                         fb_image *image)
{
    image->width = info->width;
    image->height = info->height;
    image->rgb = malloc((size_t)info->width * (size_t)info->height * 3);
    if (image->rgb == NULL)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for %d x %d pixels", name,
                       info->width, info->height);
    return FB_OK;
}

void fb_image_on_white(uint8_t *rgb, const uint8_t *rgba, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t alpha = rgba[4 * i + 3], white = (255 - alpha) * 255;
        for (size_t c = 0; c < 3; c++) {
            uint32_t t = (rgba[4 * i + c] * alpha + white + 128) << 7;
            rgb[3 * i + c] = (uint8_t)(((t >> 8) + t) >> 15);
        }
    }
}

static fb_status image_turn(fb_context *ctx, const char *name, fb_image *image,
                            int orientation)
{
    /* swap, backwards in x, backwards in y: where the upright pixel (x, y) is read from
     */
    static const uint8_t turns[9][3] = {{0, 0, 0}, {0, 0, 0}, {0, 1, 0},
                                        {0, 1, 1}, {0, 0, 1}, {1, 0, 0},
                                        {1, 1, 0}, {1, 1, 1}, {1, 0, 1}};
    if (orientation < 2 || orientation > 8)
        return FB_OK;
    const uint8_t *turn = turns[orientation];
    fb_image_info info = {FB_IMAGE_JPEG, turn[0] ? image->height : image->width,
                          turn[0] ? image->width : image->height};
    fb_image upright;
    FB_TRY(fb_image_alloc(ctx, name, &info, &upright));
    ptrdiff_t across = turn[0] ? image->width : 1, down = turn[0] ? 1 : image->width;
    for (ptrdiff_t y = 0; y < upright.height; y++) {
        ptrdiff_t from = (turn[2] ? upright.height - 1 - y : y) * down;
        ptrdiff_t step = turn[1] ? -across : across;
        if (turn[1])
            from += (upright.width - 1) * across;
        uint8_t *to = upright.rgb + y * upright.width * 3;
        for (ptrdiff_t x = 0; x < upright.width; x++, from += step, to += 3)
            memcpy(to, image->rgb + from * 3, 3);
    }
    free(image->rgb);
    *image = upright;
    return FB_OK;
}

static fb_status image_sniff(fb_context *ctx, const fb_image_source *source,
                             fb_image_format *format)
{
    const uint8_t *b = source->bytes;
    size_t n = source->size_bytes;
    if (n > FB_IMAGE_BYTES_MAX)
        return fb_fail(ctx, FB_E_LIMIT, "%s: %zu bytes are more than the limit of %d",
                       source->name, n, FB_IMAGE_BYTES_MAX);
    if (n == 0)
        return fb_fail(
            ctx, FB_E_FORMAT,
            "%s: the file is empty; an image as JPEG, PNG or WebP is expected",
            source->name);
    if (n >= 3 && memcmp(b, "\xff\xd8\xff", 3) == 0)
        *format = FB_IMAGE_JPEG;
    else if (n >= 8 && memcmp(b, "\x89PNG\r\n\x1a\n", 8) == 0)
        *format = FB_IMAGE_PNG;
    else if (n >= 12 && memcmp(b, "RIFF", 4) == 0 && memcmp(b + 8, "WEBP", 4) == 0)
        *format = FB_IMAGE_WEBP;
    else if (fb_file_kind(b, n))
        return fb_fail(ctx, FB_E_FORMAT, "%s: %s; images as JPEG, PNG or WebP are read",
                       source->name, fb_file_kind(b, n));
    else
        return fb_fail(
            ctx, FB_E_FORMAT,
            "%s: starts like no JPEG, PNG or WebP image (first byte 0x%02x of "
            "%zu)",
            source->name, b[0], n);
    return FB_OK;
}

static fb_status image_read(fb_context *ctx, const fb_image_source *source,
                            fb_image_info *info, fb_image *image)
{
    int orientation = 0;
    FB_TRY(image_sniff(ctx, source, &info->format));
    switch (info->format) {
    case FB_IMAGE_JPEG:
        FB_TRY(fb_jpeg_read(ctx, source, info, image, &orientation));
        break;
    case FB_IMAGE_PNG:
        FB_TRY(fb_png_read(ctx, source, info, image, &orientation));
        break;
    case FB_IMAGE_WEBP:
        FB_TRY(fb_webp_read(ctx, source, info, image, &orientation));
        break;
    }
    if (source->header_only)
        return FB_OK;
    fb_status status = image_turn(ctx, source->name, image, orientation);
    if (status != FB_OK)
        fb_image_free(image);
    return status;
}

fb_status fb_image_probe(fb_context *ctx, const char *name, const uint8_t *bytes,
                         size_t size_bytes, fb_image_info *info)
{
    fb_image_source source = {name, bytes, size_bytes, true};
    fb_image_info found;
    fb_image none = {0, 0, NULL};
    FB_TRY(image_read(ctx, &source, &found, &none));
    *info = found;
    return FB_OK;
}

fb_status fb_image_decode(fb_context *ctx, const char *name, const uint8_t *bytes,
                          size_t size_bytes, fb_image *image)
{
    fb_image_source source = {name, bytes, size_bytes, false};
    fb_image_info info;
    fb_image decoded = {0, 0, NULL};
    FB_TRY(image_read(ctx, &source, &info, &decoded));
    *image = decoded;
    return FB_OK;
}

void fb_image_free(fb_image *image)
{
    free(image->rgb);
    *image = (fb_image){0, 0, NULL};
}
