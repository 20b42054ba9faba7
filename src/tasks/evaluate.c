/* evaluate.c - the evaluate verb: open, score by protocol, gather. */
#include "tasks/evaluate.h"

#include "base/clock.h"
#include "base/option.h"
#include "engine/model_regions.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FB_OPTION            FB_OPTION_ROW
#define FB_OPTION_AT(member) offsetof(fb_evaluate_options, member)
static const fb_option option_rows[] = {
#include "fashionbert/evaluate.def"
};
static const fb_option_table option_table = FB_OPTION_TABLE(option_rows);

void fb_evaluate_options_defaults(fb_evaluate_options *options)
{
    *options = (fb_evaluate_options){0};
    fb_options_defaults(&option_table, options);
}

fb_status fb_evaluate_options_set(fb_context *ctx, fb_evaluate_options *options,
                                  const char *name, const char *text)
{
    return fb_option_set(ctx, &option_table, options, name, text);
}

fb_status fb_ranks_add(fb_context *ctx, fb_ranks *ranks, fb_ranks_entry entry)
{
    if (ranks->count == ranks->capacity) {
        int64_t capacity = ranks->capacity ? ranks->capacity * 2 : 1024;
        void *grown =
            realloc(ranks->entries, (size_t)capacity * sizeof *ranks->entries);
        if (!grown)
            return fb_fail(ctx, FB_E_MEMORY, "no memory for %lld ranks",
                           (long long)capacity);
        ranks->entries = grown;
        ranks->capacity = capacity;
    }
    ranks->entries[ranks->count++] = entry;
    return FB_OK;
}

void fb_ranks_free(fb_ranks *ranks)
{
    free(ranks->entries);
    free(ranks->differ);
    *ranks = (fb_ranks){0};
}

/* Mean over draws of the ranks of one direction and category (-1: all). */
static fb_status mean_of(fb_context *ctx, const fb_ranks *ranks, fb_direction direction,
                         int32_t category, fb_ranking *mean)
{
    fb_rank *chosen = malloc(((size_t)ranks->count + 1) * sizeof *chosen);
    fb_ranking *draws = calloc((size_t)ranks->draws + 1, sizeof *draws);
    fb_status status = FB_OK;
    if (!chosen || !draws)
        status = fb_fail(ctx, FB_E_MEMORY, "no memory for the means");
    for (int32_t d = 0; d < ranks->draws && status == FB_OK; d++) {
        int64_t n = 0;
        for (int64_t i = 0; i < ranks->count; i++) {
            const fb_ranks_entry *e = &ranks->entries[i];
            if (e->draw == d && e->direction == (int32_t)direction &&
                (category < 0 || e->category == category))
                chosen[n++] = e->rank;
        }
        status = fb_ranking_from_ranks(ctx, &draws[d], chosen, n);
        draws[d].left_out = category < 0 ? ranks->left_out : 0;
    }
    if (status == FB_OK)
        fb_ranking_mean(mean, draws, ranks->draws);
    free(draws);
    free(chosen);
    return status;
}

static int by_queries(const void *a, const void *b)
{
    const fb_category_result *x = a, *y = b;
    int64_t nx = x->image_to_text.queries + x->text_to_image.queries;
    int64_t ny = y->image_to_text.queries + y->text_to_image.queries;
    if (nx != ny)
        return nx > ny ? -1 : 1;
    return strcmp(x->name, y->name);
}

static fb_status finish_categories(fb_context *ctx, const fb_ranks *ranks,
                                   const fb_split_items *items, fb_evaluation *e)
{
    e->draws = 1;
    e->categories = calloc((size_t)items->category_count + 1, sizeof *e->categories);
    bool *seen = calloc((size_t)items->category_count + 1, sizeof *seen);
    fb_status status = FB_OK;
    if (!e->categories || !seen)
        status = fb_fail(ctx, FB_E_MEMORY, "no memory for the categories");
    for (int64_t i = 0; i < ranks->count && status == FB_OK; i++)
        seen[ranks->entries[i].category] = true;
    for (int32_t c = 0; c < items->category_count && status == FB_OK; c++) {
        if (!seen[c])
            continue;
        fb_category_result *r = &e->categories[e->category_count++];
        snprintf(r->name, sizeof r->name, "%s", fb_split_items_category(items, c));
        status = mean_of(ctx, ranks, FB_IMAGE_TO_TEXT, c, &r->image_to_text);
        if (status == FB_OK)
            status = mean_of(ctx, ranks, FB_TEXT_TO_IMAGE, c, &r->text_to_image);
        r->draws = ranks->differ && ranks->differ[c] ? ranks->draws : 1;
        e->draws = r->draws > 1 ? r->draws : e->draws;
    }
    free(seen);
    if (status == FB_OK)
        qsort(e->categories, (size_t)e->category_count, sizeof *e->categories,
              by_queries);
    return status;
}

