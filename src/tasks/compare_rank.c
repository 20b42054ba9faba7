/* compare_rank.c - a trained model on the candidates that all systems rank. */
#include "base/clock.h"
#include "data/image/floor_features.h"
#include "engine/model_regions.h"
#include "models/matcher.h"
#include "tasks/compare.h"
#include "tasks/linear_floor.h"

#include <math.h>
#include <stdlib.h>

/* ---- examples --------------------------------------------------------------------- */

/* A candidate and its score. */
typedef struct scored {
    int32_t item;
    bool own; /* the title's */
    float score;
} scored;

/* Higher scores first; of equal ones the own photo last: a tie counts against it. */
static int by_score(const void *a, const void *b)
{
    const scored *x = a, *y = b;
    if (x->score > y->score || x->score < y->score)
        return x->score > y->score ? -1 : 1;
    if (x->own != y->own)
        return x->own ? 1 : -1;
    return x->item < y->item ? -1 : x->item > y->item;
}

static fb_status rank_example(fb_compare_run *c, const fb_pair_scorer *scorer,
                              const fb_candidate_set *set, const fb_candidate_list *l,
                              fb_compare_example *example)
{
    int32_t count = l->count + 1;
    fb_score_triple *pairs = calloc((size_t)count, sizeof *pairs);
    float *scores = calloc((size_t)count, sizeof *scores);
    scored *order = calloc((size_t)count, sizeof *order);
    fb_status status = FB_OK;
    fb_rank rank = {0};
    if (!pairs || !scores || !order)
        status = fb_fail(c->ctx, FB_E_MEMORY, "no memory for an example");
    for (int32_t i = 0; i < count && status == FB_OK; i++) {
        order[i].item = i ? set->items[l->offset + i - 1] : l->positive;
        order[i].own = i == 0;
        pairs[i] = (fb_score_triple){-1, l->query, order[i].item};
    }
    if (status == FB_OK)
        status = scorer->score(scorer->self, c->ctx, c->items, pairs, count, scores);
    if (status == FB_OK)
        status = fb_rank_positive(c->ctx, &rank, scores[0], scores + 1, l->count);
    if (status == FB_OK) {
        for (int32_t i = 0; i < count; i++)
            order[i].score = scores[i];
        qsort(order, (size_t)count, sizeof *order, by_score);
        *example = (fb_compare_example){
            .query = l->query, .rank = rank.rank, .candidates = rank.pool};
        for (int32_t i = 0; i < FB_COMPARE_TOP; i++)
            example->best[i] = i < count ? order[i].item : -1;
    }
    free(order);
    free(scores);
    free(pairs);
    return status;
}

/* Titles spread evenly over the split, whoever ranks them. */
static fb_status choose_examples(fb_compare_run *c, const fb_pair_scorer *scorer,
                                 fb_compare_result *result)
{
    int32_t wanted = c->options->examples;
    char candidates[4096];
    fb_evaluate_options e;
    fb_candidate_set *set = NULL;
    int64_t lists;
    FB_TRY(fb_compare_protocol(c, &e, candidates));
    FB_TRY(fb_evaluate_candidates(c->ctx, &e, c->items, &set));
    const fb_candidate_list *l =
        fb_candidate_set_group(set, 0, FB_TEXT_TO_IMAGE, &lists);
    if (wanted > lists)
        wanted = (int32_t)lists;
    result->examples = calloc((size_t)wanted + 1, sizeof *result->examples);
    fb_status status = FB_OK;
    if (!result->examples)
        status = fb_fail(c->ctx, FB_E_MEMORY, "no memory for examples");
    for (int32_t i = 0; i < wanted && status == FB_OK; i++) {
        int64_t at = (2 * (int64_t)i + 1) * lists / (2 * (int64_t)wanted);
        status = rank_example(c, scorer, set, &l[at], &result->examples[i]);
        result->example_count += status == FB_OK;
    }
    fb_candidate_set_free(set);
    return status;
}

/* ---- ranking ---------------------------------------------------------------------- */

static fb_status begin(fb_compare_run *c, fb_compare_result *result)
{
    result->evaluation = calloc(1, sizeof *result->evaluation);
    if (!result->evaluation)
        return fb_fail(c->ctx, FB_E_MEMORY, "no memory for the result");
    result->evaluation->items = c->items->count;
    return FB_OK;
}

