/* vilbert_system.c - ViLBERT as a row of the registry (system.h).
 *
 *     total = MLM + MRM + TIA, those of --losses
 *
 * Pre-training and fine-tuning are one run: alignment is learnt beside the masked
 * losses, which are of matched pairs alone unless --masked-on-mismatched. What
 * alignment learns from:
 *
 *     --alignment pairs   1 match : 1 mismatch of the same category, cross entropy
 *                         (pre-training, whose mismatches are random)
 *     --alignment block   all pairs of blocks of --hard-negatives + 1 products, softmax
 *                         over the texts of each image and over the images of each text
 *                         (fine-tuning for retrieval, there over 4 pairs)
 */
#include "base/random.h"
#include "models/vilbert/vilbert_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const choices[] = {"mlm", "mrm", "tia", NULL};

/* ---- a step ---------------------------------------------------------------------- */

static fb_status record(fb_tape *tape, const fb_vilbert_pass *pass, fb_measures *out)
{
    return fb_pair_alignment_measure(tape, &pass->alignment,
                                     pass->logits[FB_VILBERT_TIA], pass->loss, choices,
                                     FB_VILBERT_TIA, out);
}

static fb_status losses_of(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                           const void *step, fb_measures *measures)
{
    fb_vilbert_pass pass;
    FB_TRY(fb_vilbert_forward((fb_vilbert *)matcher, tape, batch, step, true, &pass));
    return record(tape, &pass, measures);
}

static fb_status train_batch(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                             const void *step, fb_measures *measures)
{
    fb_vilbert_pass pass;
    if (!matcher->params->on.grad)
        return fb_fail(tape->ctx, FB_E_STATE, "this model was opened without training");
    FB_TRY(fb_vilbert_forward((fb_vilbert *)matcher, tape, batch, step, true, &pass));
    FB_TRY(record(tape, &pass, measures));
    for (int i = 0; i < FB_VILBERT_LOSSES; i++)
        if (pass.loss[i])
            pass.loss[i]->seed = 1.0f;
    return fb_tape_backward(tape, NULL, NULL, true);
}

static fb_status score(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                       float *margins)
{
    static const fb_vilbert_step step = {.enabled = {[FB_VILBERT_TIA] = true},
                                         .patch_keep = 1};
    fb_vilbert_pass pass;
    FB_TRY(fb_vilbert_forward((fb_vilbert *)matcher, tape, batch, &step, false, &pass));
    return fb_pair_alignment_margins(tape, margins, pass.logits[FB_VILBERT_TIA],
                                     matcher->config.alignment_weight,
                                     matcher->config.score_bias);
}

static fb_status features(fb_matcher *matcher, fb_tape *tape, const uint8_t *pixels,
                          int32_t images, fb_bf16 *out)
{
    fb_vilbert *m = (fb_vilbert *)matcher;
    return fb_image_rows_features(tape, out, &m->images.encoder, pixels, images,
                                  m->images.views);
}

static double train_flops(const fb_matcher *m, const fb_batch *batch, const void *step)
{
    return fb_pair_alignment_flops(m, batch, ((const fb_vilbert_step *)step)->others);
}

/* ---- what training may ask ------------------------------------------------------- */

static const fb_option_value defaults[] = {
    {"encoder", "thin"},       {"patches", "grid"},    {"fit", "squash"},
    {"losses", "mlm,mrm,tia"}, {"alignment", "block"}, {"hard-negatives", "7"},
    {"epochs", "10"},          {"batch", "32"},        {"lr", "5e-4"},
    {"weight-decay", "0.01"},  {"warmup", "0.1"},      {NULL, NULL}};

static const fb_objective objectives[] = {{"vilbert", defaults}};

static bool is(const char *word, const char *wanted)
{
    return strcmp(word, wanted) == 0;
}

