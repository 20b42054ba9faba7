/* calibrate.c - see calibrate.h.
 *
 *     margin m, similarity s = cosine / temperature and its CSLS correction n
 *     (neighbours.h, weight 1), of every pair of every list
 *     w, c  = argmax over a grid of the mean of 1 / rank by m + w (s - c n)
 *     a, b  maximum likelihood of P = sigmoid(a z + b), z = m + w (s - c n) (itc: z =
 *           s; a score that is no logit: z = m), over each list's own pair and its first
 *           other
 */
#include "training/calibrate.h"

#include "base/clock.h"
#include "engine/model_match.h"
#include "engine/model_regions.h"
#include "engine/neighbours.h"
#include "engine/split_items.h"

#include <math.h>
#include <stdlib.h>

enum {
    QUERIES = 1000,
    OTHERS = 100,
    PLANNED_QUERIES = 100, /* of a run with a budget, at least */
    PLANNED_OTHERS = 20,
    PLANNED_MINUTES = 60, /* a budget of so many takes all */
    LEAST_OTHERS = 9,
    LEAST_LISTS = 20,
    TRIAL_LISTS = 4,
    STEPS = 50
};

typedef struct calibration {
    fb_context *ctx;
    const fb_train_options *options;
    fb_model *model;
    fb_split_items *items;
    fb_candidate_set *set;
    fb_score_triple *pairs; /* lists end to end, each its own pair first */
    int64_t *first;         /* [lists + 1] */
    float *margin, *similarity, *nearness; /* [pairs] */
    int64_t list_count;
    double weight, neighbours; /* w, c */
} calibration;

/* Scoring lists of a hundred can take longer than a training of a few minutes: a run
 * with a budget draws fewer and shorter ones, by its share of an hour.
 */
static int32_t planned(const calibration *c, int32_t all, int32_t least)
{
    double minutes = c->options->processor_minutes > 0 ? c->options->processor_minutes
                                                       : c->options->minutes;
    double share = minutes / PLANNED_MINUTES;
    if (!(share > 0) || share >= 1)
        return all;
    return (int32_t)fmax(least, share * all);
}

static fb_status draw_lists(calibration *c)
{
    fb_candidate_options o = {.queries = planned(c, QUERIES, PLANNED_QUERIES),
                              .negative_count = planned(c, OTHERS, PLANNED_OTHERS),
                              .min_candidates = LEAST_OTHERS,
                              .draws = 1,
                              .seed = c->options->seed};
    FB_TRY(fb_negative_rule_parse(c->ctx, &o.negatives, "category"));
    FB_TRY(
        fb_candidate_set_draw(c->ctx, &c->set, c->items->items, c->items->count, &o));
    if (c->set->list_count >= LEAST_LISTS)
        return FB_OK;
    fb_candidate_set_free(c->set);
    c->set = NULL;
    FB_TRY(fb_negative_rule_parse(c->ctx, &o.negatives, "any"));
    return fb_candidate_set_draw(c->ctx, &c->set, c->items->items, c->items->count, &o);
}

static fb_score_triple pair_of(fb_direction direction, int32_t query, int32_t other)
{
    return direction == FB_IMAGE_TO_TEXT ? (fb_score_triple){-1, other, query}
                                         : (fb_score_triple){-1, query, other};
}

static fb_status collect(calibration *c, fb_score_kind kind)
{
    /* weights are chosen by whole lists, a slope and a bias by the first other */
    int32_t most_others = kind == FB_SCORE_BOTH ? OTHERS : 1;
    int64_t most = c->set->list_count * (OTHERS + 1), n = 0;
    c->pairs = malloc(((size_t)most + 1) * sizeof *c->pairs);
    c->first = malloc(((size_t)c->set->list_count + 1) * sizeof *c->first);
    c->margin = calloc((size_t)most + 1, sizeof *c->margin);
    c->similarity = calloc((size_t)most + 1, sizeof *c->similarity);
    c->nearness = calloc((size_t)most + 1, sizeof *c->nearness);
    if (!c->pairs || !c->first || !c->margin || !c->similarity || !c->nearness)
        return fb_fail(c->ctx, FB_E_MEMORY, "no memory for %lld pairs",
                       (long long)most);
    for (int d = 0; d < 2; d++) {
        int64_t lists;
        const fb_candidate_list *l =
            fb_candidate_set_group(c->set, 0, (fb_direction)d, &lists);
        for (int64_t i = 0; i < lists; i++) {
            c->first[c->list_count++] = n;
            c->pairs[n++] = pair_of((fb_direction)d, l[i].query, l[i].positive);
            for (int32_t k = 0; k < most_others && k < l[i].count; k++)
                c->pairs[n++] = pair_of((fb_direction)d, l[i].query,
                                        c->set->items[l[i].offset + k]);
        }
    }
    c->first[c->list_count] = n;
    return FB_OK;
}

