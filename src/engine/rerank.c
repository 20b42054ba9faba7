/* rerank.c - cross-encoder re-ranking: the products that a search found, put in the
 * order of the model's own score of each pair: the query's text with the product's
 * image, or the product's title with the query's image; of a query with both the mean
 * of the two margins; or by a model of queries, which reads the query's text, the title
 * and the image at once.
 *
 * What the index keeps of images takes the place of reading them. Where the model's
 * score counts the similarity of the pair's vectors, that of the vectors searched by
 * stands for it: in an index of products it knows the title too, and an order by the
 * image alone would be worse than the one that is re-ranked. Products that no search
 * scored have the similarity of the pair itself. Either gets the CSLS hubness
 * correction (neighbours.h) where the index keeps the vectors that it is computed from.
 */
#include "base/clock.h"
#include "engine/model_index.h"
#include "engine/model_inputs.h"
#include "engine/model_match.h"
#include "engine/model_regions.h"
#include "engine/model_vectors.h"
#include "engine/neighbours.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct fb_reranking {
    const fb_index *index;
    const fb_input *query;
    const fb_search_options *options;
    fb_search_result *result;
    bool by_queries, known; /* known: all hits come from a search, with scores */
    bool kept[2];           /* all hits' titles, or images, have vectors in the index */
    int32_t all, done;
    float *sums; /* [all] */
    double seconds;
};

/* A part of the hits that is scored at once. */
typedef struct part {
    fb_context *ctx;
    fb_model *model;
    const fb_reranking *whole;
    const fb_index *index;
    const fb_input *query;
    fb_hit *hits; /* [count] */
    int32_t count;
    int32_t *ids;
    float *margins, *sums; /* [count] */
    float *vector;         /* [D] of the query's text or image */
    float *others;         /* [count, D] of what it is scored with */
    fb_score_triple *pairs;
} part;

/* ---- where texts and images come from ------------------------------------------- */

static fb_status tokens_of(part *r, const char *text, const int32_t **ids,
                           int32_t *count)
{
    *ids = r->ids;
    return fb_model_tokens(r->ctx, r->model, text, r->ids, count);
}

static fb_status query_text(void *self, fb_context *ctx, int32_t text,
                            const int32_t **ids, int32_t *count)
{
    (void)ctx, (void)text;
    part *r = self;
    return tokens_of(r, r->query->text, ids, count);
}

static fb_status hit_title(void *self, fb_context *ctx, int32_t text,
                           const int32_t **ids, int32_t *count)
{
    (void)ctx;
    part *r = self;
    return tokens_of(r, r->hits[text].title, ids, count);
}

static fb_status query_image(void *self, fb_context *ctx, int32_t image,
                             uint8_t *pixels)
{
    (void)image;
    part *r = self;
    return fb_model_load_input(ctx, r->model, r->query->image, 0, pixels);
}

static fb_status hit_image(void *self, fb_context *ctx, int32_t image, uint8_t *pixels)
{
    part *r = self;
    const fb_hit *hit = &r->hits[image];
    if (r->index->manifest.keep == FB_KEEP_PIXELS) {
        const uint8_t *kept;
        FB_TRY(fb_index_kept_row(ctx, r->index, hit->row, &kept));
        memcpy(pixels, kept, fb_index_kept_bytes(&r->index->manifest));
        return FB_OK;
    }
    fb_image_input file = {.file = hit->image};
    return fb_model_load_input(ctx, r->model, &file, image, pixels);
}

static fb_status query_regions(void *self, fb_context *ctx, int32_t image,
                               fb_regions *regions)
{
    (void)image;
    part *r = self;
    return fb_model_input_regions(ctx, r->model, r->query->image, 0, regions);
}

static fb_status hit_regions(void *self, fb_context *ctx, int32_t image,
                             fb_regions *regions)
{
    part *r = self;
    return fb_model_find_regions(ctx, r->model, r->hits[image].image, regions);
}

static fb_status hit_features(void *self, fb_context *ctx, int32_t image,
                              fb_bf16 *features)
{
    part *r = self;
    const uint8_t *kept;
    FB_TRY(fb_index_kept_row(ctx, r->index, r->hits[image].row, &kept));
    memcpy(features, kept, fb_index_kept_bytes(&r->index->manifest));
    return FB_OK;
}

/* ---- similarities --------------------------------------------------------------- */

/* Where the index's own vector of a hit's image (or text) lies, at row *at; NULL: it
 * does not keep it. */