/* Query by query, for who compares models. */
static fb_status keep_ranks(fb_context *ctx, const fb_ranks *ranks, fb_evaluation *e)
{
    e->ranks = malloc(((size_t)ranks->count + 1) * sizeof *e->ranks);
    if (!e->ranks)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the ranks");
    for (int64_t i = 0; i < ranks->count; i++) {
        const fb_ranks_entry *r = &ranks->entries[i];
        e->ranks[i] =
            (fb_ranked_query){r->draw, r->query, r->direction == FB_TEXT_TO_IMAGE,
                              r->rank.rank, r->rank.pool};
    }
    e->rank_count = ranks->count;
    return FB_OK;
}

fb_status fb_ranks_finish(fb_context *ctx, const fb_ranks *ranks,
                          const fb_split_items *items, fb_evaluation *e)
{
    FB_TRY(mean_of(ctx, ranks, FB_IMAGE_TO_TEXT, -1, &e->image_to_text));
    FB_TRY(mean_of(ctx, ranks, FB_TEXT_TO_IMAGE, -1, &e->text_to_image));
    const fb_ranking *i = &e->image_to_text, *t = &e->text_to_image;
    e->sum_r = i->r1 + i->r5 + i->r10 + t->r1 + t->r5 + t->r10;
    FB_TRY(keep_ranks(ctx, ranks, e));
    return finish_categories(ctx, ranks, items, e);
}

fb_status fb_evaluate_matching(fb_context *ctx, const float *scores,
                               const uint8_t *labels, int64_t count,
                               fb_evaluation *evaluation)
{
    FB_TRY(fb_accuracy(ctx, &evaluation->accuracy, scores, labels, count, 0.0f));
    return fb_auc(ctx, &evaluation->auc, scores, labels, count);
}

static bool is_full(const fb_evaluate_options *options)
{
    return strcmp(options->protocol, "full") == 0;
}

fb_status fb_evaluate_check_protocol(fb_context *ctx, const fb_evaluate_options *o)
{
    if (o->index[0] && (!is_full(o) || o->trec[0]))
        return fb_fail(ctx, FB_E_USAGE,
                       "--index goes with --protocol full and without --trec");
    if (o->rerank_margin < 2 && (!o->index[0] || o->rerank == 0))
        return fb_fail(
            ctx, FB_E_USAGE,
            "--rerank-margin leaves pairs out of re-ranking; it needs --index "
            "and --rerank");
    if (is_full(o) && o->candidates[0])
        return fb_fail(
            ctx, FB_E_USAGE,
            "--candidates goes with --protocol sampled; full ranks everything");
    return FB_OK;
}

static fb_status check(fb_context *ctx, const fb_evaluate_options *o)
{
    if (!o->model[0] || !o->catalog[0])
        return fb_fail(ctx, FB_E_USAGE, "evaluate needs --model and --catalog");
    return fb_evaluate_check_protocol(ctx, o);
}

fb_status fb_evaluate_items(fb_context *ctx, const fb_evaluate_options *options,
                            fb_split_items *items, const fb_pair_scorer *scorer,
                            fb_evaluation *evaluation)
{
    fb_ranks ranks = {0};
    fb_status status =
        is_full(options)
            ? fb_evaluate_full(ctx, scorer, items, options, &ranks, evaluation)
            : fb_evaluate_sampled(ctx, scorer, items, options, &ranks, evaluation);
    if (status == FB_OK)
        status = fb_ranks_finish(ctx, &ranks, items, evaluation);
    fb_ranks_free(&ranks);
    return status;
}

