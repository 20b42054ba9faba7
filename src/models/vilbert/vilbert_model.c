/* vilbert_model.c - ViLBERT (Lu et al., NeurIPS 2019): a stream of words and a stream of
 * regions, which ask each other in co-attention layers.
 *
 *     text    e = LN(word[id] + position[i] + segment[s])           [text tokens, C]
 *     visual  e = LN(Wf f + bf + Wl (x1, y1, x2, y2, area) + bl)    [image rows, W]
 *             row 0 of an image: f the mean of its regions, (0, 0, 1, 1, 1)
 *     h_t, h_v = dropout(e) through, with n connections,
 *
 *         text layers 0 .. t-1, visual layers 0 .. v-1       once a text, once an image
 *         co-attention 0, text layer t,   visual layer v     of each pair from here on
 *         co-attention 1, text layer t+1, visual layer v+1
 *         ...
 *         co-attention n-1, and the layers that are left     (co_attention.h)
 *
 *     MLM    decoder(LN(gelu(W h_t,masked))), tied to word, CE               [M, V]
 *     MRM    z = W LN(gelu(W h_v,masked)) against the region's feature f     [M', F]
 *            nce      CE of z . f / |f| over the f of all masked regions of the batch
 *            kld      KLD(softmax(f) | softmax(z))
 *            classes  CE against the detector's class
 *     TIA    W dropout(relu(Wt h_t,[CLS]) * relu(Wv h_v,0)): CE of each pair, or
 *            listwise (pair_alignment.h); the logits' difference is the score   [B, 2]
 *
 * 15 % of words (whole ones) and of regions are masked; of the regions, the feature of
 * 90 % is 0. The mean of an image is of those that are not.
 *
 * Sizes that a configuration leaves open follow the text stream's. Of 12 x 768 they are
 * those of the published bert_base_6layer_6conect: 6 visual layers of 1024, 6
 * connections, t = 6, v = 0. Smaller ones have half as many visual layers, as wide as
 * the text's, and one connection for four text layers, at the top.
 *
 * Departures from the paper and its code: the target of masked regions there is a
 * detector's distribution over 1601 classes, which patches do not have; so the default
 * is the code's own alternative without a detector, NCE (visual_target 2), over the
 * masked regions of the batch in place of 128 sampled ones. Features are of unit length
 * in it: those of a network that is being trained have no scale of their own. Where none is masked the
 * loss is absent, not NaN. The second logit is a match, there it is the first. Layers
 * before the first connection run once a text and once an image, whatever the pairs:
 * the same numbers. Of the last layer of each stream only the
 * rows that a head reads are carried through.
 */
#include "models/vilbert/vilbert_model.h"

#include "base/random.h"

#include <string.h>

/* ---- sizes ----------------------------------------------------------------------- */

static void fill(int32_t *size, int32_t value)
{
    if (*size == 0)
        *size = value;
}

void fb_vilbert_fill_sizes(fb_model_config *c)
{
    fb_vilbert_config *own = (void *)&c->own;
    bool base = c->width == 768; /* as published: wider on the visual side */
    int32_t share = base ? 2 : 4;
    fill(&own->visual_layers, c->layers > 1 ? c->layers / 2 : 1);
    fill(&own->visual_width, base ? 1024 : c->width);
    fill(&own->visual_heads, base ? 8 : c->heads);
    fill(&own->visual_inner, own->visual_width);
    fill(&own->connections, c->layers > share ? c->layers / share : 1);
    fill(&own->connection_width, own->visual_width);
    fill(&own->connection_heads, own->visual_heads);
    if (own->text_connect < 0)
        own->text_connect =
            c->layers > own->connections ? c->layers - own->connections : 0;
    if (own->visual_connect < 0)
        own->visual_connect = own->visual_layers > own->connections
                                  ? own->visual_layers - own->connections
                                  : 0;
}

/* ---- parameters ------------------------------------------------------------------ */

