/* qti_system.c - Query-Title-Image as a row of the registry (system.h), and how it goes
 * on from FashionBERT. */
#include "base/file.h"
#include "models/fashionbert/fashionbert_parts.h"
#include "models/fashionbert/fashionbert_step.h"
#include "models/qti/qti_model.h"
#include "nn/weights.h"

#include <stdlib.h>
#include <string.h>

/* ---- starting from FashionBERT --------------------------------------------------- */

static const fb_param *find(const fb_params *params, const char *name)
{
    const fb_param *p = params->first;
    while (p && strcmp(p->name[0], name) != 0)
        p = p->next;
    return p;
}

static bool is_head(const char *name)
{
    return strncmp(name, "click.", 6) == 0 || strncmp(name, "match_", 6) == 0;
}

/* Where the numbers of a parameter of `to` come from; NULL: nowhere. */
static const fb_param *origin(const fb_params *from, const fb_param *to)
{
    const char *name = to->name[0];
    if (is_head(name))
        return find(from, to->columns > 1 ? "match.weight" : "match.bias");
    return find(from, name);
}

static bool is_segments(const fb_qti *m, const fb_param *p)
{
    return &p->leaf == m->base.segment;
}

static fb_status check_origins(fb_context *ctx, const fb_qti *m, const fb_params *from)
{
    for (const fb_param *p = m->base.matcher.params->first; p; p = p->next) {
        const fb_param *o = origin(from, p);
        bool rows = o && (is_segments(m, p) ? o->rows >= 1 : o->rows == p->rows);
        if (!rows || o->columns != p->columns)
            return fb_fail(ctx, FB_E_SHAPE, "the pre-trained model %s %s",
                           o ? "has another shape of" : "lacks", p->name[0]);
    }
    if (!find(from, "image.type_embeddings.weight") ||
        from->buffer_total != m->base.matcher.params->buffer_total)
        return fb_fail(ctx, FB_E_SHAPE,
                       "the pre-trained model is no FashionBERT of "
                       "the same image network");
    return FB_OK;
}

/* Q and T as titles were, I as patches were. */
static void begin_segments(fb_qti *m, const fb_params *from)
{
    const fb_params *to = m->base.matcher.params;
    int64_t width = m->base.matcher.config.width;
    float *rows = fb_params_value(to, m->base.segment);
    const fb_param *text = find(from, "bert.embeddings.token_type_embeddings.weight");
    const fb_param *image = find(from, "image.type_embeddings.weight");
    size_t bytes = (size_t)width * sizeof(float);
    memcpy(rows + FB_SEGMENT_QUERY * width, from->value + text->offset, bytes);
    memcpy(rows + FB_SEGMENT_TITLE * width, from->value + text->offset, bytes);
    memcpy(rows + FB_SEGMENT_IMAGE * width, from->value + image->offset + width, bytes);
}

fb_status fb_qti_begin(fb_context *ctx, fb_matcher *qti, const fb_matcher *pretrained)
{
    fb_qti *m = (fb_qti *)qti;
    fb_params *to = qti->params;
    const fb_params *from = pretrained->params;
    FB_TRY(check_origins(ctx, m, from));
    for (const fb_param *p = to->first; p; p = p->next)
        if (!is_segments(m, p))
            memcpy(to->value + p->offset, from->value + origin(from, p)->offset,
                   (size_t)(p->rows * p->columns) * sizeof(float));
    begin_segments(m, from);
    if (to->buffer_total)
        memcpy(to->buffer, from->buffer, (size_t)to->buffer_total * sizeof(float));
    fb_params_touch(to);
    return FB_OK;
}

/* Of --init: a model of queries, or FashionBERT, whose tensors become the four's. */
static fb_status begin(fb_context *ctx, fb_matcher *matcher,
                       const fb_train_options *options, const fb_start *start)
{
    char path[4096], weights[4096];
    fb_model_config config;
    fb_matcher *pretrained = NULL;
    (void)start; /* whose trunk may have fewer layers than the folder's */
    FB_TRY(fb_path_join(ctx, path, options->init, "config.json"));
    FB_TRY(fb_path_join(ctx, weights, options->init, "model.safetensors"));
    FB_TRY(fb_model_config_preset(ctx, &config, "base"));
    FB_TRY(fb_model_config_read(ctx, &config, path));
    if (config.system == &fb_qti_system)
        return fb_weights_load_shared(ctx, matcher->params, weights);
    FB_TRY(fb_matcher_create(ctx, &pretrained, &config, FB_MODEL_SCORE));
    fb_status status = fb_weights_load(ctx, pretrained->params, weights);
    if (status == FB_OK)
        status = fb_qti_begin(ctx, matcher, pretrained);
    pretrained->system->free(pretrained, NULL);
    return status == FB_E_SHAPE ? fb_fail_in(ctx, options->init) : status;
}

/* ---- training --------------------------------------------------------------------- */

static const fb_option_value qti_defaults[] = {
    {"encoder", "pixels"}, {"patches", "grid"},      {"fit", "pad"},
    {"losses", "click"},   {"epochs", "3"},          {"batch", "64"},
    {"lr", "2e-4"},        {"weight-decay", "0.01"}, {"warmup", "0.05"},
    {NULL, NULL}};

static const fb_objective objectives[] = {{"qti", qti_defaults}};

