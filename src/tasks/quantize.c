/* quantize.c - the quantize verb: int8 scales of a model, kept where they cost little.
 *
 *     float model:  evaluate                      (which layers multiply is seen by it)
 *     int8 model:   scales, evaluate the same pairs
 *     R@1 lost <= tolerance: write quantization.json
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/option.h"
#include "engine/model_regions.h"
#include "nn/quantization.h"
#include "tasks/evaluate.h"

#include <math.h>
#include <stdlib.h>

#define FB_OPTION            FB_OPTION_ROW
#define FB_OPTION_AT(member) offsetof(fb_quantize_options, member)
static const fb_option option_rows[] = {
#include "fashionbert/quantize.def"
};
static const fb_option_table option_table = FB_OPTION_TABLE(option_rows);

void fb_quantize_options_defaults(fb_quantize_options *options)
{
    *options = (fb_quantize_options){0};
    fb_options_defaults(&option_table, options);
}

fb_status fb_quantize_options_set(fb_context *ctx, fb_quantize_options *options,
                                  const char *name, const char *text)
{
    return fb_option_set(ctx, &option_table, options, name, text);
}

typedef struct quantizing {
    fb_context *ctx;
    const fb_quantize_options *options;
    fb_evaluate_options evaluate;
    fb_model *model;
    fb_quantization *int8;
    fb_score_record scores[2]; /* of the float model, of the quantised one */
    fb_quantize_report *report;
} quantizing;

static fb_status measure(quantizing *q, fb_score_record *scores,
                         fb_quantize_figures *figures)
{
    double started_s = fb_clock_s();
    fb_evaluation *e = calloc(1, sizeof *e);
    if (!e)
        return fb_fail(q->ctx, FB_E_MEMORY, "no memory for the result");
    fb_scorer_record(q->model->scorer, scores);
    fb_status status = fb_evaluate_opened(q->ctx, &q->evaluate, q->model, e);
    fb_scorer_record(q->model->scorer, NULL);
    q->report->items = e->items;
    q->report->of_queries = e->of_queries;
    *figures = (fb_quantize_figures){
        .image_to_text = e->image_to_text,
        .text_to_image = e->text_to_image,
        .query_to_product = e->query_to_product,
        .r1 = e->of_queries ? e->query_to_product.r1
                            : (e->image_to_text.r1 + e->text_to_image.r1) / 2,
        .auc = e->auc,
        .seconds = fb_clock_s() - started_s};
    fb_evaluation_free(e);
    return status;
}

/* One product's vectors, so that their layers are seen whatever the model scores by. */
static fb_status encode_one(quantizing *q)
{
    int32_t width = fb_model_vector_size(q->model);
    fb_split_items *items = NULL;
    if (width == 0)
        return FB_OK;
    const fb_catalogue_options how = {.files_may_lack =
                                          q->model->matcher->config.regions};
    FB_TRY(fb_split_items_open_as(q->ctx, &items, q->options->catalog,
                                  q->options->split, &how));
    float *vector = malloc((size_t)width * sizeof *vector);
    const fb_image_input image = {.file = items->paths[0]};
    const fb_input input = {.text = items->titles[0], .image = &image};
    fb_status status =
        vector ? fb_model_encode(q->ctx, q->model, &input, 1, FB_TEXT_WEIGHT, vector)
               : fb_fail(q->ctx, FB_E_MEMORY, "no memory for a vector");
    free(vector);
    fb_split_items_close(items);
    return status;
}

/* The largest difference of probabilities; NaN where one is NaN. */
static double score_difference(const fb_score_record scores[2])
{
    double most = 0;
    for (int64_t i = 0; i < scores[0].count; i++) {
        double d = fabs((double)fb_score_probability(scores[0].margins[i]) -
                        (double)fb_score_probability(scores[1].margins[i]));
        if (!(d <= most))
            most = d;
        if (isnan(d))
            break;
    }
    return most;
}

static fb_status compare(quantizing *q)
{
    fb_quantize_report *r = q->report;
    if (q->scores[0].count != q->scores[1].count)
        return fb_fail(q->ctx, FB_E_STATE,
                       "the two models scored %lld and %lld pairs: the catalogue "
                       "changed meanwhile",
                       (long long)q->scores[0].count, (long long)q->scores[1].count);
    r->pairs = q->scores[0].count;
    r->score_difference = score_difference(q->scores);
    r->r1_lost = r->in_float.r1 - r->in_int8.r1;
    r->measured = true;
    if (r->r1_lost <= q->options->tolerance && isfinite(r->score_difference))
        return FB_OK;
    return fb_fail(q->ctx, FB_E_STATE,
                   "int8 loses %.4f of R@1 (%.4f of %.4f is left), more than the "
                   "tolerance of %g; nothing was written",
                   r->r1_lost, r->in_int8.r1, r->in_float.r1, q->options->tolerance);
}

