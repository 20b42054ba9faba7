/* local_match.c - see local_match.h. */
#include "models/local_match.h"

#include "models/batch_recall.h"

#include <math.h>
#include <stdlib.h>

static const fb_local_config *config_of(const fb_local_match *m)
{
    return (const fb_local_config *)(const void *)&m->matcher.config.own;
}

/* ---- parameters ---------------------------------------------------------------------- */

static fb_status add_uniform(fb_params *p, fb_leaf **leaf, const char *name,
                             int64_t rows, int64_t columns, float bound)
{
    const char *const names[] = {name};
    const fb_param_shape shape = {1, rows, columns};
    return fb_params_add(p, leaf, names, shape, FB_INIT_UNIFORM, bound, true);
}

/* Begun as VSE++'s and SCAN's are. */
static fb_status declare(fb_params *p, fb_local_match *m, fb_model_use use)
{
    const fb_model_config *c = &m->matcher.config;
    const char *const bias[] = {"image.fc.bias"};
    int32_t words = config_of(m)->word_width;
    FB_TRY(fb_image_rows_declare(p, &m->image, c, use));
    m->seen = m->image.width + (m->kind->extra ? m->kind->extra(c) : 0);
    FB_TRY(add_uniform(p, &m->row_weight, "image.fc.weight", c->width, m->seen,
                       sqrtf(6.0f / (float)(m->seen + c->width))));
    FB_TRY(fb_params_add(p, &m->row_bias, bias, (fb_param_shape){1, c->width, 1},
                         FB_INIT_ZERO, 0, true));
    FB_TRY(add_uniform(p, &m->word, "text.embed.weight", c->vocab, words, 0.1f));
    FB_TRY(fb_gru_declare(p, &m->gru, "text.gru", words, c->width, true));
    return m->kind->declare ? m->kind->declare(p, m) : FB_OK;
}

fb_status fb_local_create(fb_context *ctx, fb_matcher **matcher,
                          const fb_model_config *config, fb_model_use use,
                          const fb_system *system, const fb_local_kind *kind)
{
    fb_local_match *m = calloc(1, kind->bytes);
    if (!m)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a model");
    m->matcher.system = system;
    m->matcher.config = *config;
    m->matcher.config.system = system;
    m->kind = kind;
    fb_status status = fb_params_create(ctx, &m->matcher.params);
    if (status == FB_OK)
        status = declare(m->matcher.params, m, use);
    if (status == FB_OK)
        status = fb_params_allocate(m->matcher.params, use != FB_MODEL_SCORE);
    if (status != FB_OK) {
        fb_local_free(&m->matcher, NULL);
        return status;
    }
    *matcher = &m->matcher;
    return FB_OK;
}

void fb_local_free(fb_matcher *m, fb_backend *be)
{
    fb_image_rows_free(&((fb_local_match *)m)->image, be);
    fb_params_free(m->params, be);
    free(m);
}

/* ---- forward ------------------------------------------------------------------------ */

static fb_status make_words(fb_local_match *m, fb_tape *tape, const fb_batch *b,
                            fb_var **words)
{
    fb_leaf *const tables[1] = {m->word};
    const int32_t *const ids[1] = {b->token_ids};
    fb_var *x, *dropped, *states;
    FB_TRY(fb_op_embed(tape, &x, NULL, tables, ids, 1, fb_batch_text_tokens(b)));
    FB_TRY(fb_op_dropout(tape, &dropped, x));
    FB_TRY(fb_gru_forward(tape, &states, dropped, &m->gru, b->text_offsets, b->texts));
    return fb_op_unit_rows(tape, words, states);
}

static fb_status make_rows(fb_local_match *m, fb_tape *tape, const fb_batch *b,
                           fb_var **rows)
{
    fb_var *x, *y;
    if (m->kind->look)
        FB_TRY(m->kind->look(tape, &x, m, b));
    else
        FB_TRY(fb_image_rows_forward(tape, &x, &m->image, b));
    FB_TRY(fb_op_linear(tape, &y, x, m->row_weight, m->row_bias, false));
    return fb_op_unit_rows(tape, rows, y);
}

