/* fashionbert_model.c - FashionBERT (Gao et al., SIGIR 2020): one stream of title
 * tokens and image patches.
 *
 *     text    e = LN(word[id] + position[i] + segment[s])           [text tokens, C]
 *     patch   e = LN(W f + type[1] + order[p])                      [rows, C]
 *             merged to fewer where config says so (patch_pool.h)
 *     h = encoder(dropout([CLS] title [SEP] patches))               [T, C], packed; the
 *         last layer at the rows alone that a head reads (models/read_rows.h)
 *         where config.patches_from is k > 0, texts pass layers 0 .. k-1 alone, once
 *         for all of their pairs, and patches join them in layer k
 *     MLM     decoder(LN(gelu(W h_masked))), tied to word, CE       [M, V]
 *     MPM     KLD(softmax(f) | softmax(W h_masked))                 [M', F]
 *     TIA     W tanh(pooler s), CE; P(1) is the score               [B, 2]
 *         s = h_cls, or LN(mean(h of the text's tokens)) * LN(mean(h of the patches))
 *     ITC     vectors of text and image encoded alone (contrast_head.h); the text
 *             passes the trunk's first layers without patches      [B, D]
 *
 * Where config.regions, regions take the patches' place throughout, p their order in the
 * region file, as a rule the detector's confidence: the paper's ablation (its RoI rows),
 * which says no more of positions; boxes are not read.
 *
 * A masked patch's feature is zero. The projection has no bias, so its row is zeroed
 * behind the projection instead: the same numbers, and the features stay whole as MPM's
 * target.
 */
#include "models/fashionbert/fashionbert_model.h"
#include "models/fashionbert/fashionbert_parts.h"
#include "models/fashionbert/soft_targets.h"
#include "models/image_rows.h"

#include <stdlib.h>
#include <string.h>

static fb_status declare_embeddings(fb_params *p, fb_fashionbert *m,
                                    const fb_model_config *c)
{
    int64_t width = c->width;
    float std = (float)c->init_std;
    FB_TRY(fb_table_declare(p, &m->word, "bert.embeddings.word_embeddings.weight",
                            c->vocab, width, std, true));
    FB_TRY(fb_table_declare(p, &m->position,
                            "bert.embeddings.position_embeddings.weight", c->positions,
                            width, std, true));
    FB_TRY(fb_table_declare(p, &m->segment,
                            "bert.embeddings.token_type_embeddings.weight", c->segments,
                            width, std, true));
    FB_TRY(fb_norm_declare(p, &m->text_gamma, &m->text_beta,
                           "bert.embeddings.LayerNorm", width, true));
    FB_TRY(fb_linear_declare(p, &m->projector, NULL, "image.projector", width,
                             fb_model_config_features(c), std, true));
    /* Adam moves each weight by about the learning rate, so an output moves by its sum
     * over the input; the numbers of a raw patch are many and alike. A patch's side is
     * the share that keeps the projection as calm as the layers behind it. */
    if (!c->regions && !fb_encoder_learns(c->encoder))
        fb_params_scale_lr(m->projector, (float)c->grid / (float)c->image_size);
    m->patch_type_row = 1;
    if (m->one_segment_table) {
        m->patch_type = m->segment;
        m->patch_type_row = 2;
    } else {
        FB_TRY(fb_table_declare(p, &m->patch_type, "image.type_embeddings.weight", 2,
                                width, std, true));
    }
    FB_TRY(fb_table_declare(p, &m->patch_position, "image.position_embeddings.weight",
                            fb_model_config_patches(c), width, std, true));
    FB_TRY(fb_norm_declare(p, &m->patch_gamma, &m->patch_beta, "image.LayerNorm", width,
                           true));
    return fb_patch_pool_declare(p, &m->pool, c);
}

static fb_status declare_alignment(fb_params *p, fb_fashionbert *m,
                                   const fb_model_config *c)
{
    int64_t width = c->width;
    float std = (float)c->init_std;
    FB_TRY(fb_linear_declare(p, &m->pooler_weight, &m->pooler_bias, "bert.pooler.dense",
                             width, width, std, false));
    if (c->head == FB_HEAD_PRODUCT) {
        FB_TRY(fb_norm_declare(p, &m->mean_gamma[0], &m->mean_beta[0],
                               "match.words.LayerNorm", width, false));
        FB_TRY(fb_norm_declare(p, &m->mean_gamma[1], &m->mean_beta[1],
                               "match.patches.LayerNorm", width, false));
    }
    return fb_linear_declare(p, &m->match_weight, &m->match_bias, "match", 2, width,
                             std, false);
}

