/* qti_model.c - see qti_model.h. */
#include "models/qti/qti_model.h"
#include "models/fashionbert/fashionbert_parts.h"
#include "models/fashionbert/fashionbert_step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is judged, and which parts a sequence of it has. */
static const struct alignment {
    int32_t loss;
    bool query, title, image;
} alignments[] = {{FB_LOSS_CLICK, true, true, true},
                  {FB_LOSS_QT, true, true, false},
                  {FB_LOSS_QI, true, false, true},
                  {FB_LOSS_TIA, false, true, true}};
enum { ALIGNMENTS = sizeof alignments / sizeof alignments[0] };

fb_status fb_qti_declare(fb_params *p, fb_qti *m, const fb_model_config *c)
{
    float std = (float)c->init_std;
    FB_TRY(fb_fashionbert_declare(p, &m->base, c));
    FB_TRY(fb_linear_declare(p, &m->click_weight, &m->click_bias, "click", 2, c->width,
                             std, false));
    FB_TRY(fb_linear_declare(p, &m->qt_weight, &m->qt_bias, "match_qt", 2, c->width,
                             std, false));
    return fb_linear_declare(p, &m->qi_weight, &m->qi_bias, "match_qi", 2, c->width,
                             std, false);
}

static void head_of(const fb_qti *m, int32_t loss, fb_leaf **weight, fb_leaf **bias)
{
    *weight = loss == FB_LOSS_CLICK ? m->click_weight
              : loss == FB_LOSS_QT  ? m->qt_weight
              : loss == FB_LOSS_QI  ? m->qi_weight
                                    : m->base.match_weight;
    *bias = loss == FB_LOSS_CLICK ? m->click_bias
            : loss == FB_LOSS_QT  ? m->qt_bias
            : loss == FB_LOSS_QI  ? m->qi_bias
                                  : m->base.match_bias;
}

/* ---- forward --------------------------------------------------------------------- */

/* The sequences of one kind: rows of their [CLS], and labels. */
typedef struct sequences {
    int32_t *rows, *labels, count;
} sequences;

static fb_status list_sequences(fb_tape *tape, const fb_batch *b,
                                const struct alignment *a, sequences *s)
{
    void *memory;
    FB_TRY(fb_tape_alloc(tape, &memory, 2 * ((size_t)b->pairs + 1) * sizeof(int32_t)));
    *s = (sequences){.rows = memory, .labels = (int32_t *)memory + b->pairs + 1};
    for (int32_t i = 0; i < b->pairs; i++) {
        if ((b->pair_query[i] >= 0) != a->query || (b->pair_text[i] >= 0) != a->title ||
            (b->pair_image[i] >= 0) != a->image)
            continue;
        s->rows[s->count] = b->cls_rows[i];
        s->labels[s->count++] = b->pair_label[i];
    }
    return FB_OK;
}

static fb_status head_align(fb_qti *m, fb_tape *tape, const struct alignment *a,
                            bool with_loss, fb_fashionbert_pass *pass)
{
    sequences s;
    fb_leaf *weight, *bias;
    fb_var *pooled, *bounded;
    FB_TRY(list_sequences(tape, pass->batch, a, &s));
    if (s.count == 0)
        return FB_OK;
    head_of(m, a->loss, &weight, &bias);
    FB_TRY(fb_read_rows_gather(tape, &pass->rows[a->loss], pass->hidden, &pass->read,
                               s.rows, s.count));
    pass->mark[a->loss] = tape->last;
    FB_TRY(fb_op_linear(tape, &pooled, pass->rows[a->loss], m->base.pooler_weight,
                        m->base.pooler_bias, false));
    FB_TRY(fb_op_tanh(tape, &bounded, pooled));
    FB_TRY(fb_op_linear(tape, &pass->logits[a->loss], bounded, weight, bias, true));
    if (!with_loss)
        return FB_OK;
    return fb_op_cross_entropy(tape, &pass->loss[a->loss], pass->logits[a->loss],
                               s.labels);
}

