/* selfie.c - see selfie.h. */
#include "models/selfie/selfie.h"

#include "models/read_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static fb_status declare(fb_params *p, fb_selfie *m, const fb_model_config *c)
{
    int64_t width = c->width, features = fb_model_config_features(c);
    float std = (float)c->init_std;
    fb_transformer_options pooling = {.layers = c->layers,
                                      .width = c->width,
                                      .heads = c->heads,
                                      .inner = c->inner,
                                      .eps = (float)c->eps,
                                      .init_std = std,
                                      .act = FB_ACT_GELU};
    fb_patch_encoder_options encoder = {.name = c->encoder,
                                        .each = c->each,
                                        .image_size = c->image_size,
                                        .grid = c->grid};
    memcpy(encoder.mean, c->mean, sizeof encoder.mean);
    memcpy(encoder.std, c->std, sizeof encoder.std);
    FB_TRY(fb_linear_declare(p, &m->input_weight, &m->input_bias, "selfie.input", width,
                             features, std, true));
    FB_TRY(fb_table_declare(p, &m->row, "selfie.row_embeddings.weight", c->grid, width,
                            std, true));
    FB_TRY(fb_table_declare(p, &m->column, "selfie.column_embeddings.weight", c->grid,
                            width, std, true));
    FB_TRY(fb_table_declare(p, &m->start, "selfie.start.weight", 1, width, std, true));
    FB_TRY(fb_norm_declare(p, &m->input_gamma, &m->input_beta, "selfie.LayerNorm",
                           width, true));
    FB_TRY(fb_transformer_declare(p, &m->pooling, "selfie.pooling", &pooling));
    FB_TRY(fb_linear_declare(p, &m->query_weight, &m->query_bias, "selfie.query.dense",
                             width, width, std, true));
    FB_TRY(fb_norm_declare(p, &m->query_gamma, &m->query_beta, "selfie.query.LayerNorm",
                           width, true));
    /* Of products of F numbers: started and moved as if they were divided by sqrt(F),
     * as attention's are; else training begins with softmaxes of one patch each. */
    float share = 1.0f / sqrtf((float)features);
    FB_TRY(fb_linear_declare(p, &m->output_weight, NULL, "selfie.output", features,
                             width, std * share, true));
    fb_params_scale_lr(m->output_weight, share);
    return fb_patch_encoder_declare(p, &m->patch_encoder, &encoder);
}

/* Where everything lies; K = P - M patches of an image are its context. */
typedef struct places {
    int32_t images, patches, masked;
    int32_t *context;                      /* [images*K] rows of the features */
    int32_t *context_row, *context_column; /* [images*K] */
    int32_t *packed;  /* [images*(1+K)] start, then context: rows of both, that first */
    int32_t *offsets; /* [images + 1] of the packed sequences */
    int32_t *zeros;   /* [images] */
    int32_t *hidden;  /* [images*M] rows of the features that are masked */
    int32_t *hidden_row, *hidden_column, *query; /* [images*M] */
    int32_t *target;                             /* [images*M] its place in its group */
} places;

static int32_t count_masked(const fb_batch *batch, int32_t image)
{
    int32_t count = 0;
    for (int32_t p = 0; p < batch->patches; p++)
        count += batch->patch_masked[(int64_t)image * batch->patches + p] != 0;
    return count;
}

static fb_status check_masks(fb_tape *tape, const fb_batch *batch, int32_t *masked)
{
    *masked = batch->images ? count_masked(batch, 0) : 1;
    if (*masked < 1 || *masked >= batch->patches)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "selfie: %d of %d patches are masked; some must be, not all",
                       (int)*masked, (int)batch->patches);
    for (int32_t i = 1; i < batch->images; i++)
        if (count_masked(batch, i) != *masked)
            return fb_fail(tape->ctx, FB_E_SHAPE,
                           "selfie: image 0 has %d masked patches, image %d has %d",
                           (int)*masked, (int)i, (int)count_masked(batch, i));
    return FB_OK;
}