static fb_status declare_text(fb_params *p, fb_vilbert *m, const fb_model_config *c)
{
    float std = (float)c->init_std;
    FB_TRY(fb_table_declare(p, &m->word, "bert.embeddings.word_embeddings.weight",
                            c->vocab, c->width, std, true));
    FB_TRY(fb_table_declare(p, &m->position,
                            "bert.embeddings.position_embeddings.weight", c->positions,
                            c->width, std, true));
    FB_TRY(fb_table_declare(p, &m->segment,
                            "bert.embeddings.token_type_embeddings.weight", c->segments,
                            c->width, std, true));
    FB_TRY(fb_norm_declare(p, &m->text_gamma, &m->text_beta,
                           "bert.embeddings.LayerNorm", c->width, true));
    const fb_transformer_options o = {.layers = c->layers,
                                      .width = c->width,
                                      .heads = c->heads,
                                      .inner = c->inner,
                                      .eps = (float)c->eps,
                                      .init_std = std,
                                      .act = FB_ACT_GELU};
    return fb_transformer_declare(p, &m->text, "bert.encoder", &o);
}

static fb_status declare_visual(fb_params *p, fb_vilbert *m, const fb_model_config *c)
{
    const fb_vilbert_config *own = fb_vilbert_own(c);
    float std = (float)c->init_std;
    FB_TRY(fb_linear_declare(p, &m->feature_weight, &m->feature_bias,
                             "visual.embeddings.image_embeddings", own->visual_width,
                             m->images.width, std, true));
    if (!m->images.regions && !fb_encoder_learns(c->encoder))
        fb_params_scale_lr(m->feature_weight, /* as FashionBERT's of raw patches */
                           (float)c->grid / (float)c->image_size);
    FB_TRY(fb_linear_declare(p, &m->location_weight, &m->location_bias,
                             "visual.embeddings.image_location_embeddings",
                             own->visual_width, 5, std, true));
    FB_TRY(fb_norm_declare(p, &m->visual_gamma, &m->visual_beta,
                           "visual.embeddings.LayerNorm", own->visual_width, true));
    const fb_transformer_options o = {.layers = own->visual_layers,
                                      .width = own->visual_width,
                                      .heads = own->visual_heads,
                                      .inner = own->visual_inner,
                                      .eps = (float)c->eps,
                                      .init_std = std,
                                      .act = FB_ACT_GELU};
    return fb_transformer_declare(p, &m->visual, "visual.encoder", &o);
}

static fb_status declare_connections(fb_params *p, fb_vilbert *m,
                                     const fb_model_config *c)
{
    const fb_vilbert_config *own = fb_vilbert_own(c);
    const fb_co_options o = {.side = {"text", "visual"},
                             .width = {c->width, own->visual_width},
                             .inner = {c->inner, own->visual_inner},
                             .shared = own->connection_width,
                             .heads = own->connection_heads,
                             .eps = (float)c->eps,
                             .init_std = (float)c->init_std,
                             .act = FB_ACT_GELU};
    for (int32_t i = 0; i < own->connections; i++)
        FB_TRY(fb_co_layer_declare(p, &m->connection[i], "connection", i, &o));
    return FB_OK;
}

