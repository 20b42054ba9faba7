/* dcca_system.c - DCCA as a row of the registry (system.h). */
#include "models/dcca/dcca_model.h"

#include <stdlib.h>

enum { VECTOR = 128, FEW = 8, SHARE = 12, LEAST_SHARE = 4 };

static const fb_config_key keys[] = {
    {"dcca_hidden", FB_CONFIG_INT32, FB_CONFIG_OWN(fb_dcca_config, hidden), 1, 8192,
     NULL, 512},
    {"dcca_depth", FB_CONFIG_INT32, FB_CONFIG_OWN(fb_dcca_config, depth), 0,
     FB_DCCA_DEPTH, NULL, 1},
    {"dcca_embedding", FB_CONFIG_INT32, FB_CONFIG_OWN(fb_dcca_config, embedding), 1,
     4096, NULL, 300},
    {"dcca_image_ridge", FB_CONFIG_DOUBLE, FB_CONFIG_OWN(fb_dcca_config, ridge[0]),
     1e-12, 1e6, NULL, 1e-3},
    {"dcca_text_ridge", FB_CONFIG_DOUBLE, FB_CONFIG_OWN(fb_dcca_config, ridge[1]),
     1e-12, 1e6, NULL, 1e-3},
    {"dcca_top_ridge", FB_CONFIG_DOUBLE, FB_CONFIG_OWN(fb_dcca_config, top_ridge), 0,
     10, NULL, 1e-3},
    {"dcca_power", FB_CONFIG_DOUBLE, FB_CONFIG_OWN(fb_dcca_config, power), 0, 16, NULL,
     1}};

static const fb_option_value defaults[] = {
    {"encoder", "thin"},      {"patches", "grid"}, {"fit", "squash"},
    {"epochs", "15"},         {"batch", "800"},    {"lr", "1e-3"},
    {"weight-decay", "0.01"}, {"warmup", "0.05"},  {"flip", "0.5"},
    {"text-mask", "0.1"},     {NULL, NULL}};
static const fb_objective objectives[] = {{"dcca", defaults}};
static const char *const loss_names[] = {"trace_norm", NULL};

/* ---- options ---------------------------------------------------------------------- */

static fb_status plan(fb_context *ctx, const fb_train_options *o, fb_train_plan *plan,
                      void *step)
{
    (void)ctx, (void)o, (void)step;
    plan->items = plan->whole_texts = plan->whole_images = true;
    return FB_OK;
}

/* The widest that a batch tells from noise: a twelfth of it, of small ones a quarter. A
 * batch of m products has m - 1 directions. */
static int32_t width_for(int64_t batch)
{
    int64_t width = batch / SHARE, few = batch / LEAST_SHARE;
    if (width < FEW)
        width = few < FEW ? few : FEW;
    return width > VECTOR ? VECTOR : width < 1 ? 1 : (int32_t)width;
}

static fb_status configure(fb_context *ctx, fb_model_config *config,
                           const fb_train_options *o, const fb_start *start)
{
    int64_t batch = o->batch < start->rows ? o->batch : start->rows;
    config->score = FB_SCORE_ITC;
    config->similarity_weight = 1;
    config->vector = o->vector_size > 0 ? o->vector_size : width_for(batch);
    if (config->vector < batch)
        return FB_OK;
    if (batch < o->batch)
        return fb_fail(ctx, FB_E_USAGE,
                       "--vector-size %d: dcca needs %d products of split train, there "
                       "are %lld",
                       (int)config->vector, (int)config->vector + 1,
                       (long long)start->rows);
    return fb_fail(ctx, FB_E_USAGE,
                   "--batch %d is too small for dcca's --vector-size %d, its batches "
                   "need at least %d products",
                   (int)o->batch, (int)config->vector, (int)config->vector + 1);
}

/* ---- the model -------------------------------------------------------------------- */

