/* fashionbert_model.c - FashionBERT (Gao et al., SIGIR 2020): one stream of title
 * tokens and image patches.
 *
 *     text    e = LN(word[id] + position[i] + segment[s])           [text tokens, C]
 *     patch   e = LN(W f + type[1] + order[p])                      [images*P, C]
 *     h = encoder(dropout([CLS] title [SEP] patches))               [T, C], packed
 *     MLM     decoder(LN(gelu(W h_masked))), tied to word, CE       [M, V]
 *     MPM     KLD(softmax(f) | softmax(W h_masked))                 [M', F]
 *     TIA     W tanh(pooler h_cls), CE; P(1) is the score           [B, 2]
 *
 * A masked patch's feature is zero. The projection has no bias, so its row is zeroed
 * behind the projection instead: the same numbers, and the features stay whole as MPM's
 * target.
 */
#include "models/fashionbert_model.h"

#include <math.h>
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
    fb_params_scale_lr(m->projector, (float)c->grid / (float)c->image_size);
    FB_TRY(fb_table_declare(p, &m->patch_type, "image.type_embeddings.weight", 2, width,
                            std, true));
    FB_TRY(fb_table_declare(p, &m->patch_position, "image.position_embeddings.weight",
                            fb_model_config_patches(c), width, std, true));
    return fb_norm_declare(p, &m->patch_gamma, &m->patch_beta, "image.LayerNorm", width,
                           true);
}

static fb_status declare_heads(fb_params *p, fb_fashionbert *m,
                               const fb_model_config *c)
{
    int64_t width = c->width;
    float std = (float)c->init_std;
    const char *decoder_bias = "cls.predictions.bias";
    FB_TRY(fb_linear_declare(p, &m->pooler_weight, &m->pooler_bias, "bert.pooler.dense",
                             width, width, std, false));
    FB_TRY(fb_linear_declare(p, &m->match_weight, &m->match_bias, "match", 2, width,
                             std, false));
    FB_TRY(fb_linear_declare(p, &m->mlm_weight, &m->mlm_bias,
                             "cls.predictions.transform.dense", width, width, std,
                             false));
    FB_TRY(fb_norm_declare(p, &m->mlm_gamma, &m->mlm_beta,
                           "cls.predictions.transform.LayerNorm", width, false));
    FB_TRY(fb_params_add(p, &m->decoder_bias, &decoder_bias, 1, c->vocab, 1,
                         FB_INIT_ZERO, 0, false));
    return fb_linear_declare(p, &m->mpm_weight, NULL, "image.predictions",
                             fb_model_config_features(c), width, std, false);
}

static fb_status declare(fb_params *p, fb_fashionbert *m, const fb_model_config *c)
{
    FB_TRY(declare_embeddings(p, m, c));
    fb_transformer_options o = {c->layers, c->width,      c->heads,
                                c->inner,  (float)c->eps, (float)c->init_std};
    FB_TRY(fb_transformer_declare(p, &m->encoder, "bert.encoder", &o));
    return declare_heads(p, m, c);
}

/* An index array of the step: value(i) for i < count. */
static fb_status fill_index(fb_tape *tape, int32_t **index, int64_t count,
                            int32_t period, int32_t constant)
{
    void *memory;
    FB_TRY(fb_tape_alloc(tape, &memory, (size_t)count * sizeof(int32_t)));
    *index = memory;
    for (int64_t i = 0; i < count; i++)
        (*index)[i] = period ? (int32_t)(i % period) : constant;
    return FB_OK;
}

static fb_status embed_text(fb_fashionbert *m, fb_tape *tape, const fb_batch *batch,
                            fb_var **y)
{
    fb_leaf *const tables[3] = {m->word, m->position, m->segment};
    const int32_t *const ids[3] = {batch->token_ids, batch->token_positions,
                                   batch->token_segments};
    fb_var *sum;
    FB_TRY(fb_op_embed(tape, &sum, NULL, tables, ids, 3, fb_batch_text_tokens(batch)));
    return fb_op_norm(tape, y, sum, NULL, m->text_gamma, m->text_beta,
                      (float)m->matcher.config.eps);
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
    memset(zero->value.data, 0, fb_tensor_bytes(&zero->value));
    zero->needs_grad = false;
    int32_t *index;
    FB_TRY(fill_index(tape, &index, rows, 0, (int32_t)rows));
    for (int64_t i = 0; i < rows; i++)
        if (!batch->patch_masked[i])
            index[i] = (int32_t)i;
    return fb_op_gather(tape, projected, *projected, zero, index, rows);
}

