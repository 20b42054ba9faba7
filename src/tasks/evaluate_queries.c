/* evaluate_queries.c - the evaluate verb for models of queries: what each query wanted
 * among a split's products (query_ranking.h).
 */
#include "engine/query_ranking.h"
#include "tasks/evaluate.h"

#include <stdio.h>
#include <string.h>

/* Options that speak of texts and images ranked for each other. */
static fb_status check(fb_context *ctx, const fb_evaluate_options *o)
{
    if (strcmp(o->score, "own") != 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "--score %s: a model of queries has one score, its own",
                       o->score);
    if (o->index[0])
        return fb_fail(ctx, FB_E_USAGE,
                       "--index %s: a model of queries gives no vectors to search by",
                       o->index);
    if (o->candidates[0])
        return fb_fail(ctx, FB_E_USAGE,
                       "--candidates %s: lists of titles and images; a model of "
                       "queries draws its own, by --seed",
                       o->candidates);
    if (strcmp(o->negatives, "category") != 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "--negatives %s: a model of queries is asked about what was "
                       "skipped, then the same category",
                       o->negatives);
    if (o->negative_count < 1 || o->min_candidates < 1 || o->draws < 1 ||
        o->min_candidates > o->negative_count)
        return fb_fail(ctx, FB_E_USAGE,
                       "--negative-count, --min-candidates and --draws must be 1 or "
                       "more, --min-candidates no more than --negative-count");
    return FB_OK;
}

static fb_status rank(fb_context *ctx, const fb_evaluate_options *o, fb_model *model,
                      const fb_catalogue *catalogue, const fb_query_split *split,
                      fb_evaluation *e)
{
    const fb_query_ranker with = {.scorer = model->scorer,
                                  .config = &model->matcher->config,
                                  .vocab = model->vocab,
                                  .resizer = model->resizer,
                                  .catalogue = catalogue,
                                  .split = split};
    const fb_query_ranking_options options = {.full = strcmp(o->protocol, "full") == 0,
                                              .queries = o->queries,
                                              .negative_count = o->negative_count,
                                              .min_candidates = o->min_candidates,
                                              .draws = o->draws,
                                              .seed = o->seed,
                                              .trec = o->trec,
                                              .label = "scoring",
                                              .quiet = o->quiet};
    fb_query_report report;
    FB_TRY(fb_query_rank(ctx, &with, &options, &report));
    int32_t items;
    (void)fb_query_split_all(split, &items);
    const char *name = with.config->system->score_name;
    snprintf(e->score, sizeof e->score, "%s",
             name ? name : fb_score_kind_name(with.config->score));
    e->of_queries = true;
    e->items = items;
    e->query_to_product = report.ranking;
    e->draws = report.draws;
    e->ndcg10 = report.ndcg10;
    e->chance_ndcg10 = report.chance_ndcg10;
    e->accuracy = report.accuracy;
    e->auc = report.auc;
    e->pairs_scored = report.triples_scored;
    snprintf(e->wanted, sizeof e->wanted, "%s",
             fb_query_set_kind(fb_query_split_set(split)));
    return FB_OK;
}

fb_status fb_evaluate_queries(fb_context *ctx, fb_model *model,
                              const fb_evaluate_options *options, fb_evaluation *e)
{
    fb_catalogue *catalogue = NULL;
    fb_query_set *set = NULL;
    fb_query_split *split = NULL;
    fb_split which;
    FB_TRY(check(ctx, options));
    FB_TRY(fb_split_parse(ctx, options->split, &which));
    fb_status status = fb_catalogue_open(ctx, &catalogue, options->catalog, NULL);
    if (status == FB_OK)
        status = fb_query_set_open(ctx, &set, catalogue, options->clicks);
    if (status == FB_OK)
        status = fb_query_split_create(ctx, &split, set, catalogue, which);
    if (status == FB_OK)
        fb_model_say(model, options->quiet);
    if (status == FB_OK)
        status = rank(ctx, options, model, catalogue, split, e);
    fb_query_split_free(split);
    fb_query_set_close(set);
    fb_catalogue_close(catalogue);
    return status;
}