/* How words and rows are weighed: one form of each direction that counts. */
static int32_t forms_of(const fb_local_match *m, fb_stacked_form *forms)
{
    const fb_local_config *c = config_of(m);
    float share = c->direction == FB_LOCAL_BOTH ? 0.5f : 1.0f;
    int32_t count = 0;
    if (c->direction != FB_LOCAL_I2T)
        forms[count++] = (fb_stacked_form){.lse = c->lse,
                                           .lambda1 = (float)c->t2i_lambda1,
                                           .lambda2 = (float)c->t2i_lambda2,
                                           .focus = (float)m->kind->focus,
                                           .scale = share};
    if (c->direction != FB_LOCAL_T2I)
        forms[count++] = (fb_stacked_form){.rows_ask = true,
                                           .lse = c->lse,
                                           .lambda1 = (float)c->i2t_lambda1,
                                           .lambda2 = (float)c->i2t_lambda2,
                                           .scale = share};
    return count;
}

fb_status fb_local_forward(fb_local_match *m, fb_tape *tape, const fb_batch *batch,
                           fb_local_pass *pass)
{
    fb_stacked_sides sides = {.texts = batch->texts,
                              .images = batch->images,
                              .text_offsets = batch->text_offsets,
                              .image_offsets = batch->image_offsets};
    *pass = (fb_local_pass){0};
    sides.forms = forms_of(m, sides.form);
    FB_TRY(make_words(m, tape, batch, &pass->words));
    FB_TRY(make_rows(m, tape, batch, &pass->rows));
    return fb_op_stacked(tape, &pass->scores, pass->words, pass->rows, &sides);
}

/* ---- loss --------------------------------------------------------------------------- */

static fb_status forward_loss(fb_local_match *m, fb_tape *tape, const fb_batch *b,
                              const fb_local_step *step, fb_local_pass *pass)
{
    if (b->texts != b->images || b->pairs != b->texts)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "%s learns from batches of items, each text beside each image",
                       m->matcher.system->name);
    FB_TRY(fb_local_forward(m, tape, b, pass));
    const fb_hinge hinge = {.count = b->images,
                            .a_group = b->image_group,
                            .b_group = b->text_group,
                            .margin = step->margin,
                            .hardest = step->hardest};
    return fb_op_hinge(tape, &pass->loss, pass->scores, &hinge);
}

static fb_status record(fb_tape *tape, const fb_batch *b, const fb_local_pass *pass,
                        fb_measures *out)
{
    const float *scores;
    FB_TRY(fb_tape_read_f32(tape, &scores, pass->scores->value.data,
                            (int64_t)b->images * b->texts));
    FB_TRY(fb_tape_fetch(tape));
    double loss = b->images ? pass->loss->value / b->images : 0; /* mean, as logged */
    FB_TRY(fb_matcher_check_loss(tape, loss));
    *out = (fb_measures){.total = loss};
    fb_measures_put_loss(out, "hinge", FB_MEASURE_IS_TOTAL | FB_MEASURE_DECIDES, loss,
                         1, b->images);
    fb_batch_recall_put(
        out, fb_batch_recall(scores, b->image_group, b->text_group, b->images),
        b->images);
    return FB_OK;
}

fb_status fb_local_train_batch(fb_matcher *matcher, fb_tape *tape,
                               const fb_batch *batch, const void *step,
                               fb_measures *measures)
{
    fb_local_pass pass;
    if (!matcher->params->on.grad)
        return fb_fail(tape->ctx, FB_E_STATE, "this model was opened without training");
    FB_TRY(forward_loss((fb_local_match *)matcher, tape, batch, step, &pass));
    FB_TRY(record(tape, batch, &pass, measures));
    pass.loss->seed = 1.0f;
    return fb_tape_backward(tape, NULL, NULL, true);
}

fb_status fb_local_losses(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                          const void *step, fb_measures *measures)
{
    fb_local_pass pass;
    FB_TRY(forward_loss((fb_local_match *)matcher, tape, batch, step, &pass));
    return record(tape, batch, &pass, measures);
}

/* ---- scores ------------------------------------------------------------------------- */

/* Scores become margins; FB_E_NUMBER names what is not finite. */
static fb_status calibrated(fb_tape *tape, const fb_matcher *m, float *margins,
                            int64_t count)
{
    const fb_model_config *c = &m->config;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(margins[i]))
            return fb_fail(tape->ctx, FB_E_NUMBER,
                           "the score of pair %lld is not finite", (long long)i);
        margins[i] = (float)(c->alignment_weight * (double)margins[i] + c->score_bias);
    }
    return FB_OK;
}

