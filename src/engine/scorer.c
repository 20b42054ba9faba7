/* scorer.c - see scorer.h. */
#include "engine/scorer.h"

#include "data/batch/sampler.h"
#include "engine/model_vectors.h"
#include "engine/neighbours.h"
#include "ops/tape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PAIRS = 64, IMAGES = 16, FEATURES_BYTES = 256 << 20 };

struct fb_scorer {
    fb_backend *be;
    fb_matcher *matcher;
    fb_arena *arena;
    fb_batch *batch; /* the one in use: of pixels, or */
    fb_batch *pixels,
        *made; /* of features made before, from the first such source on */
    int64_t order_pair[PAIRS]; /* which pair of the run each of the batch is */
    int32_t text_of[PAIRS], image_of[PAIRS];
    float scores[PAIRS];
    const fb_neighbours *neighbours;
};

fb_status fb_scorer_create(fb_context *ctx, fb_scorer **scorer, fb_backend *be,
                           fb_matcher *matcher)
{
    const fb_model_config *c = &matcher->config;
    fb_scorer *s = calloc(1, sizeof *s);
    if (!s)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to score");
    s->be = be;
    s->matcher = matcher;
    s->arena = fb_arena_create(64 << 20);
    fb_batch_limits limits = {
        PAIRS, PAIRS, IMAGES, PAIRS * c->max_text, c->grid * c->grid, c->image_size};
    fb_status status = s->arena ? fb_batch_create(ctx, &s->pixels, &limits, c->max_text)
                                : fb_fail(ctx, FB_E_MEMORY, "no memory to score");
    if (status != FB_OK) {
        fb_scorer_free(s);
        return status;
    }
    s->batch = s->pixels;
    *scorer = s;
    return FB_OK;
}

void fb_scorer_free(fb_scorer *scorer)
{
    if (!scorer)
        return;
    fb_batch_free(scorer->pixels);
    fb_batch_free(scorer->made);
    fb_arena_free(scorer->arena);
    free(scorer);
}

void fb_scorer_use_neighbours(fb_scorer *scorer, const fb_neighbours *neighbours)
{
    scorer->neighbours = neighbours;
}

typedef struct indexed_pair {
    fb_score_pair pair;
    int64_t place;
} indexed_pair;

