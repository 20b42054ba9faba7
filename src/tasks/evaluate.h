/* evaluate.h - what the two protocols share: ranks by query, gathered into the report.
 *
 * sampled (evaluate_sampled.c) and full (evaluate_full.c) score their pairs and give
 * every query's rank to fb_ranks_add; fb_ranks_finish makes the means over draws, for
 * all queries and for each category.
 */
#ifndef FB_TASKS_EVALUATE_H
#define FB_TASKS_EVALUATE_H

#include "retrieval/candidates.h"
#include "retrieval/ranking_metrics.h"
#include "tasks/split_items.h"

typedef struct fb_ranks_entry {
    int32_t draw, direction, category;
    fb_rank rank;
} fb_ranks_entry;

typedef struct fb_ranks {
    fb_ranks_entry *entries;
    int64_t count, capacity;
    int32_t draws;
    int64_t left_out; /* queries of a draw and direction that had too few others */
} fb_ranks;

fb_status fb_ranks_add(fb_context *ctx, fb_ranks *ranks, int32_t draw,
                       fb_direction direction, int32_t category, fb_rank rank);
fb_status fb_ranks_finish(fb_context *ctx, const fb_ranks *ranks,
                          const fb_split_items *items, fb_evaluation *evaluation);
void fb_ranks_free(fb_ranks *ranks);

/* Each fills ranks, accuracy, auc and pairs_scored. */
fb_status fb_evaluate_sampled(fb_context *ctx, fb_model *model, fb_split_items *items,
                              const fb_evaluate_options *options, fb_ranks *ranks,
                              fb_evaluation *evaluation);
fb_status fb_evaluate_full(fb_context *ctx, fb_model *model, fb_split_items *items,
                           const fb_evaluate_options *options, fb_ranks *ranks,
                           fb_evaluation *evaluation);

/* By option `score`: the model's own, or another that it can give. */
fb_status fb_evaluate_score_kind(fb_context *ctx, const fb_evaluate_options *options,
                                 const fb_model *model, fb_score_kind *kind);

/* Accuracy at probability 1/2 (margin 0) and AUC of labelled margins. */
fb_status fb_evaluate_matching(fb_context *ctx, const float *scores,
                               const uint8_t *labels, int64_t count,
                               fb_evaluation *evaluation);

#endif
