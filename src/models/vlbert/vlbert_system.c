/* vlbert_system.c - VL-BERT as a row of the registry (system.h).
 *
 *     total = MLM + MVRC + TIA, those of --losses
 */
#include "base/random.h"
#include "models/vlbert/vlbert_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const choices[] = {"mlm", "mvrc", "tia", NULL};

/* ---- a step ---------------------------------------------------------------------- */

static fb_status record(fb_tape *tape, const fb_vlbert_pass *pass, fb_measures *out)
{
    return fb_pair_alignment_measure(tape, &pass->alignment,
                                     pass->logits[FB_VLBERT_TIA], pass->loss, choices,
                                     FB_VLBERT_TIA, out);
}

static fb_status losses_of(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                           const void *step, fb_measures *measures)
{
    fb_vlbert_pass pass;
    FB_TRY(fb_vlbert_forward((fb_vlbert *)matcher, tape, batch, step, true, &pass));
    return record(tape, &pass, measures);
}

static fb_status train_batch(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                             const void *step, fb_measures *measures)
{
    fb_vlbert_pass pass;
    if (!matcher->params->on.grad)
        return fb_fail(tape->ctx, FB_E_STATE, "this model was opened without training");
    FB_TRY(fb_vlbert_forward((fb_vlbert *)matcher, tape, batch, step, true, &pass));
    FB_TRY(record(tape, &pass, measures));
    for (int i = 0; i < FB_VLBERT_LOSSES; i++)
        if (pass.loss[i])
            pass.loss[i]->seed = 1.0f;
    return fb_tape_backward(tape, NULL, NULL, true);
}

static fb_status score(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                       float *margins)
{
    static const fb_vlbert_step step = {.enabled = {[FB_VLBERT_TIA] = true},
                                        .patch_keep = 1};
    fb_vlbert_pass pass;
    FB_TRY(fb_vlbert_forward((fb_vlbert *)matcher, tape, batch, &step, false, &pass));
    return fb_pair_alignment_margins(tape, margins, pass.logits[FB_VLBERT_TIA], 1, 0);
}

static fb_status features(fb_matcher *matcher, fb_tape *tape, const uint8_t *pixels,
                          int32_t images, fb_bf16 *out)
{
    fb_vlbert *m = (fb_vlbert *)matcher;
    return fb_image_rows_features(tape, out, &m->images.encoder, pixels, images,
                                  m->images.views);
}

static double forward_flops(const fb_matcher *matcher, const fb_batch *batch)
{
    const fb_vlbert *m = (const fb_vlbert *)matcher;
    double width = matcher->config.width;
    double inputs = m->images.width + 8.0 * m->frequencies;
    double flops = fb_image_rows_flops(&m->images, batch) +
                   2.0 * (fb_image_rows_count(batch) + batch->images) * inputs * width;
    double reads =
        (batch->pairs + batch->mlm_count + batch->mpm_count) / fmax(batch->pairs, 1);
    for (int32_t b = 0; b < batch->pairs; b++) {
        int32_t text = batch->pair_text[b], image = batch->pair_image[b];
        int32_t rows = batch->text_offsets[text + 1] - batch->text_offsets[text] +
                       batch->image_offsets[image + 1] - batch->image_offsets[image];
        flops += fb_read_rows_flops(&m->encoder.options, 0, rows + 2, reads);
    }
    return flops + 2.0 * batch->pairs * width * (width + 2);
}

static double train_flops(const fb_matcher *m, const fb_batch *batch, const void *step)
{
    return fb_pair_alignment_flops(m, batch, ((const fb_vlbert_step *)step)->others);
}

/* ---- what training may ask ------------------------------------------------------- */

static const fb_option_value defaults[] = {
    {"encoder", "thin"},        {"patches", "grid"},    {"fit", "squash"},
    {"losses", "mlm,mvrc,tia"}, {"alignment", "pairs"}, {"hard-negatives", "7"},
    {"epochs", "10"},           {"batch", "64"},        {"lr", "5e-4"},
    {"weight-decay", "0.01"},   {"warmup", "0.05"},     {NULL, NULL}};

static const fb_objective objectives[] = {{"vlbert", defaults}};

static bool is(const char *word, const char *wanted)
{
    return strcmp(word, wanted) == 0;
}

static fb_status settle(fb_context *ctx, fb_train_options *o)
{
    FB_TRY(fb_pair_alignment_settle(ctx, o));
    if (is(o->alignment_head, "product") || o->patches_from > 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "vlbert reads its score off [CLS], and objects stand beside the "
                       "words from the first layer; it takes no --alignment-head "
                       "product or --patches-from");
    o->vector_size = 0;
    o->patches_from = 0;
    o->alignment_head = "cls";
    return FB_OK;
}