static fb_status write(quantizing *q)
{
    const fb_quantize_report *r = q->report;
    const fb_quantize_figures *a = &r->in_float, *b = &r->in_int8;
    const fb_quantization_figure of_pairs[] = {
        {"image_to_text_r1", a->image_to_text.r1, b->image_to_text.r1},
        {"image_to_text_r5", a->image_to_text.r5, b->image_to_text.r5},
        {"text_to_image_r1", a->text_to_image.r1, b->text_to_image.r1},
        {"text_to_image_r5", a->text_to_image.r5, b->text_to_image.r5},
        {"auc", a->auc, b->auc},
        {"largest_score_difference", 0, r->score_difference},
    };
    const fb_quantization_figure of_queries[] = {
        {"query_to_product_r1", a->query_to_product.r1, b->query_to_product.r1},
        {"query_to_product_r5", a->query_to_product.r5, b->query_to_product.r5},
        {"auc", a->auc, b->auc},
        {"largest_score_difference", 0, r->score_difference},
    };
    char path[4096];
    FB_TRY(fb_path_join(q->ctx, path, q->options->model, FB_QUANTIZATION_FILE));
    return r->of_queries ? fb_quantization_write(q->ctx, q->int8, path, of_queries,
                                                 sizeof of_queries / sizeof *of_queries)
                         : fb_quantization_write(q->ctx, q->int8, path, of_pairs,
                                                 sizeof of_pairs / sizeof *of_pairs);
}

/* The model is lent its scales, so that the first line says what multiplies. */
static fb_status measure_int8(quantizing *q)
{
    q->model->int8 = q->int8;
    fb_status status = measure(q, &q->scores[1], &q->report->in_int8);
    q->model->int8 = NULL;
    return status;
}

static fb_status run(quantizing *q)
{
    const fb_model_options compute = {q->options->backend, "f32", q->options->threads};
    fb_quantize_report *r = q->report;
    FB_TRY(fb_model_open(q->ctx, &q->model, q->options->model, &compute));
    FB_TRY(measure(q, &q->scores[0], &r->in_float));
    FB_TRY(encode_one(q));
    FB_TRY(fb_quantization_make(q->ctx, &q->int8, q->model->matcher->params, true));
    if (q->int8->count == 0)
        return fb_fail(q->ctx, FB_E_STATE,
                       "%s: %s has no linear layer of %d outputs or more to quantise",
                       q->options->model, q->model->matcher->system->name,
                       (int)FB_QUANTIZATION_LEAST_OUTPUTS);
    q->int8->fingerprint = q->model->fingerprint;
    r->layers = q->int8->count;
    FB_TRY(
        fb_quantization_use(q->ctx, q->int8, q->model->matcher->params, q->model->be));
    FB_TRY(measure_int8(q));
    FB_TRY(compare(q));
    FB_TRY(write(q));
    r->written = true;
    return FB_OK;
}

fb_status fb_quantize(fb_context *ctx, const fb_quantize_options *options,
                      fb_quantize_report *report)
{
    *report = (fb_quantize_report){0};
    FB_TRY(fb_options_check(ctx, &option_table, options));
    if (!options->model[0] || !options->catalog[0])
        return fb_fail(ctx, FB_E_USAGE, "quantize needs --model and --catalog");
    quantizing q = {.ctx = ctx, .options = options, .report = report};
    fb_evaluate_options_defaults(&q.evaluate);
    q.evaluate.model = options->model;
    q.evaluate.catalog = options->catalog;
    q.evaluate.split = options->split;
    q.evaluate.queries = options->queries;
    q.evaluate.seed = options->seed;
    q.evaluate.clicks = options->clicks;
    q.evaluate.regions = options->regions;
    q.evaluate.quiet = options->quiet;
    fb_status status = run(&q);
    fb_quantization_free(q.int8);
    fb_model_close(q.model);
    free(q.scores[0].margins);
    free(q.scores[1].margins);
    return status;
}
