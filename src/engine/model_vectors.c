/* model_vectors.c - vectors of queries and products as a caller hands them over. */
#include "engine/model_vectors.h"

#include "base/hash.h"
#include "engine/model_inputs.h"
#include "engine/model_regions.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int32_t fb_model_vector_size(const fb_model *model)
{
    return model->matcher->config.vector;
}

static uint64_t hash_params(uint64_t hash, const fb_params *params)
{
    for (const fb_param *p = params->first; p; p = p->next) {
        hash = fb_hash_bytes(hash, p->name[0], strlen(p->name[0]));
        hash = fb_checksum(hash, params->value + p->offset,
                           (size_t)(p->rows * p->columns) * sizeof(float));
    }
    for (const fb_buffer *b = params->first_buffer; b; b = b->next) {
        hash = fb_hash_bytes(hash, b->name, strlen(b->name));
        hash = fb_checksum(hash, params->buffer + b->offset,
                           (size_t)b->count * sizeof(float));
    }
    return hash;
}

/* How texts and images are read: all of the configuration that vectors depend on and
 * weights do not show. */
static uint64_t hash_reading(uint64_t hash, const fb_model_config *c)
{
    const int32_t numbers[] = {c->heads,       c->each,   c->image_size,
                               c->grid,        c->squash, c->max_text,
                               c->text_layers, c->views,  c->system->number};
    const int32_t regions[] = {c->region_width, c->region_most};
    hash = fb_hash_bytes(hash, numbers, sizeof numbers);
    if (c->regions)
        hash = fb_hash_bytes(hash, regions, sizeof regions);
    if (c->system->keys.count > 0)
        hash = fb_hash_bytes(hash, &c->own, sizeof c->own);
    hash = fb_hash_bytes(hash, c->encoder, strlen(c->encoder));
    hash = fb_hash_bytes(hash, c->mean, sizeof c->mean);
    return fb_hash_bytes(hash, c->std, sizeof c->std);
}

uint64_t fb_model_fingerprint(const fb_model *model)
{
    return model->fingerprint;
}

uint64_t fb_model_hash(const fb_model *model)
{
    /* 2: the second reading; 1 was vectors of views, not patches, made one */
    uint64_t hash = hash_reading(2, &model->matcher->config);
    for (int32_t i = 0; i < fb_vocab_size(model->vocab); i++) {
        const char *token = fb_vocab_token(model->vocab, i);
        hash = fb_hash_bytes(hash, token, strlen(token));
    }
    hash = hash_params(hash, model->matcher->params);
    return hash ? hash : 1; /* 0 stands for no model */
}

void fb_vectors_combine(float *out, const float *text, const float *image,
                        double weight, int32_t width)
{
    double squares = 0;
    double t = text ? image ? weight : 1 : 0, v = image ? text ? 1 - weight : 1 : 0;
    for (int32_t i = 0; i < width; i++) {
        double x =
            (text ? t * (double)text[i] : 0) + (image ? v * (double)image[i] : 0);
        squares += x * x;
        out[i] = (float)x;
    }
    double length = sqrt(squares);
    for (int32_t i = 0; i < width && length > 0; i++)
        out[i] = (float)((double)out[i] / length);
}

float fb_vectors_dot(const float *a, const float *b, int64_t width)
{
    double sum = 0;
    for (int64_t i = 0; i < width; i++)
        sum += (double)a[i] * (double)b[i];
    return (float)sum;
}

fb_status fb_text_weight_check(fb_context *ctx, double *weight)
{
    if (*weight == -1)
        *weight = FB_TEXT_WEIGHT;
    if (!(*weight >= 0 && *weight <= 1))
        return fb_fail(ctx, FB_E_USAGE, "the text's weight must be 0 to 1, not %g",
                       *weight);
    return FB_OK;
}

fb_status fb_model_check_vectors(fb_context *ctx, const fb_model *model)
{
    if (fb_matcher_gives(model->matcher, FB_GIVES_VECTORS))
        return FB_OK;
    return fb_fail(
        ctx, FB_E_STATE,
        "%s: this model gives no vectors, which search needs: it was trained "
        "without the contrastive loss (train --objective itc, or the recipe)",
        model->folder);
}

