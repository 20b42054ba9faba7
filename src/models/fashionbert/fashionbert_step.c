/* fashionbert_step.c - see fashionbert_step.h.
 *
 *     total = sum_i w_i l_i  (MLM, TIA, MPM; losses.h)  +  itc * ITC
 */
#include "models/fashionbert/fashionbert_step.h"

#include "models/fashionbert/fashionbert_parts.h"
#include "models/image_rows.h"

#include <math.h>
#include <string.h>

/* Pairs whose label is the larger logit, or lists whose first has the largest margin.
 */
static void count_right(const float *logits, const fb_fashionbert_pass *pass,
                        bool listwise, fb_pass_losses *out)
{
    const fb_batch *batch = pass->batch;
    out->pairs = listwise ? pass->hard.lists : batch->pairs;
    for (int32_t b = 0; !listwise && b < batch->pairs; b++)
        out->pairs_right += (logits[b * 2 + 1] > logits[b * 2]) == batch->pair_label[b];
    for (int32_t l = 0; listwise && l < pass->hard.lists; l++) {
        const int32_t *members = pass->hard.members + (int64_t)l * pass->hard.length;
        bool best = true;
        for (int32_t k = 1; k < pass->hard.length; k++)
            best = best && logits[members[0] * 2 + 1] - logits[members[0] * 2] >
                               logits[members[k] * 2 + 1] - logits[members[k] * 2];
        out->pairs_right += best;
    }
}

/* Images whose own text is the most similar of the batch's, and texts whose own image;
 * by similarities that were read back to the host. */
static void count_queries(const fb_tensor *host, fb_pass_losses *out)
{
    int64_t n = host->dims[0];
    const float *s = host->data;
    out->queries = 2 * n;
    for (int64_t i = 0; i < n; i++) {
        bool row = true, column = true;
        for (int64_t j = 0; j < n; j++) {
            row = row && (j == i || s[i * n + j] < s[i * n + i]);
            column = column && (j == i || s[j * n + i] < s[i * n + i]);
        }
        out->queries_right += row + column;
    }
}

fb_status fb_fashionbert_record(fb_tape *tape, const fb_fashionbert_pass *pass,
                                fb_pass_losses *out)
{
    *out = (fb_pass_losses){0};
    FB_TRY(fb_tape_fetch(tape));
    for (int i = 0; i < FB_LOSSES_ALL; i++) {
        if (!pass->loss[i])
            continue;
        out->present[i] = true;
        out->loss[i] = pass->loss[i]->value;
        out->rows[i] = pass->loss[i]->rows;
        FB_TRY(fb_matcher_check_loss(tape, out->loss[i]));
    }
    if (pass->itc) {
        out->itc = pass->itc->value;
        out->itc_rows = pass->itc->rows;
        FB_TRY(fb_matcher_check_loss(tape, out->itc));
    }
    return FB_OK;
}

static fb_status record_losses(fb_tape *tape, const fb_fashionbert_pass *pass,
                               const fb_loss_options *options, fb_pass_losses *out)
{
    const fb_var *tia = pass->logits[FB_LOSS_TIA];
    const void *logits = NULL;
    if (tia)
        FB_TRY(fb_tape_read(tape, &logits, &tia->value));
    FB_TRY(fb_fashionbert_record(tape, pass, out));
    if (pass->itc)
        count_queries(&pass->similarity, out);
    if (tia)
        count_right(logits, pass, options->listwise && options->negatives > 0, out);
    return FB_OK;
}

void fb_fashionbert_list(const fb_pass_losses *l, int32_t deciding, fb_measures *out)
{
    *out = (fb_measures){.total = l->total};
    for (int i = 0; i < FB_LOSSES_ALL; i++)
        if (i < FB_LOSSES || l->present[i])
            fb_measures_put_loss(out, fb_loss_name(i),
                                 FB_MEASURE_WEIGHED |
                                     (i == deciding ? FB_MEASURE_DECIDES : 0),
                                 l->loss[i], l->weight[i], l->rows[i]);
    fb_measures_put_share(out, "accuracy", FB_MEASURE_HEADLINE, (double)l->pairs_right,
                          l->pairs, 0);
    if (!l->itc_rows)
        return;
    fb_measures_put_loss(out, "itc", FB_MEASURE_BATCHES | FB_MEASURE_DECIDES, l->itc,
                         l->itc_weight, l->itc_rows);
    fb_measures_put_share(out, "itc_accuracy", FB_MEASURE_HEADLINE,
                          (double)l->queries_right, l->queries, 0);
}

/* Squared norms of d l_i / d h: nonzero only in the rows that head i reads, so the
 * head's own backward down to those rows tells all. */
