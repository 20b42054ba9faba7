/* query_ranking.h - how well a model finds the products that queries wanted, and tells
 * them from those that they did not (query_lists.h): what `evaluate` prints of a model
 * of queries, and what training sees of its validation split.
 *
 * Ranks, R@K and MRR are of the best hit, NDCG@10 of all hits; ties count against them
 * (ranking_metrics.h, ndcg.h).
 */
#ifndef FB_ENGINE_QUERY_RANKING_H
#define FB_ENGINE_QUERY_RANKING_H

#include "data/image/image_load.h"
#include "data/text/wordpiece.h"
#include "engine/query_lists.h"
#include "engine/scorer.h"
#include "fashionbert.h"

/* What is ranked with; all borrowed. */
typedef struct fb_query_ranker {
    fb_scorer *scorer;
    const fb_model_config *config;
    const fb_vocab *vocab;
    fb_resizer *resizer;
    const fb_catalogue *catalogue;
    const fb_query_split *split;
} fb_query_ranker;

typedef struct fb_query_report {
    fb_ranking ranking;
    int32_t draws; /* 1 where all draws have the same candidates */
    double ndcg10, chance_ndcg10, accuracy, auc;
    int64_t triples_scored;
} fb_query_report;

/* FB_E_MISSING: no list; FB_E_LIMIT: too many triples; else what reading and scoring
 * give. */
fb_status fb_query_rank(fb_context *ctx, const fb_query_ranker *ranker,
                        const fb_query_ranking_options *options,
                        fb_query_report *report);

#endif