static fb_status declare_predictions(fb_params *p, fb_vilbert *m,
                                     const fb_model_config *c)
{
    static const char *const decoder_bias = "cls.predictions.bias";
    const fb_vilbert_config *own = fb_vilbert_own(c);
    float std = (float)c->init_std;
    int64_t width = c->width, visual = own->visual_width;
    FB_TRY(fb_linear_declare(p, &m->mlm_weight, &m->mlm_bias,
                             "cls.predictions.transform.dense", width, width, std,
                             false));
    FB_TRY(fb_norm_declare(p, &m->mlm_gamma, &m->mlm_beta,
                           "cls.predictions.transform.LayerNorm", width, false));
    FB_TRY(fb_params_add(p, &m->decoder_bias, &decoder_bias,
                         (fb_param_shape){1, c->vocab, 1}, FB_INIT_ZERO, 0, false));
    FB_TRY(fb_linear_declare(p, &m->mrm_weight, &m->mrm_bias,
                             "visual.predictions.transform.dense", visual, visual, std,
                             false));
    FB_TRY(fb_norm_declare(p, &m->mrm_gamma, &m->mrm_beta,
                           "visual.predictions.transform.LayerNorm", visual, false));
    return fb_linear_declare(
        p, &m->region_weight, &m->region_bias, "visual.predictions.decoder",
        own->target == FB_VILBERT_CLASSES ? own->classes : m->images.width, visual, std,
        false);
}

static fb_status declare_alignment(fb_params *p, fb_vilbert *m,
                                   const fb_model_config *c)
{
    const fb_vilbert_config *own = fb_vilbert_own(c);
    float std = (float)c->init_std;
    int64_t shared = own->connection_width;
    FB_TRY(fb_linear_declare(p, &m->text_pooler_weight, &m->text_pooler_bias,
                             "pooler.text.dense", shared, c->width, std, false));
    FB_TRY(fb_linear_declare(p, &m->visual_pooler_weight, &m->visual_pooler_bias,
                             "pooler.visual.dense", shared, own->visual_width, std,
                             false));
    return fb_linear_declare(p, &m->match_weight, &m->match_bias, "match", 2, shared,
                             std, false);
}

/* What a pre-trained BERT gave learns at its own share of the rate. */
static void scale_trunk(fb_params *p, double share)
{
    for (fb_param *each = p->first; each; each = each->next)
        if (strncmp(each->name[0], "bert.", 5) == 0 ||
            strncmp(each->name[0], "cls.predictions.", 16) == 0)
            fb_params_scale_lr(&each->leaf, (float)share);
}

fb_status fb_vilbert_declare(fb_params *p, fb_vilbert *m, const fb_model_config *c,
                             fb_model_use use)
{
    FB_TRY(fb_image_rows_declare(p, &m->images, c, use));
    FB_TRY(declare_text(p, m, c));
    FB_TRY(declare_visual(p, m, c));
    FB_TRY(declare_connections(p, m, c));
    FB_TRY(declare_predictions(p, m, c));
    FB_TRY(declare_alignment(p, m, c));
    scale_trunk(p, fb_vilbert_own(c)->trunk_lr);
    return FB_OK;
}

/* ---- embeddings ------------------------------------------------------------------ */

/* y = a + b: op_add's, without its dropout. */
static fb_status add(fb_tape *tape, fb_var **y, fb_var *a, fb_var *b)
{
    float dropout = tape->dropout;
    tape->dropout = 0;
    fb_status status = fb_op_add(tape, y, a, b);
    tape->dropout = dropout;
    return status;
}

static fb_status embed_text(fb_vilbert *m, fb_tape *tape, fb_var **x,
                            const fb_batch *batch)
{
    fb_leaf *const tables[3] = {m->word, m->position, m->segment};
    const int32_t *const ids[3] = {batch->token_ids, batch->token_positions,
                                   batch->token_segments};
    fb_var *sum, *normed;
    FB_TRY(fb_op_embed(tape, &sum, NULL, tables, ids, 3, fb_batch_text_tokens(batch)));
    FB_TRY(fb_op_norm(tape, &normed, sum, NULL, m->text_gamma, m->text_beta,
                      (float)m->matcher.config.eps));
    return fb_op_dropout(tape, x, normed);
}

