/* model_inputs.c - images and texts of callers made ready for a model, and the scores
 * of pairs that are given one by one.
 *
 * Pairs are grouped by the address of their image: inputs [count] -> images [unique],
 * and the same for texts, which the scorer then puts into a batch once each.
 */
#include "engine/model_inputs.h"

#include "base/file.h"

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

fb_status fb_model_count_tokens(fb_context *ctx, const fb_model *model,
                                const char *text, int32_t *tokens)
{
    int32_t most = model->matcher->config.max_text;
    int32_t *ids = malloc((size_t)most * sizeof *ids);
    if (!ids)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a text");
    fb_status status = fb_wordpiece_encode_wrapped(ctx, model->vocab, text,
                                                   strlen(text), most, ids, tokens);
    free(ids);
    return status;
}

/* ---- pairs ----------------------------------------------------------------------- */

typedef struct addressed {
    uintptr_t address;
    int64_t input;
} addressed;

static int by_address(const void *a, const void *b)
{
    const addressed *x = a, *y = b;
    if (x->address != y->address)
        return x->address < y->address ? -1 : 1;
    return x->input < y->input ? -1 : x->input > y->input;
}

/* Where the texts and images of inputs lie: those of pair i are texts[pairs[i].text]
 * and images[pairs[i].image]. */
typedef struct input_source {
    fb_model *model;
    const fb_input *inputs;
    const char **texts;
    const fb_image_input **images;
    int64_t *image_input; /* the first input that has images[i] */
    fb_score_pair *pairs;
    addressed *order; /* scratch */
    int32_t *ids;     /* [max_text] scratch */
} input_source;

static void group_texts(input_source *s, int64_t count)
{
    int32_t n = 0;
    for (int64_t i = 0; i < count; i++)
        s->order[i] = (addressed){(uintptr_t)s->inputs[i].text, i};
    qsort(s->order, (size_t)count, sizeof *s->order, by_address);
    for (int64_t i = 0; i < count; i++) {
        if (i == 0 || s->order[i].address != s->order[i - 1].address)
            s->texts[n++] = s->inputs[s->order[i].input].text;
        s->pairs[s->order[i].input].text = n - 1;
    }
}

static void group_images(input_source *s, int64_t count)
{
    int32_t n = 0;
    for (int64_t i = 0; i < count; i++)
        s->order[i] = (addressed){(uintptr_t)s->inputs[i].image, i};
    qsort(s->order, (size_t)count, sizeof *s->order, by_address);
    for (int64_t i = 0; i < count; i++) {
        if (i == 0 || s->order[i].address != s->order[i - 1].address) {
            s->image_input[n] = s->order[i].input;
            s->images[n++] = s->inputs[s->order[i].input].image;
        }
        s->pairs[s->order[i].input].image = n - 1;
    }
}

static fb_status source_text(void *self, fb_context *ctx, int32_t text,
                             const int32_t **ids, int32_t *count)
{
    input_source *s = self;
    *ids = s->ids;
    return fb_wordpiece_encode_wrapped(
        ctx, s->model->vocab, s->texts[text], strlen(s->texts[text]),
        s->model->matcher->config.max_text, s->ids, count);
}

static fb_status source_image(void *self, fb_context *ctx, int32_t image,
                              uint8_t *pixels)
{
    input_source *s = self;
    return fb_model_load_input(ctx, s->model, s->images[image], s->image_input[image],
                               pixels);
}

static fb_status source_make(fb_context *ctx, input_source *s, int64_t count)
{
    size_t n = (size_t)count;
    s->texts = malloc(n * sizeof *s->texts);
    s->images = malloc(n * sizeof(const fb_image_input *));
    s->image_input = malloc(n * sizeof *s->image_input);
    s->pairs = malloc(n * sizeof *s->pairs);
    s->order = malloc(n * sizeof *s->order);
    s->ids = malloc((size_t)s->model->matcher->config.max_text * sizeof *s->ids);
    if (!s->texts || !s->images || !s->image_input || !s->pairs || !s->order || !s->ids)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %zu pairs", n);
    group_texts(s, count);
    group_images(s, count);
    return FB_OK;
}

static void source_free(input_source *s)
{
    free(s->texts);
    free(s->images);
    free(s->image_input);
    free(s->pairs);
    free(s->order);
    free(s->ids);
}

fb_status fb_model_match(fb_context *ctx, fb_model *model, const fb_input *inputs,
                         int64_t count, float *scores)
{
    if (count < 0)
        return fb_fail(ctx, FB_E_USAGE, "a count must not be negative");
    for (int64_t i = 0; i < count; i++)
        if (!inputs[i].text || !inputs[i].image)
            return fb_fail(ctx, FB_E_USAGE, "input %lld lacks its %s", (long long)i,
                           inputs[i].text ? "image" : "text");
    if (count == 0)
        return FB_OK;
    float *margins = malloc((size_t)count * sizeof *margins);
    if (!margins)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %lld pairs", (long long)count);
    input_source source = {.model = model, .inputs = inputs};
    fb_status status = source_make(ctx, &source, count);
    fb_score_source from = {&source, source_text, source_image, NULL};
    if (status == FB_OK)
        status = fb_scorer_run(ctx, model->scorer, &from, source.pairs, count,
                               model->matcher->config.score, margins, NULL, true);
    for (int64_t i = 0; i < count && status == FB_OK; i++)
        scores[i] = fb_score_probability(margins[i]);
    source_free(&source);
    free(margins);
    return status;
}