static fb_status output_norms(fb_tape *tape, fb_fashionbert_pass *pass,
                              fb_pass_losses *out)
{
    for (int i = 0; i < FB_LOSSES_ALL; i++) {
        if (!pass->loss[i])
            continue;
        pass->loss[i]->seed = 1.0f;
        FB_TRY(fb_tape_backward(tape, pass->loss[i]->node, pass->mark[i], false));
        FB_TRY(tape->be->k->sum_squares(tape->ctx, tape->be, &out->squared_norm[i],
                                        &pass->rows[i]->grad));
        fb_tape_grad_release(tape, pass->rows[i]);
    }
    return FB_OK;
}

/* Squared norms over all shared parameters: a whole backward pass for each loss, into a
 * block of its own. */
static fb_status shared_norms(fb_params *params, fb_tape *tape,
                              fb_fashionbert_pass *pass, fb_pass_losses *out)
{
    float *scratch; /* from the step's arena: the same block every step */
    FB_TRY(fb_tape_floats(tape, &scratch, params->trained));
    fb_status status = FB_OK;
    fb_params_redirect(params, scratch);
    if (pass->itc)
        pass->itc->seed = 0.0f;
    for (int i = 0; i < FB_LOSSES_ALL && status == FB_OK; i++) {
        if (!pass->loss[i])
            continue;
        status = tape->be->m->fill(tape->ctx, tape->be, scratch, 0,
                                   (size_t)params->trained * sizeof(float));
        for (int j = 0; j < FB_LOSSES_ALL; j++)
            if (pass->loss[j])
                pass->loss[j]->seed = i == j ? 1.0f : 0.0f;
        if (status == FB_OK)
            status = fb_tape_backward(tape, NULL, NULL, true);
        for (fb_param *p = params->first; p && status == FB_OK; p = p->next) {
            fb_tensor g = fb_tensor_1d(p->leaf.grad, FB_F32, p->rows * p->columns);
            double sum = 0;
            if (p->shared && !p->frozen)
                status = tape->be->k->sum_squares(tape->ctx, tape->be, &sum, &g);
            out->squared_norm[i] += sum;
        }
    }
    fb_params_redirect(params, params->on.grad);
    return status;
}

fb_status fb_fashionbert_weigh(fb_fashionbert *m, fb_tape *tape,
                               fb_fashionbert_pass *pass,
                               const fb_loss_options *options, fb_pass_losses *out)
{
    double coefficient[FB_LOSSES_ALL], g[FB_LOSSES_ALL] = {0};
    if (options->mode == FB_ADAPTIVE_SOFTMAX) {
        fb_adaptive_softmax(out->weight, coefficient, out->loss, out->present,
                            FB_LOSSES_ALL, options->detach);
    } else {
        if (options->mode == FB_ADAPTIVE_GRADIENT && options->shared_norms)
            FB_TRY(shared_norms(m->matcher.params, tape, pass, out));
        else if (options->mode == FB_ADAPTIVE_GRADIENT)
            FB_TRY(output_norms(tape, pass, out));
        FB_TRY(fb_comm_sum_f64(tape->ctx, tape->comm, out->squared_norm,
                               FB_LOSSES_ALL)); /* each process has its own rows */
        fb_adaptive_normalise(g, out->squared_norm, out->present, FB_LOSSES_ALL);
        fb_adaptive_solve(out->weight, g, out->present, FB_LOSSES_ALL);
        memcpy(coefficient, out->weight, sizeof coefficient);
    }
    for (int i = 0; i < FB_LOSSES_ALL; i++) {
        out->total += out->weight[i] * out->loss[i];
        if (pass->loss[i])
            pass->loss[i]->seed = (float)coefficient[i];
    }
    if (pass->itc) {
        out->itc_weight = options->itc;
        out->total += options->itc * out->itc;
        pass->itc->seed = (float)options->itc;
    }
    return FB_OK;
}

fb_status fb_fashionbert_train_batch(fb_matcher *matcher, fb_tape *tape,
                                     const fb_batch *batch, const void *step,
                                     fb_measures *measures)
{
    fb_fashionbert *m = (fb_fashionbert *)matcher;
    const fb_loss_options *options = step;
    fb_fashionbert_pass pass;
    fb_pass_losses losses;
    if (!m->matcher.params->on.grad)
        return fb_fail(tape->ctx, FB_E_STATE, "this model was opened without training");
    FB_TRY(fb_fashionbert_forward_training(m, tape, batch, options, &pass));
    FB_TRY(record_losses(tape, &pass, options, &losses));
    FB_TRY(fb_fashionbert_weigh(m, tape, &pass, options, &losses));
    fb_fashionbert_list(&losses, FB_LOSS_TIA, measures);
    return fb_tape_backward(tape, NULL, NULL, true);
}

fb_status fb_fashionbert_losses(fb_matcher *matcher, fb_tape *tape,
                                const fb_batch *batch, const void *step,
                                fb_measures *measures)
{
    const fb_loss_options *options = step;
    fb_fashionbert_pass pass;
    fb_pass_losses losses;
    FB_TRY(fb_fashionbert_forward_training((fb_fashionbert *)matcher, tape, batch,
                                           options, &pass));
    FB_TRY(record_losses(tape, &pass, options, &losses));
    fb_fashionbert_list(&losses, FB_LOSS_TIA, measures);
    return FB_OK;
}