/* A model that ranks by one of its scores. */
typedef struct model_scorer {
    fb_model *model;
    fb_score_kind kind;
    bool quiet;
} model_scorer;

static fb_status score_by_model(void *self, fb_context *ctx,
                                const fb_split_items *items,
                                const fb_score_triple *pairs, int64_t count,
                                float *scores)
{
    model_scorer *s = self;
    const fb_score_request request = {pairs, count, "scoring", s->quiet};
    return fb_model_score_pairs(ctx, s->model, items->titles, items->paths, &request,
                                s->kind, scores);
}

fb_status fb_evaluate_model(fb_context *ctx, const fb_evaluate_options *options,
                            fb_model *model, fb_split_items *items, fb_evaluation *e)
{
    fb_score_kind own = model->matcher->config.score;
    model_scorer self = {model, own, options->quiet};
    if (strcmp(options->score, "own") != 0)
        FB_TRY(fb_score_kind_parse(ctx, "--score", options->score, &self.kind));
    if (options->index[0])
        FB_TRY(fb_evaluate_index(ctx, model, items, options, self.kind, e));
    else
        FB_TRY(fb_evaluate_items(ctx, options, items,
                                 &(fb_pair_scorer){&self, score_by_model}, e));
    snprintf(e->score, sizeof e->score, "%s", fb_score_kind_name(self.kind));
    if (self.kind != own)
        e->accuracy = NAN; /* only the own score has its threshold */
    return FB_OK;
}

/* Of all items of the split, before any is scored. */
static fb_status open_regions(fb_context *ctx, const fb_evaluate_options *options,
                              fb_model *model, const fb_split_items *items)
{
    int32_t count;
    const int32_t *list =
        fb_catalogue_split_items(items->catalogue, items->split, &count);
    FB_TRY(fb_model_open_regions(ctx, model, options->regions, items->catalogue));
    return model->regions ? fb_region_table_check(ctx, model->regions, list, count)
                          : FB_OK;
}

fb_status fb_evaluate_opened(fb_context *ctx, const fb_evaluate_options *options,
                             fb_model *model, fb_evaluation *e)
{
    const fb_model_config *c = &model->matcher->config;
    if (!c->regions) /* none to be given */
        FB_TRY(fb_model_open_regions(ctx, model, options->regions, NULL));
    if (fb_model_takes_query(model))
        return fb_evaluate_queries(ctx, model, options, e);
    if (options->clicks[0])
        return fb_fail(
            ctx, FB_E_USAGE,
            "--clicks %s: %s is a model of titles and images, which takes no "
            "query",
            options->clicks, options->model);
    fb_split_items *items = NULL;
    const fb_catalogue_options how = {.files_may_lack = c->regions};
    FB_TRY(fb_split_items_open_as(ctx, &items, options->catalog, options->split, &how));
    e->items = items->count;
    fb_status status = open_regions(ctx, options, model, items);
    if (status == FB_OK)
        fb_model_say(model, options->quiet);
    if (status == FB_OK)
        status = fb_evaluate_model(ctx, options, model, items, e);
    fb_split_items_close(items);
    return status;
}

fb_status fb_evaluate(fb_context *ctx, const fb_evaluate_options *options,
                      fb_evaluation **evaluation)
{
    FB_TRY(fb_options_check(ctx, &option_table, options));
    FB_TRY(check(ctx, options));
    double started_s = fb_clock_s();
    fb_model_options compute = {options->backend, options->dtype, options->threads};
    fb_model *model = NULL;
    fb_evaluation *e = calloc(1, sizeof *e);
    fb_status status =
        e ? FB_OK : fb_fail(ctx, FB_E_MEMORY, "no memory for the result");
    if (status == FB_OK)
        status = fb_model_open(ctx, &model, options->model, &compute);
    if (status == FB_OK)
        status = fb_evaluate_opened(ctx, options, model, e);
    fb_model_close(model);
    if (status != FB_OK) {
        fb_evaluation_free(e);
        return status;
    }
    e->seconds = fb_clock_s() - started_s;
    *evaluation = e;
    return FB_OK;
}

void fb_evaluation_free(fb_evaluation *evaluation)
{
    if (!evaluation)
        return;
    free(evaluation->categories);
    free(evaluation->ranks);
    free(evaluation);
}
