/* scorer.h - scores of many triples of a query, a text and an image, packed into
 * batches; vectors of many texts and images.
 *
 * A triple without a query (-1) is a pair: what models of titles and images score.
 * Models that read queries score all three.
 *
 * Scores are margins: their sigmoid is the probability of a match, their order the
 * ranking (a sigmoid would round the best ones to ties).
 *
 * Triples are taken image by image, so that each image is loaded and its patches are
 * embedded about once, however many texts it is scored with; each text of a batch lies
 * in it once.
 */
#ifndef FB_ENGINE_SCORER_H
#define FB_ENGINE_SCORER_H

#include "base/progress.h"
#include "models/matcher.h"

/* Where queries, texts and images come from, by number. Token ids are with [CLS] and
 * [SEP], borrowed until the next call. */
typedef struct fb_score_source {
    void *self;
    fb_status (*text)(void *self, fb_context *ctx, int32_t text, const int32_t **ids,
                      int32_t *count);
    /* pixels [size, size, 3] */
    fb_status (*image)(void *self, fb_context *ctx, int32_t image, uint8_t *pixels);
    /* Where not NULL, asked in the place of image: patch features [P, F] that the
     * model's network made of it before. */
    fb_status (*features)(void *self, fb_context *ctx, int32_t image,
                          fb_bf16 *features);
    /* Asked in the place of both by a model of regions. */
    fb_status (*regions)(void *self, fb_context *ctx, int32_t image,
                         fb_regions *regions);
    /* NULL: there are no queries. */
    fb_status (*query)(void *self, fb_context *ctx, int32_t query, const int32_t **ids,
                       int32_t *count);
} fb_score_source;

typedef struct fb_score_triple {
    int32_t query, text, image; /* query -1: none */
} fb_score_triple;

/* What is to be scored. */
typedef struct fb_score_request {
    const fb_score_triple *triples;
    int64_t count;
    const char *label; /* of the progress bar; NULL: none */
    bool quiet;
} fb_score_request;

typedef struct fb_scorer fb_scorer;
typedef struct fb_neighbours fb_neighbours;

/* be and matcher are borrowed. */
fb_status fb_scorer_create(fb_context *ctx, fb_scorer **scorer, fb_backend *be,
                           fb_matcher *matcher);
void fb_scorer_free(fb_scorer *scorer);

/* Whether triples need a query; else they must have none. */
bool fb_scorer_reads_query(const fb_scorer *scorer);

/* What sources know of regions, of a model of these; without, it scores no images.
 * FB_E_MEMORY */
fb_status fb_scorer_use_regions(fb_context *ctx, fb_scorer *scorer,
                                fb_region_kind kind);

/* Neighbours for the CSLS hubness correction of similarities (neighbours.h), borrowed;
 * NULL: none. */
void fb_scorer_use_neighbours(fb_scorer *scorer, const fb_neighbours *neighbours);
/* config.neighbour_weight, 0 without neighbours. */
double fb_scorer_neighbour_weight(const fb_scorer *scorer);

/* FB_E_STATE: a kind with vectors that the model lacks. */
fb_status fb_score_kind_check(fb_context *ctx, fb_score_kind kind,
                              const fb_matcher *matcher);

/* margins[count] of the request's triples, in their order, by `kind` (model_config.h).
 * FB_E_STATE   fb_score_kind_check; a source without queries of a
 *              model that reads them, or the other way round; a model of regions whose
 *              sources have none
 * FB_E_LIMIT   a text is longer than the model takes */
fb_status fb_scorer_run(fb_context *ctx, fb_scorer *scorer,
                        const fb_score_source *source, const fb_score_request *request,
                        fb_score_kind kind, float *margins);

/* Whether features are all that the network says, which computes in their own type;
 * elsewhere they have been rounded. */
bool fb_scorer_features_are_whole(const fb_scorer *scorer);
/* Patch features [count, P, F] of pixels [count, size, size, 3]. */
fb_status fb_scorer_features(fb_context *ctx, fb_scorer *scorer, const uint8_t *pixels,
                             int32_t count, fb_bf16 *features);

/* Unit vectors [count, D] of the listed texts, and of the listed images; D is the
 * model's config.vector. */
fb_status fb_scorer_text_vectors(fb_context *ctx, fb_scorer *scorer,
                                 const fb_score_source *source, const int32_t *texts,
                                 int64_t count, float *vectors);
fb_status fb_scorer_image_vectors(fb_context *ctx, fb_scorer *scorer,
                                  const fb_score_source *source, const int32_t *images,
                                  int64_t count, float *vectors, fb_progress *progress);

/* Margins of every fb_scorer_run, one behind the other, for who compares two runs. */
typedef struct fb_score_record {
    float *margins; /* [count] free() it */
    int64_t count;
} fb_score_record;
/* Borrowed; NULL: no longer. */
void fb_scorer_record(fb_scorer *scorer, fb_score_record *record);

/* 1 / (1 + exp(-margin)) */
float fb_score_probability(float margin);

#endif