static const fb_stored *part_of(const fb_index *index, const fb_hit *hit, bool image,
                                int64_t *at)
{
    const fb_index_manifest *m = &index->manifest;
    if (index->store)
        return NULL;
    *at = hit->row;
    const fb_segment *s = fb_index_segment_of(index, at);
    const fb_stored *all = image ? &s->image : &s->text;
    bool alike = m->fingerprint && m->what == (image ? FB_OF_IMAGE : FB_OF_TEXT);
    if (!fb_stored_any(all) && alike)
        all = &s->vectors;
    return fb_stored_any(all) ? all : NULL;
}

/* Whether the index keeps that of all hits, so that no file need be read for it. */
static bool has_parts(const fb_reranking *whole, bool images)
{
    int64_t at;
    for (int32_t i = 0; i < whole->all; i++)
        if (!part_of(whole->index, &whole->result->retrieved[i], images, &at))
            return false;
    return true;
}

/* others [count, D] of the hits' images, or titles. */
static fb_status fill_others(part *r, bool images, const fb_score_source *source)
{
    int32_t width = r->index->manifest.width;
    if (r->whole->kept[images]) {
        for (int32_t i = 0; i < r->count; i++) {
            int64_t at;
            const fb_stored *all = part_of(r->index, &r->hits[i], images, &at);
            fb_stored_decode(all, at, 1, r->others + (int64_t)i * width);
        }
        return FB_OK;
    }
    int32_t *list = malloc(((size_t)r->count + 1) * sizeof *list);
    if (!list)
        return fb_fail(r->ctx, FB_E_MEMORY, "no memory to re-rank");
    for (int32_t i = 0; i < r->count; i++)
        list[i] = i;
    fb_status status = images
                           ? fb_scorer_image_vectors(r->ctx, r->model->scorer, source,
                                                     list, r->count, r->others, NULL)
                           : fb_scorer_text_vectors(r->ctx, r->model->scorer, source,
                                                    list, r->count, r->others);
    free(list);
    return status;
}

/* Of the vectors that were searched by, when all hits come from a search. */
static bool has_scores(const fb_search_result *result)
{
    for (int32_t i = 0; i < result->retrieved_count; i++)
        if (!isfinite(result->retrieved[i].score))
            return false;
    return true;
}

/* CSLS: margins -= scale (r(query) + r(other)), by the vectors of both
 * (neighbours.h). */
static fb_status take_nearness(part *r, bool by_text, double scale)
{
    const fb_model *m = r->model;
    float query, *others = malloc(((size_t)r->count + 1) * sizeof *others);
    if (!others)
        return fb_fail(r->ctx, FB_E_MEMORY, "no memory to re-rank");
    fb_status status =
        fb_neighbours_of(r->ctx, m->neighbours, m->be, by_text, r->vector, 1, &query);
    if (status == FB_OK)
        status = fb_neighbours_of(r->ctx, m->neighbours, m->be, !by_text, r->others,
                                  r->count, others);
    for (int32_t i = 0; i < r->count && status == FB_OK; i++)
        r->margins[i] = (float)((double)r->margins[i] -
                                scale * ((double)query + (double)others[i]));
    free(others);
    return status;
}

/* margins += scale * similarity + bias, by the config's score. */
static fb_status add_similarities(part *r, bool by_text, const fb_score_source *source)
{
    int32_t width = r->index->manifest.width, one = 0;
    const fb_matcher *m = r->model->matcher;
    double scale =
        fb_matcher_gives(m, FB_GIVES_VECTORS) ? m->system->similarity_scale(m) : 0;
    double bias = m->config.score_bias;
    bool known = r->whole->known;
    double weight =
        m->config.score == FB_SCORE_BOTH && (!known || r->whole->kept[by_text])
            ? fb_scorer_neighbour_weight(r->model->scorer)
            : 0;
    for (int32_t i = 0; i < r->count && known; i++)
        r->margins[i] =
            (float)((double)r->margins[i] + scale * (double)r->hits[i].score + bias);
    if (known && !(weight > 0))
        return FB_OK;
    if (by_text)
        FB_TRY(fb_scorer_text_vectors(r->ctx, r->model->scorer, source, &one, 1,
                                      r->vector));
    else
        FB_TRY(fb_scorer_image_vectors(r->ctx, r->model->scorer, source, &one, 1,
                                       r->vector, NULL));
    FB_TRY(fill_others(r, by_text, source));
    if (weight > 0)
        FB_TRY(take_nearness(r, by_text, scale * weight));
    for (int32_t i = 0; i < r->count && !known; i++)
        r->margins[i] =
            (float)((double)r->margins[i] +
                    scale * (double)fb_vectors_dot(
                                r->vector, r->others + (int64_t)i * width, width) +
                    bias);
    return FB_OK;
}