static fb_status take_places(fb_tape *tape, places *at, int64_t images, int64_t context,
                             int64_t hidden)
{
    void *memory;
    size_t count = (size_t)(images * (4 * context + 4 + 5 * hidden) + 1);
    FB_TRY(fb_tape_alloc(tape, &memory, count * sizeof(int32_t)));
    at->context = memory;
    at->context_row = at->context + images * context;
    at->context_column = at->context_row + images * context;
    at->packed = at->context_column + images * context;
    at->zeros = at->packed + images * (context + 1);
    at->offsets = at->zeros + images;
    at->hidden = at->offsets + images + 1;
    at->hidden_row = at->hidden + images * hidden;
    at->hidden_column = at->hidden_row + images * hidden;
    at->query = at->hidden_column + images * hidden;
    at->target = at->query + images * hidden;
    return FB_OK;
}

static fb_status find_places(fb_tape *tape, const fb_batch *batch, int32_t grid,
                             places *at)
{
    *at = (places){.images = batch->images, .patches = batch->patches};
    FB_TRY(check_masks(tape, batch, &at->masked));
    int32_t kept = at->patches - at->masked, contexts = at->images * kept;
    FB_TRY(take_places(tape, at, at->images, kept, at->masked));
    int32_t c = 0, h = 0, row = 0;
    for (int32_t i = 0; i < at->images; i++) {
        at->zeros[i] = 0;
        at->offsets[i] = row;
        at->packed[row++] = contexts + i;
        for (int32_t p = 0; p < at->patches; p++) {
            int32_t patch = i * at->patches + p;
            if (batch->patch_masked[patch]) {
                at->hidden_row[h] = p / grid;
                at->hidden_column[h] = p % grid;
                at->query[h] = i;
                at->target[h] = h % at->masked;
                at->hidden[h++] = patch;
            } else {
                at->context_row[c] = p / grid;
                at->context_column[c] = p % grid;
                at->packed[row++] = c;
                at->context[c++] = patch;
            }
        }
    }
    at->offsets[at->images] = row;
    return FB_OK;
}

/* The context's patches and u0 through the transformer: u of every image. */
static fb_status pool(fb_selfie *m, fb_tape *tape, const places *at,
                      fb_selfie_pass *pass)
{
    fb_leaf *const position[2] = {m->row, m->column}, *const start[1] = {m->start};
    const int32_t *const ids[2] = {at->context_row, at->context_column};
    const int32_t *const zeros[1] = {at->zeros};
    int64_t kept = at->patches - at->masked;
    fb_var *seen, *projected, *placed, *starts, *packed, *normed, *x, *hidden;
    FB_TRY(fb_op_gather(tape, &seen, pass->features, NULL, at->context,
                        at->images * kept));
    FB_TRY(fb_op_linear(tape, &projected, seen, m->input_weight, m->input_bias, false));
    FB_TRY(fb_op_embed(tape, &placed, projected, position, ids, 2, at->images * kept));
    FB_TRY(fb_op_embed(tape, &starts, NULL, start, zeros, 1, at->images));
    FB_TRY(fb_op_gather(tape, &packed, placed, starts, at->packed,
                        at->images * (kept + 1)));
    FB_TRY(fb_op_norm(tape, &normed, packed, NULL, m->input_gamma, m->input_beta,
                      (float)m->matcher.config.eps));
    FB_TRY(fb_op_dropout(tape, &x, normed));
    const fb_row_list first = {at->offsets, at->images};
    fb_read_rows read;
    FB_TRY(fb_read_rows_pick(tape, &read, &first, 1, at->offsets, at->images));
    FB_TRY(fb_read_rows_forward(tape, &hidden, x, &m->pooling, 0, &read, at->offsets,
                                at->images));
    return fb_read_rows_gather(tape, &pass->pooled, hidden, &read, at->offsets,
                               at->images);
}

/* q of every masked patch. */
static fb_status ask(fb_selfie *m, fb_tape *tape, const places *at,
                     const fb_selfie_pass *pass, fb_var **query)
{
    fb_leaf *const position[2] = {m->row, m->column};
    const int32_t *const ids[2] = {at->hidden_row, at->hidden_column};
    int64_t count = (int64_t)at->images * at->masked;
    fb_var *repeated, *v, *inner, *normed;
    FB_TRY(fb_op_gather(tape, &repeated, pass->pooled, NULL, at->query, count));
    FB_TRY(fb_op_embed(tape, &v, repeated, position, ids, 2, count));
    FB_TRY(
        fb_op_linear_act(tape, &inner, v, m->query_weight, m->query_bias, FB_ACT_GELU));
    FB_TRY(fb_op_norm(tape, &normed, inner, NULL, m->query_gamma, m->query_beta,
                      (float)m->matcher.config.eps));
    return fb_op_linear(tape, query, normed, m->output_weight, NULL, false);
}

