/* compare_rank.c - a trained model on the candidates that all systems rank. */
#include "base/clock.h"
#include "base/file.h"
#include "models/matcher.h"
#include "tasks/compare.h"
#include "tasks/evaluate.h"

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

static fb_status rank_example(fb_compare_run *c, fb_model *model,
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
    const fb_score_request request = {pairs, count, NULL, true};
    if (status == FB_OK)
        status = fb_model_score_pairs(c->ctx, model, c->items->titles, c->items->paths,
                                      &request, model->matcher->config.score, scores);
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
static fb_status choose_examples(fb_compare_run *c, fb_model *model,
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
        status = rank_example(c, model, set, &l[at], &result->examples[i]);
        result->example_count += status == FB_OK;
    }
    fb_candidate_set_free(set);
    return status;
}

/* ---- ranking ---------------------------------------------------------------------- */

static fb_status rank(fb_compare_run *c, fb_model *model, fb_compare_result *result)
{
    char candidates[4096];
    fb_evaluate_options e;
    FB_TRY(fb_compare_protocol(c, &e, candidates));
    if (fb_model_takes_query(model))
        return fb_fail(c->ctx, FB_E_USAGE,
                       "%s is a model of queries, which scores no title with an image "
                       "alone",
                       model->folder);
    result->evaluation = calloc(1, sizeof *result->evaluation);
    if (!result->evaluation)
        return fb_fail(c->ctx, FB_E_MEMORY, "no memory for the result");
    result->evaluation->items = c->items->count;
    result->fingerprint = model->fingerprint;
    if (!result->parameters)
        result->parameters = model->matcher->params->total;
    double started_s = fb_clock_s();
    FB_TRY(fb_evaluate_model(c->ctx, &e, model, c->items, result->evaluation));
    double seconds = fb_clock_s() - started_s;
    result->evaluation->seconds = seconds;
    result->pairs_per_s = (double)result->evaluation->pairs_scored / seconds;
    return c->options->examples > 0 ? choose_examples(c, model, result) : FB_OK;
}

fb_status fb_compare_rank(fb_compare_run *c, const char *folder,
                          fb_compare_result *result)
{
    const fb_compare_options *o = c->options;
    const fb_model_options compute = {o->backend, o->dtype, o->threads};
    fb_model *model = NULL;
    FB_TRY(fb_model_open(c->ctx, &model, folder, &compute));
    fb_status status = rank(c, model, result);
    fb_model_close(model);
    return status;
}