/* ---- margins -------------------------------------------------------------------- */

/* The model's margins of the query's text with the hits' images (by_text), or of the
 * hits' titles with the query's image, added to sums. */
static fb_status score_side(part *r, bool by_text)
{
    const fb_model_config *c = &r->model->matcher->config;
    bool features = by_text && r->index->manifest.keep == FB_KEEP_FEATURES;
    const fb_score_source vectors = {.self = r,
                                     .text = by_text ? query_text : hit_title,
                                     .image = by_text ? hit_image : query_image,
                                     .regions = by_text ? hit_regions : query_regions};
    fb_score_source stream = vectors;
    const fb_score_request request = {r->pairs, r->count, NULL, true};
    stream.features = features ? hit_features : NULL;
    for (int32_t i = 0; i < r->count; i++) {
        r->pairs[i] = (fb_score_triple){-1, by_text ? 0 : i, by_text ? i : 0};
        r->margins[i] = 0;
    }
    if (c->score != FB_SCORE_ITC)
        FB_TRY(fb_scorer_run(r->ctx, r->model->scorer, &stream, &request, FB_SCORE_TIA,
                             r->margins));
    if (c->score == FB_SCORE_BOTH)
        for (int32_t i = 0; i < r->count; i++)
            r->margins[i] = (float)(c->alignment_weight * (double)r->margins[i]);
    if (c->score != FB_SCORE_TIA)
        FB_TRY(add_similarities(r, by_text, &vectors));
    for (int32_t i = 0; i < r->count; i++)
        r->sums[i] += r->margins[i];
    return FB_OK;
}

typedef struct ranked {
    fb_hit hit;
    float margin;
} ranked;

/* Higher margins first, equal ones as the vectors had them. */
static int by_margin(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->margin != y->margin)
        return x->margin > y->margin ? -1 : 1;
    return x->hit.rank < y->hit.rank ? -1 : x->hit.rank > y->hit.rank;
}

static float sides_of(const fb_input *query)
{
    return (query->text ? 1.0f : 0.0f) + (query->image ? 1.0f : 0.0f);
}

/* By sums / sides; those that were left out follow. */
static fb_status order_hits(fb_context *ctx, const fb_reranking *r)
{
    fb_search_result *result = r->result;
    float sides = r->by_queries ? 1.0f : sides_of(r->query);
    ranked *order = malloc(((size_t)r->all + 1) * sizeof *order);
    if (!order)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to re-rank");
    for (int32_t i = 0; i < r->all; i++)
        order[i] = (ranked){result->retrieved[i], r->sums[i] / sides};
    qsort(order, (size_t)r->all, sizeof *order, by_margin);
    for (int32_t i = 0; i < r->all; i++) {
        fb_hit *hit = &result->retrieved[order[i].hit.rank - 1];
        hit->rerank_score = fb_score_probability(order[i].margin);
        hit->rerank_rank = i + 1;
    }
    int32_t all = result->retrieved_count;
    result->hit_count = r->options->k < all ? r->options->k : all;
    result->rerank_dropped = all - r->all;
    for (int32_t i = 0; i < result->hit_count; i++)
        result->hits[i] = result->retrieved[i < r->all ? order[i].hit.rank - 1 : i];
    free(order);
    return FB_OK;
}

static fb_status run_part(part *r)
{
    size_t n = (size_t)r->count + 1, width = (size_t)r->index->manifest.width;
    r->ids = malloc((size_t)r->model->matcher->config.max_text * sizeof *r->ids);
    r->margins = malloc(n * sizeof *r->margins);
    r->vector = malloc(width * sizeof *r->vector);
    r->others = malloc(n * width * sizeof *r->others);
    r->pairs = malloc(n * sizeof *r->pairs);
    if (!r->ids || !r->margins || !r->vector || !r->others || !r->pairs)
        return fb_fail(r->ctx, FB_E_MEMORY, "no memory to re-rank %d hits",
                       (int)r->count);
    if (r->query->text)
        FB_TRY(score_side(r, true));
    if (r->query->image)
        FB_TRY(score_side(r, false));
    return FB_OK;
}

/* A model of queries reads all three at once, image files among them: what the index
 * keeps is of another model's reading. */