static fb_status settle(fb_context *ctx, fb_train_options *o)
{
    FB_TRY(fb_pair_alignment_settle(ctx, o));
    if (is(o->alignment_head, "product") || o->patches_from > 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "vilbert's streams have a head and an order of their own; it "
                       "takes no --alignment-head product or --patches-from");
    o->vector_size = 0;
    o->patches_from = 0;
    o->alignment_head = "cls"; /* not read */
    return FB_OK;
}

static fb_status plan(fb_context *ctx, const fb_train_options *o, fb_train_plan *plan_,
                      void *step)
{
    fb_vilbert_step *s = step;
    FB_TRY(fb_systems_parse_losses(ctx, &fb_vilbert_system, o->losses, s->enabled));
    if (!s->enabled[FB_VILBERT_TIA])
        return fb_fail(ctx, FB_E_USAGE,
                       "--losses needs tia, without it pairs cannot be scored");
    s->others = is(o->alignment, "block") ? o->hard_negatives : 0;
    s->zeroed = 0.9;
    plan_->items = s->others > 0;
    plan_->whole_texts = !s->enabled[FB_VILBERT_MLM];
    plan_->whole_images = !s->enabled[FB_VILBERT_MRM];
    plan_->patch_share = 0.15;
    return FB_OK;
}

static void step_of(void *step, const fb_train_options *o, const fb_step_clock *clock)
{
    fb_vilbert_step *s = step;
    double whole = (1 - o->unmask_last) * (double)clock->total;
    s->key = fb_random_key(o->seed, FB_STREAM_HARD,
                           (uint64_t)clock->number * 2 + clock->validation);
    s->patch_keep =
        clock->validation || !((double)clock->number < whole) ? 1 : o->patch_keep;
}

/* The detector's classes, where the regions have some. */
static fb_status choose_target(fb_context *ctx, const fb_model_config *config,
                               fb_vilbert_config *own)
{
    if (own->target == FB_VILBERT_NCE && config->region_classes >= 2)
        own->target = FB_VILBERT_CLASSES;
    if (own->target != FB_VILBERT_CLASSES)
        return FB_OK;
    if (config->region_classes < 2)
        return fb_fail(ctx, FB_E_USAGE,
                       "visual_target classes needs --regions of a detector that says "
                       "its classes; leave it nce or kld");
    own->classes = config->region_classes;
    return FB_OK;
}

static fb_status configure(fb_context *ctx, fb_model_config *config,
                           const fb_train_options *o, const fb_start *start)
{
    fb_vilbert_config *own = (void *)&config->own;
    (void)o;
    config->vector = 0;
    config->patches_from = 0;
    config->head = FB_HEAD_CLS;
    config->score = FB_SCORE_TIA;
    if (start->kind == FB_START_BERT)
        own->trunk_lr = 0.1;
    fb_vilbert_fill_sizes(config);
    return choose_target(ctx, config, own);
}

/* ---- a configuration ------------------------------------------------------------- */

static fb_status check_heads(fb_context *ctx, const char *where, const char *what,
                             int32_t width, int32_t heads)
{
    if (width % heads == 0)
        return FB_OK;
    return fb_fail(ctx, FB_E_FORMAT, "%s: %s_width %d does not divide by %s_heads %d",
                   where, what, (int)width, what, (int)heads);
}

static fb_status check_schedule(fb_context *ctx, const char *where, const char *stream,
                                int32_t first, int32_t connections, int32_t layers)
{
    if (first >= 0 && first + connections <= layers)
        return FB_OK;
    return fb_fail(ctx, FB_E_FORMAT,
                   "%s: %d connections from layer %d on of the %s stream, which has %d",
                   where, (int)connections, (int)first, stream, (int)layers);
}

static fb_status check(fb_context *ctx, const fb_model_config *c, const char *where)
{
    fb_model_config filled = *c;
    fb_vilbert_fill_sizes(&filled);
    const fb_vilbert_config *own = fb_vilbert_own(&filled);
    if (c->vector > 0 || c->head != FB_HEAD_CLS || c->patches_from > 0)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: vilbert needs a vector_size and patches_from of 0, and "
                       "alignment_head cls",
                       where);
    FB_TRY(check_heads(ctx, where, "visual", own->visual_width, own->visual_heads));
    FB_TRY(check_heads(ctx, where, "connection", own->connection_width,
                       own->connection_heads));
    FB_TRY(check_schedule(ctx, where, "text", own->text_connect, own->connections,
                          c->layers));
    return check_schedule(ctx, where, "visual", own->visual_connect, own->connections,
                          own->visual_layers);
}

