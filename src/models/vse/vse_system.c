/* vse_system.c - VSE and VSE++ as rows of the registry (system.h): one model, two losses.
 */
#include "models/vse/vse.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULTS                                                                       \
    {"encoder", "thin"}, {"patches", "grid"}, {"fit", "squash"},                       \
        {"vector-size", "256"}, {"margin", "0.2"}, {"batch", "128"}, {"epochs", "15"}, \
        {"lr", "3e-3"}, {"weight-decay", "0"}, {"warmup", "0.05"}, {"clip", "2"},      \
    {                                                                                  \
        "flip", "0.5"                                                                  \
    }

static const fb_option_value vse_defaults[] = {DEFAULTS, {NULL, NULL}};
static const fb_option_value vsepp_defaults[] = {
    DEFAULTS, {"hard-warmup", "0.2"}, {NULL, NULL}};

static const fb_config_key keys[] = {{"vse_words", FB_CONFIG_INT32,
                                      FB_CONFIG_OWN(fb_vse_config, words), 1, 4096,
                                      NULL, 300}};

/* ---- options -------------------------------------------------------------------- */

static fb_status settle(fb_context *ctx, fb_train_options *o)
{
    if (o->vector_size == 0)
        return fb_fail(ctx, FB_E_USAGE, "--vector-size 0: %s is nothing but vectors",
                       o->system);
    if (o->itc > 0 || strcmp(o->negatives, "hard") == 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "--system %s takes no --itc or --negatives hard: its loss is a "
                       "hinge, over all others of the batch or over the hardest",
                       o->system);
    if (strcmp(o->alignment, "pairs") != 0 || o->soft_targets > 0 ||
        o->hard_items > 0 || o->patch_keep < 1 || o->unmask_last > 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "--system %s takes no --alignment, --soft-targets, "
                       "--hard-items, --patch-keep or --unmask-last: it judges no "
                       "pairs",
                       o->system);
    return FB_OK;
}

static fb_status plan_of(const fb_train_options *o, fb_train_plan *plan, void *step,
                         bool hardest)
{
    *plan = (fb_train_plan){.items = true, .whole_texts = true, .whole_images = true};
    *(fb_vse_step *)step =
        (fb_vse_step){.hardest = hardest, .margin = (float)o->margin};
    return FB_OK;
}

static fb_status plan_sum(fb_context *ctx, const fb_train_options *o,
                          fb_train_plan *plan, void *step)
{
    (void)ctx;
    return plan_of(o, plan, step, false);
}

static fb_status plan_hardest(fb_context *ctx, const fb_train_options *o,
                              fb_train_plan *plan, void *step)
{
    (void)ctx;
    return plan_of(o, plan, step, true);
}

static void begin_with_sum(void *step, const fb_train_options *o,
                           const fb_step_clock *clock)
{
    double from = o->hard_warmup * (double)clock->total;
    ((fb_vse_step *)step)->hardest = clock->validation || (double)clock->number >= from;
}

/* ---- configuration -------------------------------------------------------------- */

static fb_status configure(fb_context *ctx, fb_model_config *config,
                           const fb_train_options *o, const fb_start *start)
{
    (void)ctx, (void)start;
    config->vector = o->vector_size;
    config->score = FB_SCORE_ITC;
    return FB_OK;
}

static double similarity_scale(const fb_matcher *matcher)
{
    return matcher->config.similarity_weight; /* of a cosine: no temperature */
}

/* ---- a model -------------------------------------------------------------------- */

static void matcher_free(fb_matcher *matcher, fb_backend *be)
{
    fb_image_rows_free(&((fb_vse *)matcher)->rows, be);
    fb_params_free(matcher->params, be);
    free(matcher);
}

static fb_status create_as(fb_context *ctx, fb_matcher **matcher,
                           const fb_model_config *config, fb_model_use use,
                           const fb_system *system)
{
    if (config->vector == 0 || config->score != FB_SCORE_ITC)
        return fb_fail(ctx, FB_E_FORMAT,
                       "a model of %s has vectors (vector_size above 0) and scores by "
                       "them (score itc)",
                       system->name);
    fb_vse *m = calloc(1, sizeof *m);
    if (!m)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a model");
    m->matcher.system = system;
    m->matcher.config = *config;
    m->matcher.config.system = system;
    fb_status status = fb_params_create(ctx, &m->matcher.params);
    if (status == FB_OK)
        status = fb_vse_declare(m->matcher.params, m, config, use);
    if (status == FB_OK)
        status = fb_params_allocate(m->matcher.params, use != FB_MODEL_SCORE);
    if (status != FB_OK) {
        matcher_free(&m->matcher, NULL);
        return status;
    }
    *matcher = &m->matcher;
    return FB_OK;
}

static fb_status create_sum(fb_context *ctx, fb_matcher **matcher,
                            const fb_model_config *config, fb_model_use use)
{
    return create_as(ctx, matcher, config, use, &fb_vse_system);
}

static fb_status create_hardest(fb_context *ctx, fb_matcher **matcher,
                                const fb_model_config *config, fb_model_use use)
{
    return create_as(ctx, matcher, config, use, &fb_vsepp_system);
}

/* ---- rows ----------------------------------------------------------------------- */

static const char *const loss_names[] = {"hinge", NULL};
static const fb_objective sum_objectives[] = {{"vse", vse_defaults}};
static const fb_objective hardest_objectives[] = {{"vse++", vsepp_defaults}};

#define SHARED                                                                         \
    .reads = FB_READS_TITLE | FB_READS_PIXELS | FB_READS_FEATURES | FB_READS_REGIONS,  \
    .gives = FB_GIVES_VECTORS | FB_GIVES_FEATURES, .keys = {keys, 1},                  \
    .loss_names = loss_names, .step_bytes = sizeof(fb_vse_step), .settle = settle,     \
    .configure = configure, .train_batch = fb_vse_train_batch,                         \
    .losses = fb_vse_losses, .vectors = fb_vse_vectors, .features = fb_vse_features,   \
    .similarity_scale = similarity_scale, .forward_flops = fb_vse_flops,               \
    .free = matcher_free

const fb_system fb_vse_system = {
    .name = "vse",
    .number = 12,
    SHARED,
    .objectives = sum_objectives,
    .objective_count = 1,
    .plan = plan_sum,
    .create = create_sum,
};

const fb_system fb_vsepp_system = {
    .name = "vse++",
    .number = 13,
    SHARED,
    .objectives = hardest_objectives,
    .objective_count = 1,
    .plan = plan_hardest,
    .step = begin_with_sum,
    .create = create_hardest,
};