static int by_image(const void *a, const void *b)
{
    const indexed_pair *x = a, *y = b;
    if (x->pair.image != y->pair.image)
        return x->pair.image < y->pair.image ? -1 : 1;
    if (x->pair.text != y->pair.text)
        return x->pair.text < y->pair.text ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static int32_t find(const int32_t *list, int32_t count, int32_t wanted)
{
    for (int32_t i = 0; i < count; i++)
        if (list[i] == wanted)
            return i;
    return -1;
}

static fb_status add_text(fb_context *ctx, fb_scorer *s, const fb_score_source *source,
                          int32_t text)
{
    fb_batch *b = s->batch;
    const int32_t *ids;
    int32_t count;
    FB_TRY(source->text(source->self, ctx, text, &ids, &count));
    if (count > s->matcher->config.max_text)
        return fb_fail(ctx, FB_E_LIMIT, "a text of %d tokens, the model takes %d",
                       (int)count, (int)s->matcher->config.max_text);
    s->text_of[b->texts] = text;
    fb_batch_add_text(b, ids, count);
    return FB_OK;
}

static fb_status add_image(fb_context *ctx, fb_scorer *s, const fb_score_source *source,
                           int32_t image)
{
    fb_batch *b = s->batch;
    if (b == s->pixels)
        FB_TRY(source->image(source->self, ctx, image, fb_batch_pixels(b, b->images)));
    else
        FB_TRY(source->features(source->self, ctx, image,
                                b->features + (int64_t)b->images * b->patches *
                                                  b->feature_width));
    s->image_of[fb_batch_add_image(b)] = image;
    return FB_OK;
}

/* The batch that takes what the source has of images. */
static fb_status choose_batch(fb_context *ctx, fb_scorer *s,
                              const fb_score_source *source)
{
    const fb_model_config *c = &s->matcher->config;
    fb_batch_limits limits = {
        PAIRS, PAIRS, PAIRS, PAIRS * c->max_text, c->grid * c->grid, c->image_size};
    s->be->ctx = ctx;
    if (source->features && !s->made)
        FB_TRY(fb_batch_create_features(ctx, &s->made, &limits, c->max_text,
                                        fb_model_config_features(c)));
    s->batch = source->features ? s->made : s->pixels;
    return FB_OK;
}

/* Take pairs from `next` on until the batch is full. */
static fb_status fill(fb_context *ctx, fb_scorer *s, const fb_score_source *source,
                      const indexed_pair *pairs, int64_t count, int64_t *next)
{
    fb_batch *b = s->batch;
    fb_batch_clear(b);
    for (; *next < count && b->pairs < PAIRS; (*next)++) {
        const indexed_pair *p = &pairs[*next];
        int32_t image = find(s->image_of, b->images, p->pair.image);
        int32_t text = find(s->text_of, b->texts, p->pair.text);
        if (image < 0 && b->images == (b == s->pixels ? IMAGES : PAIRS))
            break;
        if (image < 0) {
            image = b->images;
            FB_TRY(add_image(ctx, s, source, p->pair.image));
        }
        if (text < 0) {
            text = b->texts;
            FB_TRY(add_text(ctx, s, source, p->pair.text));
        }
        s->order_pair[b->pairs] = p->place;
        fb_batch_add_pair(b, text, image, 0);
    }
    fb_batch_pack(b);
    return FB_OK;
}

static fb_status run_stream(fb_context *ctx, fb_scorer *s,
                            const fb_score_source *source, const indexed_pair *pairs,
                            int64_t count, float *scores, fb_progress *progress)
{
    int64_t next = 0;
    FB_TRY(choose_batch(ctx, s, source));
    while (next < count) {
        FB_TRY(fill(ctx, s, source, pairs, count, &next));
        fb_tape tape = {0};
        fb_arena_reset(s->arena);
        fb_tape_begin(&tape, ctx, s->be, s->arena, false);
        FB_TRY(s->matcher->kind->score(s->matcher, &tape, s->batch, s->scores));
        for (int32_t i = 0; i < s->batch->pairs; i++)
            scores[s->order_pair[i]] = s->scores[i];
        fb_progress_update(progress, next, 1.0, "");
    }
    return FB_OK;
}

/* ---- vectors -------------------------------------------------------------------- */

static fb_status run_vectors(fb_context *ctx, fb_scorer *s, float *texts, float *images)
{
    fb_tape tape = {0};
    fb_arena_reset(s->arena);
    fb_tape_begin(&tape, ctx, s->be, s->arena, false);
    return s->matcher->kind->vectors(s->matcher, &tape, s->batch, texts, images);
}

fb_status fb_scorer_text_vectors(fb_context *ctx, fb_scorer *scorer,
                                 const fb_score_source *source, const int32_t *texts,
                                 int64_t count, float *vectors)
{
    int64_t width = scorer->matcher->config.vector;
    scorer->batch = scorer->pixels;
    scorer->be->ctx = ctx;
    for (int64_t first = 0; first < count; first += PAIRS) {
        fb_batch_clear(scorer->batch);
        for (int64_t i = first; i < count && i < first + PAIRS; i++)
            FB_TRY(add_text(ctx, scorer, source, texts[i]));
        FB_TRY(run_vectors(ctx, scorer, vectors + first * width, NULL));
    }
    return FB_OK;
}

fb_status fb_scorer_image_vectors(fb_context *ctx, fb_scorer *scorer,
                                  const fb_score_source *source, const int32_t *images,
                                  int64_t count, float *vectors, fb_progress *progress)
{
    int64_t width = scorer->matcher->config.vector;
    FB_TRY(choose_batch(ctx, scorer, source));
    for (int64_t first = 0; first < count; first += IMAGES) {
        fb_batch_clear(scorer->batch);
        for (int64_t i = first; i < count && i < first + IMAGES; i++)
            FB_TRY(add_image(ctx, scorer, source, images[i]));
        FB_TRY(run_vectors(ctx, scorer, NULL, vectors + first * width));
        if (progress)
            fb_progress_update(progress, first + scorer->batch->images, 1.0, "");
    }
    return FB_OK;
}

bool fb_scorer_features_are_whole(const fb_scorer *scorer)
{
    return scorer->be->dtype == FB_BF16;
}

fb_status fb_scorer_features(fb_context *ctx, fb_scorer *scorer, const uint8_t *pixels,
                             int32_t count, fb_bf16 *features)
{
    const fb_matcher *m = scorer->matcher;
    int64_t image = (int64_t)m->config.image_size * m->config.image_size * 3;
    int64_t made = (int64_t)fb_model_config_patches(&m->config) *
                   fb_model_config_features(&m->config);
    scorer->be->ctx = ctx;
    for (int32_t i = 0; i < count; i += IMAGES) {
        fb_tape tape = {0};
        int32_t n = count - i < IMAGES ? count - i : IMAGES;
        fb_arena_reset(scorer->arena);
        fb_tape_begin(&tape, ctx, scorer->be, scorer->arena, false);
        FB_TRY(m->kind->features(scorer->matcher, &tape, pixels + i * image, n,
                                 features + i * made));
    }
    return FB_OK;
}

static int by_value(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

/* Sorted, unique; returns how many. */
static int64_t make_unique(int32_t *list, int64_t count)
{
    int64_t n = 0;
    qsort(list, (size_t)count, sizeof *list, by_value);
    for (int64_t i = 0; i < count; i++)
        if (i == 0 || list[i] != list[i - 1])
            list[n++] = list[i];
    return n;
}

static int64_t place_of(const int32_t *list, int64_t count, int32_t value)
{
    const int32_t *at = bsearch(&value, list, (size_t)count, sizeof *list, by_value);
    return at - list;
}

/* The vectors that a run of pairs needs, each once. */
typedef struct side_vectors {
    int32_t *list;
    int64_t count;
    float *vectors, *nearness; /* [count, D], [count] */
} side_vectors;

/* The texts or images of pairs, each once: malloc'ed, sorted. */
static fb_status list_numbers(fb_context *ctx, int32_t **list, int64_t *unique,
                              const fb_score_pair *pairs, int64_t count, bool texts)
{
    *list = malloc(((size_t)count + 1) * sizeof **list);
    if (!*list)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %lld pairs", (long long)count);
    for (int64_t i = 0; i < count; i++)
        (*list)[i] = texts ? pairs[i].text : pairs[i].image;
    *unique = make_unique(*list, count);
    return FB_OK;
}

static fb_status list_side(fb_context *ctx, side_vectors *side,
                           const fb_score_pair *pairs, int64_t count, bool texts,
                           int64_t width)
{
    FB_TRY(list_numbers(ctx, &side->list, &side->count, pairs, count, texts));
    side->vectors = malloc(((size_t)(side->count * width) + 1) * sizeof(float));
    side->nearness = calloc((size_t)side->count + 1, sizeof(float));
    if (!side->vectors || !side->nearness)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %lld vectors",
                       (long long)side->count);
    return FB_OK;
}

static void free_side(side_vectors *side)
{
    free(side->list);
    free(side->vectors);
    free(side->nearness);
}

static fb_status fill_sides(fb_context *ctx, fb_scorer *s,
                            const fb_score_source *source, side_vectors *text,
                            side_vectors *image, bool nearness, const char *label,
                            bool quiet)
{
    fb_progress progress;
    FB_TRY(
        fb_scorer_text_vectors(ctx, s, source, text->list, text->count, text->vectors));
    fb_progress_begin(&progress, label ? label : "", "images", 0, image->count,
                      quiet || !label);
    fb_status status = fb_scorer_image_vectors(ctx, s, source, image->list,
                                               image->count, image->vectors, &progress);
    fb_progress_end(&progress);
    if (status != FB_OK || !nearness)
        return status;
    FB_TRY(fb_neighbours_of(ctx, s->neighbours, s->be, true, text->vectors, text->count,
                            text->nearness));
    return fb_neighbours_of(ctx, s->neighbours, s->be, false, image->vectors,
                            image->count, image->nearness);
}

/* similarity[n] = cosine of pairs[n], in their order, less `weight` times what both
 * sides' neighbours are near by */
static fb_status similarities(fb_context *ctx, fb_scorer *s,
                              const fb_score_source *source, const fb_score_pair *pairs,
                              int64_t count, double weight, float *similarity,
                              const char *label, bool quiet)
{
    int64_t width = s->matcher->config.vector;
    side_vectors text = {0}, image = {0};
    fb_status status = list_side(ctx, &text, pairs, count, true, width);
    if (status == FB_OK)
        status = list_side(ctx, &image, pairs, count, false, width);
    if (status == FB_OK)
        status = fill_sides(ctx, s, source, &text, &image, weight > 0, label, quiet);
    for (int64_t n = 0; n < count && status == FB_OK; n++) {
        int64_t t = place_of(text.list, text.count, pairs[n].text);
        int64_t i = place_of(image.list, image.count, pairs[n].image);
        double cosine = (double)fb_vectors_dot(text.vectors + t * width,
                                               image.vectors + i * width, width);
        double near = (double)text.nearness[t] + (double)image.nearness[i];
        similarity[n] = (float)(cosine - weight * near);
    }
    free_side(&text);
    free_side(&image);
    return status;
}

/* ---- features made once --------------------------------------------------------- */

/* What the network makes of the images of a run, for their vectors and then for the
 * stream. */
typedef struct looked_at {
    const fb_score_source *given;
    int32_t *list;
    int64_t count, numbers; /* images; numbers of one's features */
    fb_bf16 *features;      /* [count, numbers] */
} looked_at;

static fb_status looked_text(void *self, fb_context *ctx, int32_t text,
                             const int32_t **ids, int32_t *count)
{
    const fb_score_source *given = ((looked_at *)self)->given;
    return given->text(given->self, ctx, text, ids, count);
}

static fb_status looked_features(void *self, fb_context *ctx, int32_t image,
                                 fb_bf16 *features)
{
    (void)ctx;
    const looked_at *l = self;
    memcpy(features, l->features + place_of(l->list, l->count, image) * l->numbers,
           (size_t)l->numbers * sizeof *features);
    return FB_OK;
}

/* Images in pixels are looked at once where that changes no score and memory is enough.
 */
static bool looks_once(const fb_scorer *s, const looked_at *l)
{
    return !l->given->features && fb_scorer_features_are_whole(s) &&
           strcmp(s->matcher->config.encoder, "pixels") != 0 &&
           l->count * l->numbers * (int64_t)sizeof *l->features <= FEATURES_BYTES;
}

static fb_status look_at_all(fb_context *ctx, fb_scorer *s, looked_at *l,
                             fb_progress *progress)
{
    uint8_t *pixels = fb_batch_pixels(s->pixels, 0);
    for (int64_t first = 0; first < l->count; first += IMAGES) {
        int32_t n = l->count - first < IMAGES ? (int32_t)(l->count - first) : IMAGES;
        for (int32_t i = 0; i < n; i++)
            FB_TRY(l->given->image(l->given->self, ctx, l->list[first + i],
                                   fb_batch_pixels(s->pixels, i)));
        FB_TRY(fb_scorer_features(ctx, s, pixels, n, l->features + first * l->numbers));
        fb_progress_update(progress, first + n, 1.0, "");
    }
    return FB_OK;
}

/* source becomes one of features where images are looked at once. */
static fb_status look_once(fb_context *ctx, fb_scorer *s, looked_at *l,
                           fb_score_source *source, const fb_score_pair *pairs,
                           int64_t count, const char *label, bool quiet)
{
    const fb_model_config *c = &s->matcher->config;
    l->numbers = (int64_t)fb_model_config_patches(c) * fb_model_config_features(c);
    FB_TRY(list_numbers(ctx, &l->list, &l->count, pairs, count, false));
    if (!looks_once(s, l))
        return FB_OK;
    l->features = malloc((size_t)(l->count * l->numbers) * sizeof *l->features + 1);
    if (!l->features)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for features of %lld images",
                       (long long)l->count);
    fb_progress progress;
    fb_progress_begin(&progress, label ? label : "", "images", 0, l->count,
                      quiet || !label);
    fb_status status = look_at_all(ctx, s, l, &progress);
    fb_progress_end(&progress);
    *source = (fb_score_source){l, looked_text, NULL, looked_features};
    return status;
}