static fb_status declare_heads(fb_params *p, fb_fashionbert *m,
                               const fb_model_config *c)
{
    int64_t width = c->width;
    float std = (float)c->init_std;
    const char *decoder_bias = "cls.predictions.bias";
    FB_TRY(declare_alignment(p, m, c));
    FB_TRY(fb_linear_declare(p, &m->mlm_weight, &m->mlm_bias,
                             "cls.predictions.transform.dense", width, width, std,
                             false));
    FB_TRY(fb_norm_declare(p, &m->mlm_gamma, &m->mlm_beta,
                           "cls.predictions.transform.LayerNorm", width, false));
    FB_TRY(fb_params_add(p, &m->decoder_bias, &decoder_bias,
                         (fb_param_shape){1, c->vocab, 1}, FB_INIT_ZERO, 0, false));
    return fb_linear_declare(p, &m->mpm_weight, NULL, "image.predictions",
                             fb_model_config_features(c), width, std, false);
}

fb_status fb_fashionbert_declare(fb_params *p, fb_fashionbert *m,
                                 const fb_model_config *c)
{
    FB_TRY(declare_embeddings(p, m, c));
    fb_transformer_options o = {.layers = c->layers,
                                .width = c->width,
                                .heads = c->heads,
                                .inner = c->inner,
                                .eps = (float)c->eps,
                                .init_std = (float)c->init_std,
                                .act = FB_ACT_GELU};
    FB_TRY(fb_transformer_declare(p, &m->encoder, "bert.encoder", &o));
    FB_TRY(declare_heads(p, m, c));
    fb_patch_encoder_options e = {.name = c->encoder,
                                  .each = c->each,
                                  .image_size = c->image_size,
                                  .grid = c->grid};
    memcpy(e.mean, c->mean, sizeof e.mean);
    memcpy(e.std, c->std, sizeof e.std);
    if (!c->regions)
        FB_TRY(fb_patch_encoder_declare(p, &m->patch_encoder, &e));
    if (!c->vector)
        return FB_OK;
    return fb_contrast_head_declare(p, &m->contrast, c->vector, c->width,
                                    fb_model_config_features(c), (float)c->init_std);
}

/* An index array of the step, the same at every place. */
static fb_status fill_index(fb_tape *tape, int32_t **index, int64_t count,
                            int32_t value)
{
    FB_TRY(fb_tape_ints(tape, index, count));
    for (int64_t i = 0; i < count; i++)
        (*index)[i] = value;
    return FB_OK;
}

fb_status fb_fashionbert_embed_text(fb_fashionbert *m, fb_tape *tape,
                                    const fb_batch *batch, fb_var **y)
{
    fb_leaf *const tables[3] = {m->word, m->position, m->segment};
    const int32_t *const ids[3] = {batch->token_ids, batch->token_positions,
                                   batch->token_segments};
    fb_var *sum;
    FB_TRY(fb_op_embed(tape, &sum, NULL, tables, ids, 3, fb_batch_text_tokens(batch)));
    return fb_op_norm(tape, y, sum, NULL, m->text_gamma, m->text_beta,
                      (float)m->matcher.config.eps);
}

/* The place of each row among those of its image. */
static fb_status list_places(fb_tape *tape, int32_t **places, const fb_batch *batch)
{
    FB_TRY(fb_tape_ints(tape, places, fb_batch_rows(batch)));
    for (int32_t i = 0; i < batch->images; i++)
        for (int32_t r = batch->image_offsets[i]; r < batch->image_offsets[i + 1]; r++)
            (*places)[r] = r - batch->image_offsets[i];
    return FB_OK;
}