static fb_status plan(fb_context *ctx, const fb_train_options *o, fb_train_plan *plan_,
                      void *step)
{
    fb_vlbert_step *s = step;
    FB_TRY(fb_systems_parse_losses(ctx, &fb_vlbert_system, o->losses, s->enabled));
    if (!s->enabled[FB_VLBERT_TIA])
        return fb_fail(ctx, FB_E_USAGE,
                       "--losses needs tia, without it pairs cannot be scored");
    s->others = is(o->alignment, "block") ? o->hard_negatives : 0;
    s->visual_mask = 0.9;
    plan_->items = s->others > 0;
    plan_->whole_texts = !s->enabled[FB_VLBERT_MLM];
    plan_->whole_images = !s->enabled[FB_VLBERT_MVRC];
    plan_->patch_share = 0.15;
    return FB_OK;
}

static void step_of(void *step, const fb_train_options *o, const fb_step_clock *clock)
{
    fb_vlbert_step *s = step;
    double whole = (1 - o->unmask_last) * (double)clock->total;
    s->key = fb_random_key(o->seed, FB_STREAM_HARD,
                           (uint64_t)clock->number * 2 + clock->validation);
    s->patch_keep =
        clock->validation || !((double)clock->number < whole) ? 1 : o->patch_keep;
}

static fb_status configure(fb_context *ctx, fb_model_config *config,
                           const fb_train_options *o, const fb_start *start)
{
    (void)o, (void)start;
    fb_vlbert_config *own = (void *)&config->own;
    config->vector = 0;
    config->patches_from = 0;
    config->head = FB_HEAD_CLS;
    config->score = FB_SCORE_TIA;
    if (config->region_classes >= 2) { /* the detector's, where the regions have some */
        own->target = FB_VLBERT_CLASSES;
        own->classes = config->region_classes;
    }
    if (own->target != FB_VLBERT_CLASSES || config->region_classes >= 2)
        return FB_OK;
    return fb_fail(ctx, FB_E_USAGE,
                   "mvrc_target classes needs --regions of a detector that says its "
                   "classes; leave it features");
}

static fb_status check(fb_context *ctx, const fb_model_config *c, const char *where)
{
    if (c->vector > 0 || c->head != FB_HEAD_CLS || c->patches_from > 0)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: vlbert needs a vector_size and patches_from of 0, and "
                       "alignment_head cls",
                       where);
    if (c->max_text + 2 > c->positions)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: vlbert numbers objects and [END] behind a text's %d "
                       "tokens, which needs max_position_embeddings of %d, not %d",
                       where, (int)c->max_text, (int)c->max_text + 2,
                       (int)c->positions);
    return FB_OK;
}

static void matcher_free(fb_matcher *matcher, fb_backend *be)
{
    fb_image_rows_free(&((fb_vlbert *)matcher)->images, be);
    fb_params_free(matcher->params, be);
    free(matcher);
}

static fb_status create(fb_context *ctx, fb_matcher **matcher,
                        const fb_model_config *config, fb_model_use use)
{
    fb_vlbert *m = calloc(1, sizeof *m);
    if (!m)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a model");
    m->matcher.system = &fb_vlbert_system;
    m->matcher.config = *config;
    m->matcher.config.system = &fb_vlbert_system;
    fb_status status = fb_params_create(ctx, &m->matcher.params);
    if (status == FB_OK)
        status = fb_vlbert_declare(m->matcher.params, m, config, use);
    if (status == FB_OK)
        status = fb_params_allocate(m->matcher.params, use != FB_MODEL_SCORE);
    if (status != FB_OK) {
        matcher_free(&m->matcher, NULL);
        return status;
    }
    *matcher = &m->matcher;
    return FB_OK;
}

static const char *const target_words[] = {"features", "classes", NULL};

#define AT(member) FB_CONFIG_OWN(fb_vlbert_config, member)
static const fb_config_key keys[] = {
    {"geometry_frequencies", FB_CONFIG_INT32, AT(frequencies), 0, 4096, NULL, 0},
    {"mvrc_target", FB_CONFIG_WORD, AT(target), 0, 0, target_words, FB_VLBERT_FEATURES},
    {"visual_classes", FB_CONFIG_INT32, AT(classes), 2, 1000000, NULL, 1601}};
#undef AT

const fb_system fb_vlbert_system = {
    .name = "vlbert",
    .number = 17,
    .reads = FB_READS_TITLE | FB_READS_PIXELS | FB_READS_FEATURES | FB_READS_REGIONS |
             FB_READS_BOXES,
    .gives = FB_GIVES_SCORE | FB_GIVES_FEATURES,
    .keys = {keys, sizeof keys / sizeof keys[0]},
    .loss_names = choices,
    .choices = choices,
    .objectives = objectives,
    .objective_count = sizeof objectives / sizeof objectives[0],
    .step_bytes = sizeof(fb_vlbert_step),
    .settle = settle,
    .plan = plan,
    .step = step_of,
    .configure = configure,
    .check = check,
    .create = create,
    .train_batch = train_batch,
    .losses = losses_of,
    .score = score,
    .features = features,
    .forward_flops = forward_flops,
    .train_flops = train_flops,
    .free = matcher_free,
};
