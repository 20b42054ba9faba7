/* vlbert_model.c - VL-BERT (Su et al., ICLR 2020): one stream of words and objects,
 * where every element has a word and a look.
 *
 *     o = relu(W [g(box); f] + b)    of each object, and of the whole image:
 *                                    box (0, 0, 1, 1), f the mean of the unmasked ones
 *     text token  e = LN(word[id] + LNt(o_whole) + position[i]     + type[0])
 *     object      e = LN([IMG]    + LNo(o)       + position[n]     + type[2])
 *     [END]       e = LN([END]                   + position[n + 1] + type[2])
 *     h = encoder(dropout([CLS] words [SEP] whole objects [END]))       [T, C], packed
 *     MLM    decoder(LN(gelu(W h_masked))), tied to word, CE            [M, V]
 *     MVRC   KLD(p | softmax(W gelu(W h_masked))), p = softmax(f) of the object, or
 *            of the detector's class: s there, the rest shared          [M', F or K]
 *     TIA    W tanh(pooler h_[CLS]): CE of each pair, or listwise       [B, 2]
 *            (pair_alignment.h); the logits' difference is the score
 *
 * f is an image's row (image_rows.h), g its geometry embedding (vlbert_geometry.h), n
 * the tokens of the text. LNt and LNo begin with a gain of 0, so that a pre-trained BERT
 * begins as it was. 15 % of words (whole ones) and of objects are masked; of the
 * objects, 90 % show a learnt mask in place of f, which begins at 0, and a word of
 * their own in place of [IMG].
 *
 * Departures from the paper and its code: MVRC's target there is a detector's
 * distribution over 1600 classes. Patches have none, so the standard is the row itself
 * as a distribution, as FashionBERT's masked patches have it; of regions with classes
 * (mvrc_target classes) it is what a region file keeps, the best class and its score s.
 * The KLD is the code's soft cross entropy less the target's entropy: one gradient. The
 * matching head, which the code has and leaves off, is on. Objects that patch dropout
 * leaves out of the sequences still count in the whole image. W of o is two products, one
 * over f and one over g, which are added: the same numbers. n of the geometry is a third
 * of the width, as at the paper's 768.
 */
#include "models/vlbert/vlbert_model.h"

#include "base/random.h"
#include "models/vlbert/vlbert_geometry.h"

#include <math.h>

/* ---- parameters ------------------------------------------------------------------ */

/* A norm whose gain begins at 0. */
static fb_status declare_silent_norm(fb_params *p, fb_leaf **gamma, fb_leaf **beta,
                                     const char *prefix, int64_t width)
{
    char weight[FB_PARAM_NAME], bias[FB_PARAM_NAME];
    const char *names[2] = {weight, bias};
    const fb_param_shape vector = {1, width, 1};
    fb_param_name(weight, "%s.weight", prefix);
    fb_param_name(bias, "%s.bias", prefix);
    FB_TRY(fb_params_add(p, gamma, &names[0], vector, FB_INIT_ZERO, 0, true));
    return fb_params_add(p, beta, &names[1], vector, FB_INIT_ZERO, 0, true);
}

static fb_status declare_text(fb_params *p, fb_vlbert *m, const fb_model_config *c)
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
    return fb_norm_declare(p, &m->gamma, &m->beta, "bert.embeddings.LayerNorm",
                           c->width, true);
}