static fb_status run_part_by_queries(part *r)
{
    size_t n = (size_t)r->count + 1;
    const char **queries = calloc(n, sizeof *queries);
    fb_input *products = calloc(n, sizeof *products);
    fb_image_input *images = calloc(n, sizeof *images);
    fb_status status = queries && products && images
                           ? FB_OK
                           : fb_fail(r->ctx, FB_E_MEMORY, "no memory to re-rank");
    for (int32_t i = 0; i < r->count && status == FB_OK; i++) {
        queries[i] = r->query->text;
        images[i].file = r->hits[i].image;
        products[i] = (fb_input){r->hits[i].title, &images[i]};
    }
    if (status == FB_OK)
        status = fb_model_query_margins(r->ctx, r->model, queries, products, r->count,
                                        r->sums);
    free(queries);
    free(products);
    free(images);
    return status;
}

/* Early exit: hits stand by falling similarity, so that those near enough to the first
 * are the first so many. A score that is NaN is of no search. */
static int32_t count_near(const fb_search_result *result, double margin)
{
    const fb_hit *hits = result->retrieved;
    int32_t n = 0;
    while (n < result->retrieved_count &&
           !((double)hits[0].score - (double)hits[n].score > margin))
        n++;
    return n;
}

fb_status fb_rerank_begin(fb_context *ctx, fb_reranking **reranking,
                          const fb_model *model, const fb_index *index,
                          const fb_input *query, const fb_search_options *options,
                          fb_search_result *result)
{
    bool by_queries = fb_model_takes_query(model);
    if (!query->text && !query->image)
        return fb_fail(ctx, FB_E_USAGE, "a query has a text, an image or both");
    if (by_queries && !query->text)
        return fb_fail(ctx, FB_E_USAGE, "%s re-ranks by words: the query needs a text",
                       model->folder);
    if (!by_queries)
        FB_TRY(fb_index_check_model(ctx, index->folder, &index->manifest, model));
    fb_reranking *r = calloc(1, sizeof *r);
    float *sums = calloc((size_t)result->retrieved_count + 1, sizeof *sums);
    if (!r || !sums) {
        free(r);
        free(sums);
        return fb_fail(ctx, FB_E_MEMORY, "no memory to re-rank");
    }
    *r = (fb_reranking){.index = index,
                        .query = query,
                        .options = options,
                        .result = result,
                        .by_queries = by_queries,
                        .known = has_scores(result),
                        .all = count_near(result, options->rerank_margin),
                        .sums = sums};
    for (int images = 0; images < 2; images++)
        r->kept[images] = has_parts(r, images);
    *reranking = r;
    return FB_OK;
}

int32_t fb_rerank_left(const fb_reranking *reranking)
{
    return reranking->all - reranking->done;
}

fb_status fb_rerank_run(fb_context *ctx, fb_reranking *reranking, fb_model *model,
                        int32_t count)
{
    fb_reranking *whole = reranking;
    double started_s = fb_clock_s();
    int32_t left = fb_rerank_left(whole);
    part r = {.ctx = ctx,
              .model = model,
              .whole = whole,
              .index = whole->index,
              .query = whole->query,
              .hits = whole->result->retrieved + whole->done,
              .count = count < left ? count : left,
              .sums = whole->sums + whole->done};
    fb_status status = whole->by_queries ? run_part_by_queries(&r) : run_part(&r);
    free(r.ids);
    free(r.margins);
    free(r.vector);
    free(r.others);
    free(r.pairs);
    if (status == FB_OK)
        whole->done += r.count;
    whole->seconds += fb_clock_s() - started_s;
    return status;
}

fb_status fb_rerank_end(fb_context *ctx, fb_reranking *reranking)
{
    fb_search_result *result = reranking->result;
    if (fb_rerank_left(reranking) > 0)
        return fb_fail(ctx, FB_E_STATE, "%d hits are not scored yet",
                       (int)fb_rerank_left(reranking));
    FB_TRY(order_hits(ctx, reranking));
    result->rerank_ms = 1e3 * reranking->seconds;
    result->total_ms += result->rerank_ms;
    return FB_OK;
}

void fb_rerank_free(fb_reranking *reranking)
{
    if (!reranking)
        return;
    free(reranking->sums);
    free(reranking);
}

fb_status fb_index_rerank(fb_context *ctx, fb_model *model, const fb_index *index,
                          const fb_input *query, const fb_search_options *options,
                          fb_search_result *result)
{
    fb_reranking *r = NULL;
    FB_TRY(fb_rerank_begin(ctx, &r, model, index, query, options, result));
    fb_status status = fb_rerank_run(ctx, r, model, fb_rerank_left(r));
    if (status == FB_OK)
        status = fb_rerank_end(ctx, r);
    fb_rerank_free(r);
    return status;
}