/* pass->zeroed: of the masked regions, each keeps its feature in one of ten cases. */
static fb_status choose_zeroed(fb_tape *tape, const fb_batch *batch,
                               const fb_vilbert_step *step, fb_vilbert_pass *pass)
{
    void *memory;
    int32_t rows = fb_batch_rows(batch);
    FB_TRY(fb_tape_alloc(tape, &memory, (size_t)rows + 1));
    uint8_t *zeroed = memory;
    for (int32_t r = 0; r < rows; r++) {
        double uniform = fb_random_hash32(~step->key, (uint32_t)r) * 0x1p-32;
        zeroed[r] = batch->patch_masked[r] && uniform < step->zeroed;
        if (zeroed[r])
            pass->zeroed = zeroed;
    }
    return FB_OK;
}

/* Means of each image's regions that are not zeroed, and behind them a row of zeros: the
 * mean of none.                                                             [I + 1, F] */
static fb_status mean_features(fb_tape *tape, fb_var **means, const fb_batch *batch,
                               const fb_vilbert_pass *pass)
{
    int32_t *seen, *offsets, count = 0;
    fb_var *x = pass->features;
    FB_TRY(fb_tape_ints(tape, &seen, fb_batch_rows(batch)));
    FB_TRY(fb_tape_ints(tape, &offsets, (int64_t)batch->images + 2));
    for (int32_t i = 0; i < batch->images; i++) {
        offsets[i] = count;
        for (int32_t r = batch->image_offsets[i]; r < batch->image_offsets[i + 1]; r++)
            if (!pass->zeroed || !pass->zeroed[r])
                seen[count++] = r;
    }
    offsets[batch->images] = offsets[batch->images + 1] = count;
    if (pass->zeroed)
        FB_TRY(fb_op_gather(tape, &x, x, NULL, seen, count));
    return fb_op_mean_rows(tape, means, x, offsets, batch->images + 1);
}

/* Features as the visual stream sees them.                               [image rows, F] */
static fb_status show_features(fb_tape *tape, fb_var **shown, const fb_batch *batch,
                               const fb_vilbert_pass *pass)
{
    const fb_vilbert_rows *rows = &pass->rows;
    int32_t *index, features = fb_batch_rows(batch);
    fb_var *means;
    FB_TRY(mean_features(tape, &means, batch, pass));
    FB_TRY(fb_tape_ints(tape, &index, rows->image_rows));
    for (int32_t i = 0; i < rows->image_rows; i++) {
        int32_t r = rows->shown[i];
        bool zero = r >= 0 && pass->zeroed && pass->zeroed[r];
        index[i] = r < 0 ? features - 1 - r : zero ? features + batch->images : r;
    }
    return fb_op_gather(tape, shown, pass->features, means, index, rows->image_rows);
}

/* (x1, y1, x2, y2, area) of the rows; of a region of unknown place, the whole image's.
 *                                                                        [image rows, 5] */
static fb_status locate(fb_tape *tape, fb_var **x, const fb_batch *batch,
                        const fb_vilbert_rows *rows)
{
    static const float whole[4] = {0, 0, 1, 1};
    fb_tensor host = fb_tensor_2d(NULL, tape->be->dtype, rows->image_rows, 5);
    FB_TRY(fb_tape_alloc(tape, &host.data, fb_tensor_bytes(&host) + 1));
    for (int32_t i = 0; i < rows->image_rows; i++) {
        const float *box = rows->shown[i] < 0 || !batch->boxes
                               ? whole
                               : batch->boxes + (ptrdiff_t)rows->shown[i] * 4;
        float place[5] = {box[0], box[1], box[2], box[3],
                          (box[2] - box[0]) * (box[3] - box[1])};
        for (int k = 0; k < 5; k++)
            if (host.dtype == FB_F32)
                ((float *)host.data)[i * 5 + k] = place[k];
            else
                ((fb_bf16 *)host.data)[i * 5 + k] = fb_bf16_from_f32(place[k]);
    }
    FB_TRY(fb_tape_new_var(tape, x, host.dtype, 0, 5));
    (*x)->needs_grad = false;
    return fb_tape_upload(tape, &(*x)->value, &host);
}