static fb_status declare_objects(fb_params *p, fb_vlbert *m, const fb_model_config *c)
{
    static const char *const mask = "object.mask.weight";
    float std = (float)c->init_std;
    int64_t width = c->width, features = m->images.width;
    FB_TRY(fb_table_declare(p, &m->other, "object.word_embeddings.weight",
                            FB_VLBERT_WORDS, width, std, true));
    FB_TRY(fb_table_declare(p, &m->object_type, "object.type_embeddings.weight", 1,
                            width, std, true));
    FB_TRY(fb_params_add(p, &m->mask, &mask, (fb_param_shape){1, 1, features},
                         FB_INIT_ZERO, 0, true));
    FB_TRY(fb_linear_declare(p, &m->feature, &m->visual_bias, "object.feature", width,
                             features, std, true));
    if (!c->regions &&
        !fb_encoder_learns(c->encoder)) /* as FashionBERT's projector of raw patches */
        fb_params_scale_lr(m->feature, (float)c->grid / (float)c->image_size);
    FB_TRY(fb_linear_declare(p, &m->geometry, NULL, "object.geometry", width,
                             (int64_t)8 * m->frequencies, std, true));
    FB_TRY(declare_silent_norm(p, &m->object_gamma, &m->object_beta,
                               "object.visual.LayerNorm", width));
    return declare_silent_norm(p, &m->text_gamma, &m->text_beta,
                               "text.visual.LayerNorm", width);
}

static fb_status declare_heads(fb_params *p, fb_vlbert *m, const fb_model_config *c)
{
    static const char *const decoder_bias = "cls.predictions.bias";
    float std = (float)c->init_std;
    int64_t width = c->width;
    FB_TRY(fb_linear_declare(p, &m->pooler_weight, &m->pooler_bias, "bert.pooler.dense",
                             width, width, std, false));
    FB_TRY(fb_linear_declare(p, &m->relation_weight, &m->relation_bias, "relationship",
                             2, width, std, false));
    FB_TRY(fb_linear_declare(p, &m->mlm_weight, &m->mlm_bias,
                             "cls.predictions.transform.dense", width, width, std,
                             false));
    FB_TRY(fb_norm_declare(p, &m->mlm_gamma, &m->mlm_beta,
                           "cls.predictions.transform.LayerNorm", width, false));
    FB_TRY(fb_params_add(p, &m->decoder_bias, &decoder_bias,
                         (fb_param_shape){1, c->vocab, 1}, FB_INIT_ZERO, 0, false));
    FB_TRY(fb_linear_declare(p, &m->mvrc_weight, &m->mvrc_bias, "mvrc.transform.dense",
                             width, width, std, false));
    const fb_vlbert_config *own = fb_vlbert_own(c);
    return fb_linear_declare(p, &m->region_weight, &m->region_bias, "mvrc.prediction",
                             own->target == FB_VLBERT_CLASSES ? own->classes
                                                              : m->images.width,
                             width, std, false);
}

fb_status fb_vlbert_declare(fb_params *p, fb_vlbert *m, const fb_model_config *c,
                            fb_model_use use)
{
    int32_t frequencies = fb_vlbert_own(c)->frequencies;
    m->frequencies = frequencies ? frequencies : (c->width + 2) / 3;
    FB_TRY(fb_image_rows_declare(p, &m->images, c, use));
    FB_TRY(declare_text(p, m, c));
    FB_TRY(declare_objects(p, m, c));
    const fb_transformer_options o = {.layers = c->layers,
                                      .width = c->width,
                                      .heads = c->heads,
                                      .inner = c->inner,
                                      .eps = (float)c->eps,
                                      .init_std = (float)c->init_std,
                                      .act = FB_ACT_GELU};
    FB_TRY(fb_transformer_declare(p, &m->encoder, "bert.encoder", &o));
    return declare_heads(p, m, c);
}

/* ---- what the sequences are made of ---------------------------------------------- */

static fb_status fill_index(fb_tape *tape, int32_t **index, int64_t count,
                            int32_t constant)
{
    FB_TRY(fb_tape_ints(tape, index, count));
    for (int64_t i = 0; i < count; i++)
        (*index)[i] = constant;
    return FB_OK;
}

/* y = a + b: op_add's, without its dropout. */
static fb_status add(fb_tape *tape, fb_var **y, fb_var *a, fb_var *b)
{
    float dropout = tape->dropout;
    tape->dropout = 0;
    fb_status status = fb_op_add(tape, y, a, b);
    tape->dropout = dropout;
    return status;
}