/* ---- encode --------------------------------------------------------------------- */

typedef struct encoding {
    fb_model *model;
    const fb_input *inputs;
    int32_t *text_input, *image_input; /* inputs that have one, in order */
    int64_t texts, images;
    float *text, *image; /* [texts, D], [images, D] */
    int32_t *ids;
} encoding;

static fb_status encode_text(void *self, fb_context *ctx, int32_t input,
                             const int32_t **ids, int32_t *count)
{
    encoding *e = self;
    *ids = e->ids;
    return fb_model_tokens(ctx, e->model, e->inputs[input].text, e->ids, count);
}

static fb_status encode_image(void *self, fb_context *ctx, int32_t input,
                              uint8_t *pixels)
{
    encoding *e = self;
    return fb_model_load_input(ctx, e->model, e->inputs[input].image, input, pixels);
}

static fb_status encode_regions(void *self, fb_context *ctx, int32_t input,
                                fb_regions *regions)
{
    encoding *e = self;
    return fb_model_input_regions(ctx, e->model, e->inputs[input].image, input,
                                  regions);
}

static fb_status list_inputs(fb_context *ctx, encoding *e, int64_t count)
{
    size_t n = (size_t)count + 1;
    size_t width = (size_t)fb_model_vector_size(e->model);
    e->text_input = malloc(n * sizeof *e->text_input);
    e->image_input = malloc(n * sizeof *e->image_input);
    e->ids = malloc((size_t)e->model->matcher->config.max_text * sizeof *e->ids);
    if (!e->text_input || !e->image_input || !e->ids)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %lld vectors",
                       (long long)count);
    for (int64_t i = 0; i < count; i++) {
        const fb_input *input = &e->inputs[i];
        if (!input->text && !input->image)
            return fb_fail(ctx, FB_E_USAGE, "input %lld has neither text nor image",
                           (long long)i);
        if (input->text)
            e->text_input[e->texts++] = (int32_t)i;
        if (input->image)
            e->image_input[e->images++] = (int32_t)i;
    }
    e->text = malloc(((size_t)e->texts * width + 1) * sizeof *e->text);
    e->image = malloc(((size_t)e->images * width + 1) * sizeof *e->image);
    if (!e->text || !e->image)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %lld vectors",
                       (long long)count);
    return FB_OK;
}

static fb_status encode(fb_context *ctx, encoding *e, int64_t count, double weight,
                        float *vectors)
{
    int32_t width = fb_model_vector_size(e->model);
    const fb_score_source source = {.self = e,
                                    .text = encode_text,
                                    .image = encode_image,
                                    .regions = encode_regions};
    FB_TRY(list_inputs(ctx, e, count));
    FB_TRY(fb_scorer_text_vectors(ctx, e->model->scorer, &source, e->text_input,
                                  e->texts, e->text));
    FB_TRY(fb_scorer_image_vectors(ctx, e->model->scorer, &source, e->image_input,
                                   e->images, e->image, NULL));
    int64_t text = 0, image = 0;
    for (int64_t i = 0; i < count; i++) {
        const float *u = e->inputs[i].text ? e->text + width * text++ : NULL;
        const float *v = e->inputs[i].image ? e->image + width * image++ : NULL;
        fb_vectors_combine(vectors + i * width, u, v, weight, width);
    }
    return FB_OK;
}

fb_status fb_model_encode(fb_context *ctx, fb_model *model, const fb_input *inputs,
                          int64_t count, double text_weight, float *vectors)
{
    FB_TRY(fb_model_check_vectors(ctx, model));
    FB_TRY(fb_text_weight_check(ctx, &text_weight));
    if (count < 0 || count > INT32_MAX)
        return fb_fail(ctx, FB_E_USAGE, "a count must be 0 to %d", INT32_MAX);
    encoding e = {.model = model, .inputs = inputs};
    fb_status status = encode(ctx, &e, count, text_weight, vectors);
    free(e.text_input);
    free(e.image_input);
    free(e.text);
    free(e.image);
    free(e.ids);
    return status;
}
