/* inspect.c - the inspect verb: rows, then images, then the floor, then the page. */
#include "tasks/inspect.h"

#include "base/clock.h"
#include "base/option.h"
#include "data/image/floor_features.h"
#include "tasks/linear_floor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FB_OPTION            FB_OPTION_ROW
#define FB_OPTION_AT(member) offsetof(fb_inspect_options, member)
static const fb_option option_rows[] = {
#include "fashionbert/inspect.def"
};
static const fb_option_table option_table = FB_OPTION_TABLE(option_rows);

void fb_inspect_options_defaults(fb_inspect_options *options)
{
    *options = (fb_inspect_options){0};
    fb_options_defaults(&option_table, options);
    options->catalog = "";
}

fb_status fb_inspect_options_set(fb_context *ctx, fb_inspect_options *options,
                                 const char *name, const char *text)
{
    return fb_option_set(ctx, &option_table, options, name, text);
}

/* How the floor is ranked, as evaluate ranks a model. */
static void ranking_options(fb_evaluate_options *ranking, const fb_inspect_options *o)
{
    fb_evaluate_options_defaults(ranking);
    ranking->split = o->split;
    ranking->protocol = o->protocol;
    ranking->negatives = o->negatives;
    ranking->queries = o->queries;
    ranking->negative_count = o->negative_count;
    ranking->min_candidates = o->min_candidates;
    ranking->draws = o->draws;
    ranking->seed = o->seed;
    ranking->candidates = o->candidates;
}

static fb_status check_ranking(fb_context *ctx, const fb_inspect_options *options)
{
    fb_evaluate_options ranking;
    ranking_options(&ranking, options);
    return fb_evaluate_check_protocol(ctx, &ranking);
}

static fb_status rank(fb_context *ctx, const fb_inspect_options *options,
                      fb_split_items *items, const fb_pair_scorer *scorer,
                      const char *name, fb_evaluation **evaluation)
{
    double started_s = fb_clock_s();
    fb_evaluate_options ranking;
    ranking_options(&ranking, options);
    *evaluation = calloc(1, sizeof **evaluation);
    if (!*evaluation)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the result");
    FB_TRY(fb_evaluate_items(ctx, &ranking, items, scorer, *evaluation));
    (*evaluation)->items = items->count;
    (*evaluation)->accuracy = NAN; /* its scores are no probabilities */
    snprintf((*evaluation)->score, sizeof(*evaluation)->score, "%s", name);
    (*evaluation)->seconds = fb_clock_s() - started_s;
    return FB_OK;
}

static fb_status measure_floor(fb_context *ctx, const fb_inspect_options *options,
                               fb_inspection *in)
{
    fb_split_items *items = NULL;
    fb_linear_floor *floor = NULL;
    FB_TRY(fb_split_items_open(ctx, &items, options->catalog, options->split));
    fb_status status =
        fb_linear_floor_create(ctx, &floor, items, options->threads, options->quiet);
    if (status == FB_OK) {
        fb_pair_scorer product = fb_linear_floor_product(floor);
        fb_pair_scorer cosine = fb_linear_floor_cosine(floor);
        in->floor_train_items = fb_linear_floor_train_items(floor);
        in->floor_words = fb_linear_floor_words(floor);
        in->floor_ridge = fb_linear_floor_ridge(floor);
        in->floor_features = FB_FLOOR_FEATURES;
        status = rank(ctx, options, items, &product, "product", &in->floor);
        if (status == FB_OK)
            status = rank(ctx, options, items, &cosine, "cosine", &in->floor_cosine);
    }
    fb_linear_floor_free(floor);
    fb_split_items_close(items);
    return status;
}

/* An option that says which regions, or where to show them, asks for them. */
static bool wants_regions(const fb_inspect_options *options)
{
    return options->regions || options->regions_file[0] || options->sheet[0];
}

static fb_status run(fb_context *ctx, const fb_inspect_options *options,
                     fb_inspection *in)
{
    fb_catalogue *catalogue = NULL;
    FB_TRY(fb_catalogue_open(ctx, &catalogue, options->catalog,
                             &(fb_catalogue_options){.skip_file_check = true}));
    fb_status status = fb_inspect_texts(ctx, catalogue, in);
    if (status == FB_OK)
        status = fb_inspect_images(ctx, catalogue, options, in);
    if (status == FB_OK && options->floor)
        status = measure_floor(ctx, options, in);
    if (status == FB_OK && wants_regions(options))
        status = fb_inspect_regions_of(ctx, catalogue, options, in);
    if (status == FB_OK && options->html[0])
        status = fb_inspect_html(ctx, options->html, catalogue, in);
    fb_catalogue_close(catalogue);
    return status;
}

fb_status fb_inspect(fb_context *ctx, const fb_inspect_options *options,
                     fb_inspection **inspection)
{
    FB_TRY(fb_options_check(ctx, &option_table, options));
    fb_context_clear(ctx);
    double started_s = fb_clock_s();
    if (!options->catalog[0])
        return fb_fail(ctx, FB_E_USAGE, "inspect needs a catalogue folder");
    if (options->floor)
        FB_TRY(check_ranking(ctx, options));
    if (wants_regions(options))
        FB_TRY(fb_inspect_regions_check(ctx, options));
    fb_inspection *in = calloc(1, sizeof *in);
    if (!in)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the inspection");
    fb_status status = run(ctx, options, in);
    if (status != FB_OK) {
        fb_inspection_free(in);
        return status;
    }
    in->seconds = fb_clock_s() - started_s;
    *inspection = in;
    return FB_OK;
}

void fb_inspection_free(fb_inspection *inspection)
{
    if (!inspection)
        return;
    fb_evaluation_free(inspection->floor);
    fb_evaluation_free(inspection->floor_cosine);
    if (inspection->regions)
        free(inspection->regions->sheet);
    free(inspection->regions);
    free(inspection->categories);
    free(inspection->fields);
    free(inspection);
}