/* pass->hidden: of the masked objects, each shows its feature in one of ten cases. */
static fb_status hide(fb_tape *tape, const fb_batch *batch, const fb_vlbert_step *step,
                      fb_vlbert_pass *pass)
{
    void *memory;
    int32_t rows = fb_image_rows_count(batch);
    bool any = false;
    FB_TRY(fb_tape_alloc(tape, &memory, (size_t)rows + 1));
    uint8_t *hidden = memory;
    for (int32_t r = 0; r < rows; r++) {
        double uniform = fb_random_hash32(~step->key, (uint32_t)r) * 0x1p-32;
        hidden[r] = batch->patch_masked[r] && uniform < step->visual_mask;
        any = any || hidden[r];
    }
    pass->hidden = any ? hidden : NULL;
    return FB_OK;
}

/* Means of each image's objects that are not hidden: of the whole image.    [I, F] */
static fb_status mean_features(fb_tape *tape, fb_var **means, const fb_batch *batch,
                               const fb_vlbert_pass *pass)
{
    int32_t *seen, *offsets, count = 0;
    fb_var *x;
    if (!pass->hidden)
        return fb_op_mean_rows(tape, means, pass->features, batch->image_offsets,
                               batch->images);
    FB_TRY(fb_tape_ints(tape, &seen, fb_image_rows_count(batch)));
    FB_TRY(fb_tape_ints(tape, &offsets, (int64_t)batch->images + 1));
    for (int32_t i = 0; i < batch->images; i++) {
        offsets[i] = count;
        for (int32_t r = batch->image_offsets[i]; r < batch->image_offsets[i + 1]; r++)
            if (!pass->hidden[r])
                seen[count++] = r;
    }
    offsets[batch->images] = count;
    FB_TRY(fb_op_gather(tape, &x, pass->features, NULL, seen, count));
    return fb_op_mean_rows(tape, means, x, offsets, batch->images);
}

/* Features of the objects, the mask where they are hidden, then of the whole images.
 *                                                                       [R + I, F] */
static fb_status show_features(fb_vlbert *m, fb_tape *tape, fb_var **shown,
                               const fb_batch *batch, const fb_vlbert_pass *pass)
{
    fb_var *x = pass->features, *means, *mask;
    int32_t *index, *none, rows = fb_image_rows_count(batch);
    FB_TRY(mean_features(tape, &means, batch, pass));
    if (pass->hidden) {
        fb_leaf *const table[1] = {m->mask};
        FB_TRY(fill_index(tape, &none, 1, 0));
        const int32_t *const ids[1] = {none};
        FB_TRY(fb_op_embed(tape, &mask, NULL, table, ids, 1, 1));
        FB_TRY(fb_tape_ints(tape, &index, rows));
        for (int32_t r = 0; r < rows; r++)
            index[r] = pass->hidden[r] ? rows : r;
        FB_TRY(fb_op_gather(tape, &x, x, mask, index, rows));
    }
    FB_TRY(fb_tape_ints(tape, &index, (int64_t)rows + batch->images));
    for (int32_t r = 0; r < rows + batch->images; r++)
        index[r] = r;
    return fb_op_gather(tape, shown, x, means, index, (int64_t)rows + batch->images);
}

/* pass->objects */
static fb_status embed_objects(fb_vlbert *m, fb_tape *tape, const fb_batch *batch,
                               fb_vlbert_pass *pass)
{
    fb_var *shown, *geometry, *dropped, *look, *place, *sum;
    FB_TRY(show_features(m, tape, &shown, batch, pass));
    FB_TRY(fb_vlbert_geometry_rows(tape, &geometry, batch, m->frequencies));
    FB_TRY(fb_op_dropout(tape, &dropped, shown));
    FB_TRY(fb_op_linear(tape, &look, dropped, m->feature, m->visual_bias, false));
    FB_TRY(fb_op_dropout(tape, &dropped, geometry));
    FB_TRY(fb_op_linear(tape, &place, dropped, m->geometry, NULL, false));
    FB_TRY(add(tape, &sum, look, place));
    return fb_op_act(tape, &pass->objects, sum, FB_ACT_RELU);
}

