/* scorer.h - scores of many pairs of texts and images, packed into batches; vectors of
 * many texts and images.
 *
 * Scores are margins: their sigmoid is the probability of a match, their order the
 * ranking (a sigmoid would round the best ones to ties).
 *
 * Pairs are taken image by image, so that each image is loaded and its patches are
 * embedded about once, however many texts it is scored with; each text of a batch lies
 * in it once.
 */
#ifndef FB_ENGINE_SCORER_H
#define FB_ENGINE_SCORER_H

#include "base/progress.h"
#include "models/matcher.h"

/* Where texts and images come from. Token ids are with [CLS] and [SEP]. */
typedef struct fb_score_source {
    void *self;
    /* Token ids of a text, borrowed until the next call. */
    fb_status (*text)(void *self, fb_context *ctx, int32_t text, const int32_t **ids,
                      int32_t *count);
    /* pixels [size, size, 3] */
    fb_status (*image)(void *self, fb_context *ctx, int32_t image, uint8_t *pixels);
    /* Where not NULL, asked in the place of image: patch features [P, F] that the
     * model's network made of it before. */
    fb_status (*features)(void *self, fb_context *ctx, int32_t image,
                          fb_bf16 *features);
} fb_score_source;

typedef struct fb_score_pair {
    int32_t text, image;
} fb_score_pair;

typedef struct fb_scorer fb_scorer;
typedef struct fb_neighbours fb_neighbours;

/* be and matcher are borrowed. */
fb_status fb_scorer_create(fb_context *ctx, fb_scorer **scorer, fb_backend *be,
                           fb_matcher *matcher);
void fb_scorer_free(fb_scorer *scorer);

/* What takes the nearness of neighbours off similarities (neighbours.h), borrowed;
 * NULL: nothing. */
void fb_scorer_use_neighbours(fb_scorer *scorer, const fb_neighbours *neighbours);
/* config.neighbour_weight, 0 without neighbours. */
double fb_scorer_neighbour_weight(const fb_scorer *scorer);

/* margins[n] of pairs[n], in their order, by `kind` (model_config.h). label: of the
 * progress bar; NULL: none. FB_E_STATE: a kind with vectors that the model lacks, or a
 * model of queries (query_scorer.h). */
fb_status fb_scorer_run(fb_context *ctx, fb_scorer *scorer,
                        const fb_score_source *source, const fb_score_pair *pairs,
                        int64_t count, fb_score_kind kind, float *margins,
                        const char *label, bool quiet);

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

/* 1 / (1 + exp(-margin)) */
float fb_score_probability(float margin);

#endif
