/* fashionbert_system.c - FashionBERT as a row of the registry (system.h). */
#include "models/fashionbert/attribution.h"
#include "models/fashionbert/fashionbert_parts.h"
#include "models/fashionbert/fashionbert_step.h"

#include <stdlib.h>

/* What an objective takes where nothing is said. */
static const fb_option_value match_defaults[] = {
    {"encoder", "pixels"}, {"patches", "grid"},
    {"fit", "pad"},        {"losses", "mlm,mpm,tia"},
    {"epochs", "10"},      {"batch", "64"},
    {"lr", "5e-4"},        {"weight-decay", "0.01"},
    {"warmup", "0.03"},    {"hard-warmup", "0.2"},
    {NULL, NULL}};

static const fb_option_value itc_defaults[] = {
    {"encoder", "thin"},      {"patches", "grid"},    {"fit", "squash"},
    {"losses", ""},           {"itc", "1"},           {"vector-size", "256"},
    {"epochs", "15"},         {"batch", "256"},       {"lr", "1e-3"},
    {"weight-decay", "0.05"}, {"warmup", "0.05"},     {"flip", "0.5"},
    {"text-mask", "0.1"},     {"hard-warmup", "0.2"}, {NULL, NULL}};

static const fb_objective objectives[] = {{"match", match_defaults},
                                          {"itc", itc_defaults}};

static const fb_option_value first[] = {{"flip", "0.5"}, {NULL, NULL}};
static const fb_option_value second[] = {
    {"flip", "0.5"}, {"group", "32"}, {"lr", "8e-4"}, {"warmup", "0.03"}, {NULL, NULL}};
static const fb_option_value third[] = {
    {"flip", "0.5"},        {"group", "32"},         {"losses", "tia"},
    {"negatives", "hard"},  {"alignment", "block"},  {"hard-negatives", "7"},
    {"hardness", "0.5"},    {"hard-warmup", "0.05"}, {"patch-keep", "0.5"},
    {"unmask-last", "0.2"}, {"soft-targets", "0.8"}, {"itc", "1"},
    {"batch", "256"}, /* for the vectors; alignment learns from half of it */
    {"hard-items", "128"},  {"lr", "7e-4"},          {"weight-decay", "0.05"},
    {"zoom", "0.15"},       {"text-mask", "0.1"},    {NULL, NULL}};

/* The recipe: vectors learn, in batches of anything, what a product is; in batches of
 * category groups, what tells it from its kin; then alignment learns by listwise
 * image-text matching among hard negatives, beside them. */
static const fb_stage stages[] = {
    {"itc", 300000, first}, {"itc", 150000, second}, {"match", 480000, third}};

/* The margin becomes about the sum of the product's numbers: with aligned patches that
 * is an inner product of words and patches much as the vectors' own. */
static void begin_product(fb_fashionbert *m)
{
    const fb_params *p = m->matcher.params;
    int64_t width = m->matcher.config.width;
    float *pooler = fb_params_value(p, m->pooler_weight);
    float *match = fb_params_value(p, m->match_weight);
    const float share = 0.07f; /* of a number in each logit: lists begin warm */
    for (int64_t i = 0; i < width; i++) {
        pooler[i * width + i] += 1;
        match[i] -= share;
        match[width + i] += share;
    }
    m->pooler_weight->weight.version++;
    m->match_weight->weight.version++;
}

void fb_fashionbert_align_patches(fb_matcher *matcher)
{
    fb_fashionbert *m = (fb_fashionbert *)matcher;
    if (!matcher->config.vector)
        return;
    fb_contrast_head_align(&m->contrast, matcher->params, m->projector);
    if (matcher->config.head == FB_HEAD_PRODUCT)
        begin_product(m);
}

/* Where vectors alone were learnt and alignment now is, patches enter the stream as the
 * vectors see them. */
static fb_status begin(fb_context *ctx, fb_matcher *matcher,
                       const fb_train_options *options, const fb_start *start)
{
    fb_fashionbert *m = (fb_fashionbert *)matcher;
    bool pooled =
        start->kind == FB_START_MODEL &&
        fb_patch_pool_count(&start->config) == fb_patch_pool_count(&matcher->config);
    if (m->pool.side > 0 && !pooled)
        fb_patch_pool_begin(&m->pool, matcher->params);
    FB_TRY(fb_start_weights(ctx, options, start, matcher->params));
    if (start->kind == FB_START_MODEL && start->config.score == FB_SCORE_ITC &&
        options->losses[0])
        fb_fashionbert_align_patches(matcher);
    return FB_OK;
}

static fb_status create(fb_context *ctx, fb_matcher **matcher,
                        const fb_model_config *config, fb_model_use use)
{
    fb_fashionbert *m = calloc(1, sizeof *m);
    if (!m)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a model");
    m->matcher.system = &fb_fashionbert_system;
    m->matcher.config = *config;
    m->matcher.config.system = &fb_fashionbert_system;
    fb_status status = fb_params_create(ctx, &m->matcher.params);
    if (status == FB_OK)
        status = fb_fashionbert_declare(m->matcher.params, m, config);
    if (status == FB_OK && use == FB_MODEL_TRAIN_FROZEN && !config->regions)
        fb_patch_encoder_freeze(m->matcher.params, &m->patch_encoder);
    if (status == FB_OK)
        status = fb_params_allocate(m->matcher.params, use != FB_MODEL_SCORE);
    if (status != FB_OK) {
        fb_fashionbert_free(&m->matcher, NULL);
        return status;
    }
    *matcher = &m->matcher;
    return FB_OK;
}

static fb_status check(fb_context *ctx, const fb_model_config *config,
                       const char *where)
{
    return fb_patch_pool_check(ctx, config, where);
}

static const fb_config_key keys[] = {{"pooled_patches", FB_CONFIG_INT32,
                                      FB_CONFIG_OWN(fb_fashionbert_own, pooled), 0,
                                      1024, NULL, 0}};

static const char *const loss_names[] = {"mlm", "mpm", "tia", "itc", NULL};

const fb_system fb_fashionbert_system = {
    .name = "fashionbert",
    .number = 0,
    .reads = FB_READS_TITLE | FB_READS_PIXELS | FB_READS_FEATURES | FB_READS_REGIONS,
    .gives =
        FB_GIVES_SCORE | FB_GIVES_VECTORS | FB_GIVES_FEATURES | FB_GIVES_ATTRIBUTION,
    .keys = {keys, sizeof keys / sizeof keys[0]},
    .loss_names = loss_names,
    .choices = fb_fashionbert_choices,
    .objectives = objectives,
    .objective_count = sizeof objectives / sizeof objectives[0],
    .stages = stages,
    .stage_count = sizeof stages / sizeof stages[0],
    .step_bytes = sizeof(fb_loss_options),
    .settle = fb_fashionbert_settle,
    .plan = fb_fashionbert_plan,
    .step = fb_fashionbert_step,
    .configure = fb_fashionbert_configure,
    .check = check,
    .create = create,
    .begin = begin,
    .train_batch = fb_fashionbert_train_batch,
    .losses = fb_fashionbert_losses,
    .score = fb_fashionbert_score,
    .vectors = fb_fashionbert_vectors,
    .attribute = fb_fashionbert_attribute,
    .similarity_scale = fb_fashionbert_similarity_scale,
    .features = fb_fashionbert_features,
    .forward_flops = fb_fashionbert_flops,
    .free = fb_fashionbert_free,
};