/* All pairs of all lists by one kind of score. */
static fb_status score_by(calibration *c, fb_score_kind kind, float *scores,
                          const char *label)
{
    const fb_score_request request = {c->pairs, c->first[c->list_count], label,
                                      c->options->quiet};
    return fb_model_score_pairs(c->ctx, c->model, c->items->titles, c->items->paths,
                                &request, kind, scores);
}

/* Similarities with the CSLS correction of weight 1, and so the correction itself. */
static fb_status score_nearness(calibration *c)
{
    fb_model_config *config = &c->model->matcher->config;
    int64_t count = c->first[c->list_count];
    fb_scorer_use_neighbours(c->model->scorer, NULL); /* of an earlier calibration */
    fb_neighbours_free(c->model->neighbours);
    c->model->neighbours = NULL;
    FB_TRY(fb_neighbours_make(c->ctx, &c->model->neighbours, c->model,
                              c->items->catalogue, c->options->seed));
    fb_scorer_use_neighbours(c->model->scorer, c->model->neighbours);
    config->alignment_weight = 0;
    config->neighbour_weight = 1;
    FB_TRY(score_by(c, FB_SCORE_BOTH, c->nearness, NULL));
    for (int64_t i = 0; i < count; i++)
        c->nearness[i] = c->similarity[i] - c->nearness[i];
    return FB_OK;
}

static fb_status score_all(calibration *c, fb_score_kind kind)
{
    if (kind != FB_SCORE_ITC) {
        c->model->matcher->config.alignment_weight = 1;
        c->model->matcher->config.score_bias = 0;
        FB_TRY(score_by(c, FB_SCORE_TIA, c->margin, "calibrating"));
    }
    if (kind == FB_SCORE_TIA)
        return FB_OK;
    c->model->matcher->config.similarity_weight = 1;
    c->model->matcher->config.score_bias = 0;
    FB_TRY(score_by(c, FB_SCORE_ITC, c->similarity, NULL));
    return kind == FB_SCORE_BOTH ? score_nearness(c) : FB_OK;
}

static double score_at(const calibration *c, int64_t pair)
{
    double near = c->neighbours * (double)c->nearness[pair];
    return (double)c->margin[pair] + c->weight * ((double)c->similarity[pair] - near);
}

/* Mean of 1 / rank, ties against the list's own. */
static double reciprocal_rank(const calibration *c)
{
    double sum = 0;
    for (int64_t l = 0; l < c->list_count; l++) {
        double own = score_at(c, c->first[l]);
        int64_t rank = 1;
        for (int64_t i = c->first[l] + 1; i < c->first[l + 1]; i++)
            rank += score_at(c, i) >= own;
        sum += 1.0 / (double)rank;
    }
    return sum / (double)c->list_count;
}

static void choose_weights(calibration *c)
{
    static const double weights[] = {0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.85,
                                     1, 1.2,  1.5, 2,    3,   5,   10,  20,  40};
    static const double neighbours[] = {0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3};
    double best = -1, weight = 0, near = 0;
    for (size_t n = 0; n < sizeof neighbours / sizeof neighbours[0]; n++)
        for (size_t w = 0; w < sizeof weights / sizeof weights[0]; w++) {
            c->weight = weights[w];
            c->neighbours = neighbours[n];
            double value = reciprocal_rank(c);
            if (value > best) {
                best = value;
                weight = weights[w];
                near = neighbours[n];
            }
        }
    c->weight = weight;
    c->neighbours = near;
}

/* Loss of P = sigmoid(slope z + bias) over each list's own pair and its first other,
 * with a small ridge so that separable data have an end; its gradient and curvature. */
static double logistic(const calibration *c, double slope, double bias, double g[2],
                       double h[3])
{
    double loss = 0.5e-3 * ((slope - 1) * (slope - 1) + bias * bias);
    g[0] = 1e-3 * (slope - 1);
    g[1] = 1e-3 * bias;
    h[0] = h[2] = 1e-3;
    h[1] = 0;
    for (int64_t l = 0; l < c->list_count; l++)
        for (int64_t label = 0; label < 2; label++) {
            double z = score_at(c, c->first[l] + (label ? 0 : 1));
            double x = slope * z + bias, against = label ? -x : x;
            double p = 1 / (1 + exp(-x)), error = p - (double)label;
            loss += (against > 0 ? against : 0) + log1p(exp(-fabs(against)));
            g[0] += error * z;
            g[1] += error;
            h[0] += p * (1 - p) * z * z;
            h[1] += p * (1 - p) * z;
            h[2] += p * (1 - p);
        }
    return loss;
}

/* Newton's steps, each halved until the loss falls. */
static void fit_logistic(const calibration *c, double *slope, double *bias)
{
    double g[2], h[3], unused[5];
    *slope = 1;
    *bias = 0;
    for (int step = 0; step < STEPS; step++) {
        double before = logistic(c, *slope, *bias, g, h);
        double det = h[0] * h[2] - h[1] * h[1];
        double by_slope = (h[2] * g[0] - h[1] * g[1]) / det;
        double by_bias = (h[0] * g[1] - h[1] * g[0]) / det;
        double share = 1;
        for (int halvings = 0; halvings < 40; halvings++) {
            if (logistic(c, *slope - share * by_slope, *bias - share * by_bias, unused,
                         unused + 2) < before)
                break;
            share /= 2;
        }
        *slope -= share * by_slope;
        *bias -= share * by_bias;
    }
}