fb_status fb_qti_forward(fb_qti *m, fb_tape *tape, const fb_batch *batch,
                         const bool enabled[FB_LOSSES_ALL], bool with_losses,
                         fb_fashionbert_pass *pass)
{
    fb_fashionbert *base = &m->base;
    *pass = (fb_fashionbert_pass){.batch = batch};
    if (!batch->pair_query)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "this model reads a query, a title and an image; the batch has "
                       "no queries");
    FB_TRY(fb_fashionbert_embed_text(base, tape, batch, &pass->text));
    if (with_losses)
        FB_TRY(fb_fashionbert_embed_features(base, tape, batch, pass));
    else
        FB_TRY(fb_fashionbert_look(base, tape, batch, pass));
    FB_TRY(fb_fashionbert_encode(base, tape, enabled, with_losses, true, pass));
    if (enabled[FB_LOSS_MLM] && with_losses && batch->mlm_count > 0)
        FB_TRY(fb_fashionbert_head_mlm(base, tape, batch, pass));
    if (enabled[FB_LOSS_MPM] && with_losses && batch->mpm_count > 0)
        FB_TRY(fb_fashionbert_head_mpm(base, tape, batch, pass));
    for (int32_t i = 0; i < ALIGNMENTS; i++)
        if (enabled[alignments[i].loss])
            FB_TRY(head_align(m, tape, &alignments[i], with_losses, pass));
    return FB_OK;
}

/* ---- as a matcher ---------------------------------------------------------------- */

/* Triples whose label is the larger logit. */
static void count_right(const float *logits, const fb_fashionbert_pass *pass,
                        fb_pass_losses *out)
{
    const fb_batch *b = pass->batch;
    for (int32_t i = 0; i < b->pairs && logits; i++) {
        if (b->pair_query[i] < 0 || b->pair_text[i] < 0 || b->pair_image[i] < 0)
            continue;
        out->pairs_right += (logits[1] > logits[0]) == (b->pair_label[i] == 1);
        out->pairs++;
        logits += 2;
    }
}

static fb_status record(fb_tape *tape, const fb_fashionbert_pass *pass,
                        fb_pass_losses *out)
{
    const fb_var *clicks = pass->logits[FB_LOSS_CLICK];
    const void *logits = NULL;
    if (clicks)
        FB_TRY(fb_tape_read(tape, &logits, &clicks->value));
    FB_TRY(fb_fashionbert_record(tape, pass, out));
    count_right(logits, pass, out);
    return FB_OK;
}

fb_status fb_qti_losses(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                        const void *step, fb_measures *measures)
{
    const fb_loss_options *options = step;
    fb_fashionbert_pass pass;
    fb_pass_losses losses;
    FB_TRY(
        fb_qti_forward((fb_qti *)matcher, tape, batch, options->enabled, true, &pass));
    FB_TRY(record(tape, &pass, &losses));
    fb_fashionbert_list(&losses, FB_LOSS_CLICK, measures);
    return FB_OK;
}

fb_status fb_qti_train_batch(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                             const void *step, fb_measures *measures)
{
    const fb_loss_options *options = step;
    fb_qti *m = (fb_qti *)matcher;
    fb_fashionbert_pass pass;
    fb_pass_losses losses;
    if (!matcher->params->on.grad)
        return fb_fail(tape->ctx, FB_E_STATE, "this model was opened without training");
    FB_TRY(fb_qti_forward(m, tape, batch, options->enabled, true, &pass));
    FB_TRY(record(tape, &pass, &losses));
    FB_TRY(fb_fashionbert_weigh(&m->base, tape, &pass, options, &losses));
    fb_fashionbert_list(&losses, FB_LOSS_CLICK, measures);
    return fb_tape_backward(tape, NULL, NULL, true);
}

fb_status fb_qti_score(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                       float *margins)
{
    static const bool clicks[FB_LOSSES_ALL] = {[FB_LOSS_CLICK] = true};
    fb_fashionbert_pass pass;
    FB_TRY(fb_qti_forward((fb_qti *)matcher, tape, batch, clicks, false, &pass));
    const fb_var *logits = pass.logits[FB_LOSS_CLICK];
    if (!logits || logits->value.dims[0] != batch->pairs)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "a score is of a query, a title and an image; a pair lacks one");
    const float *l;
    FB_TRY(fb_tape_read_f32(tape, &l, logits->value.data, 2 * (int64_t)batch->pairs));
    FB_TRY(fb_tape_fetch(tape));
    for (int32_t b = 0; b < batch->pairs; b++) {
        margins[b] = l[b * 2 + 1] - l[b * 2];
        if (!isfinite(margins[b]))
            return fb_fail(tape->ctx, FB_E_NUMBER,
                           "the score of triple %d is not finite", (int)b);
    }
    return FB_OK;
}