/* ---- scores --------------------------------------------------------------------- */

static fb_status margins_by_stream(fb_context *ctx, fb_scorer *scorer,
                                   const fb_score_source *source,
                                   const fb_score_pair *pairs, int64_t count,
                                   float *margins, const char *label, bool quiet)
{
    indexed_pair *sorted = malloc(((size_t)count + 1) * sizeof *sorted);
    if (!sorted)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %lld pairs", (long long)count);
    for (int64_t i = 0; i < count; i++)
        sorted[i] = (indexed_pair){pairs[i], i};
    qsort(sorted, (size_t)count, sizeof *sorted, by_image);
    fb_progress progress;
    fb_progress_begin(&progress, label ? label : "", "pairs", 0, count,
                      quiet || !label);
    fb_status status =
        run_stream(ctx, scorer, source, sorted, count, margins, &progress);
    fb_progress_end(&progress);
    free(sorted);
    return status;
}

/* margins: alignment's, where it has a share; similarity */
static fb_status run_both(fb_context *ctx, fb_scorer *s, const fb_score_source *given,
                          const fb_score_pair *pairs, int64_t count, float *margins,
                          float *similarity, const char *label, bool quiet)
{
    fb_score_source source = *given;
    looked_at looked = {.given = given};
    double near = fb_scorer_neighbour_weight(s);
    bool stream = s->matcher->config.alignment_weight > 0;
    fb_status status = FB_OK;
    if (stream)
        status = look_once(ctx, s, &looked, &source, pairs, count, label, quiet);
    if (status == FB_OK)
        status = similarities(ctx, s, &source, pairs, count, near, similarity,
                              source.image ? label : NULL, quiet);
    if (status == FB_OK && stream)
        status =
            margins_by_stream(ctx, s, &source, pairs, count, margins, label, quiet);
    free(looked.list);
    free(looked.features);
    return status;
}