static fb_status embed_visual(fb_vilbert *m, fb_tape *tape, fb_var **x,
                              const fb_batch *batch, const fb_vilbert_pass *pass)
{
    fb_var *shown, *location, *look, *place, *sum, *normed;
    FB_TRY(show_features(tape, &shown, batch, pass));
    FB_TRY(locate(tape, &location, batch, &pass->rows));
    FB_TRY(fb_op_linear(tape, &look, shown, m->feature_weight, m->feature_bias, false));
    FB_TRY(fb_op_linear(tape, &place, location, m->location_weight, m->location_bias,
                        false));
    FB_TRY(add(tape, &sum, look, place));
    FB_TRY(fb_op_norm(tape, &normed, sum, NULL, m->visual_gamma, m->visual_beta,
                      (float)m->matcher.config.eps));
    return fb_op_dropout(tape, x, normed);
}

/* ---- streams --------------------------------------------------------------------- */

/* Co-attention in place of x. A tape that does not record gives back what the layer
 * took. */
static fb_status connect(fb_vilbert *m, fb_tape *tape, fb_var *x[FB_CO_SIDES],
                         int32_t number, const fb_co_rows rows[FB_CO_SIDES],
                         int32_t pairs)
{
    fb_var *y[FB_CO_SIDES], *kept[FB_CO_SIDES];
    const fb_co_layer *layer = &m->connection[number];
    if (tape->recording)
        return fb_co_layer_forward(tape, x, x, layer, rows, pairs);
    for (int s = 0; s < FB_CO_SIDES; s++)
        FB_TRY(fb_tape_new_var(tape, &kept[s], x[s]->value.dtype, rows[s].rows,
                               x[s]->value.dims[1]));
    fb_tape_mark mark = fb_tape_save(tape);
    FB_TRY(fb_co_layer_forward(tape, y, x, layer, rows, pairs));
    for (int s = 0; s < FB_CO_SIDES; s++) {
        FB_TRY(tape->be->m->copy(tape->ctx, tape->be, kept[s]->value.data,
                                 y[s]->value.data, fb_tensor_bytes(&y[s]->value)));
        x[s] = kept[s];
    }
    fb_tape_restore(tape, mark);
    return FB_OK;
}

/* From where the streams meet: pass->hidden. */
static fb_status meet(fb_vilbert *m, fb_tape *tape, fb_var *x[FB_CO_SIDES],
                      fb_vilbert_pass *pass)
{
    const fb_vilbert_config *own = fb_vilbert_own(&m->matcher.config);
    const fb_vilbert_rows *r = &pass->rows;
    const fb_transformer *const streams[FB_CO_SIDES] = {&m->text, &m->visual};
    int32_t next[FB_CO_SIDES] = {own->text_connect, own->visual_connect};
    fb_co_rows rows[FB_CO_SIDES] = {
        {r->text_index, r->text_count, r->text_offsets},
        {r->visual_index, r->visual_count, r->visual_offsets}};
    for (int32_t k = 0; k < own->connections; k++) {
        bool last = k + 1 == own->connections;
        FB_TRY(connect(m, tape, x, k, rows, r->pairs));
        for (int s = 0; s < FB_CO_SIDES; s++) {
            int32_t left = streams[s]->options.layers - 1 - next[s];
            rows[s].index = NULL; /* of the pairs now */
            FB_TRY(fb_transformer_forward_layers(tape, &x[s], x[s], streams[s],
                                                 next[s]++, last ? left : 1,
                                                 rows[s].offsets, r->pairs));
        }
    }
    for (int s = 0; s < FB_CO_SIDES; s++)
        FB_TRY(fb_transformer_forward_picked(
            tape, &pass->hidden[s], x[s], streams[s], streams[s]->options.layers - 1,
            s ? &r->visual_picked : &r->text_picked, rows[s].offsets, r->pairs));
    return FB_OK;
}