/* Rows of masked patches become zero. */
static fb_status mask_rows(fb_tape *tape, const fb_batch *batch, fb_var **projected)
{
    int64_t rows = (*projected)->value.dims[0];
    bool any = false;
    for (int64_t i = 0; i < rows && !any; i++)
        any = batch->patch_masked[i] != 0;
    if (!any)
        return FB_OK;
    fb_var *zero;
    FB_TRY(fb_tape_new_var(tape, &zero, (*projected)->value.dtype, 1,
                           (*projected)->value.dims[1]));
    FB_TRY(tape->be->m->fill(tape->ctx, tape->be, zero->value.data, 0,
                             fb_tensor_bytes(&zero->value)));
    zero->needs_grad = false;
    int32_t *index;
    FB_TRY(fill_index(tape, &index, rows, (int32_t)rows));
    for (int64_t i = 0; i < rows; i++)
        if (!batch->patch_masked[i])
            index[i] = (int32_t)i;
    return fb_op_gather(tape, projected, *projected, zero, index, rows);
}

/* Of pass->whole's images. */
static fb_status embed_patches(fb_fashionbert *m, fb_tape *tape,
                               fb_fashionbert_pass *pass)
{
    float eps = (float)m->matcher.config.eps;
    const fb_batch *batch = pass->whole;
    fb_var *input, *projected, *sum, *each;
    FB_TRY(fb_op_dropout(tape, &input, pass->features));
    FB_TRY(fb_op_linear(tape, &projected, input, m->projector, NULL, false));
    FB_TRY(mask_rows(tape, batch, &projected));
    int64_t rows = projected->value.dims[0];
    int32_t *order, *type;
    FB_TRY(list_places(tape, &order, batch));
    FB_TRY(fill_index(tape, &type, rows, m->patch_type_row));
    fb_leaf *const tables[2] = {m->patch_position, m->patch_type};
    const int32_t *const ids[2] = {order, type};
    FB_TRY(fb_op_embed(tape, &sum, projected, tables, ids, 2, rows));
    FB_TRY(fb_op_norm(tape, &each, sum, NULL, m->patch_gamma, m->patch_beta, eps));
    return fb_patch_pool_forward(tape, &m->pool, &pass->patches, each, eps);
}

/* Each pair's text and patches, every other sequence of rows; offsets [2B + 1]. */
static fb_status halve_sequences(fb_tape *tape, const fb_batch *b, int32_t **offsets)
{
    int32_t *o;
    FB_TRY(fb_tape_ints(tape, &o, 2 * (int64_t)b->pairs + 1));
    for (int32_t i = 0; i < b->pairs; i++) {
        int32_t text = b->pair_text[i];
        o[2 * i] = b->seq_offsets[i];
        o[2 * i + 1] = o[2 * i] + b->text_offsets[text + 1] - b->text_offsets[text];
    }
    o[2 * b->pairs] = b->seq_offsets[b->pairs];
    *offsets = o;
    return FB_OK;
}

/* s = LN(mean(h of the text's tokens)) * LN(mean(h of the patches))          [B, C]
 *
 * The rows of a plain photo are alike, so their mean is longer than that of a patterned
 * one's; without the norms that alone would raise all its margins. */
static fb_status multiply_means(fb_fashionbert *m, fb_tape *tape,
                                const fb_fashionbert_pass *pass, fb_var **s)
{
    const fb_batch *batch = pass->batch;
    fb_var *means, *mean, *side[2];
    int32_t *offsets, *index;
    FB_TRY(halve_sequences(tape, batch, &offsets));
    FB_TRY(fb_op_mean_rows(tape, &means, pass->hidden, offsets, 2 * batch->pairs));
    for (int32_t k = 0; k < 2; k++) {
        FB_TRY(fb_tape_ints(tape, &index, batch->pairs));
        for (int32_t i = 0; i < batch->pairs; i++)
            index[i] = 2 * i + k;
        FB_TRY(fb_op_gather(tape, &mean, means, NULL, index, batch->pairs));
        FB_TRY(fb_op_norm(tape, &side[k], mean, NULL, m->mean_gamma[k], m->mean_beta[k],
                          (float)m->matcher.config.eps));
    }
    return fb_op_multiply(tape, s, side[0], side[1]);
}

