/* train_queries.c - see train_queries.h. */
#include "training/train_queries.h"

#include "base/file.h"
#include "engine/query_ranking.h"
#include "models/selfie/selfie.h"
#include "nn/weights.h"

#include <stdio.h>
#include <string.h>

enum { ROWS = 300, OTHERS = 15 };

bool fb_train_is_qti(const fb_train_options *options)
{
    return strcmp(options->objective, "qti") == 0;
}

static fb_status open_split(fb_train_run *run, fb_split split)
{
    fb_status status = fb_query_split_create(run->ctx, &run->query_split[split],
                                             run->queries, run->catalogue, split);
    /* without validation the run goes on, as without a validation split */
    return status == FB_E_MISSING && split == FB_SPLIT_VAL ? FB_OK : status;
}

fb_status fb_train_queries_open(fb_train_run *run)
{
    if (!fb_train_is_qti(&run->options))
        return FB_OK;
    FB_TRY(fb_query_set_open(run->ctx, &run->queries, run->catalogue,
                             run->options.clicks));
    FB_TRY(open_split(run, FB_SPLIT_TRAIN));
    FB_TRY(open_split(run, FB_SPLIT_VAL));
    if (run->options.quiet)
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
    return run->queries ? hash ^ fb_query_set_fingerprint(run->queries) : hash;
}

/* ---- where it starts ------------------------------------------------------------- */

static fb_status check_init(fb_train_run *run, const fb_model_config *config)
{
    const char *init = run->options.init;
    bool qti = fb_train_is_qti(&run->options);
    if (!qti && run->init == FB_INIT_MODEL && config->system == &fb_qti_system)
        return fb_fail(run->ctx, FB_E_USAGE,
                       "--init %s: a model of queries; only --objective qti goes on "
                       "from it",
                       init);
    if (!qti)
        return FB_OK;
    if (run->init == FB_INIT_BERT)
        return fb_fail(run->ctx, FB_E_USAGE,
                       "--init %s: a BERT, which knows no images; train FashionBERT "
                       "from it first (train --objective match --init %s), then go on "
                       "with that",
                       init, init);
    if (run->init != FB_INIT_MODEL)
        return fb_fail(run->ctx, FB_E_USAGE,
                       "--objective qti goes on from a trained FashionBERT; give its "
                       "folder with --init");
    if (config->system == &fb_selfie_system)
        return fb_fail(run->ctx, FB_E_USAGE,
                       "--init %s: a pre-trained image encoder; train FashionBERT from "
                       "it first (train --objective match --init %s), then go on with "
                       "that",
                       init, init);
    if (config->system == &fb_fashionbert_system && config->score == FB_SCORE_ITC)
        return fb_fail(
            run->ctx, FB_E_USAGE,
            "--init %s: trained for vectors alone; train its alignment first "
            "(train --objective match --init %s), then go on with that",
            init, init);
    return FB_OK;
}

fb_status fb_train_queries_config(fb_train_run *run, fb_model_config *config)
{
    FB_TRY(check_init(run, config));
    if (!fb_train_is_qti(&run->options))
        return FB_OK;
    config->system = &fb_qti_system;
    config->segments = FB_SEGMENTS_QTI;
    config->vector = 0;
    return FB_OK;
}

fb_status fb_train_queries_begin(fb_train_run *run)
{
    char path[4096], weights[4096];
    fb_model_config config;
    fb_matcher *pretrained = NULL;
    FB_TRY(fb_path_join(run->ctx, path, run->options.init, "config.json"));
    FB_TRY(fb_path_join(run->ctx, weights, run->options.init, "model.safetensors"));
    FB_TRY(fb_model_config_preset(run->ctx, &config, "base"));
    FB_TRY(fb_model_config_read(run->ctx, &config, path));
    if (config.system == &fb_qti_system)
        return fb_weights_load_shared(run->ctx, run->matcher->params, weights);
    FB_TRY(fb_matcher_create(run->ctx, &pretrained, &config, FB_MODEL_SCORE));
    fb_status status = fb_weights_load(run->ctx, pretrained->params, weights);
    if (status == FB_OK)
        status = fb_qti_begin(run->ctx, run->matcher, pretrained);
    pretrained->system->free(pretrained, NULL);
    return status == FB_E_SHAPE ? fb_fail_in(run->ctx, run->options.init) : status;
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
