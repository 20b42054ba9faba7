/* explanation.c - one text and one image to the weights of words and patches
 * (fb_attribution in matcher.h), words put together again from their pieces.
 */
#include "engine/explanation.h"

#include "data/text/basic_tokenizer.h"
#include "engine/model_inputs.h"
#include "engine/model_regions.h"
#include "engine/neighbours.h"
#include "ops/tape.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEP_BYTES = 16 << 20, WORD_BYTES = 4 * FB_WORD_CHARACTERS + 4 };

/* All of an explanation lies in one arena; `public` first, so that freeing finds it. */
typedef struct whole_explanation {
    fb_explanation public;
    fb_arena *arena;
} whole_explanation;

typedef struct request {
    fb_context *ctx;
    fb_model *model;
    const fb_model_config *config;
    fb_score_kind kind;
    const fb_explain_options *options;
    fb_batch *batch;
    fb_arena *scratch;
    whole_explanation *out;
} request;

static fb_status no_memory(fb_context *ctx)
{
    return fb_fail(ctx, FB_E_MEMORY, "no memory to explain a score");
}

fb_status fb_explain_open_image(fb_context *ctx, const fb_image_input *image,
                                fb_image *decoded)
{
    if (!image || (!image->file && !image->bytes))
        return fb_fail(ctx, FB_E_USAGE, "an explanation needs an image");
    if (image->file)
        return fb_image_open(ctx, image->file, decoded);
    return fb_image_decode(ctx, "the image", image->bytes, image->size_bytes, decoded);
}

/* ---- what is shown to the model ------------------------------------------------- */

/* How fb_image_fit pads: see image_resize.h. */
static void place_photo(double photo[4], const fb_image *image, int32_t size,
                        bool squash)
{
    double longer = image->width > image->height ? image->width : image->height;
    const double sides[2] = {image->width, image->height};
    for (int32_t i = 0; i < 2; i++) {
        double side = squash ? size : fmax(1, rint(sides[i] / longer * size));
        double start = rint((size - side) / 2);
        photo[i] = start / size;
        photo[2 + i] = (start + side) / size;
    }
}

static fb_status fit_image(const request *r, const fb_image_input *image,
                           uint8_t *pixels)
{
    const fb_model_config *c = r->config;
    static const double all[4] = {0, 0, 1, 1};
    fb_image decoded = {0};
    memcpy(r->out->public.photo, all, sizeof all);
    if (image && image->pixels) {
        memcpy(pixels, image->pixels,
               (size_t)c->image_size * (size_t)c->image_size * 3);
        return FB_OK;
    }
    FB_TRY(fb_explain_open_image(r->ctx, image, &decoded));
    fb_status status =
        fb_image_fit(r->ctx, r->model->resizer, pixels, &decoded, c->image_size,
                     c->squash ? FB_FIT_SQUASH : FB_FIT_PAD, FB_FILTER_BILINEAR);
    place_photo(r->out->public.photo, &decoded, c->image_size, c->squash);
    fb_image_free(&decoded);
    return status;
}

static fb_status add_images(const request *r, const fb_image_input *image)
{
    const fb_model_config *c = r->config;
    size_t bytes = (size_t)c->image_size * (size_t)c->image_size * 3;
    FB_TRY(fit_image(r, image, fb_batch_pixels(r->batch, 0)));
    fb_batch_add_image(r->batch);
    memset(fb_batch_pixels(r->batch, fb_batch_add_image(r->batch)), 0xff, bytes);
    return FB_OK;
}

static fb_status add_text(const request *r, const char *text)
{
    int32_t *ids =
        fb_arena_alloc(r->scratch, (size_t)r->config->max_text * sizeof *ids);
    int32_t count = 0;
    if (!ids)
        return no_memory(r->ctx);
    FB_TRY(fb_model_tokens(r->ctx, r->model, text, ids, &count));
    fb_batch_add_text(r->batch, ids, count);
    return FB_OK;
}

/* ---- words ---------------------------------------------------------------------- */

static const char *word_text(fb_arena *arena, const uint32_t *codes, size_t length)
{
    char text[WORD_BYTES + 1];
    size_t at = 0;
    for (size_t i = 0; i < length && at + 4 <= WORD_BYTES; i++)
        at += (size_t)fb_utf8_put(codes[i], text + at);
    text[at] = 0;
    return fb_arena_strdup(arena, text);
}

/* Each word of the text begins with a piece that does not go on inside a word; the last
 * one may have lost pieces behind the end. */
static fb_status gather_words(const request *r, fb_basic_words *words,
                              const double *weights)
{
    const fb_batch *b = r->batch;
    fb_explanation *e = &r->out->public;
    int32_t end = b->text_offsets[1] - 1, at = 1;
    const uint32_t *codes;
    size_t length;
    e->words = fb_arena_alloc(r->out->arena, ((size_t)end + 1) * sizeof *e->words);
    if (!e->words)
        return no_memory(r->ctx);
    while (fb_basic_words_next(words, &codes, &length)) {
        if (at >= end) {
            e->words_left_out++;
            continue;
        }
        fb_word_weight *word = &e->words[e->word_count++];
        *word = (fb_word_weight){.text = word_text(r->out->arena, codes, length)};
        if (!word->text)
            return no_memory(r->ctx);
        do {
            word->weight += weights[at++];
            word->tokens++;
        } while (at < end &&
                 fb_vocab_is_continuation(r->model->vocab, b->token_ids[at]));
    }
    return FB_OK;
}