static fb_status run(calibration *c, const char *folder, fb_model_config *config)
{
    const fb_train_options *o = c->options;
    bool is_auto = strcmp(o->dtype, "auto") == 0; /* as the run itself computes */
    fb_model_options compute = {o->backend, is_auto ? FB_DTYPE_FLOAT : o->dtype,
                                o->threads};
    const fb_catalogue_options how = {.files_may_lack = o->regions[0] != 0};
    FB_TRY(fb_split_items_open_as(c->ctx, &c->items, o->catalog, "val", &how));
    FB_TRY(draw_lists(c));
    if (c->set->list_count < LEAST_LISTS)
        return FB_OK;
    FB_TRY(fb_model_open(c->ctx, &c->model, folder, &compute));
    FB_TRY(fb_model_open_regions(c->ctx, c->model, o->regions, c->items->catalogue));
    FB_TRY(collect(c, config->score));
    FB_TRY(score_all(c, config->score));
    double slope, bias;
    c->weight = 1;
    if (config->score == FB_SCORE_BOTH)
        choose_weights(c);
    fit_logistic(c, &slope, &bias);
    if (!isfinite(slope) || !isfinite(bias) || !(slope > 0))
        return FB_OK;
    if (config->score != FB_SCORE_ITC)
        config->alignment_weight = slope;
    config->score_bias = bias;
    if (config->score == FB_SCORE_TIA)
        return FB_OK;
    config->similarity_weight = c->weight * slope;
    config->neighbour_weight = c->neighbours;
    return c->neighbours > 0 ? fb_neighbours_save(c->ctx, c->model->neighbours, folder)
                             : FB_OK;
}

/* ---- how long it takes -------------------------------------------------------------- */

/* The lists' first pairs by alignment. */
static fb_status try_pairs(calibration *c, double *pair_s)
{
    fb_score_request request = {c->pairs, c->first[TRIAL_LISTS], NULL, true};
    double begun_s = fb_clock_s();
    FB_TRY(fb_model_score_pairs(c->ctx, c->model, c->items->titles, c->items->paths,
                                &request, FB_SCORE_TIA, c->margin));
    *pair_s = (fb_clock_s() - begun_s) / (double)request.count;
    return FB_OK;
}

static fb_status try_out(calibration *c, double item_s, double *seconds)
{
    const fb_train_options *o = c->options;
    const fb_catalogue_options how = {.files_may_lack = o->regions[0] != 0};
    fb_score_kind kind = c->model->matcher->config.score;
    double pair_s = 0;
    FB_TRY(fb_split_items_open_as(c->ctx, &c->items, o->catalog, "val", &how));
    FB_TRY(draw_lists(c));
    if (c->set->list_count < LEAST_LISTS)
        return FB_OK;
    FB_TRY(collect(c, kind));
    int32_t count = c->items->count < 2 * QUERIES ? c->items->count : 2 * QUERIES;
    int32_t near = 0, items = kind == FB_SCORE_ITC ? count : 0;
    fb_catalogue_split_items(c->items->catalogue, FB_SPLIT_TRAIN, &near);
    if (kind == FB_SCORE_BOTH)
        items = 2 * count + (near < FB_NEIGHBOUR_ROWS ? near : FB_NEIGHBOUR_ROWS);
    if (kind != FB_SCORE_ITC)
        FB_TRY(try_pairs(c, &pair_s));
    *seconds = item_s * items + pair_s * (double)c->first[c->list_count];
    return FB_OK;
}

static void free_calibration(calibration *c)
{
    fb_candidate_set_free(c->set);
    fb_split_items_close(c->items);
    free(c->pairs);
    free(c->first);
    free(c->margin);
    free(c->similarity);
    free(c->nearness);
}

fb_status fb_calibrate_time(fb_context *ctx, const fb_train_options *options,
                            fb_model *model, double item_s, double *seconds)
{
    const fb_model_config *config = &model->matcher->config;
    *seconds = 0;
    if (config->score == FB_SCORE_TIA && !fb_model_config_system(config)->calibrated)
        return FB_OK;
    calibration c = {.ctx = ctx, .options = options, .model = model};
    fb_status status = try_out(&c, item_s, seconds);
    free_calibration(&c);
    return status;
}

fb_status fb_calibrate(fb_context *ctx, const char *folder,
                       const fb_train_options *options, fb_model_config *config)
{
    if (config->score == FB_SCORE_TIA && !fb_model_config_system(config)->calibrated)
        return FB_OK;
    calibration c = {.ctx = ctx, .options = options};
    fb_status status = run(&c, folder, config);
    fb_model_close(c.model);
    free_calibration(&c);
    return status;
}