static fb_status head_tia(fb_fashionbert *m, fb_tape *tape, bool with_loss,
                          bool listwise, fb_fashionbert_pass *pass)
{
    const fb_batch *batch = pass->batch;
    bool product = m->matcher.config.head == FB_HEAD_PRODUCT;
    fb_var *read = pass->hidden, *pooled, *bounded;
    if (!product)
        FB_TRY(fb_read_rows_gather(tape, &read, pass->hidden, &pass->read,
                                   batch->cls_rows, batch->pairs));
    pass->rows[FB_LOSS_TIA] = read;
    pass->mark[FB_LOSS_TIA] = tape->last;
    if (product)
        FB_TRY(multiply_means(m, tape, pass, &read));
    FB_TRY(fb_op_linear(tape, &pooled, read, m->pooler_weight, m->pooler_bias, false));
    FB_TRY(fb_op_tanh(tape, &bounded, pooled));
    FB_TRY(fb_op_linear(tape, &pass->logits[FB_LOSS_TIA], bounded, m->match_weight,
                        m->match_bias, true));
    if (!with_loss || batch->pairs == 0)
        return FB_OK;
    if (listwise) {
        const fb_lists lists = {pass->hard.members, pass->targets, pass->hard.lists,
                                pass->hard.length, pass->hard.log_q};
        return fb_op_list(tape, &pass->loss[FB_LOSS_TIA], pass->logits[FB_LOSS_TIA],
                          &lists);
    }
    return fb_op_cross_entropy(tape, &pass->loss[FB_LOSS_TIA],
                               pass->logits[FB_LOSS_TIA], batch->pair_label);
}

fb_status fb_fashionbert_head_mlm(fb_fashionbert *m, fb_tape *tape,
                                  const fb_batch *batch, fb_fashionbert_pass *pass)
{
    fb_var *inner, *normed;
    FB_TRY(fb_read_rows_gather(tape, &pass->rows[FB_LOSS_MLM], pass->hidden,
                               &pass->read, batch->mlm_rows, batch->mlm_count));
    pass->mark[FB_LOSS_MLM] = tape->last;
    FB_TRY(fb_op_linear_act(tape, &inner, pass->rows[FB_LOSS_MLM], m->mlm_weight,
                            m->mlm_bias, FB_ACT_GELU));
    FB_TRY(fb_op_norm(tape, &normed, inner, NULL, m->mlm_gamma, m->mlm_beta,
                      (float)m->matcher.config.eps));
    FB_TRY(fb_op_linear(tape, &pass->logits[FB_LOSS_MLM], normed, m->word,
                        m->decoder_bias, true));
    return fb_op_cross_entropy(tape, &pass->loss[FB_LOSS_MLM],
                               pass->logits[FB_LOSS_MLM], batch->mlm_targets);
}

fb_status fb_fashionbert_head_mpm(fb_fashionbert *m, fb_tape *tape,
                                  const fb_batch *batch, fb_fashionbert_pass *pass)
{
    FB_TRY(fb_read_rows_gather(tape, &pass->rows[FB_LOSS_MPM], pass->hidden,
                               &pass->read, batch->mpm_rows, batch->mpm_count));
    pass->mark[FB_LOSS_MPM] = tape->last;
    FB_TRY(fb_op_linear(tape, &pass->logits[FB_LOSS_MPM], pass->rows[FB_LOSS_MPM],
                        m->mpm_weight, NULL, true));
    return fb_op_kld(tape, &pass->loss[FB_LOSS_MPM], pass->logits[FB_LOSS_MPM],
                     &pass->features->value, batch->mpm_patches);
}

fb_status fb_fashionbert_embed_features(fb_fashionbert *m, fb_tape *tape,
                                        const fb_batch *batch,
                                        fb_fashionbert_pass *pass)
{
    if (m->matcher.config.regions || batch->regions)
        return fb_image_rows_regions(tape, &pass->features, batch,
                                     m->matcher.config.region_width);
    if (batch->feature_width)
        return fb_patch_encoder_given(tape, &pass->features, &m->patch_encoder,
                                      batch->features, batch->feature_width,
                                      batch->images);
    return fb_patch_encoder_forward(tape, &pass->features, &m->patch_encoder,
                                    batch->pixels, batch->images);
}