static fb_status add_words(const request *r, const char *text, const double *weights)
{
    fb_basic_words *words = fb_arena_alloc(r->scratch, sizeof *words);
    if (!words)
        return no_memory(r->ctx);
    FB_TRY(fb_basic_words_open(r->ctx, words, text, strlen(text)));
    fb_status status = gather_words(r, words, weights);
    fb_basic_words_close(words);
    return status;
}

/* ---- weights -------------------------------------------------------------------- */

static fb_status attribute(const request *r, fb_attribution *found, double *bias)
{
    fb_matcher *m = r->model->matcher;
    bool vectors = r->kind != FB_SCORE_TIA;
    FB_TRY(fb_score_kind_check(r->ctx, r->kind, m));
    if (!fb_matcher_gives(m, FB_GIVES_ATTRIBUTION))
        return fb_fail(r->ctx, FB_E_STATE, "a score of %s cannot be explained",
                       m->system->name);
    fb_attribution_options o = {.mask_id = fb_vocab_mask(r->model->vocab),
                                .steps = r->options->steps,
                                .pause = r->options->pause,
                                .pause_self = r->options->pause_self};
    if (r->kind == FB_SCORE_TIA)
        o.alignment = 1;
    if (r->kind == FB_SCORE_BOTH)
        o.alignment = r->config->alignment_weight;
    if (vectors)
        o.similarity = m->system->similarity_scale(m);
    *bias = vectors ? r->config->score_bias : 0;
    fb_tape tape = {0};
    fb_tape_begin(&tape, r->ctx, r->model->be, r->scratch, false);
    return m->system->attribute(m, &tape, r->batch, &o, found);
}

/* The score's CSLS hubness correction (neighbours.h), explained as if it did not depend
 * on words or patches. */
static fb_status add_nearness(const request *r, const char *text, double *bias)
{
    const fb_matcher *m = r->model->matcher;
    const fb_image_input image = {.pixels = fb_batch_pixels(r->batch, 0)};
    const fb_input inputs[2] = {{.text = text}, {.image = &image}};
    double weight =
        r->kind == FB_SCORE_BOTH ? fb_scorer_neighbour_weight(r->model->scorer) : 0;
    if (!(weight > 0))
        return FB_OK;
    float near[2];
    size_t width = (size_t)r->config->vector;
    float *vectors = fb_arena_alloc(r->scratch, 2 * width * sizeof *vectors);
    if (!vectors)
        return no_memory(r->ctx);
    FB_TRY(fb_model_encode(r->ctx, r->model, inputs, 2, 0.5, vectors));
    for (int i = 0; i < 2; i++)
        FB_TRY(fb_neighbours_of(r->ctx, r->model->neighbours, r->model->be, i == 0,
                                vectors + (size_t)i * width, 1, &near[i]));
    *bias -=
        m->system->similarity_scale(m) * weight * ((double)near[0] + (double)near[1]);
    return FB_OK;
}

static fb_status fill(const request *r, const char *text)
{
    fb_explanation *e = &r->out->public;
    fb_attribution found;
    double bias;
    size_t patches = (size_t)r->batch->patches;
    FB_TRY(attribute(r, &found, &bias));
    FB_TRY(add_nearness(r, text, &bias));
    e->score = found.score + bias;
    e->without_words = found.without_text + bias;
    e->without_image = found.without_image + bias;
    e->probability = 1 / (1 + exp(-e->score));
    e->method = "integrated gradients of the score, from masked words and from a blank "
                "white image";
    snprintf(e->score_kind, sizeof e->score_kind, "%s", fb_score_kind_name(r->kind));
    e->grid = r->config->grid;
    e->patches = fb_arena_alloc(r->out->arena, patches * sizeof *e->patches);
    if (!e->patches)
        return no_memory(r->ctx);
    memcpy(e->patches, found.patches, patches * sizeof *e->patches);
    return add_words(r, text, found.tokens);
}

static fb_status make(request *r, const char *text, const fb_image_input *image)
{
    const fb_model_config *c = r->config;
    const fb_batch_limits limits = {
        1, 1, 3, c->max_text, c->grid * c->grid, c->image_size};
    r->scratch = fb_arena_create(STEP_BYTES);
    r->out = calloc(1, sizeof *r->out);
    if (!r->scratch || !r->out || !(r->out->arena = fb_arena_create(1 << 12)))
        return no_memory(r->ctx);
    FB_TRY(fb_batch_create(r->ctx, &r->batch, &limits, c->max_text));
    fb_batch_clear(r->batch);
    FB_TRY(add_text(r, text));
    FB_TRY(add_images(r, image));
    return fill(r, text);
}

fb_status fb_model_explain(fb_context *ctx, fb_model *model, const char *text,
                           const fb_image_input *image, fb_score_kind kind,
                           const fb_explain_options *options,
                           fb_explanation **explanation)
{
    request r = {.ctx = ctx,
                 .model = model,
                 .config = &model->matcher->config,
                 .kind = kind,
                 .options = options};
    fb_status status = fb_model_check_photos(ctx, model, "explain");
    if (status == FB_OK)
        status = make(&r, text, image);
    fb_batch_free(r.batch);
    fb_arena_free(r.scratch);
    if (status != FB_OK) {
        fb_explanation_free(r.out ? &r.out->public : NULL);
        return status;
    }
    *explanation = &r.out->public;
    return FB_OK;
}

void fb_explanation_free(fb_explanation *e)
{
    whole_explanation *whole = (whole_explanation *)(void *)e;
    if (!whole)
        return;
    fb_arena_free(whole->arena);
    free(whole);
}