static fb_status embed_patches(fb_fashionbert *m, fb_tape *tape, const fb_batch *batch,
                               fb_fashionbert_pass *pass)
{
    const fb_model_config *c = &m->matcher.config;
    fb_patchify p = {.images = batch->images, .size = c->image_size, .grid = c->grid};
    for (int i = 0; i < 3; i++) {
        p.mean[i] = (float)c->mean[i];
        p.std[i] = (float)c->std[i];
    }
    FB_TRY(fb_op_patchify(tape, &pass->features, batch->pixels, &p));
    fb_var *input, *projected, *sum;
    FB_TRY(fb_op_dropout(tape, &input, pass->features));
    FB_TRY(fb_op_linear(tape, &projected, input, m->projector, NULL, false));
    FB_TRY(mask_rows(tape, batch, &projected));
    int64_t rows = projected->value.dims[0];
    int32_t *order, *type;
    FB_TRY(fill_index(tape, &order, rows, batch->patches, 0));
    FB_TRY(fill_index(tape, &type, rows, 0, 1));
    fb_leaf *const tables[2] = {m->patch_position, m->patch_type};
    const int32_t *const ids[2] = {order, type};
    FB_TRY(fb_op_embed(tape, &sum, projected, tables, ids, 2, rows));
    return fb_op_norm(tape, &pass->patches, sum, NULL, m->patch_gamma, m->patch_beta,
                      (float)c->eps);
}

static fb_status head_tia(fb_fashionbert *m, fb_tape *tape, const fb_batch *batch,
                          bool with_loss, fb_fashionbert_pass *pass)
{
    fb_var *pooled, *bounded;
    FB_TRY(fb_op_gather(tape, &pass->rows[FB_LOSS_TIA], pass->hidden, NULL,
                        batch->cls_rows, batch->pairs));
    pass->mark[FB_LOSS_TIA] = tape->last;
    FB_TRY(fb_op_linear(tape, &pooled, pass->rows[FB_LOSS_TIA], m->pooler_weight,
                        m->pooler_bias, false));
    FB_TRY(fb_op_tanh(tape, &bounded, pooled));
    FB_TRY(fb_op_linear(tape, &pass->logits[FB_LOSS_TIA], bounded, m->match_weight,
                        m->match_bias, true));
    if (!with_loss || batch->pairs == 0)
        return FB_OK;
    return fb_op_cross_entropy(tape, &pass->loss[FB_LOSS_TIA],
                               pass->logits[FB_LOSS_TIA], batch->pair_label);
}

static fb_status head_mlm(fb_fashionbert *m, fb_tape *tape, const fb_batch *batch,
                          fb_fashionbert_pass *pass)
{
    fb_var *inner, *normed;
    FB_TRY(fb_op_gather(tape, &pass->rows[FB_LOSS_MLM], pass->hidden, NULL,
                        batch->mlm_rows, batch->mlm_count));
    pass->mark[FB_LOSS_MLM] = tape->last;
    FB_TRY(fb_op_linear_gelu(tape, &inner, pass->rows[FB_LOSS_MLM], m->mlm_weight,
                             m->mlm_bias));
    FB_TRY(fb_op_norm(tape, &normed, inner, NULL, m->mlm_gamma, m->mlm_beta,
                      (float)m->matcher.config.eps));
    FB_TRY(fb_op_linear(tape, &pass->logits[FB_LOSS_MLM], normed, m->word,
                        m->decoder_bias, true));
    return fb_op_cross_entropy(tape, &pass->loss[FB_LOSS_MLM],
                               pass->logits[FB_LOSS_MLM], batch->mlm_targets);
}

static fb_status head_mpm(fb_fashionbert *m, fb_tape *tape, const fb_batch *batch,
                          fb_fashionbert_pass *pass)
{
    FB_TRY(fb_op_gather(tape, &pass->rows[FB_LOSS_MPM], pass->hidden, NULL,
                        batch->mpm_rows, batch->mpm_count));
    pass->mark[FB_LOSS_MPM] = tape->last;
    FB_TRY(fb_op_linear(tape, &pass->logits[FB_LOSS_MPM], pass->rows[FB_LOSS_MPM],
                        m->mpm_weight, NULL, true));
    return fb_op_kld(tape, &pass->loss[FB_LOSS_MPM], pass->logits[FB_LOSS_MPM],
                     &pass->features->value, batch->mpm_patches);
}