/* Visual embeddings of all rows of the sequences.                          [T, C] */
static fb_status place_looks(fb_vlbert *m, fb_tape *tape, fb_var **x,
                             const fb_batch *batch, const fb_vlbert_pass *pass)
{
    float eps = (float)m->matcher.config.eps;
    int32_t objects = fb_image_rows_count(batch), all = objects + batch->images, *index;
    fb_var *own, *whole, *of_text, *both, *none;
    FB_TRY(fb_op_norm(tape, &own, pass->objects, NULL, m->object_gamma, m->object_beta,
                      eps));
    FB_TRY(fb_tape_ints(tape, &index, batch->images));
    for (int32_t i = 0; i < batch->images; i++)
        index[i] = objects + i;
    FB_TRY(fb_op_gather(tape, &whole, pass->objects, NULL, index, batch->images));
    FB_TRY(fb_op_norm(tape, &of_text, whole, NULL, m->text_gamma, m->text_beta, eps));
    FB_TRY(fb_tape_ints(tape, &index, (int64_t)all + batch->images));
    for (int32_t i = 0; i < all + batch->images; i++)
        index[i] = i;
    FB_TRY(
        fb_op_gather(tape, &both, own, of_text, index, (int64_t)all + batch->images));
    FB_TRY(fb_tape_new_var(tape, &none, both->value.dtype, 1, both->value.dims[1]));
    FB_TRY(tape->be->m->fill(tape->ctx, tape->be, none->value.data, 0,
                             fb_tensor_bytes(&none->value)));
    none->needs_grad = false;
    return fb_op_gather(tape, x, both, none, pass->rows.visual, pass->rows.count);
}

/* Words, positions and types of all rows of the sequences.                 [T, C] */
static fb_status place_words(fb_vlbert *m, fb_tape *tape, fb_var **x,
                             const fb_batch *batch, const fb_vlbert_rows *rows)
{
    fb_leaf *const tables[3] = {m->word, m->position, m->segment};
    const int32_t *const ids[3] = {batch->token_ids, batch->token_positions,
                                   batch->token_segments};
    fb_leaf *const other_tables[3] = {m->other, m->position, m->object_type};
    int32_t *type;
    fb_var *text, *other;
    FB_TRY(fb_op_embed(tape, &text, NULL, tables, ids, 3, fb_batch_text_tokens(batch)));
    FB_TRY(fill_index(tape, &type, rows->other_count, 0));
    const int32_t *const other_ids[3] = {rows->other, rows->other_positions, type};
    FB_TRY(
        fb_op_embed(tape, &other, NULL, other_tables, other_ids, 3, rows->other_count));
    return fb_op_gather(tape, x, text, other, rows->word, rows->count);
}

/* pass->hidden_states */
static fb_status encode(fb_vlbert *m, fb_tape *tape, const fb_vlbert_step *step,
                        bool with_losses, fb_vlbert_pass *pass)
{
    const fb_batch *batch = pass->alignment.batch;
    const fb_vlbert_rows *rows = &pass->rows;
    const bool *enabled = step->enabled;
    const fb_row_list lists[] = {
        {rows->offsets, enabled[FB_VLBERT_TIA] ? rows->pairs : 0},
        {rows->mlm_rows, with_losses && enabled[FB_VLBERT_MLM] ? rows->mlm_count : 0},
        {rows->mvrc_rows,
         with_losses && enabled[FB_VLBERT_MVRC] ? rows->mvrc_count : 0}};
    fb_var *looks, *words, *sum, *normed, *x;
    FB_TRY(embed_objects(m, tape, batch, pass));
    FB_TRY(place_looks(m, tape, &looks, batch, pass));
    FB_TRY(place_words(m, tape, &words, batch, &pass->rows));
    FB_TRY(add(tape, &sum, looks, words));
    FB_TRY(fb_op_norm(tape, &normed, sum, NULL, m->gamma, m->beta,
                      (float)m->matcher.config.eps));
    FB_TRY(fb_op_dropout(tape, &x, normed));
    FB_TRY(fb_read_rows_pick(tape, &pass->read, lists, 3, rows->offsets, rows->pairs));
    return fb_read_rows_forward(tape, &pass->hidden_states, x, &m->encoder, 0,
                                &pass->read, rows->offsets, rows->pairs);
}

