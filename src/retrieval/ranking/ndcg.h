/* ndcg.h - normalised discounted cumulative gain of one query's ranking, a right answer
 * gaining 1 and any other 0.
 *
 *     DCG@k   = sum of 1 / log2(1 + rank) over the hits of rank <= k
 *     NDCG@k  = DCG@k over that of a ranking with all hits first
 *     chance  = its mean over all orders: share of hits * sum of 1 / log2(1 + r) for
 *               r <= k, over the same
 *
 * A tie counts against the hits: of equal scores, negatives rank first.
 */
#ifndef FB_RETRIEVAL_RANKING_NDCG_H
#define FB_RETRIEVAL_RANKING_NDCG_H

#include "base/status.h"

typedef struct fb_ndcg_result {
    double ndcg, chance;
} fb_ndcg_result;

/* Of `count` documents with marks (enum fb_mark, ranking_metrics.h); excluded ones are
 * left out. FB_E_NUMBER: a score is not finite; FB_E_MISSING: no document is a hit;
 * FB_E_MEMORY */
fb_status fb_ndcg(fb_context *ctx, fb_ndcg_result *result, const float *scores,
                  const uint8_t *marks, int64_t count, int64_t k);

#endif