static fb_status encode(fb_vilbert *m, fb_tape *tape, fb_vilbert_pass *pass)
{
    const fb_vilbert_config *own = fb_vilbert_own(&m->matcher.config);
    const fb_batch *batch = pass->alignment.batch;
    fb_var *x[FB_CO_SIDES], *text, *visual;
    FB_TRY(embed_text(m, tape, &text, batch));
    FB_TRY(embed_visual(m, tape, &visual, batch, pass));
    FB_TRY(fb_transformer_forward_layers(tape, &x[FB_VILBERT_TEXT], text, &m->text, 0,
                                         own->text_connect, batch->text_offsets,
                                         batch->texts));
    FB_TRY(fb_transformer_forward_layers(tape, &x[FB_VILBERT_VISUAL], visual,
                                         &m->visual, 0, own->visual_connect,
                                         pass->rows.image_offsets, batch->images));
    return meet(m, tape, x, pass);
}

/* ---- heads ----------------------------------------------------------------------- */

/* relu(W h), h the first row of each sequence. */
static fb_status pool(fb_tape *tape, fb_var **y, fb_var *hidden, const int32_t *offsets,
                      int32_t pairs, fb_leaf *weight, fb_leaf *bias)
{
    fb_var *first;
    FB_TRY(fb_op_gather(tape, &first, hidden, NULL, offsets, pairs));
    return fb_op_linear_act(tape, y, first, weight, bias, FB_ACT_RELU);
}

static fb_status head_tia(fb_vilbert *m, fb_tape *tape, bool with_loss,
                          fb_vilbert_pass *pass)
{
    const fb_vilbert_rows *r = &pass->rows;
    fb_var *text, *visual, *product, *dropped;
    FB_TRY(pool(tape, &text, pass->hidden[FB_VILBERT_TEXT], r->text_picked.offsets,
                r->pairs, m->text_pooler_weight, m->text_pooler_bias));
    FB_TRY(pool(tape, &visual, pass->hidden[FB_VILBERT_VISUAL],
                r->visual_picked.offsets, r->pairs, m->visual_pooler_weight,
                m->visual_pooler_bias));
    FB_TRY(fb_op_multiply(tape, &product, text, visual));
    FB_TRY(fb_op_dropout(tape, &dropped, product));
    FB_TRY(fb_op_linear(tape, &pass->logits[FB_VILBERT_TIA], dropped, m->match_weight,
                        m->match_bias, true));
    if (!with_loss || r->pairs == 0)
        return FB_OK;
    return fb_pair_alignment_loss(tape, &pass->loss[FB_VILBERT_TIA], &pass->alignment,
                                  pass->logits[FB_VILBERT_TIA]);
}

static fb_status head_mlm(fb_vilbert *m, fb_tape *tape, fb_vilbert_pass *pass)
{
    const fb_vilbert_rows *r = &pass->rows;
    fb_var *rows, *inner, *normed;
    FB_TRY(fb_op_gather(tape, &rows, pass->hidden[FB_VILBERT_TEXT], NULL, r->mlm_rows,
                        r->mlm_count));
    FB_TRY(
        fb_op_linear_act(tape, &inner, rows, m->mlm_weight, m->mlm_bias, FB_ACT_GELU));
    FB_TRY(fb_op_norm(tape, &normed, inner, NULL, m->mlm_gamma, m->mlm_beta,
                      (float)m->matcher.config.eps));
    FB_TRY(fb_op_linear(tape, &pass->logits[FB_VILBERT_MLM], normed, m->word,
                        m->decoder_bias, true));
    return fb_op_cross_entropy(tape, &pass->loss[FB_VILBERT_MLM],
                               pass->logits[FB_VILBERT_MLM], r->mlm_targets);
}

/* Each prediction against the features of all masked regions, of unit length.
 *                                                                           [M', M'] */
