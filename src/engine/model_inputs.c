/* model_inputs.c - images and texts of callers made ready for a model. */
#include "engine/model_inputs.h"

#include "base/file.h"
#include "data/text/basic_tokenizer.h"

#include <stdlib.h>
#include <string.h>

int32_t fb_model_image_size(const fb_model *model)
{
    return model->matcher->config.image_size;
}

int32_t fb_model_patches(const fb_model *model)
{
    return model->matcher->config.grid * model->matcher->config.grid;
}

fb_status fb_image_measure(fb_context *ctx, const char *name, const void *bytes,
                           size_t size_bytes, int64_t *pixels, int64_t *decode_bytes)
{
    /* Bytes a pixel: RGB, and beside it the coefficients of a progressive JPEG, a
     * picture that is turned upright, or one with transparency. */
    static const int64_t beside[] = {
        [FB_IMAGE_JPEG] = 6, [FB_IMAGE_PNG] = 4, [FB_IMAGE_WEBP] = 4};
    fb_image_info info;
    FB_TRY(fb_image_probe(ctx, name, bytes, size_bytes, &info));
    *pixels = (int64_t)info.width * info.height;
    *decode_bytes = *pixels * (3 + beside[info.format]);
    return FB_OK;
}

static fb_status check_pixels(fb_context *ctx, const char *name, const uint8_t *bytes,
                              size_t size_bytes, int64_t most_pixels)
{
    fb_image_info info;
    if (most_pixels <= 0)
        return FB_OK;
    FB_TRY(fb_image_probe(ctx, name, bytes, size_bytes, &info));
    if ((int64_t)info.width * info.height > most_pixels)
        return fb_fail(ctx, FB_E_LIMIT,
                       "%s: %d x %d pixels are more than the limit of %lld", name,
                       (int)info.width, (int)info.height, (long long)most_pixels);
    return FB_OK;
}

static fb_status read_bytes(fb_context *ctx, const fb_model *model, fb_resizer *resizer,
                            const char *name, const uint8_t *bytes, size_t size_bytes,
                            int64_t most_pixels, uint8_t *pixels)
{
    const fb_model_config *c = &model->matcher->config;
    fb_image image;
    FB_TRY(check_pixels(ctx, name, bytes, size_bytes, most_pixels));
    FB_TRY(fb_image_decode(ctx, name, bytes, size_bytes, &image));
    fb_status status =
        fb_image_fit(ctx, resizer, pixels, &image, c->image_size,
                     c->squash ? FB_FIT_SQUASH : FB_FIT_PAD, FB_FILTER_BILINEAR);
    fb_image_free(&image);
    return status;
}

static fb_status read_image(fb_context *ctx, const fb_model *model, fb_resizer *resizer,
                            const fb_image_input *image, const char *name,
                            int64_t most_pixels, uint8_t *pixels)
{
    if (image->pixels) {
        size_t side = (size_t)fb_model_image_size(model);
        memcpy(pixels, image->pixels, side * side * 3);
        return FB_OK;
    }
    if (!image->file)
        return read_bytes(ctx, model, resizer, name, image->bytes, image->size_bytes,
                          most_pixels, pixels);
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    FB_TRY(fb_file_read(ctx, image->file, FB_IMAGE_BYTES_MAX, &bytes, &size_bytes));
    fb_status status = read_bytes(ctx, model, resizer, image->file, bytes, size_bytes,
                                  most_pixels, pixels);
    free(bytes);
    return status;
}

fb_status fb_model_load_input(fb_context *ctx, fb_model *model,
                              const fb_image_input *image, int64_t number,
                              uint8_t *pixels)
{
    char name[32];
    snprintf(name, sizeof name, "image %lld", (long long)number);
    return read_image(ctx, model, model->resizer, image, name, 0, pixels);
}

fb_status fb_model_read_image(fb_context *ctx, const fb_model *model,
                              const fb_image_input *image, const char *name,
                              int64_t most_pixels, uint8_t *pixels)
{
    fb_resizer *resizer = fb_resizer_create();
    if (!resizer)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to resize an image");
    fb_status status =
        read_image(ctx, model, resizer, image, name, most_pixels, pixels);
    fb_resizer_free(resizer);
    return status;
}

/* A text that would be read as another one, or as none. */
static fb_status check_text(fb_context *ctx, const char *text)
{
    bool has_word;
    if (!fb_utf8_is_valid(text, strlen(text)))
        return fb_fail(ctx, FB_E_USAGE, "a text is not UTF-8: \"%.64s\"", text);
    FB_TRY(fb_text_has_word(ctx, text, &has_word));
    if (!has_word)
        return fb_fail(ctx, FB_E_USAGE, "a text without a word: \"%.64s\"", text);
    return FB_OK;
}

fb_status fb_model_tokens(fb_context *ctx, const fb_model *model, const char *text,
                          int32_t *ids, int32_t *count)
{
    FB_TRY(check_text(ctx, text));
    return fb_wordpiece_encode_wrapped(ctx, model->vocab, text, strlen(text),
                                       model->matcher->config.max_text, ids, count);
}

fb_status fb_model_count_tokens(fb_context *ctx, const fb_model *model,
                                const char *text, int32_t *tokens)
{
    int32_t most = model->matcher->config.max_text;
    int32_t *ids = malloc((size_t)most * sizeof *ids);
    if (!ids)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a text");
    fb_status status = fb_model_tokens(ctx, model, text, ids, tokens);
    free(ids);
    return status;
}
