/* train_queries.c - see train_queries.h. */
#include "training/train_queries.h"

#include "engine/query_ranking.h"

#include <stdio.h>

enum { ROWS = 300, OTHERS = 15 };

static fb_status open_split(fb_train_run *run, fb_split split)
{
    fb_status status = fb_query_split_create(run->ctx, &run->query_split[split],
                                             run->queries, run->catalogue, split);
    /* without validation the run goes on, as without a validation split */
    return status == FB_E_MISSING && split == FB_SPLIT_VAL ? FB_OK : status;
}

fb_status fb_train_queries_open(fb_train_run *run)
{
    if (!(run->system->reads & FB_READS_QUERY))
        return FB_OK;
    FB_TRY(fb_query_set_open(run->ctx, &run->queries, run->catalogue,
                             run->options.clicks));
    FB_TRY(open_split(run, FB_SPLIT_TRAIN));
    FB_TRY(open_split(run, FB_SPLIT_VAL));
    if (run->options.quiet || run->measuring) /* said when it is trained */
        return FB_OK;
    fprintf(stderr,
            "%s: %d queries (%s) with %d products to match, %d for validation\n",
            fb_query_set_source(run->queries), fb_query_set_count(run->queries),
            fb_query_set_kind(run->queries), fb_train_run_rows(run, FB_SPLIT_TRAIN),
            fb_train_run_rows(run, FB_SPLIT_VAL));
    int64_t left_out = fb_query_set_left_out(run->queries);
    if (left_out > 0)
        fprintf(stderr, "%lld left out, of products that the catalogue has not\n",
                (long long)left_out);
    return FB_OK;
}

void fb_train_queries_close(fb_train_run *run)
{
    for (int i = 0; i < FB_SPLITS; i++)
        fb_query_split_free(run->query_split[i]);
    fb_query_set_close(run->queries);
}

int32_t fb_train_run_rows(const fb_train_run *run, fb_split split)
{
    int32_t items;
    if (run->queries)
        return run->query_split[split] ? fb_query_split_rows(run->query_split[split])
                                       : 0;
    fb_catalogue_split_items(run->catalogue, split, &items);
    return items;
}

uint64_t fb_train_run_fingerprint(const fb_train_run *run)
{
    uint64_t hash = fb_catalogue_fingerprint(run->catalogue);
    if (run->regions)
        hash ^= fb_region_file_fingerprint(run->regions->file);
    return run->queries ? hash ^ fb_query_set_fingerprint(run->queries) : hash;
}

/* ---- how it goes ----------------------------------------------------------------- */

static void put_ranks(const fb_query_report *r, fb_measures *out)
{
    const fb_ranking *k = &r->ranking;
    fb_measures_put_figure(out, "auc", r->auc);
    fb_measures_put_figure(out, "ndcg10", r->ndcg10);
    fb_measures_put_figure(out, "r1", k->r1);
    fb_measures_put_figure(out, "r10", k->r10);
    fb_measures_put_figure(out, "chance_ndcg10", r->chance_ndcg10);
    fb_measures_put_figure(out, "chance_r1", k->chance_r1);
    fb_measures_put_figure(out, "candidates", k->candidates_mean);
}

fb_status fb_train_queries_rank(fb_train_run *run, fb_measures *measures)
{
    const fb_train_options *o = &run->options;
    int32_t most =
        o->validate_pairs > 0 && o->validate_pairs < ROWS ? o->validate_pairs : ROWS;
    fb_query_ranker with = {.config = &run->matcher->config,
                            .vocab = run->vocab,
                            .catalogue = run->catalogue,
                            .split = run->query_split[FB_SPLIT_VAL],
                            .resizer = fb_resizer_create()};
    fb_query_ranking_options options = {.queries = most,
                                        .negative_count = OTHERS,
                                        .min_candidates = 1,
                                        .draws = 1,
                                        .seed = o->seed,
                                        .trec = "",
                                        .quiet = true};
    fb_query_report report;
    fb_status status =
        with.resizer ? fb_scorer_create(run->ctx, &with.scorer, run->be, run->matcher)
                     : fb_fail(run->ctx, FB_E_MEMORY, "no memory to rank");
    if (status == FB_OK)
        status = fb_query_rank(run->ctx, &with, &options, &report);
    if (status == FB_OK)
        put_ranks(&report, measures);
    fb_scorer_free(with.scorer);
    fb_resizer_free(with.resizer);
    return status;
}