fb_status fb_fashionbert_forward(fb_fashionbert *m, fb_tape *tape,
                                 const fb_batch *batch, const bool enabled[FB_LOSSES],
                                 bool with_losses, fb_fashionbert_pass *pass)
{
    *pass = (fb_fashionbert_pass){0};
    FB_TRY(embed_text(m, tape, batch, &pass->text));
    FB_TRY(embed_patches(m, tape, batch, pass));
    fb_var *merged, *x;
    FB_TRY(fb_op_gather(tape, &merged, pass->text, pass->patches, batch->row_source,
                        fb_batch_tokens(batch)));
    FB_TRY(fb_op_dropout(tape, &x, merged));
    FB_TRY(fb_transformer_forward(tape, &pass->hidden, x, &m->encoder,
                                  batch->seq_offsets, batch->pairs));
    if (enabled[FB_LOSS_MLM] && with_losses && batch->mlm_count > 0)
        FB_TRY(head_mlm(m, tape, batch, pass));
    if (enabled[FB_LOSS_MPM] && with_losses && batch->mpm_count > 0)
        FB_TRY(head_mpm(m, tape, batch, pass));
    if (enabled[FB_LOSS_TIA])
        FB_TRY(head_tia(m, tape, batch, with_losses, pass));
    return FB_OK;
}

static fb_status record_losses(fb_tape *tape, const fb_batch *batch,
                               const fb_fashionbert_pass *pass, fb_step_losses *out)
{
    *out = (fb_step_losses){.pairs = batch->pairs};
    for (int i = 0; i < FB_LOSSES; i++) {
        if (!pass->loss[i])
            continue;
        out->present[i] = true;
        out->loss[i] = pass->loss[i]->value;
        out->rows[i] = pass->loss[i]->rows;
        if (!isfinite(out->loss[i])) {
            char where[160] = "";
            FB_TRY(fb_tape_find_nonfinite(tape, where, sizeof where));
            return fb_fail(tape->ctx, FB_E_NUMBER, "a loss is not finite; first in %s",
                           where[0] ? where : "the loss itself");
        }
    }
    const float *logits =
        pass->logits[FB_LOSS_TIA] ? pass->logits[FB_LOSS_TIA]->value.data : NULL;
    for (int32_t b = 0; logits && b < batch->pairs; b++)
        out->pairs_right += (logits[b * 2 + 1] > logits[b * 2]) == batch->pair_label[b];
    return FB_OK;
}

/* Squared norms of d l_i / d h: nonzero only in the rows that head i reads, so the
 * head's own backward down to those rows tells all. */
static fb_status output_norms(fb_tape *tape, fb_fashionbert_pass *pass,
                              fb_step_losses *out)
{
    for (int i = 0; i < FB_LOSSES; i++) {
        if (!pass->loss[i])
            continue;
        pass->loss[i]->seed = 1.0f;
        FB_TRY(fb_tape_backward(tape, pass->loss[i]->node, pass->mark[i], false));
        FB_TRY(tape->be->k->sum_squares(tape->be, &out->squared_norm[i],
                                        &pass->rows[i]->grad));
        fb_tape_grad_release(tape, pass->rows[i]);
    }
    return FB_OK;
}

/* Squared norms over all shared parameters: a whole backward pass for each loss, into a
 * block of its own. */
static fb_status shared_norms(fb_params *params, fb_tape *tape,
                              fb_fashionbert_pass *pass, fb_step_losses *out)
{
    void *memory; /* from the step's arena: the same block every step */
    FB_TRY(fb_tape_alloc(tape, &memory, (size_t)params->total * sizeof(float)));
    float *scratch = memory;
    fb_status status = FB_OK;
    fb_params_redirect(params, scratch);
    for (int i = 0; i < FB_LOSSES && status == FB_OK; i++) {
        if (!pass->loss[i])
            continue;
        memset(scratch, 0, (size_t)params->total * sizeof(float));
        for (int j = 0; j < FB_LOSSES; j++)
            if (pass->loss[j])
                pass->loss[j]->seed = i == j ? 1.0f : 0.0f;
        status = fb_tape_backward(tape, NULL, NULL, true);
        for (fb_param *p = params->first; p && status == FB_OK; p = p->next) {
            fb_tensor g = fb_tensor_1d(p->leaf.grad, FB_F32, p->rows * p->columns);
            double sum = 0;
            if (p->shared)
                status = tape->be->k->sum_squares(tape->be, &sum, &g);
            out->squared_norm[i] += sum;
        }
    }
    fb_params_redirect(params, params->grad);
    return status;
}