static fb_status compare_regions(fb_tape *tape, fb_var **logits, fb_var *predicted,
                                 const fb_vilbert_pass *pass)
{
    const fb_vilbert_rows *r = &pass->rows;
    void *memory;
    fb_var *picked, *target;
    FB_TRY(fb_tape_alloc(tape, &memory, sizeof(fb_var)));
    fb_var *features = memory; /* no gradient goes into a target */
    *features = (fb_var){.value = pass->features->value};
    FB_TRY(fb_op_gather(tape, &picked, features, NULL, r->mrm_regions, r->mrm_count));
    picked->needs_grad = false;
    FB_TRY(fb_op_unit_rows(tape, &target, picked));
    target->needs_grad = false;
    return fb_op_group_products(tape, logits, predicted, target, r->mrm_count);
}

static fb_status guess_classes(fb_tape *tape, const fb_batch *batch,
                               fb_vilbert_pass *pass)
{
    const fb_vilbert_rows *r = &pass->rows;
    int32_t *classes;
    if (!batch->region_classes)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "masked regions are to be guessed by the detector's classes, "
                       "which these images do not have");
    FB_TRY(fb_tape_ints(tape, &classes, r->mrm_count));
    for (int32_t i = 0; i < r->mrm_count; i++)
        classes[i] = batch->region_classes[r->mrm_regions[i]];
    return fb_op_cross_entropy(tape, &pass->loss[FB_VILBERT_MRM],
                               pass->logits[FB_VILBERT_MRM], classes);
}

static fb_status head_mrm(fb_vilbert *m, fb_tape *tape, fb_vilbert_pass *pass)
{
    const fb_vilbert_rows *r = &pass->rows;
    int32_t target = fb_vilbert_own(&m->matcher.config)->target, *own;
    fb_var *rows, *inner, *normed, *predicted;
    FB_TRY(fb_op_gather(tape, &rows, pass->hidden[FB_VILBERT_VISUAL], NULL, r->mrm_rows,
                        r->mrm_count));
    FB_TRY(
        fb_op_linear_act(tape, &inner, rows, m->mrm_weight, m->mrm_bias, FB_ACT_GELU));
    FB_TRY(fb_op_norm(tape, &normed, inner, NULL, m->mrm_gamma, m->mrm_beta,
                      (float)m->matcher.config.eps));
    FB_TRY(fb_op_linear(tape, &predicted, normed, m->region_weight, m->region_bias,
                        target != FB_VILBERT_NCE));
    pass->logits[FB_VILBERT_MRM] = predicted;
    if (target == FB_VILBERT_KLD)
        return fb_op_kld(tape, &pass->loss[FB_VILBERT_MRM], predicted,
                         &pass->features->value, r->mrm_regions);
    if (target == FB_VILBERT_CLASSES)
        return guess_classes(tape, pass->alignment.batch, pass);
    FB_TRY(compare_regions(tape, &pass->logits[FB_VILBERT_MRM], predicted, pass));
    FB_TRY(fb_tape_ints(tape, &own, r->mrm_count));
    for (int32_t i = 0; i < r->mrm_count; i++)
        own[i] = i;
    return fb_op_cross_entropy(tape, &pass->loss[FB_VILBERT_MRM],
                               pass->logits[FB_VILBERT_MRM], own);
}

/* ---- the pass -------------------------------------------------------------------- */

/* Whose pairs, and what their images show. */
static fb_status begin(fb_tape *tape, const fb_batch *batch,
                       const fb_vilbert_step *step, bool with_losses,
                       fb_vilbert_pass *pass)
{
    fb_pair_alignment *a = &pass->alignment;
    FB_TRY(fb_pair_alignment_begin(tape, a, batch, with_losses ? step->others : 0,
                                   step->key));
    if (with_losses && step->patch_keep < 1) {
        if (!a->listwise)
            a->blocks.batch = *batch; /* a view, which may differ */
        a->batch = &a->blocks.batch;
        FB_TRY(fb_patches_leave_out(tape, &a->blocks.batch, step->patch_keep,
                                    fb_random_mix(~step->key)));
    }
    if (with_losses)
        FB_TRY(choose_zeroed(tape, batch, step, pass));
    return fb_vilbert_rows_pack(tape, &pass->rows, a->batch,
                                a->listwise ? batch : a->batch);
}