double fb_scorer_neighbour_weight(const fb_scorer *scorer)
{
    return scorer->neighbours ? scorer->matcher->config.neighbour_weight : 0;
}

fb_status fb_scorer_run(fb_context *ctx, fb_scorer *scorer,
                        const fb_score_source *source, const fb_score_pair *pairs,
                        int64_t count, fb_score_kind kind, float *margins,
                        const char *label, bool quiet)
{
    const fb_matcher *m = scorer->matcher;
    if (m->config.system == FB_SYSTEM_QTI)
        return fb_fail(ctx, FB_E_STATE,
                       "this model scores a title and an image for a query, not by "
                       "themselves; give it a query too");
    if (kind == FB_SCORE_TIA)
        return margins_by_stream(ctx, scorer, source, pairs, count, margins, label,
                                 quiet);
    if (!m->config.vector)
        return fb_fail(ctx, FB_E_STATE,
                       "score %s: this model gives no vectors; it was trained without "
                       "the contrastive loss",
                       fb_score_kind_name(kind));
    float *similarity = malloc(((size_t)count + 1) * sizeof *similarity);
    if (!similarity)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %lld pairs", (long long)count);
    double scale = m->kind->similarity_scale(m), bias = m->config.score_bias;
    double share = kind == FB_SCORE_BOTH ? m->config.alignment_weight : 0.0;
    fb_status status = kind == FB_SCORE_BOTH
                           ? run_both(ctx, scorer, source, pairs, count, margins,
                                      similarity, label, quiet)
                           : similarities(ctx, scorer, source, pairs, count, 0,
                                          similarity, label, quiet);
    for (int64_t i = 0; i < count && status == FB_OK; i++)
        margins[i] = (float)((share > 0 ? share * (double)margins[i] : 0.0) +
                             scale * (double)similarity[i] + bias);
    free(similarity);
    return status;
}

float fb_score_probability(float margin)
{
    return 1.0f / (1.0f + expf(-margin));
}