/* ---- heads ----------------------------------------------------------------------- */

static fb_status head_tia(fb_vlbert *m, fb_tape *tape, bool with_loss,
                          fb_vlbert_pass *pass)
{
    fb_var *first, *pooled, *bounded;
    FB_TRY(fb_read_rows_gather(tape, &first, pass->hidden_states, &pass->read,
                               pass->rows.offsets, pass->rows.pairs));
    FB_TRY(fb_op_linear(tape, &pooled, first, m->pooler_weight, m->pooler_bias, false));
    FB_TRY(fb_op_tanh(tape, &bounded, pooled));
    FB_TRY(fb_op_linear(tape, &pass->logits[FB_VLBERT_TIA], bounded, m->relation_weight,
                        m->relation_bias, true));
    if (!with_loss || pass->rows.pairs == 0)
        return FB_OK;
    return fb_pair_alignment_loss(tape, &pass->loss[FB_VLBERT_TIA], &pass->alignment,
                                  pass->logits[FB_VLBERT_TIA]);
}

static fb_status head_mlm(fb_vlbert *m, fb_tape *tape, fb_vlbert_pass *pass)
{
    fb_var *rows, *inner, *normed;
    FB_TRY(fb_read_rows_gather(tape, &rows, pass->hidden_states, &pass->read,
                               pass->rows.mlm_rows, pass->rows.mlm_count));
    FB_TRY(
        fb_op_linear_act(tape, &inner, rows, m->mlm_weight, m->mlm_bias, FB_ACT_GELU));
    FB_TRY(fb_op_norm(tape, &normed, inner, NULL, m->mlm_gamma, m->mlm_beta,
                      (float)m->matcher.config.eps));
    FB_TRY(fb_op_linear(tape, &pass->logits[FB_VLBERT_MLM], normed, m->word,
                        m->decoder_bias, true));
    return fb_op_cross_entropy(tape, &pass->loss[FB_VLBERT_MLM],
                               pass->logits[FB_VLBERT_MLM], pass->rows.mlm_targets);
}

/* log p of the object's class: its score there, the rest shared by the others. */
static fb_status fill_class(fb_tape *tape, float *out, int32_t classes,
                            const fb_batch *batch, int32_t object)
{
    int32_t class = batch->region_classes[object];
    double score = batch->region_scores ? (double)batch->region_scores[object] : 1;
    double least = 1.0 / classes, most = 1 - 1e-6;
    if (class < 0 || class >= classes)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "a region is of class %d, the model knows 0 to %d; give "
                       "config.json visual_classes for all",
                       (int)class, (int)classes - 1);
    score = score < least ? least : score > most ? most : score;
    for (int32_t i = 0; i < classes; i++)
        out[i] = (float)log((1 - score) / (classes - 1));
    out[class] = (float)log(score);
    return FB_OK;
}

/* What masked objects are to be: their features, or [M', K] by classes; `rows` are of
 * it. */