fb_status fb_fashionbert_score(fb_matcher *matcher, fb_tape *tape,
                               const fb_batch *batch, float *margins)
{
    static const bool tia_only[FB_LOSSES_ALL] = {[FB_LOSS_TIA] = true};
    fb_fashionbert_pass pass;
    FB_TRY(fb_fashionbert_forward((fb_fashionbert *)matcher, tape, batch, tia_only,
                                  false, &pass));
    const fb_tensor *t = &pass.logits[FB_LOSS_TIA]->value;
    const float *logits;
    FB_TRY(fb_tape_read_f32(tape, &logits, t->data, fb_tensor_count(t)));
    FB_TRY(fb_tape_fetch(tape));
    for (int32_t b = 0; b < batch->pairs; b++) {
        margins[b] = logits[b * 2 + 1] - logits[b * 2];
        if (!isfinite(margins[b]))
            return fb_fail(tape->ctx, FB_E_NUMBER, "the score of pair %d is not finite",
                           (int)b);
    }
    return FB_OK;
}

static fb_status copy_vectors(fb_tape *tape, float *out, const fb_tensor *vectors)
{
    int64_t count = fb_tensor_count(vectors);
    const void *numbers;
    FB_TRY(fb_tape_read(tape, &numbers, vectors));
    FB_TRY(fb_tape_fetch(tape));
    const float *f32 = numbers;
    const uint16_t *bf16 = numbers;
    for (int64_t i = 0; i < count; i++) {
        out[i] = vectors->dtype == FB_F32 ? f32[i] : fb_bf16_to_f32(bf16[i]);
        if (!isfinite(out[i]))
            return fb_fail(tape->ctx, FB_E_NUMBER, "a vector is not finite");
    }
    return FB_OK;
}

fb_status fb_fashionbert_vectors(fb_matcher *matcher, fb_tape *tape,
                                 const fb_batch *batch, float *texts, float *images)
{
    fb_fashionbert_pass pass;
    FB_TRY(fb_fashionbert_forward_vectors((fb_fashionbert *)matcher, tape, batch,
                                          texts != NULL, images != NULL, &pass));
    if (texts)
        FB_TRY(copy_vectors(tape, texts, &pass.text_vectors->value));
    if (images)
        FB_TRY(copy_vectors(tape, images, &pass.image_vectors->value));
    return FB_OK;
}

fb_status fb_fashionbert_features(fb_matcher *matcher, fb_tape *tape,
                                  const uint8_t *pixels, int32_t images,
                                  fb_bf16 *features)
{
    fb_fashionbert *m = (fb_fashionbert *)matcher;
    return fb_image_rows_features(tape, features, &m->patch_encoder, pixels, images,
                                  m->matcher.config.views);
}

double fb_fashionbert_similarity_scale(const fb_matcher *matcher)
{
    const fb_fashionbert *m = (const fb_fashionbert *)matcher;
    if (!matcher->config.vector)
        return 0;
    return matcher->config.similarity_weight *
           fb_contrast_head_scale(
               fb_params_value(matcher->params, m->contrast.log_scale)[0]);
}

double fb_fashionbert_flops(const fb_matcher *matcher, const fb_batch *batch)
{
    const fb_fashionbert *m = (const fb_fashionbert *)matcher;
    const fb_model_config *c = &matcher->config;
    double flops = 2.0 * fb_batch_rows(batch) * fb_model_config_features(c) * c->width;
    if (!batch->feature_width)
        flops += batch->images * fb_patch_encoder_flops(&m->patch_encoder);
    fb_transformer_options alone = m->encoder.options;
    alone.layers = c->patches_from;
    int32_t pooled = fb_patch_pool_count(c);
    int32_t merged = pooled ? fb_model_config_patches(c) - pooled : 0; /* of an image */
    for (int32_t t = 0; t < batch->texts && alone.layers > 0; t++)
        flops += fb_transformer_flops(&alone, batch->text_offsets[t + 1] -
                                                  batch->text_offsets[t]);
    double reads =
        (batch->pairs + batch->mlm_count + batch->mpm_count) / fmax(batch->pairs, 1);
    for (int32_t b = 0; b < batch->pairs; b++) {
        double rows = batch->seq_offsets[b + 1] - batch->seq_offsets[b] - merged;
        flops += fb_read_rows_flops(&m->encoder.options, c->patches_from, rows,
                                    c->head == FB_HEAD_PRODUCT ? rows : reads);
    }
    flops += fb_patch_pool_flops(&m->pool, batch->images, c->width);
    return flops + 2.0 * batch->pairs * c->width * (c->width + 2);
}