static void finish(fb_compare_result *result, double started_s)
{
    fb_evaluation *e = result->evaluation;
    e->seconds = fb_clock_s() - started_s;
    result->pairs_per_s = (double)e->pairs_scored / e->seconds;
}

static fb_status score_by_model(void *self, fb_context *ctx,
                                const fb_split_items *items,
                                const fb_score_triple *pairs, int64_t count,
                                float *scores)
{
    fb_model *model = self;
    const fb_score_request request = {pairs, count, NULL, true};
    return fb_model_score_pairs(ctx, model, items->titles, items->paths, &request,
                                model->matcher->config.score, scores);
}

static fb_status rank_by_model(fb_compare_run *c, fb_model *model,
                               fb_compare_result *result)
{
    const fb_pair_scorer scorer = {model, score_by_model};
    char candidates[4096];
    fb_evaluate_options e;
    FB_TRY(fb_compare_protocol(c, &e, candidates));
    if (fb_model_takes_query(model))
        return fb_fail(c->ctx, FB_E_USAGE,
                       "%s is a model of queries, which scores no title with an image "
                       "alone",
                       model->folder);
    FB_TRY(begin(c, result));
    result->fingerprint = model->fingerprint;
    if (!result->parameters)
        result->parameters = model->matcher->params->total;
    double started_s = fb_clock_s();
    FB_TRY(fb_evaluate_model(c->ctx, &e, model, c->items, result->evaluation));
    finish(result, started_s);
    return c->options->examples > 0 ? choose_examples(c, &scorer, result) : FB_OK;
}

static fb_status check_regions(const fb_compare_run *c, const fb_model *model)
{
    int32_t count;
    const int32_t *items =
        fb_catalogue_split_items(c->items->catalogue, c->items->split, &count);
    return fb_region_table_check(c->ctx, model->regions, items, count);
}

fb_status fb_compare_rank(fb_compare_run *c, const char *folder,
                          fb_compare_result *result)
{
    const fb_compare_options *o = c->options;
    const fb_model_options compute = {o->backend, o->dtype, o->threads};
    fb_model *model = NULL;
    FB_TRY(fb_model_open(c->ctx, &model, folder, &compute));
    const char *regions = fb_model_takes_regions(model) ? o->regions : "";
    fb_status status =
        fb_model_open_regions(c->ctx, model, regions, c->items->catalogue);
    if (status == FB_OK && model->regions)
        status = check_regions(c, model);
    if (status == FB_OK)
        status = rank_by_model(c, model, result);
    fb_model_close(model);
    return status;
}

/* ---- the linear floor ------------------------------------------------------------- */

static fb_status rank_by_floor(fb_compare_run *c, fb_linear_floor *floor,
                               fb_compare_result *result)
{
    const fb_pair_scorer scorer = fb_linear_floor_cosine(floor);
    char candidates[4096];
    fb_evaluate_options e;
    FB_TRY(fb_compare_protocol(c, &e, candidates));
    FB_TRY(begin(c, result));
    double started_s = fb_clock_s();
    FB_TRY(fb_evaluate_items(c->ctx, &e, c->items, &scorer, result->evaluation));
    finish(result, started_s);
    snprintf(result->evaluation->score, sizeof result->evaluation->score, "cosine");
    result->evaluation->accuracy = NAN; /* its scores have no threshold */
    return c->options->examples > 0 ? choose_examples(c, &scorer, result) : FB_OK;
}

fb_status fb_compare_floor(fb_compare_run *c, fb_compare_result *result)
{
    fb_linear_floor *floor = NULL;
    double started_s = fb_clock_s(), processor_s = fb_clock_processor_s();
    FB_TRY(fb_linear_floor_create(c->ctx, &floor, c->items, c->options->threads,
                                  c->options->quiet));
    result->train_seconds = fb_clock_s() - started_s;
    result->processor_seconds = fb_clock_processor_s() - processor_s;
    result->products = fb_linear_floor_train_items(floor);
    result->parameters = FB_FLOOR_FEATURES * fb_linear_floor_words(floor);
    fb_status status = rank_by_floor(c, floor, result);
    fb_linear_floor_free(floor);
    return status;
}
