/* fashionbert_system.c - FashionBERT as a row of the registry (system.h). */
#include "models/fashionbert/attribution.h"
#include "models/fashionbert/fashionbert_parts.h"
#include "models/fashionbert/fashionbert_step.h"

#include <stdlib.h>

static void scale_encoder_lr(fb_matcher *matcher, float share)
{
    fb_patch_encoder_scale_lr(matcher->params, share);
}

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

static void align_patches(fb_matcher *matcher)
{
    fb_fashionbert *m = (fb_fashionbert *)matcher;
    if (!matcher->config.vector)
        return;
    fb_contrast_head_align(&m->contrast, matcher->params, m->projector);
    if (matcher->config.head == FB_HEAD_PRODUCT)
        begin_product(m);
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
    if (status == FB_OK && use == FB_MODEL_TRAIN_FROZEN)
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

static const char *const loss_names[] = {"mlm", "mpm", "tia", "itc", NULL};

const fb_system fb_fashionbert_system = {
    .name = "fashionbert",
    .number = 0,
    .reads = FB_READS_TITLE | FB_READS_PIXELS | FB_READS_FEATURES,
    .gives =
        FB_GIVES_SCORE | FB_GIVES_VECTORS | FB_GIVES_FEATURES | FB_GIVES_ATTRIBUTION,
    .loss_names = loss_names,
    .create = create,
    .train_batch = fb_fashionbert_train_batch,
    .losses = fb_fashionbert_losses,
    .score = fb_fashionbert_score,
    .vectors = fb_fashionbert_vectors,
    .attribute = fb_fashionbert_attribute,
    .similarity_scale = fb_fashionbert_similarity_scale,
    .align_patches = align_patches,
    .features = fb_fashionbert_features,
    .scale_encoder_lr = scale_encoder_lr,
    .forward_flops = fb_fashionbert_flops,
    .free = fb_fashionbert_free,
};