#define AT(member) FB_CONFIG_OWN(fb_vilbert_config, member)
static const char *const target_words[] = {"nce", "kld", "classes", NULL};
static const fb_config_key keys[] = {
    {"visual_layers", FB_CONFIG_INT32, AT(visual_layers), 0, FB_LAYERS_MAX, NULL, 0},
    {"visual_width", FB_CONFIG_INT32, AT(visual_width), 0, 8192, NULL, 0},
    {"visual_heads", FB_CONFIG_INT32, AT(visual_heads), 0, 256, NULL, 0},
    {"visual_inner", FB_CONFIG_INT32, AT(visual_inner), 0, 32768, NULL, 0},
    {"connections", FB_CONFIG_INT32, AT(connections), 0, FB_LAYERS_MAX, NULL, 0},
    {"connection_width", FB_CONFIG_INT32, AT(connection_width), 0, 8192, NULL, 0},
    {"connection_heads", FB_CONFIG_INT32, AT(connection_heads), 0, 256, NULL, 0},
    {"text_connect", FB_CONFIG_INT32, AT(text_connect), -1, FB_LAYERS_MAX, NULL, -1},
    {"visual_connect", FB_CONFIG_INT32, AT(visual_connect), -1, FB_LAYERS_MAX, NULL,
     -1},
    {"visual_target", FB_CONFIG_WORD, AT(target), 0, 0, target_words, FB_VILBERT_NCE},
    {"visual_classes", FB_CONFIG_INT32, AT(classes), 2, 1000000, NULL, 1601},
    {"trunk_lr", FB_CONFIG_DOUBLE, AT(trunk_lr), 0, 1000, NULL, 1}};

/* ---- the row --------------------------------------------------------------------- */

static void matcher_free(fb_matcher *matcher, fb_backend *be)
{
    fb_image_rows_free(&((fb_vilbert *)matcher)->images, be);
    fb_params_free(matcher->params, be);
    free(matcher);
}

static fb_status create(fb_context *ctx, fb_matcher **matcher,
                        const fb_model_config *config, fb_model_use use)
{
    fb_vilbert *m = calloc(1, sizeof *m);
    if (!m)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a model");
    m->matcher.system = &fb_vilbert_system;
    m->matcher.config = *config;
    m->matcher.config.system = &fb_vilbert_system;
    fb_vilbert_fill_sizes(&m->matcher.config);
    fb_status status = fb_params_create(ctx, &m->matcher.params);
    if (status == FB_OK)
        status = fb_vilbert_declare(m->matcher.params, m, &m->matcher.config, use);
    if (status == FB_OK)
        status = fb_params_allocate(m->matcher.params, use != FB_MODEL_SCORE);
    if (status != FB_OK) {
        matcher_free(&m->matcher, NULL);
        return status;
    }
    *matcher = &m->matcher;
    return FB_OK;
}

const fb_system fb_vilbert_system = {
    .name = "vilbert",
    .number = 16,
    .reads = FB_READS_TITLE | FB_READS_PIXELS | FB_READS_FEATURES | FB_READS_REGIONS |
             FB_READS_BOXES,
    .gives = FB_GIVES_SCORE | FB_GIVES_FEATURES,
    .keys = {keys, sizeof keys / sizeof keys[0]},
    .loss_names = choices,
    .choices = choices,
    .objectives = objectives,
    .objective_count = sizeof objectives / sizeof objectives[0],
    .calibrated = true, /* a choice within a list says nothing of a pair alone */
    .step_bytes = sizeof(fb_vilbert_step),
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
    .forward_flops = fb_vilbert_flops,
    .train_flops = train_flops,
    .free = matcher_free,
};
