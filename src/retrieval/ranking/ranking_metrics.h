/* ranking_metrics.h - from scores to ranks, from ranks to R@K, MRR and median rank; AUC
 * and accuracy of a matcher.
 *
 *     rank  = 1 + number of negatives with score >= the best hit's score
 *     pool  = 1 + number of negatives                  (the candidates that are ranked)
 *     R@K   = share of queries with rank <= K          R@all: rank <= pool, always 1
 *     MRR   = mean of 1 / rank                         chance R@K: chance.h
 *     AUC   = P(matched score > mismatched score) + P(equal) / 2
 *
 * A tie counts against the positive: a scorer that answers the same number to
 * everything gets the last rank, not the first. The median of an even count is the mean
 * of the two in the middle. A score that is NaN or infinite is FB_E_NUMBER, never a
 * rank.
 */
#ifndef FB_RETRIEVAL_RANKING_RANKING_METRICS_H
#define FB_RETRIEVAL_RANKING_RANKING_METRICS_H

#include "base/status.h"
#include "fashionbert.h"
#include "retrieval/ranking/chance.h"

typedef struct fb_rank {
    int64_t rank; /* 1: best */
    int64_t pool; /* candidates ranked, the positive among them */
    fb_chance chance;
} fb_rank;

/* What a document is to a query. */
enum fb_mark {
    FB_MARK_NEGATIVE, /* ranked against the hits */
    FB_MARK_HIT,      /* a right answer; the best one's rank counts */
    FB_MARK_EXCLUDED  /* neither: taken out of the pool */
};

/* One positive against `count` negatives; chance is that of negatives which all differ.
 * FB_E_NUMBER: a score is not finite. */
fb_status fb_rank_positive(fb_context *ctx, fb_rank *rank, float positive,
                           const float *negatives, int64_t count);

/* The best hit among `count` marked documents (enum fb_mark each); the other hits and
 * the excluded documents are no candidates, but chance is that of any hit being found.
 * FB_E_NUMBER: the score of a hit or a
 * negative is not finite. FB_E_MISSING: no document is a hit. */
fb_status fb_rank_marked(fb_context *ctx, fb_rank *rank, const float *scores,
                         const uint8_t *marks, int64_t count);

/* One direction of one draw; left_out is set to 0. No ranks: queries 0 and all rates 0.
 * FB_E_MEMORY: no room for the median. */
fb_status fb_ranking_from_ranks(fb_context *ctx, fb_ranking *ranking,
                                const fb_rank *ranks, int64_t count);

/* Mean over draws: each draw weighs as much as it has queries (equal draws: the plain
 * mean). queries and left_out are rounded means of a draw. count 0 gives all zeros. */
void fb_ranking_mean(fb_ranking *mean, const fb_ranking *draws, int64_t count);

/* Exact area under the ROC curve in O(n log n). labels: 1 matched, 0 mismatched.
 * FB_E_NUMBER: a score is not finite. FB_E_MISSING: not both labels occur. FB_E_MEMORY.
 */
fb_status fb_auc(fb_context *ctx, double *auc, const float *scores,
                 const uint8_t *labels, int64_t count);

/* Share of pairs where (score >= threshold) equals the label. Failures as fb_auc, but
 * one label alone is enough. */
fb_status fb_accuracy(fb_context *ctx, double *accuracy, const float *scores,
                      const uint8_t *labels, int64_t count, float threshold);

#endif
