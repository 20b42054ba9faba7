/* scorer_parts.h - what the files of the scorer share.
 *
 *     scorer.c             scores of a request, by kind
 *     scorer_batch.c       batches filled from a source, and one pass over one
 *     scorer_features.c    features made once for all of a request's images
 *     scorer_similarity.c  vectors, and similarities of pairs, CSLS-corrected
 *     scorer_tokens.c      pairs from words and rows that are encoded once
 */
#ifndef FB_ENGINE_SCORER_PARTS_H
#define FB_ENGINE_SCORER_PARTS_H

#include "engine/scorer.h"
#include "ops/tape.h"

enum { FB_SCORE_PAIRS = 64, FB_SCORE_IMAGES = 16 };

/* What of a source lies in the batch, and where. */
typedef struct fb_score_placed {
    int32_t count, number[FB_SCORE_PAIRS], place[FB_SCORE_PAIRS];
} fb_score_placed;

struct fb_scorer {
    fb_backend *be;
    fb_matcher *matcher;
    fb_arena *arena;
    fb_batch *batch;         /* the one that is filled, of these two: */
    fb_batch *pixels, *made; /* made: of features, from the first such source on, or
                                of regions */
    fb_score_placed queries, texts, images;
    int64_t order[FB_SCORE_PAIRS]; /* which triple of the run each of the batch is */
    float scores[FB_SCORE_PAIRS];
    const fb_neighbours *neighbours;
    fb_score_record *record; /* NULL: none is kept */
};

/* A triple and its place in the request. */
typedef struct fb_placed_triple {
    fb_score_triple triple;
    int64_t place;
} fb_placed_triple;

/* ---- scorer_batch.c --------------------------------------------------------------- */

fb_status fb_scorer_make_batch(fb_context *ctx, fb_scorer *scorer);
/* Begin an empty batch that takes what the source has of images; NULL: of texts alone.
 */
fb_status fb_scorer_begin(fb_context *ctx, fb_scorer *scorer,
                          const fb_score_source *source);
/* Add a text or an image by its number in the source. There must be room. */
fb_status fb_scorer_add_text(fb_context *ctx, fb_scorer *scorer,
                             const fb_score_source *source, int32_t number);
fb_status fb_scorer_add_image(fb_context *ctx, fb_scorer *scorer,
                              const fb_score_source *source, int32_t number);
/* Begin a batch anew, take triples from `next` on until it is full, and pack it. */
fb_status fb_scorer_fill(fb_context *ctx, fb_scorer *scorer,
                         const fb_score_source *source, const fb_placed_triple *triples,
                         int64_t count, int64_t *next);
/* A tape on the cleared arena. */
fb_tape fb_scorer_tape(fb_context *ctx, fb_scorer *scorer);

/* ---- sets of numbers (scorer_features.c) -------------------------------------------- */

/* The texts or images of a request, each once: malloc'ed, ascending. */
fb_status fb_score_list_numbers(fb_context *ctx, int32_t **list, int64_t *unique,
                                const fb_score_request *request, bool texts);
/* Place of a value that is in the ascending list. */
int64_t fb_score_place_of(const int32_t *list, int64_t count, int32_t value);

/* ---- scorer_features.c -------------------------------------------------------------- */

/* Features of all images of a request, for their vectors and then for the stream. */
typedef struct fb_score_features {
    const fb_score_source *given;
    int32_t *list;
    int64_t count, numbers; /* images; numbers of one's features */
    fb_bf16 *features;      /* [count, numbers] */
} fb_score_features;

/* Where features made once change no score and memory is enough for all, make them;
 * source then gives them in the place of pixels. To be cleared in any case. */
fb_status fb_score_features_make(fb_context *ctx, fb_scorer *scorer,
                                 fb_score_features *made, fb_score_source *source,
                                 const fb_score_request *request);
void fb_score_features_clear(fb_score_features *made);

/* ---- scorer_tokens.c ----------------------------------------------------------------- */

/* margins of the request, whose triples are also here by image: of a model that gives
 * tokens. */
fb_status fb_scorer_run_tokens(fb_context *ctx, fb_scorer *scorer,
                               const fb_score_source *source,
                               const fb_score_request *request,
                               const fb_placed_triple *triples, float *margins,
                               fb_progress *progress);

/* ---- scorer_similarity.c ------------------------------------------------------------ */

/* similarity[count] = cosine of the pairs' vectors, in their order, less `weight` times
 * what both sides' neighbours are near by. */
fb_status fb_scorer_similarities(fb_context *ctx, fb_scorer *scorer,
                                 const fb_score_source *source,
                                 const fb_score_request *request, double weight,
                                 float *similarity);

#endif