static fb_status find_targets(fb_vlbert *m, fb_tape *tape, fb_vlbert_pass *pass,
                              const int32_t **rows)
{
    const fb_vlbert_config *own = fb_vlbert_own(&m->matcher.config);
    const fb_batch *batch = pass->alignment.batch;
    int32_t count = pass->rows.mvrc_count, *order;
    *rows = pass->rows.mvrc_objects;
    pass->targets = pass->features->value;
    if (own->target == FB_VLBERT_FEATURES)
        return FB_OK;
    if (!batch->region_classes)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "masked objects are to be guessed by the detector's classes "
                       "(mvrc_target classes), and the images have none");
    fb_tensor host = fb_tensor_2d(NULL, tape->be->dtype, count, own->classes);
    void *memory;
    FB_TRY(fb_tape_ints(tape, &order, count));
    FB_TRY(
        fb_tape_alloc(tape, &memory, (size_t)fb_tensor_count(&host) * sizeof(float)));
    for (int32_t i = 0; i < count; i++) {
        order[i] = i;
        FB_TRY(fill_class(tape, (float *)memory + (ptrdiff_t)i * own->classes,
                          own->classes, batch, pass->rows.mvrc_objects[i]));
    }
    host.data = memory;
    if (host.dtype == FB_BF16) {
        FB_TRY(fb_tape_alloc(tape, &host.data, fb_tensor_bytes(&host)));
        for (int64_t i = 0; i < fb_tensor_count(&host); i++)
            ((fb_bf16 *)host.data)[i] = fb_bf16_from_f32(((float *)memory)[i]);
    }
    *rows = order;
    return fb_tape_upload(tape, &pass->targets, &host);
}

static fb_status head_mvrc(fb_vlbert *m, fb_tape *tape, fb_vlbert_pass *pass)
{
    fb_var *rows, *inner;
    const int32_t *targets;
    FB_TRY(find_targets(m, tape, pass, &targets));
    FB_TRY(fb_read_rows_gather(tape, &rows, pass->hidden_states, &pass->read,
                               pass->rows.mvrc_rows, pass->rows.mvrc_count));
    FB_TRY(fb_op_linear_act(tape, &inner, rows, m->mvrc_weight, m->mvrc_bias,
                            FB_ACT_GELU));
    FB_TRY(fb_op_linear(tape, &pass->logits[FB_VLBERT_MVRC], inner, m->region_weight,
                        m->region_bias, true));
    return fb_op_kld(tape, &pass->loss[FB_VLBERT_MVRC], pass->logits[FB_VLBERT_MVRC],
                     &pass->targets, targets);
}

/* ---- the pass -------------------------------------------------------------------- */

fb_status fb_vlbert_forward(fb_vlbert *m, fb_tape *tape, const fb_batch *batch,
                            const fb_vlbert_step *step, bool with_losses,
                            fb_vlbert_pass *pass)
{
    *pass = (fb_vlbert_pass){.features = NULL};
    fb_pair_alignment *a = &pass->alignment;
    FB_TRY(fb_pair_alignment_begin(tape, a, batch, with_losses ? step->others : 0,
                                   step->key));
    if (with_losses && step->patch_keep < 1) {
        if (!a->listwise) /* a view of the caller's batch that may differ from it */
            a->blocks.batch = *batch;
        a->batch = &a->blocks.batch;
        FB_TRY(fb_patches_leave_out(tape, &a->blocks.batch, step->patch_keep,
                                    fb_random_mix(~step->key)));
    }
    FB_TRY(fb_image_rows_forward(tape, &pass->features, &m->images, batch));
    FB_TRY(hide(tape, batch, step, pass));
    FB_TRY(fb_vlbert_rows_pack(tape, &pass->rows, a->batch,
                               a->listwise ? batch : a->batch, pass->hidden));
    FB_TRY(encode(m, tape, step, with_losses, pass));
    if (step->enabled[FB_VLBERT_TIA])
        FB_TRY(head_tia(m, tape, with_losses, pass));
    if (step->enabled[FB_VLBERT_MLM] && with_losses && pass->rows.mlm_count > 0)
        FB_TRY(head_mlm(m, tape, pass));
    if (step->enabled[FB_VLBERT_MVRC] && with_losses && pass->rows.mvrc_count > 0)
        FB_TRY(head_mvrc(m, tape, pass));
    return FB_OK;
}