static fb_status weigh(fb_fashionbert *m, fb_tape *tape, fb_fashionbert_pass *pass,
                       const fb_loss_options *options, fb_step_losses *out)
{
    double coefficient[FB_LOSSES], g[FB_LOSSES] = {0};
    if (options->mode == FB_ADAPTIVE_SOFTMAX) {
        fb_adaptive_softmax(out->weight, coefficient, out->loss, out->present,
                            options->detach);
    } else {
        if (options->mode == FB_ADAPTIVE_GRADIENT && options->shared_norms)
            FB_TRY(shared_norms(m->matcher.params, tape, pass, out));
        else if (options->mode == FB_ADAPTIVE_GRADIENT)
            FB_TRY(output_norms(tape, pass, out));
        fb_adaptive_normalise(g, out->squared_norm, out->present);
        fb_adaptive_solve(out->weight, g, out->present);
        memcpy(coefficient, out->weight, sizeof coefficient);
    }
    for (int i = 0; i < FB_LOSSES; i++) {
        out->total += out->weight[i] * out->loss[i];
        if (pass->loss[i])
            pass->loss[i]->seed = (float)coefficient[i];
    }
    return FB_OK;
}

static fb_status train_batch(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                             const fb_loss_options *options, fb_step_losses *losses)
{
    fb_fashionbert *m = (fb_fashionbert *)matcher;
    fb_fashionbert_pass pass;
    if (!m->matcher.params->grad)
        return fb_fail(tape->ctx, FB_E_STATE, "this model was opened without training");
    FB_TRY(fb_fashionbert_forward(m, tape, batch, options->enabled, true, &pass));
    FB_TRY(record_losses(tape, batch, &pass, losses));
    FB_TRY(weigh(m, tape, &pass, options, losses));
    return fb_tape_backward(tape, NULL, NULL, true);
}

static fb_status batch_losses(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                              const fb_loss_options *options, fb_step_losses *losses)
{
    fb_fashionbert_pass pass;
    FB_TRY(fb_fashionbert_forward((fb_fashionbert *)matcher, tape, batch,
                                  options->enabled, true, &pass));
    return record_losses(tape, batch, &pass, losses);
}

static fb_status score(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                       float *scores)
{
    static const bool tia_only[FB_LOSSES] = {[FB_LOSS_TIA] = true};
    fb_fashionbert_pass pass;
    FB_TRY(fb_fashionbert_forward((fb_fashionbert *)matcher, tape, batch, tia_only,
                                  false, &pass));
    const float *logits = pass.logits[FB_LOSS_TIA]->value.data;
    for (int32_t b = 0; b < batch->pairs; b++) {
        float difference = logits[b * 2 + 1] - logits[b * 2];
        if (!isfinite(difference))
            return fb_fail(tape->ctx, FB_E_NUMBER, "the score of pair %d is not finite",
                           (int)b);
        scores[b] = 1.0f / (1.0f + expf(-difference));
    }
    return FB_OK;
}

static double forward_flops(const fb_matcher *matcher, const fb_batch *batch)
{
    const fb_fashionbert *m = (const fb_fashionbert *)matcher;
    const fb_model_config *c = &matcher->config;
    double flops = 2.0 * batch->images * fb_model_config_patches(c) *
                   fb_model_config_features(c) * c->width;
    for (int32_t b = 0; b < batch->pairs; b++)
        flops += fb_transformer_flops(&m->encoder.options, batch->seq_offsets[b + 1] -
                                                               batch->seq_offsets[b]);
    return flops + 2.0 * batch->pairs * c->width * (c->width + 2);
}

static void matcher_free(fb_matcher *matcher, fb_backend *be)
{
    fb_params_free(matcher->params, be);
    free(matcher);
}

static const fb_matcher_kind fashionbert_kind = {
    "fashionbert", train_batch, batch_losses, score, forward_flops, matcher_free};

fb_status fb_fashionbert_create(fb_context *ctx, fb_matcher **matcher,
                                const fb_model_config *config, bool training)
{
    fb_fashionbert *m = calloc(1, sizeof *m);
    if (!m)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a model");
    m->matcher.kind = &fashionbert_kind;
    m->matcher.config = *config;
    fb_status status = fb_params_create(ctx, &m->matcher.params);
    if (status == FB_OK)
        status = declare(m->matcher.params, m, config);
    if (status == FB_OK)
        status = fb_params_allocate(m->matcher.params, training);
    if (status != FB_OK) {
        matcher_free(&m->matcher, NULL);
        return status;
    }
    *matcher = &m->matcher;
    return FB_OK;
}