/* Queries have triples, drawn in their own way, and no vectors. */
static fb_status settle(fb_context *ctx, fb_train_options *o)
{
    if (o->itc > 0 || strcmp(o->negatives, "hard") == 0 || o->group > 0 ||
        o->text_mask > 0 || o->rare_mask > 0)
        return fb_fail(
            ctx, FB_E_USAGE,
            "--objective qti takes no --itc, hard negatives, --group, "
            "--text-mask or --rare-mask: products that a query did not want are its "
            "mismatches");
    if (o->encoder_weights[0])
        return fb_fail(ctx, FB_E_USAGE,
                       "--objective qti takes the image network of --init, no "
                       "--encoder-weights");
    return fb_fashionbert_settle(ctx, o);
}

static fb_status plan(fb_context *ctx, const fb_train_options *o, fb_train_plan *plan_,
                      void *step)
{
    fb_loss_options *l = step;
    FB_TRY(fb_systems_parse_losses(ctx, &fb_qti_system, o->losses, l->enabled));
    if (o->losses[0] && !l->enabled[FB_LOSS_CLICK])
        return fb_fail(ctx, FB_E_USAGE,
                       "--losses needs click, without it triples cannot be scored");
    plan_->query_title = l->enabled[FB_LOSS_QT];
    plan_->query_image = l->enabled[FB_LOSS_QI];
    plan_->title_image = l->enabled[FB_LOSS_TIA];
    return fb_fashionbert_plan_step(ctx, o, plan_, l);
}

static fb_status check_start(fb_context *ctx, const char *init, const fb_start *start)
{
    const fb_model_config *from = &start->config;
    if (start->kind == FB_START_BERT)
        return fb_fail(ctx, FB_E_USAGE,
                       "--init %s: a BERT, which knows no images; train FashionBERT "
                       "from it first (train --objective match --init %s), then go on "
                       "with that",
                       init, init);
    if (start->kind != FB_START_MODEL)
        return fb_fail(ctx, FB_E_USAGE,
                       "--objective qti goes on from a trained FashionBERT; give its "
                       "folder with --init");
    if (!(from->system->gives & FB_GIVES_SCORE))
        return fb_fail(ctx, FB_E_USAGE,
                       "--init %s: a pre-trained image encoder; train FashionBERT from "
                       "it first (train --objective match --init %s), then go on with "
                       "that",
                       init, init);
    if (fb_patch_pool_count(from) > 0)
        return fb_fail(
            ctx, FB_E_USAGE,
            "--init %s: it merges patches (pooled_patches %d), which qti does "
            "not; train one with --pool-patches 0",
            init, (int)fb_patch_pool_count(from));
    if (from->system == &fb_fashionbert_system && from->score == FB_SCORE_ITC)
        return fb_fail(
            ctx, FB_E_USAGE,
            "--init %s: trained for vectors alone; train its alignment first "
            "(train --objective match --init %s), then go on with that",
            init, init);
    return FB_OK;
}

static fb_status configure(fb_context *ctx, fb_model_config *config,
                           const fb_train_options *o, const fb_start *start)
{
    FB_TRY(check_start(ctx, o->init, start));
    config->segments = FB_SEGMENTS_QTI;
    config->patches_from = fb_fashionbert_patches_from(config, o);
    return FB_OK;
}

static fb_status check(fb_context *ctx, const fb_model_config *c, const char *where)
{
    if (c->segments < FB_SEGMENTS_QTI || c->vector > 0)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: qti needs a type_vocab_size of 3 (query, title, image) and "
                       "a vector_size of 0",
                       where);
    if (c->head != FB_HEAD_CLS)
        return fb_fail(ctx, FB_E_FORMAT, "%s: qti's alignment_head is cls", where);
    return FB_OK;
}

static fb_status create(fb_context *ctx, fb_matcher **matcher,
                        const fb_model_config *config, fb_model_use use)
{
    fb_qti *m = calloc(1, sizeof *m);
    if (!m)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a model");
    fb_matcher *base = &m->base.matcher;
    base->system = &fb_qti_system;
    base->config = *config;
    base->config.system = &fb_qti_system;
    m->base.one_segment_table = true;
    fb_status status = fb_params_create(ctx, &base->params);
    if (status == FB_OK)
        status = fb_qti_declare(base->params, m, config);
    if (status == FB_OK && use == FB_MODEL_TRAIN_FROZEN)
        fb_patch_encoder_freeze(base->params, &m->base.patch_encoder);
    if (status == FB_OK)
        status = fb_params_allocate(base->params, use != FB_MODEL_SCORE);
    if (status != FB_OK) {
        fb_fashionbert_free(base, NULL);
        return status;
    }
    *matcher = base;
    return FB_OK;
}

static const char *const loss_names[] = {"mlm", "mpm", "tia", "click",
                                         "qt",  "qi",  NULL};

const fb_system fb_qti_system = {
    .name = "qti",
    .score_name = "click",
    .number = 2,
    .reads = FB_READS_QUERY | FB_READS_TITLE | FB_READS_PIXELS | FB_READS_FEATURES,
    .gives = FB_GIVES_SCORE | FB_GIVES_FEATURES,
    .loss_names = loss_names,
    .choices = fb_fashionbert_choices_all,
    .objectives = objectives,
    .objective_count = sizeof objectives / sizeof objectives[0],
    .step_bytes = sizeof(fb_loss_options),
    .settle = settle,
    .plan = plan,
    .step = fb_fashionbert_step,
    .configure = configure,
    .check = check,
    .begin = begin,
    .create = create,
    .train_batch = fb_qti_train_batch,
    .losses = fb_qti_losses,
    .score = fb_qti_score,
    .features = fb_fashionbert_features,
    .forward_flops = fb_fashionbert_flops,
    .free = fb_fashionbert_free,
};
