/* vse.c - see vse.h. */
#include "models/vse/vse.h"

#include "models/batch_recall.h"

#include <math.h>

static fb_status declare_uniform(fb_params *params, fb_leaf **leaf, const char *name,
                                 int64_t rows, int64_t columns, float bound)
{
    return fb_params_add(params, leaf, &name, (fb_param_shape){1, rows, columns},
                         bound > 0 ? FB_INIT_UNIFORM : FB_INIT_ZERO, bound, false);
}

fb_status fb_vse_declare(fb_params *params, fb_vse *m, const fb_model_config *config,
                         fb_model_use use)
{
    const fb_vse_config *own = (const fb_vse_config *)(const void *)&config->own;
    int64_t vector = config->vector;
    FB_TRY(fb_image_rows_declare(params, &m->rows, config, use));
    float bound = sqrtf(6.0f / (float)(m->rows.width + vector));
    FB_TRY(declare_uniform(params, &m->image_weight, "image.fc.weight", vector,
                           m->rows.width, bound));
    FB_TRY(declare_uniform(params, &m->image_bias, "image.fc.bias", vector, 1, 0));
    FB_TRY(declare_uniform(params, &m->words, "text.embed.weight", config->vocab,
                           own->words, 0.1f));
    return fb_gru_declare(params, &m->gru, "text.gru", own->words, config->vector,
                          false);
}

/* ---- forward -------------------------------------------------------------------- */

fb_status fb_vse_images(fb_vse *m, fb_tape *tape, const fb_batch *batch, fb_var **v)
{
    fb_var *rows, *mean, *x;
    FB_TRY(fb_image_rows_forward(tape, &rows, &m->rows, batch));
    FB_TRY(fb_op_mean_rows(tape, &mean, rows, batch->image_offsets, batch->images));
    FB_TRY(fb_op_linear(tape, &x, mean, m->image_weight, m->image_bias, false));
    return fb_op_unit_rows(tape, v, x);
}

fb_status fb_vse_texts(fb_vse *m, fb_tape *tape, const fb_batch *batch, fb_var **u)
{
    fb_leaf *const tables[1] = {m->words};
    const int32_t *const ids[1] = {batch->token_ids};
    fb_var *words, *last;
    FB_TRY(
        fb_op_embed(tape, &words, NULL, tables, ids, 1, fb_batch_text_tokens(batch)));
    FB_TRY(fb_gru_last(tape, &last, words, &m->gru, batch->text_offsets, batch->texts));
    return fb_op_unit_rows(tape, u, last);
}

/* ---- learning ------------------------------------------------------------------- */

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

/* The loss over the vectors of every process, and what it was. */
static fb_status run(fb_vse *m, fb_tape *tape, const fb_batch *batch,
                     const fb_vse_step *step, fb_loss **loss, fb_measures *measures)
{
    fb_var *v, *u, *images, *texts, *scores;
    const float *s;
    if (batch->texts != batch->images)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "%s needs a batch of items, not %d texts and %d images",
                       m->matcher.system->name, (int)batch->texts, (int)batch->images);
    fb_hinge hinge = {.count = batch->images * tape->comm->size,
                      .margin = step->margin,
                      .hardest = step->hardest};
    FB_TRY(fb_vse_images(m, tape, batch, &v));
    FB_TRY(fb_vse_texts(m, tape, batch, &u));
    FB_TRY(fb_op_gather_ranks(tape, &images, v));
    FB_TRY(fb_op_gather_ranks(tape, &texts, u));
    FB_TRY(gather_groups(tape, &hinge.a_group, batch->image_group, batch->images));
    FB_TRY(gather_groups(tape, &hinge.b_group, batch->text_group, batch->texts));
    FB_TRY(fb_op_group_products(tape, &scores, images, texts, hinge.count));
    FB_TRY(fb_op_hinge(tape, loss, scores, &hinge));
    FB_TRY(fb_tape_read_f32(tape, &s, scores->value.data,
                            fb_tensor_count(&scores->value)));
    FB_TRY(fb_tape_fetch(tape));
    FB_TRY(fb_matcher_check_loss(tape, (*loss)->value));
    double mean = hinge.count ? (*loss)->value / hinge.count : 0;
    *measures = (fb_measures){.total = mean};
    fb_measures_put_loss(measures, "hinge", FB_MEASURE_IS_TOTAL | FB_MEASURE_DECIDES,
                         mean, 1, hinge.count);
    fb_batch_recall_put(measures,
                        fb_batch_recall(s, hinge.a_group, hinge.b_group, hinge.count),
                        hinge.count);
    return FB_OK;
}

fb_status fb_vse_train_batch(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                             const void *step, fb_measures *measures)
{
    fb_loss *loss;
    if (!matcher->params->on.grad)
        return fb_fail(tape->ctx, FB_E_STATE, "this model was opened without training");
    FB_TRY(run((fb_vse *)matcher, tape, batch, step, &loss, measures));
    loss->seed = 1.0f;
    return fb_tape_backward(tape, NULL, NULL, true);
}

fb_status fb_vse_losses(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                        const void *step, fb_measures *measures)
{
    fb_loss *loss;
    return run((fb_vse *)matcher, tape, batch, step, &loss, measures);
}

/* ---- a trained model ------------------------------------------------------------ */

static fb_status copy_vectors(fb_tape *tape, float *out, const fb_var *vectors)
{
    int64_t count = fb_tensor_count(&vectors->value);
    const void *numbers;
    FB_TRY(fb_tape_read(tape, &numbers, &vectors->value));
    FB_TRY(fb_tape_fetch(tape));
    const float *f32 = numbers;
    const fb_bf16 *bf16 = numbers;
    for (int64_t i = 0; i < count; i++) {
        out[i] = vectors->value.dtype == FB_F32 ? f32[i] : fb_bf16_to_f32(bf16[i]);
        if (!isfinite(out[i]))
            return fb_fail(tape->ctx, FB_E_NUMBER, "a vector is not finite");
    }
    return FB_OK;
}

fb_status fb_vse_vectors(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                         float *texts, float *images)
{
    fb_vse *m = (fb_vse *)matcher;
    fb_var *vectors;
    if (texts) {
        FB_TRY(fb_vse_texts(m, tape, batch, &vectors));
        FB_TRY(copy_vectors(tape, texts, vectors));
    }
    if (!images)
        return FB_OK;
    FB_TRY(fb_vse_images(m, tape, batch, &vectors));
    return copy_vectors(tape, images, vectors);
}

fb_status fb_vse_features(fb_matcher *matcher, fb_tape *tape, const uint8_t *pixels,
                          int32_t images, fb_bf16 *features)
{
    return fb_image_rows_features(tape, features, &((fb_vse *)matcher)->rows.encoder,
                                  pixels, images, matcher->config.views);
}

double fb_vse_flops(const fb_matcher *matcher, const fb_batch *batch)
{
    const fb_vse *m = (const fb_vse *)matcher;
    return fb_image_rows_flops(&m->rows, batch) +
           2.0 * batch->images * m->rows.width * matcher->config.vector +
           fb_gru_flops(&m->gru, fb_batch_text_tokens(batch));
}
