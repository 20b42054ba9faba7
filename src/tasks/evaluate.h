/* evaluate.h - what the two protocols share: ranks by query, gathered into the report.
 *
 * sampled (evaluate_sampled.c) and full (evaluate_full.c) score their pairs and give
 * every query's rank to fb_ranks_add; fb_ranks_finish makes the means over draws, for
 * all queries and for each category.
 */
#ifndef FB_TASKS_EVALUATE_H
#define FB_TASKS_EVALUATE_H

#include "engine/model_match.h"
#include "engine/split_items.h"
#include "retrieval/ranking/candidates.h"
#include "retrieval/ranking/ranking_metrics.h"

typedef struct fb_ranks_entry {
    int32_t draw, direction, query, category;
    fb_rank rank;
} fb_ranks_entry;

typedef struct fb_ranks {
    fb_ranks_entry *entries;
    int64_t count, capacity;
    int32_t draws;
    bool *differ;     /* [categories] whether its draws do, owned; NULL: none does */
    int64_t left_out; /* queries of a draw and direction that had too few others */
} fb_ranks;

fb_status fb_ranks_add(fb_context *ctx, fb_ranks *ranks, fb_ranks_entry entry);
fb_status fb_ranks_finish(fb_context *ctx, const fb_ranks *ranks,
                          const fb_split_items *items, fb_evaluation *evaluation);
void fb_ranks_free(fb_ranks *ranks);

/* What scores pairs: a model, or another system that is held to the same protocol. */
typedef struct fb_pair_scorer {
    void *self;
    /* scores[count] of pairs of texts and images, by number in items; higher is more
     * alike. */
    fb_status (*score)(void *self, fb_context *ctx, const fb_split_items *items,
                       const fb_score_triple *pairs, int64_t count, float *scores);
} fb_pair_scorer;

/* FB_E_USAGE: an unknown protocol, or one that does not go with candidates. */
fb_status fb_evaluate_check_protocol(fb_context *ctx,
                                     const fb_evaluate_options *options);

/* Score, rank and gather by the options' protocol; fills all of the evaluation but
 * items, score and seconds. The options' model, catalog, backend, dtype and threads are
 * not read. */
fb_status fb_evaluate_items(fb_context *ctx, const fb_evaluate_options *options,
                            fb_split_items *items, const fb_pair_scorer *scorer,
                            fb_evaluation *evaluation);

/* The same of a model by its score as the options say, which is named in the evaluation.
 * The model reads no queries. */
fb_status fb_evaluate_model(fb_context *ctx, const fb_evaluate_options *options,
                            fb_model *model, fb_split_items *items,
                            fb_evaluation *evaluation);

/* The whole of fb_evaluate with a model that is open already; but for seconds. */
fb_status fb_evaluate_opened(fb_context *ctx, const fb_evaluate_options *options,
                             fb_model *model, fb_evaluation *evaluation);

/* The candidate lists of the sampled protocol: those of options->candidates where that
 * file is there, else drawn, and written to it. FB_E_MISSING: no query has enough
 * others. */
fb_status fb_evaluate_candidates(fb_context *ctx, const fb_evaluate_options *options,
                                 fb_split_items *items, fb_candidate_set **set);

/* Each fills ranks, accuracy, auc and pairs_scored. */
fb_status fb_evaluate_sampled(fb_context *ctx, const fb_pair_scorer *scorer,
                              fb_split_items *items, const fb_evaluate_options *options,
                              fb_ranks *ranks, fb_evaluation *evaluation);
fb_status fb_evaluate_full(fb_context *ctx, const fb_pair_scorer *scorer,
                           fb_split_items *items, const fb_evaluate_options *options,
                           fb_ranks *ranks, fb_evaluation *evaluation);

/* The full protocol by searching options->index with the model's vectors and re-ranking
 * with its score of that kind; fills evaluation's rankings, categories and stages. */
fb_status fb_evaluate_index(fb_context *ctx, fb_model *model, fb_split_items *items,
                            const fb_evaluate_options *options, fb_score_kind kind,
                            fb_evaluation *evaluation);

/* The whole evaluation of a model of queries. */
fb_status fb_evaluate_queries(fb_context *ctx, fb_model *model,
                              const fb_evaluate_options *options,
                              fb_evaluation *evaluation);

/* Accuracy at probability 1/2 (margin 0) and AUC of labelled margins. */
fb_status fb_evaluate_matching(fb_context *ctx, const float *scores,
                               const uint8_t *labels, int64_t count,
                               fb_evaluation *evaluation);

#endif