fb_status fb_fashionbert_look(fb_fashionbert *m, fb_tape *tape, const fb_batch *batch,
                              fb_fashionbert_pass *pass)
{
    if (batch->feature_width || m->matcher.config.regions) /* views were taken before */
        return fb_fashionbert_embed_features(m, tape, batch, pass);
    return fb_patch_encoder_look(tape, &pass->features, &m->patch_encoder,
                                 batch->pixels, batch->images, m->matcher.config.views);
}

/* Texts through the trunk's first layers without patches: pass->alone. */
static fb_status encode_alone(fb_fashionbert *m, fb_tape *tape, const fb_batch *batch,
                              int32_t layers, fb_fashionbert_pass *pass)
{
    fb_var *x;
    if (pass->alone && pass->depth == layers)
        return FB_OK;
    FB_TRY(fb_op_dropout(tape, &x, pass->text));
    pass->depth = layers;
    return fb_transformer_forward_layers(tape, &pass->alone, x, &m->encoder, 0, layers,
                                         batch->text_offsets, batch->texts);
}

/* What enters layer `from` of the single stream: texts and patches, pair by pair. */
static fb_status merge(fb_fashionbert *m, fb_tape *tape, int32_t from,
                       fb_fashionbert_pass *pass, fb_var **x)
{
    const fb_batch *batch = pass->batch;
    int64_t rows = fb_batch_tokens(batch);
    fb_var *merged, *patches;
    if (from == 0) {
        FB_TRY(fb_op_gather(tape, &merged, pass->text, pass->patches, batch->row_source,
                            rows));
        return fb_op_dropout(tape, x, merged);
    }
    FB_TRY(encode_alone(m, tape, batch, from, pass));
    FB_TRY(fb_op_dropout(tape, &patches, pass->patches));
    return fb_op_gather(tape, x, pass->alone, patches, batch->row_source, rows);
}

static fb_status pool_batch(fb_fashionbert *m, fb_tape *tape, fb_fashionbert_pass *pass)
{
    if (pass->whole)
        return FB_OK;
    pass->whole = pass->batch;
    return fb_patch_pool_batch(tape, &m->pool, pass->whole, &pass->batch);
}

fb_status fb_fashionbert_encode(fb_fashionbert *m, fb_tape *tape,
                                const bool enabled[FB_LOSSES], bool with_losses,
                                bool aligned, fb_fashionbert_pass *pass)
{
    FB_TRY(pool_batch(m, tape, pass));
    int32_t from = m->matcher.config.patches_from;
    const fb_batch *b = pass->batch;
    bool all = aligned && m->matcher.config.head == FB_HEAD_PRODUCT;
    const fb_row_list lists[] = {
        {b->cls_rows, aligned ? b->pairs : 0},
        {b->mlm_rows, enabled[FB_LOSS_MLM] && with_losses ? b->mlm_count : 0},
        {b->mpm_rows, enabled[FB_LOSS_MPM] && with_losses ? b->mpm_count : 0}};
    fb_var *x;
    pass->read = (fb_read_rows){.place = NULL};
    FB_TRY(embed_patches(m, tape, pass));
    FB_TRY(merge(m, tape, from, pass, &x));
    if (!all)
        FB_TRY(
            fb_read_rows_pick(tape, &pass->read, lists, 3, b->seq_offsets, b->pairs));
    return fb_read_rows_forward(tape, &pass->hidden, x, &m->encoder, from, &pass->read,
                                b->seq_offsets, b->pairs);
}

/* The single stream over pass->batch's pairs, and its heads. */
static fb_status stream(fb_fashionbert *m, fb_tape *tape, const bool enabled[FB_LOSSES],
                        bool with_losses, bool listwise, fb_fashionbert_pass *pass)
{
    FB_TRY(fb_fashionbert_encode(m, tape, enabled, with_losses, enabled[FB_LOSS_TIA],
                                 pass));
    const fb_batch *batch = pass->batch;
    if (enabled[FB_LOSS_MLM] && with_losses && batch->mlm_count > 0)
        FB_TRY(fb_fashionbert_head_mlm(m, tape, batch, pass));
    if (enabled[FB_LOSS_MPM] && with_losses && batch->mpm_count > 0)
        FB_TRY(fb_fashionbert_head_mpm(m, tape, batch, pass));
    if (enabled[FB_LOSS_TIA])
        FB_TRY(head_tia(m, tape, with_losses, listwise, pass));
    return FB_OK;
}

