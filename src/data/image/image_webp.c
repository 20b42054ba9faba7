/* image_webp.c - WebP through libwebp; of an animated one the first picture.
 *
 *     "RIFF" | u32 size of what follows | "WEBP" | chunks
 *     chunk: fourcc | u32 size | bytes, an even number of them
 *
 * All numbers little-endian. The EXIF chunk is found here; libwebp itself reads VP8,
 * VP8L and ALPH.
 */
#include "data/image/image_codec.h"
#include <stdlib.h>
#include <string.h>
#include <webp/decode.h>
#include <webp/demux.h>

static size_t little_endian_u32(const uint8_t *p)
{
    return (size_t)p[3] << 24 | (size_t)p[2] << 16 | (size_t)p[1] << 8 | p[0];
}

/* Walk the chunks up to the end that RIFF declares. */
static int webp_orientation(const fb_image_source *source, size_t end)
{
    int from_xmp = 0;
    const uint8_t *b = source->bytes;
    for (size_t at = 12; end - at >= 8;) {
        size_t size = little_endian_u32(b + at + 4), left = end - at - 8;
        if (size > left)
            break;
        if (memcmp(b + at, "EXIF", 4) == 0) {
            int orientation = fb_exif_orientation(b + at + 8, size);
            if (orientation > 0)
                return orientation;
        } else if (memcmp(b + at, "XMP ", 4) == 0) {
            from_xmp = fb_xmp_orientation(b + at + 8, size);
        }
        if (size + (size & 1) > left)
            break;
        at += 8 + size + (size & 1);
    }
    return from_xmp;
}

static fb_status webp_pixels(fb_context *ctx, const fb_image_source *source,
                             const fb_image *image, bool alpha)
{
    size_t width = (size_t)image->width, count = width * (size_t)image->height;
    WebPDecoderConfig how;
    uint8_t *rgba = alpha ? malloc(count * 4) : image->rgb;
    if (rgba == NULL || !WebPInitDecoderConfig(&how)) {
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for %d x %d pixels",
                       source->name, image->width, image->height);
    }
    int32_t channels = alpha ? 4 : 3;
    how.output.colorspace = alpha ? MODE_RGBA : MODE_RGB;
    how.output.is_external_memory = 1;
    how.output.u.RGBA =
        (WebPRGBABuffer){rgba, image->width * channels, count * (size_t)channels};
    VP8StatusCode decoded = WebPDecode(source->bytes, source->size_bytes, &how);
    WebPFreeDecBuffer(&how.output);
    if (alpha) {
        if (decoded == VP8_STATUS_OK)
            fb_image_on_white(image->rgb, rgba, count);
        free(rgba);
    }
    if (decoded == VP8_STATUS_OUT_OF_MEMORY)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to decode it", source->name);
    if (decoded != VP8_STATUS_OK)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: a corrupt or truncated WebP: its pixels cannot be decoded",
                       source->name);
    return FB_OK;
}

static fb_status webp_first_picture(fb_context *ctx, const fb_image_source *source,
                                    const fb_image *image)
{
    const WebPData data = {source->bytes, source->size_bytes};
    WebPAnimDecoderOptions options;
    uint8_t *rgba = NULL; /* the decoder's */
    int time_ms;
    bool ready = WebPAnimDecoderOptionsInit(&options) != 0;
    options.color_mode = MODE_RGBA;
    WebPAnimDecoder *decoder = ready ? WebPAnimDecoderNew(&data, &options) : NULL;
    WebPAnimInfo about = {0};
    bool done = decoder && WebPAnimDecoderGetInfo(decoder, &about) &&
                about.canvas_width == (uint32_t)image->width &&
                about.canvas_height == (uint32_t)image->height &&
                WebPAnimDecoderGetNext(decoder, &rgba, &time_ms);
    if (done)
        fb_image_on_white(image->rgb, rgba,
                          (size_t)image->width * (size_t)image->height);
    WebPAnimDecoderDelete(decoder);
    if (!done)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: a corrupt or truncated WebP: its first picture cannot be "
                       "decoded",
                       source->name);
    return FB_OK;
}

fb_status fb_webp_read(fb_context *ctx, const fb_image_source *source,
                       fb_image_info *info, fb_image *image, int *orientation)
{
    WebPBitstreamFeatures features;
    if (WebPGetFeatures(source->bytes, source->size_bytes, &features) != VP8_STATUS_OK)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: a corrupt or truncated WebP: its header cannot be read",
                       source->name);
    FB_TRY(fb_image_accept_size(ctx, source->name, (uint64_t)features.width,
                                (uint64_t)features.height, info));
    if (source->header_only)
        return FB_OK;
    size_t end = little_endian_u32(source->bytes + 4) + 8;
    if (end < 12 || end > source->size_bytes)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: a truncated WebP: %zu bytes are declared, %zu are there",
                       source->name, end, source->size_bytes);
    FB_TRY(fb_image_alloc(ctx, source->name, info, image));
    fb_status status = features.has_animation
                           ? webp_first_picture(ctx, source, image)
                           : webp_pixels(ctx, source, image, features.has_alpha != 0);
    if (status == FB_OK)
        *orientation = webp_orientation(source, end);
    else
        fb_image_free(image);
    return status;
}