fb_status fb_selfie_forward(fb_selfie *m, fb_tape *tape, const fb_batch *batch,
                            fb_selfie_pass *pass)
{
    places at;
    fb_var *query, *answers;
    *pass = (fb_selfie_pass){0};
    FB_TRY(find_places(tape, batch, m->matcher.config.grid, &at));
    pass->masked = at.masked;
    FB_TRY(fb_patch_encoder_forward(tape, &pass->features, &m->patch_encoder,
                                    batch->pixels, batch->images));
    FB_TRY(pool(m, tape, &at, pass));
    FB_TRY(ask(m, tape, &at, pass, &query));
    FB_TRY(fb_op_gather(tape, &answers, pass->features, NULL, at.hidden,
                        (int64_t)at.images * at.masked));
    FB_TRY(fb_op_group_products(tape, &pass->logits, query, answers, at.masked));
    return fb_op_cross_entropy(tape, &pass->loss, pass->logits, at.target);
}

/* The share of a right answer that query i has earned: 1 when its own patch is the
 * best alone, 1/k when k are equally good, as guessing among them would. So a model
 * that sees no difference has chance, and equal patches (a white background) are no
 * one's merit or fault. */
static double point(const float *logits, int64_t i, int32_t masked)
{
    const float *row = logits + i * masked, own = row[i % masked];
    int32_t equal = 0;
    for (int32_t j = 0; j < masked; j++) {
        if (row[j] > own)
            return 0;
        equal += !(row[j] < own);
    }
    return 1.0 / equal;
}

static double count_right(const float *logits, const fb_selfie_pass *pass)
{
    double right = 0;
    for (int64_t i = 0; i < pass->loss->rows; i++)
        right += point(logits, i, pass->masked);
    return right;
}

static fb_status record(fb_tape *tape, const fb_selfie_pass *pass, fb_measures *out)
{
    /* Every log line has these columns, whatever is trained: null here. */
    static const char *const columns[] = {"mlm", "tia", "mpm"};
    const float *logits;
    FB_TRY(fb_tape_read_f32(tape, &logits, pass->logits->value.data,
                            fb_tensor_count(&pass->logits->value)));
    FB_TRY(fb_tape_fetch(tape));
    double loss = pass->loss->value;
    int64_t points = pass->loss->rows;
    FB_TRY(fb_matcher_check_loss(tape, loss));
    *out = (fb_measures){.total = loss};
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++)
        fb_measures_put_loss(out, columns[i], FB_MEASURE_WEIGHED, 0, 0, 0);
    fb_measures_put_share(out, "accuracy", 0, 0, 0, 0);
    fb_measures_put_loss(out, "selfie", FB_MEASURE_IS_TOTAL | FB_MEASURE_DECIDES, loss,
                         1, points);
    fb_measures_put_share(out, "pointing_accuracy", FB_MEASURE_HEADLINE,
                          count_right(logits, pass), points,
                          (double)points / pass->masked);
    return FB_OK;
}

static fb_status train_batch(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                             const void *step, fb_measures *measures)
{
    (void)step;
    fb_selfie_pass pass;
    if (!matcher->params->on.grad)
        return fb_fail(tape->ctx, FB_E_STATE, "this model was opened without training");
    FB_TRY(fb_selfie_forward((fb_selfie *)matcher, tape, batch, &pass));
    FB_TRY(record(tape, &pass, measures));
    pass.loss->seed = 1.0f;
    return fb_tape_backward(tape, NULL, NULL, true);
}

static fb_status losses_of(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                           const void *step, fb_measures *measures)
{
    (void)step;
    fb_selfie_pass pass;
    FB_TRY(fb_selfie_forward((fb_selfie *)matcher, tape, batch, &pass));
    return record(tape, &pass, measures);
}

static double forward_flops(const fb_matcher *matcher, const fb_batch *batch)
{
    const fb_selfie *m = (const fb_selfie *)matcher;
    const fb_model_config *c = &matcher->config;
    double features = fb_model_config_features(c), width = c->width;
    double masked = batch->images ? count_masked(batch, 0) : 0;
    double kept = batch->patches - masked;
    double one = fb_patch_encoder_flops(&m->patch_encoder) +
                 2 * kept * features * width +
                 fb_read_rows_flops(&m->pooling.options, 0, kept + 1, 1) +
                 2 * masked * (width * width + width * features + masked * features);
    return batch->images * one;
}