fb_status fb_vilbert_forward(fb_vilbert *m, fb_tape *tape, const fb_batch *batch,
                             const fb_vilbert_step *step, bool with_losses,
                             fb_vilbert_pass *pass)
{
    *pass = (fb_vilbert_pass){.features = NULL};
    FB_TRY(begin(tape, batch, step, with_losses, pass));
    FB_TRY(fb_image_rows_forward(tape, &pass->features, &m->images, batch));
    FB_TRY(encode(m, tape, pass));
    if (step->enabled[FB_VILBERT_TIA])
        FB_TRY(head_tia(m, tape, with_losses, pass));
    if (step->enabled[FB_VILBERT_MLM] && with_losses && pass->rows.mlm_count > 0)
        FB_TRY(head_mlm(m, tape, pass));
    if (step->enabled[FB_VILBERT_MRM] && with_losses && pass->rows.mrm_count > 0)
        FB_TRY(head_mrm(m, tape, pass));
    return FB_OK;
}

/* ---- cost ------------------------------------------------------------------------ */

/* `layers` of a stream over one sequence. */
static double layers_flops(const fb_transformer *t, int32_t layers, double rows)
{
    fb_transformer_options o = t->options;
    o.layers = layers;
    return fb_transformer_flops(&o, rows);
}

/* Layers before the first connection, and its projections, of one text or image. */
static double alone_flops(const fb_vilbert *m, int side, double rows)
{
    const fb_vilbert_config *own = fb_vilbert_own(&m->matcher.config);
    const fb_co_options *o = &m->connection[0].options;
    return layers_flops(side ? &m->visual : &m->text,
                        side ? own->visual_connect : own->text_connect, rows) +
           2 * rows * o->width[side] * 3.0 * o->shared;
}

double fb_vilbert_flops(const fb_matcher *matcher, const fb_batch *batch)
{
    const fb_vilbert *m = (const fb_vilbert *)matcher;
    const fb_vilbert_config *own = fb_vilbert_own(&matcher->config);
    const fb_co_options *o = &m->connection[0].options;
    double flops = fb_image_rows_flops(&m->images, batch);
    for (int32_t t = 0; t < batch->texts; t++)
        flops += alone_flops(m, FB_VILBERT_TEXT,
                             batch->text_offsets[t + 1] - batch->text_offsets[t]);
    for (int32_t i = 0; i < batch->images; i++) {
        double rows = fb_batch_image_rows(batch, i) + 1;
        flops += alone_flops(m, FB_VILBERT_VISUAL, rows) +
                 2 * rows * own->visual_width * (m->images.width + 5.0);
    }
    for (int32_t b = 0; b < batch->pairs; b++) {
        int32_t text = batch->pair_text[b];
        double words = batch->text_offsets[text + 1] - batch->text_offsets[text];
        double regions = fb_batch_image_rows(batch, batch->pair_image[b]) + 1;
        flops += own->connections * fb_co_layer_flops(o, words, regions) +
                 layers_flops(&m->text, matcher->config.layers - own->text_connect - 1,
                              words) +
                 layers_flops(&m->visual, own->visual_layers - own->visual_connect - 1,
                              regions) +
                 fb_transformer_picked_flops(&m->text.options, words, 1) +
                 fb_transformer_picked_flops(&m->visual.options, regions, 1) -
                 6.0 * o->shared *
                     (words * o->width[0] + regions * o->width[1]); /* made alone */
    }
    return flops + 2.0 * batch->pairs * o->shared * (o->width[0] + o->width[1] + 2.0);
}