fb_status fb_local_score(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                         float *margins)
{
    fb_local_pass pass;
    const float *scores;
    FB_TRY(fb_local_forward((fb_local_match *)matcher, tape, batch, &pass));
    FB_TRY(fb_tape_read_f32(tape, &scores, pass.scores->value.data,
                            (int64_t)batch->images * batch->texts));
    FB_TRY(fb_tape_fetch(tape));
    for (int32_t i = 0; i < batch->pairs; i++)
        margins[i] =
            scores[(int64_t)batch->pair_image[i] * batch->texts + batch->pair_text[i]];
    return calibrated(tape, matcher, margins, batch->pairs);
}

int32_t fb_local_token_width(const fb_matcher *m)
{
    return m->config.width;
}

/* Numbers of a variable as f32 on the host. */
static fb_status copy_out(fb_tape *tape, const fb_var *x, float *to)
{
    const void *numbers;
    int64_t count = fb_tensor_count(&x->value);
    FB_TRY(fb_tape_read(tape, &numbers, &x->value));
    FB_TRY(fb_tape_fetch(tape));
    for (int64_t i = 0; i < count; i++)
        to[i] = x->value.dtype == FB_BF16
                    ? fb_bf16_to_f32(((const fb_bf16 *)numbers)[i])
                    : ((const float *)numbers)[i];
    return FB_OK;
}

fb_status fb_local_tokens(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                          float *words, float *rows)
{
    fb_local_match *m = (fb_local_match *)matcher;
    fb_var *x;
    if (words) {
        FB_TRY(make_words(m, tape, batch, &x));
        FB_TRY(copy_out(tape, x, words));
    }
    if (!rows)
        return FB_OK;
    FB_TRY(make_rows(m, tape, batch, &x));
    return copy_out(tape, x, rows);
}

fb_status fb_local_score_tokens(fb_matcher *matcher, fb_tape *tape,
                                const fb_token_pairs *pairs, float *margins)
{
    const fb_local_match *m = (const fb_local_match *)matcher;
    fb_stacked_pairs p = {.width = matcher->config.width,
                          .words = pairs->words,
                          .rows = pairs->rows,
                          .text_offsets = pairs->text_offsets,
                          .image_offsets = pairs->image_offsets,
                          .count = pairs->count,
                          .text = pairs->text,
                          .image = pairs->image};
    p.forms = forms_of(m, p.form);
    FB_TRY(fb_stacked_score(tape, margins, &p));
    return calibrated(tape, matcher, margins, pairs->count);
}

fb_status fb_local_features(fb_matcher *m, fb_tape *tape, const uint8_t *pixels,
                            int32_t images, fb_bf16 *features)
{
    fb_image_rows *rows = &((fb_local_match *)m)->image;
    return fb_image_rows_features(tape, features, &rows->encoder, pixels, images,
                                  rows->views);
}

/* ---- cost --------------------------------------------------------------------------- */

/* Products of contexts with themselves, and of these with the attention of all queries:
 * of lengths n of contexts, over `queries` in all. */
static double context_flops(const int32_t *offsets, int32_t count, double width,
                            double queries)
{
    double flops = 0;
    for (int32_t k = 0; k < count; k++) {
        double n = offsets[k + 1] - offsets[k];
        flops += 2 * n * n * (width + queries);
    }
    return flops;
}

double fb_local_flops(const fb_matcher *matcher, const fb_batch *b)
{
    const fb_local_match *m = (const fb_local_match *)matcher;
    double width = matcher->config.width, words = fb_batch_text_tokens(b);
    double rows = fb_image_rows_count(b);
    fb_stacked_form form[FB_STACKED_FORMS];
    int32_t forms = forms_of(m, form);
    double flops = fb_image_rows_flops(&m->image, b) + fb_gru_flops(&m->gru, words) +
                   2 * rows * width * m->seen + 2 * words * rows * width;
    if (m->kind->look_flops)
        flops += m->kind->look_flops(m, b);
    for (int32_t f = 0; f < forms; f++)
        flops += form[f].rows_ask
                     ? context_flops(b->text_offsets, b->texts, width, rows)
                     : context_flops(b->image_offsets, b->images, width, words);
    return flops;
}
