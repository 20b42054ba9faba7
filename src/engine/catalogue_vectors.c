/* catalogue_vectors.c - see catalogue_vectors.h. While the model works on one block the
 * next one's images are decoded. */
#include "engine/catalogue_vectors.h"

#include "data/image/image_block.h"
#include "engine/model_inputs.h"
#include "engine/model_regions.h"

#include <stdlib.h>
#include <string.h>

enum { DECODERS = 2, BLOCK_PIXEL_BYTES = 64 << 20 };

struct fb_catalogue_vectors {
    fb_model *model;
    const fb_catalogue *catalogue;
    const int32_t *items;
    int64_t count, next;
    int32_t most; /* items of a block */
    fb_vector_wants wants;
    bool photos; /* are read: images are wanted, and the model does not read regions */
    fb_image_block *block[2]; /* one being decoded, one being computed */
    int32_t which;
    const uint8_t *pixels;
    float *text, *image; /* [most, D] */
    fb_bf16 *features;   /* [most, kept numbers] */
    int64_t kept;
    int32_t *ids, *numbers;
};

static int32_t block_items(const fb_model_config *c)
{
    int64_t most = BLOCK_PIXEL_BYTES / (3 * (int64_t)c->image_size * c->image_size);
    return most < 1 ? 1 : most > FB_VECTOR_BLOCK ? FB_VECTOR_BLOCK : (int32_t)most;
}

/* Items of the block that begins at `first`. */
static int32_t items_at(const fb_catalogue_vectors *v, int64_t first)
{
    int64_t left = v->count - first;
    return left < v->most ? (int32_t)left : v->most;
}

static fb_status start(fb_context *ctx, fb_catalogue_vectors *v, int32_t which,
                       int64_t first)
{
    int32_t count = items_at(v, first);
    if (!v->photos || count <= 0)
        return FB_OK;
    return fb_image_block_start(ctx, v->block[which], v->items + first, count);
}

static fb_status prepare(fb_context *ctx, fb_catalogue_vectors *v)
{
    const fb_model_config *c = &v->model->matcher->config;
    size_t most = (size_t)v->most, width = (size_t)c->vector + 1;
    v->text = malloc(most * width * sizeof *v->text);
    v->image = malloc(most * width * sizeof *v->image);
    v->ids = malloc((size_t)c->max_text * sizeof *v->ids);
    v->numbers = malloc(most * sizeof *v->numbers);
    v->kept = (int64_t)fb_model_config_patches(c) * fb_model_config_features(c);
    if (v->wants.features)
        v->features = malloc(most * (size_t)v->kept * sizeof *v->features);
    if (!v->text || !v->image || !v->ids || !v->numbers ||
        (v->wants.features && !v->features))
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a block of vectors");
    for (int32_t i = 0; i < v->most; i++)
        v->numbers[i] = i;
    for (int i = 0; i < 2 && v->photos; i++)
        FB_TRY(fb_image_block_create(ctx, &v->block[i], v->catalogue, v->most,
                                     c->image_size,
                                     c->squash ? FB_FIT_SQUASH : FB_FIT_PAD, DECODERS));
    return start(ctx, v, 0, 0);
}

fb_status fb_catalogue_vectors_open(fb_context *ctx, fb_catalogue_vectors **vectors,
                                    fb_model *model, const fb_catalogue *catalogue,
                                    const int32_t *items, int64_t count,
                                    fb_vector_wants wants)
{
    fb_catalogue_vectors *v = calloc(1, sizeof *v);
    if (!v)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for vectors");
    v->model = model;
    v->catalogue = catalogue;
    v->items = items;
    v->count = count;
    v->wants = wants;
    v->wants.image = wants.image || wants.features;
    v->photos = v->wants.image && !model->matcher->config.regions;
    v->most = block_items(&model->matcher->config);
    fb_status status = prepare(ctx, v);
    if (status != FB_OK) {
        fb_catalogue_vectors_close(v);
        return status;
    }
    *vectors = v;
    return FB_OK;
}

void fb_catalogue_vectors_close(fb_catalogue_vectors *vectors)
{
    if (!vectors)
        return;
    fb_image_block_free(vectors->block[0]);
    fb_image_block_free(vectors->block[1]);
    free(vectors->text);
    free(vectors->image);
    free(vectors->features);
    free(vectors->ids);
    free(vectors->numbers);
    free(vectors);
}