static void matcher_free(fb_matcher *matcher, fb_backend *be)
{
    fb_patch_encoder_free(&((fb_selfie *)matcher)->patch_encoder, be);
    fb_params_free(matcher->params, be);
    free(matcher);
}

/* ---- training --------------------------------------------------------------------- */

static const fb_option_value selfie_defaults[] = {
    {"encoder", "thin"}, {"patches", "each"},      {"fit", "squash"},
    {"epochs", "15"},    {"batch", "64"},          {"lr", "1e-3"},
    {"warmup", "0.05"},  {"weight-decay", "0.05"}, {NULL, NULL}};

static const fb_objective objectives[] = {{"selfie", selfie_defaults}};

/* It learns a network that sees each patch alone, and nothing else. */
static fb_status settle(fb_context *ctx, fb_train_options *o)
{
    if (strcmp(o->patches, "each") != 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "--objective selfie needs --patches each: a map of the whole "
                       "image would have seen the masked patches");
    if (!fb_encoder_learns(o->encoder) || o->freeze_encoder || !(o->encoder_lr > 0))
        return fb_fail(ctx, FB_E_USAGE,
                       "--objective selfie trains an image network; give --encoder "
                       "one, and do not freeze it");
    if (o->losses[0] || o->itc > 0 || strcmp(o->negatives, "hard") == 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "--objective selfie takes no --losses, --itc or hard "
                       "negatives: it learns from images alone");
    if (strcmp(o->alignment, "pairs") != 0 || o->soft_targets > 0 ||
        o->hard_items > 0 || o->patch_keep < 1 || o->unmask_last > 0 ||
        o->text_mask > 0 || o->rare_mask > 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "--objective selfie takes no --alignment, --soft-targets, "
                       "--hard-items, --patch-keep, --unmask-last, --text-mask or "
                       "--rare-mask: it learns from images alone");
    const fb_encoder *e = fb_encoder_find(o->encoder);
    if (o->patch_size < 0) /* patches as large as a grid's */
        o->patch_size = e->image_size / e->shape(e, e->image_size).side;
    return FB_OK;
}

static fb_status plan(fb_context *ctx, const fb_train_options *o, fb_train_plan *p,
                      void *step)
{
    (void)ctx, (void)o, (void)step;
    *p = (fb_train_plan){
        .items = true, .whole_texts = true, .patch_share = FB_SELFIE_MASKED};
    return FB_OK;
}

static fb_status check(fb_context *ctx, const fb_model_config *c, const char *where)
{
    if (c->each && fb_encoder_learns(c->encoder) && c->grid >= 3)
        return FB_OK;
    return fb_fail(ctx, FB_E_FORMAT,
                   "%s: selfie needs patches each, a network as encoder, and a grid of "
                   "3 or more",
                   where);
}

static fb_status create(fb_context *ctx, fb_matcher **matcher,
                        const fb_model_config *config, fb_model_use use)
{
    fb_selfie *m = calloc(1, sizeof *m);
    if (!m)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a model");
    m->matcher.system = &fb_selfie_system;
    m->matcher.config = *config;
    m->matcher.config.system = &fb_selfie_system;
    fb_status status = fb_params_create(ctx, &m->matcher.params);
    if (status == FB_OK)
        status = declare(m->matcher.params, m, config);
    if (status == FB_OK && use == FB_MODEL_TRAIN_FROZEN)
        fb_patch_encoder_freeze(m->matcher.params, &m->patch_encoder);
    if (status == FB_OK)
        status = fb_params_allocate(m->matcher.params, use != FB_MODEL_SCORE);
    if (status != FB_OK) {
        matcher_free(&m->matcher, NULL);
        return status;
    }
    *matcher = &m->matcher;
    return FB_OK;
}

static const char *const loss_names[] = {"selfie", NULL};

const fb_system fb_selfie_system = {
    .name = "selfie",
    .number = 1,
    .reads = FB_READS_PIXELS,
    .loss_names = loss_names,
    .check = check,
    .create = create,
    .objectives = objectives,
    .objective_count = sizeof objectives / sizeof objectives[0],
    .settle = settle,
    .plan = plan,
    .train_batch = train_batch,
    .losses = losses_of,
    .forward_flops = forward_flops,
    .free = matcher_free,
};