static void dcca_free(fb_matcher *matcher, fb_backend *be)
{
    if (!matcher)
        return;
    fb_image_rows_free(&((fb_dcca *)matcher)->rows, be);
    fb_params_free(matcher->params, be);
    free(matcher);
}

static fb_status create(fb_context *ctx, fb_matcher **matcher,
                        const fb_model_config *config, fb_model_use use)
{
    if (config->vector == 0)
        return fb_fail(ctx, FB_E_FORMAT,
                       "a model of dcca has vectors, vector_size is 0");
    fb_dcca *m = calloc(1, sizeof *m);
    if (!m)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a model");
    m->matcher.system = &fb_dcca_system;
    m->matcher.config = *config;
    m->matcher.config.system = &fb_dcca_system;
    fb_status status = fb_params_create(ctx, &m->matcher.params);
    if (status == FB_OK)
        status = fb_dcca_declare(m->matcher.params, m, config, use);
    if (status == FB_OK)
        status = fb_params_allocate(m->matcher.params, use != FB_MODEL_SCORE);
    if (status != FB_OK) {
        dcca_free(&m->matcher, NULL);
        return status;
    }
    *matcher = &m->matcher;
    return FB_OK;
}

static fb_status losses(fb_matcher *m, fb_tape *tape, const fb_batch *b,
                        const void *step, fb_measures *out)
{
    int32_t k = m->config.vector;
    void *texts, *images;
    (void)step;
    FB_TRY(fb_tape_alloc(tape, &texts, ((size_t)b->texts * (size_t)k + 1) * 4));
    FB_TRY(fb_tape_alloc(tape, &images, ((size_t)b->images * (size_t)k + 1) * 4));
    FB_TRY(fb_dcca_vectors(m, tape, b, texts, images));
    FB_TRY(fb_projection_measure(tape->ctx, b, texts, images, k, "distance", out));
    return fb_matcher_check_loss(tape, out->total);
}

static double similarity_scale(const fb_matcher *m)
{
    return m->config.similarity_weight;
}

static fb_status features(fb_matcher *m, fb_tape *tape, const uint8_t *pixels,
                          int32_t images, fb_bf16 *out)
{
    fb_dcca *d = (fb_dcca *)m;
    return fb_image_rows_features(tape, out, &d->rows.encoder, pixels, images,
                                  d->rows.views);
}

/* The networks, the projection and, with f64 counted as f32, the batch's covariances. */
static double forward_flops(const fb_matcher *m, const fb_batch *b)
{
    const fb_dcca *d = (const fb_dcca *)m;
    const fb_dcca_config *c = fb_dcca_config_of(&m->config);
    const double in[2] = {d->rows.width, c->embedding},
                 count[2] = {b->images, b->texts};
    double o = m->config.vector, flops = fb_image_rows_flops(&d->rows, b);
    for (int v = 0; v < 2; v++) {
        double width = in[v], one = 0;
        for (int32_t i = 0; i < c->depth; i++) {
            one += width * c->hidden;
            width = c->hidden;
        }
        flops += 2 * count[v] * (one + width * o + o * o);
    }
    return flops;
}

const fb_system fb_dcca_system = {
    .name = "dcca",
    .number = 11,
    .reads = FB_READS_TITLE | FB_READS_PIXELS | FB_READS_FEATURES | FB_READS_REGIONS,
    .gives = FB_GIVES_VECTORS | FB_GIVES_FEATURES,
    .keys = {keys, sizeof keys / sizeof keys[0]},
    .loss_names = loss_names,
    .objectives = objectives,
    .objective_count = 1,
    .plan = plan,
    .configure = configure,
    .create = create,
    .train_batch = fb_dcca_train_batch,
    .finish = fb_dcca_finish,
    .losses = losses,
    .vectors = fb_dcca_vectors,
    .similarity_scale = similarity_scale,
    .features = features,
    .forward_flops = forward_flops,
    .free = dcca_free,
};