/* Texts and images of the block, by their place in it. */
static fb_status block_text(void *self, fb_context *ctx, int32_t number,
                            const int32_t **ids, int32_t *count)
{
    fb_catalogue_vectors *v = self;
    *ids = v->ids;
    return fb_model_tokens(
        ctx, v->model,
        fb_catalogue_get(v->catalogue, v->items[v->next + number])->title, v->ids,
        count);
}

static fb_status block_image(void *self, fb_context *ctx, int32_t number,
                             uint8_t *pixels)
{
    (void)ctx;
    const fb_catalogue_vectors *v = self;
    size_t side = (size_t)v->model->matcher->config.image_size, bytes = side * side * 3;
    memcpy(pixels, v->pixels + (size_t)number * bytes, bytes);
    return FB_OK;
}

static fb_status block_regions(void *self, fb_context *ctx, int32_t number,
                               fb_regions *regions)
{
    const fb_catalogue_vectors *v = self;
    char path[4096];
    FB_TRY(
        fb_catalogue_image_path(ctx, v->catalogue, v->items[v->next + number], path));
    return fb_model_find_regions(ctx, v->model, path, regions);
}

static fb_status block_features(void *self, fb_context *ctx, int32_t number,
                                fb_bf16 *features)
{
    (void)ctx;
    const fb_catalogue_vectors *v = self;
    memcpy(features, v->features + number * v->kept,
           (size_t)v->kept * sizeof *features);
    return FB_OK;
}

static fb_status compute(fb_context *ctx, fb_catalogue_vectors *v, int32_t count)
{
    fb_score_source source = {
        .self = v, .text = block_text, .image = block_image, .regions = block_regions};
    bool vectors = fb_matcher_gives(v->model->matcher, FB_GIVES_VECTORS);
    if (v->wants.features)
        FB_TRY(
            fb_scorer_features(ctx, v->model->scorer, v->pixels, count, v->features));
    if (v->wants.features && fb_scorer_features_are_whole(v->model->scorer))
        source.features = block_features;
    if (v->wants.text && vectors)
        FB_TRY(fb_scorer_text_vectors(ctx, v->model->scorer, &source, v->numbers, count,
                                      v->text));
    if (v->wants.image && vectors)
        FB_TRY(fb_scorer_image_vectors(ctx, v->model->scorer, &source, v->numbers,
                                       count, v->image, NULL));
    return FB_OK;
}

fb_status fb_catalogue_vectors_next(fb_context *ctx, fb_catalogue_vectors *v,
                                    fb_vector_block *block)
{
    int32_t count = items_at(v, v->next);
    *block = (fb_vector_block){.first = v->next, .count = count};
    if (count <= 0) {
        block->count = 0;
        return FB_OK;
    }
    v->pixels = NULL;
    if (v->photos)
        FB_TRY(fb_image_block_wait(ctx, v->block[v->which], &v->pixels));
    FB_TRY(start(ctx, v, !v->which, v->next + count));
    FB_TRY(compute(ctx, v, count));
    v->which = !v->which;
    v->next += count;
    block->text = v->wants.text ? v->text : NULL;
    block->image = v->wants.image ? v->image : NULL;
    block->pixels = v->pixels;
    block->features = v->features;
    return FB_OK;
}

fb_status fb_catalogue_choose(fb_context *ctx, const fb_catalogue *catalogue,
                              const char *split, int32_t **items, int64_t *count)
{
    bool all = strcmp(split, "all") == 0;
    fb_split one = FB_SPLIT_TRAIN;
    int32_t n = fb_catalogue_count(catalogue);
    const int32_t *list = NULL;
    if (!all) {
        FB_TRY(fb_split_parse(ctx, split, &one));
        list = fb_catalogue_split_items(catalogue, one, &n);
    }
    if (n == 0)
        return fb_fail(ctx, FB_E_MISSING, "%s has no item of split %s",
                       fb_catalogue_folder(catalogue), split);
    int32_t *chosen = malloc((size_t)n * sizeof *chosen);
    if (!chosen)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %d items", (int)n);
    for (int32_t i = 0; i < n; i++)
        chosen[i] = list ? list[i] : i;
    *items = chosen;
    *count = n;
    return FB_OK;
}