fb_status fb_fashionbert_forward(fb_fashionbert *m, fb_tape *tape,
                                 const fb_batch *batch, const bool enabled[FB_LOSSES],
                                 bool with_losses, fb_fashionbert_pass *pass)
{
    *pass = (fb_fashionbert_pass){.batch = batch};
    FB_TRY(fb_fashionbert_embed_text(m, tape, batch, &pass->text));
    FB_TRY(fb_fashionbert_look(m, tape, batch, pass));
    return stream(m, tape, enabled, with_losses, false, pass);
}

static fb_status text_vectors(fb_fashionbert *m, fb_tape *tape, const fb_batch *batch,
                              fb_fashionbert_pass *pass)
{
    FB_TRY(encode_alone(m, tape, batch, m->matcher.config.text_layers, pass));
    return fb_contrast_head_text(tape, &pass->text_vectors, &m->contrast, pass->alone,
                                 batch->text_offsets, batch->texts);
}

static fb_status image_vectors(fb_fashionbert *m, fb_tape *tape, const fb_batch *batch,
                               fb_fashionbert_pass *pass)
{
    return fb_contrast_head_image(tape, &pass->image_vectors, &m->contrast,
                                  pass->features, batch->image_offsets, batch->images);
}

fb_status fb_fashionbert_forward_vectors(fb_fashionbert *m, fb_tape *tape,
                                         const fb_batch *batch, bool texts, bool images,
                                         fb_fashionbert_pass *pass)
{
    *pass = (fb_fashionbert_pass){.batch = batch};
    if (!m->matcher.config.vector)
        return fb_fail(tape->ctx, FB_E_STATE,
                       "this model gives no vectors: it was trained without the "
                       "contrastive loss");
    if (texts) {
        FB_TRY(fb_fashionbert_embed_text(m, tape, batch, &pass->text));
        FB_TRY(text_vectors(m, tape, batch, pass));
    }
    if (!images)
        return FB_OK;
    FB_TRY(fb_fashionbert_look(m, tape, batch, pass));
    return image_vectors(m, tape, batch, pass);
}

fb_status fb_fashionbert_forward_inputs(fb_fashionbert *m, fb_tape *tape,
                                        const fb_batch *batch, fb_var *tokens,
                                        fb_var *features, bool alignment, bool vectors,
                                        fb_fashionbert_pass *pass)
{
    static const bool tia_only[FB_LOSSES] = {[FB_LOSS_TIA] = true};
    *pass = (fb_fashionbert_pass){.batch = batch, .features = features};
    FB_TRY(fb_op_norm(tape, &pass->text, tokens, NULL, m->text_gamma, m->text_beta,
                      (float)m->matcher.config.eps));
    if (vectors) {
        FB_TRY(text_vectors(m, tape, batch, pass));
        FB_TRY(image_vectors(m, tape, batch, pass));
    }
    return alignment ? stream(m, tape, tia_only, false, false, pass) : FB_OK;
}

/* Groups of the rows of every process. */
static fb_status gather_groups(fb_tape *tape, const int32_t **all, const int32_t *own,
                               int32_t count)
{
    int32_t *gathered;
    FB_TRY(fb_tape_ints(tape, &gathered, (int64_t)count * tape->comm->size));
    *all = gathered;
    return fb_comm_gather_rows(tape->ctx, tape->comm, gathered, own, count,
                               sizeof *own);
}

/* The loss over the vectors of every process; the similarities of this one's. */
static fb_status contrast_loss(fb_fashionbert *m, fb_tape *tape, const fb_batch *batch,
                               double margin, fb_tensor *similarity,
                               fb_fashionbert_pass *pass)
{
    fb_var *images, *texts;
    fb_contrast c = {.count = batch->images * tape->comm->size,
                     .scale = (float)FB_CONTRAST_SCALE_MOST,
                     .margin = (float)margin};
    FB_TRY(fb_op_gather_ranks(tape, &images, pass->image_vectors));
    FB_TRY(fb_op_gather_ranks(tape, &texts, pass->text_vectors));
    FB_TRY(gather_groups(tape, &c.a_group, batch->image_group, batch->images));
    FB_TRY(gather_groups(tape, &c.b_group, batch->text_group, batch->texts));
    FB_TRY(fb_op_contrast(tape, &pass->itc, similarity, images, texts,
                          m->contrast.log_scale, &c));
    if (images == pass->image_vectors)
        return FB_OK;
    void *memory; /* hard negatives are drawn among a process's own */
    *similarity = fb_tensor_2d(NULL, FB_F32, batch->images, batch->texts);
    FB_TRY(fb_tape_values(tape, &memory, fb_tensor_bytes(similarity)));
    similarity->data = memory;
    return tape->be->k->matmul(tape->ctx, tape->be, similarity,
                               &pass->image_vectors->value, false,
                               &pass->text_vectors->value, true);
}

