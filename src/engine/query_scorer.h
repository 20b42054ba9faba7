/* query_scorer.h - scores of many triples of a query, a title and an image, packed into
 * batches, for models that read all three (models/qti/qti_model.h).
 *
 * Scores are margins, as in scorer.h. Triples are taken image by image; each text and
 * each image of a batch lies in it once.
 */
#ifndef FB_ENGINE_QUERY_SCORER_H
#define FB_ENGINE_QUERY_SCORER_H

#include "models/matcher.h"

/* Where the three come from. Token ids are with [CLS] and [SEP], borrowed until the
 * next call. */
typedef struct fb_triple_source {
    void *self;
    fb_status (*query)(void *self, fb_context *ctx, int32_t query, const int32_t **ids,
                       int32_t *count);
    fb_status (*title)(void *self, fb_context *ctx, int32_t title, const int32_t **ids,
                       int32_t *count);
    /* pixels [size, size, 3] */
    fb_status (*image)(void *self, fb_context *ctx, int32_t image, uint8_t *pixels);
} fb_triple_source;

typedef struct fb_score_triple {
    int32_t query, title, image;
} fb_score_triple;

typedef struct fb_query_scorer fb_query_scorer;

/* be and matcher are borrowed. */
fb_status fb_query_scorer_create(fb_context *ctx, fb_query_scorer **scorer,
                                 fb_backend *be, fb_matcher *matcher);
void fb_query_scorer_free(fb_query_scorer *scorer);

/* margins[n] of triples[n], in their order. label: of the progress bar; NULL: none. */
fb_status fb_query_scorer_run(fb_context *ctx, fb_query_scorer *scorer,
                              const fb_triple_source *source,
                              const fb_score_triple *triples, int64_t count,
                              float *margins, const char *label, bool quiet);

#endif