static fb_status contrast(fb_fashionbert *m, fb_tape *tape, const fb_batch *batch,
                          double margin, fb_fashionbert_pass *pass)
{
    if (!m->matcher.config.vector)
        return fb_fail(tape->ctx, FB_E_STATE,
                       "the contrastive loss needs a model with vectors");
    if (batch->texts != batch->images)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "the contrastive loss needs a batch of items, not %d texts and "
                       "%d images",
                       batch->texts, batch->images);
    FB_TRY(text_vectors(m, tape, batch, pass));
    FB_TRY(image_vectors(m, tape, batch, pass));
    fb_tensor similarity;
    FB_TRY(contrast_loss(m, tape, batch, margin, &similarity, pass));
    const void *numbers;
    FB_TRY(fb_tape_read(tape, &numbers, &similarity));
    pass->similarity = similarity;
    pass->similarity.data = (void *)(uintptr_t)numbers; /* read only */
    return FB_OK;
}

/* Pairs of items by similarity, and what lists of them should say. */
static fb_status draw_pairs(fb_fashionbert *m, fb_tape *tape, const fb_batch *batch,
                            const fb_loss_options *options, fb_fashionbert_pass *pass)
{
    const float *log_scale;
    FB_TRY(fb_tape_read_f32(tape, &log_scale, m->contrast.log_scale->weight.data, 1));
    FB_TRY(fb_tape_fetch(tape)); /* the similarities too */
    double scale = fb_contrast_head_scale(log_scale[0]);
    fb_hard_options o = {.negatives = options->negatives,
                         .items = options->hard_items,
                         .blocks = options->blocks,
                         .scale = options->hardness * scale,
                         .patch_keep = tape->recording ? options->patch_keep : 1,
                         .key = options->key};
    FB_TRY(fb_hard_pairs_draw(tape, &pass->hard, batch, &pass->similarity, &o));
    pass->batch = &pass->hard.batch;
    if (!options->listwise || !(options->soft_targets > 0))
        return FB_OK;
    return fb_soft_targets(tape, &pass->targets, &pass->hard, &pass->similarity, scale,
                           options->soft_targets);
}

fb_status fb_fashionbert_forward_training(fb_fashionbert *m, fb_tape *tape,
                                          const fb_batch *batch,
                                          const fb_loss_options *options,
                                          fb_fashionbert_pass *pass)
{
    bool any = false;
    for (int i = 0; i < FB_LOSSES; i++)
        any = any || options->enabled[i];
    *pass = (fb_fashionbert_pass){.batch = batch};
    FB_TRY(fb_fashionbert_embed_text(m, tape, batch, &pass->text));
    FB_TRY(fb_fashionbert_embed_features(m, tape, batch, pass));
    if (options->itc > 0 || options->negatives > 0)
        FB_TRY(contrast(m, tape, batch, options->margin, pass));
    if (any)
        FB_TRY(pool_batch(m, tape, pass)); /* before patches are left out of pairs */
    if (any && options->negatives > 0)
        FB_TRY(draw_pairs(m, tape, pass->batch, options, pass));
    if (!any || pass->batch->pairs == 0)
        return FB_OK;
    return stream(m, tape, options->enabled, true,
                  options->listwise && options->negatives > 0, pass);
}

void fb_fashionbert_free(fb_matcher *matcher, fb_backend *be)
{
    fb_patch_encoder_free(&((fb_fashionbert *)matcher)->patch_encoder, be);
    fb_params_free(matcher->params, be);
    free(matcher);
}
