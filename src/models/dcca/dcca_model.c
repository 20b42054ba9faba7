/* dcca_model.c - see dcca_model.h. */
#include "models/dcca/dcca_model.h"

#include <math.h>
#include <stdlib.h>

#include "nn/transformer.h"

/* ---- the networks ----------------------------------------------------------------- */

static fb_status declare_network(fb_params *p, fb_dcca_network *n, const char *prefix,
                                 int32_t in, const fb_model_config *config)
{
    const fb_dcca_config *c = fb_dcca_config_of(config);
    char name[FB_PARAM_NAME];
    fb_param_name(name, "%s.LayerNorm", prefix);
    FB_TRY(fb_norm_declare(p, &n->gamma, &n->beta, name, in, false));
    for (int32_t i = 0; i < c->depth; i++) {
        fb_param_name(name, "%s.hidden.%d", prefix, (int)i);
        FB_TRY(fb_linear_declare(p, &n->weight[i], &n->bias[i], name, c->hidden, in,
                                 (float)sqrt(2.0 / in), false));
        in = c->hidden;
    }
    fb_param_name(name, "%s.output", prefix);
    return fb_linear_declare(p, &n->out_weight, &n->out_bias, name, config->vector, in,
                             (float)sqrt(1.0 / in), false);
}

fb_status fb_dcca_declare(fb_params *params, fb_dcca *m, const fb_model_config *config,
                          fb_model_use use)
{
    const fb_dcca_config *c = fb_dcca_config_of(config);
    const int32_t d[2] = {config->vector, config->vector};
    FB_TRY(fb_image_rows_declare(params, &m->rows, config, use));
    FB_TRY(fb_table_declare(params, &m->words, "dcca.text.embeddings.weight",
                            config->vocab, c->embedding, 1, false));
    FB_TRY(declare_network(params, &m->network[FB_VIEW_IMAGE], "dcca.image",
                           m->rows.width, config));
    FB_TRY(declare_network(params, &m->network[FB_VIEW_TEXT], "dcca.text", c->embedding,
                           config));
    return fb_projection_declare(params, &m->projection, "dcca.projection", d,
                                 config->vector);
}

static fb_status view_of(fb_dcca *m, fb_tape *tape, const fb_batch *batch, int view,
                         fb_var **mean)
{
    fb_leaf *const tables[1] = {m->words};
    const int32_t *const ids[1] = {batch->token_ids};
    fb_var *rows;
    if (view == FB_VIEW_IMAGE) {
        FB_TRY(fb_image_rows_forward(tape, &rows, &m->rows, batch));
        return fb_op_mean_rows(tape, mean, rows, batch->image_offsets, batch->images);
    }
    FB_TRY(fb_op_embed(tape, &rows, NULL, tables, ids, 1, fb_batch_text_tokens(batch)));
    return fb_op_mean_rows(tape, mean, rows, batch->text_offsets, batch->texts);
}

fb_status fb_dcca_forward(fb_dcca *m, fb_tape *tape, const fb_batch *batch, int view,
                          fb_var **h)
{
    const fb_model_config *config = &m->matcher.config;
    const fb_dcca_network *n = &m->network[view];
    fb_var *x, *next;
    FB_TRY(view_of(m, tape, batch, view, &x));
    FB_TRY(fb_op_norm(tape, &next, x, NULL, n->gamma, n->beta, (float)config->eps));
    FB_TRY(fb_op_dropout(tape, &x, next));
    for (int32_t i = 0; i < fb_dcca_config_of(config)->depth; i++) {
        FB_TRY(fb_op_linear_act(tape, &next, x, n->weight[i], n->bias[i], FB_ACT_GELU));
        x = next;
    }
    return fb_op_linear(tape, h, x, n->out_weight, n->out_bias, true);
}

/* ---- learning --------------------------------------------------------------------- */

fb_status fb_dcca_train_batch(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                              const void *step, fb_measures *measures)
{
    fb_dcca *m = (fb_dcca *)matcher;
    int32_t o = matcher->config.vector;
    fb_var *h[2];
    fb_loss *loss;
    (void)step;
    for (int v = 0; v < 2; v++)
        FB_TRY(fb_dcca_forward(m, tape, batch, v, &h[v]));
    FB_TRY(fb_op_trace_norm(tape, &loss, h[0], h[1], o,
                            fb_dcca_config_of(&matcher->config)->ridge));
    FB_TRY(fb_tape_fetch(tape));
    *measures = (fb_measures){.total = loss->value};
    fb_measures_put_loss(measures, "trace_norm", 0, loss->value, 1, batch->images);
    fb_measures_put_figure(measures, "correlation", -loss->value / o);
    FB_TRY(fb_matcher_check_loss(tape, loss->value));
    loss->seed = 1;
    return fb_tape_backward(tape, NULL, NULL, true);
}

/* The first `rows` of h as f64, in the tape's memory. */
static fb_status to_matrix(fb_tape *tape, const fb_var *h, int32_t rows, fb_matrix *out)
{
    const float *host;
    void *memory;
    int32_t o = (int32_t)h->value.dims[1];
    FB_TRY(fb_tape_read_f32(tape, &host, h->value.data, (int64_t)rows * o));
    FB_TRY(fb_tape_fetch(tape));
    FB_TRY(
        fb_tape_alloc(tape, &memory, ((size_t)rows * (size_t)o + 1) * sizeof(double)));
    *out = fb_matrix_of(memory, rows, o);
    for (int64_t i = 0; i < (int64_t)rows * o; i++)
        out->at[i] = (double)host[i];
    return FB_OK;
}

/* A batch's first `rows` products into the sums. */
static fb_status add(fb_context *ctx, fb_dcca *m, const fb_batch_stream *batches,
                     const fb_batch *batch, int32_t rows, fb_covariance *sums)
{
    fb_tape tape = {0};
    fb_matrix h[2];
    fb_arena_reset(batches->arena);
    fb_tape_begin(&tape, ctx, batches->be, batches->arena, false);
    for (int v = 0; v < 2; v++) {
        fb_var *var;
        FB_TRY(fb_dcca_forward(m, &tape, batch, v, &var));
        FB_TRY(to_matrix(&tape, var, rows, &h[v]));
    }
    fb_status status = fb_covariance_add(ctx, sums, h[0], h[1]);
    return status == FB_E_NUMBER ? fb_fail_in(ctx, "dcca, the networks' outputs")
                                 : status;
}

static fb_status solve(fb_context *ctx, fb_dcca *m, const fb_batch_stream *batches,
                       fb_covariance *sums)
{
    int64_t left = batches->rows;
    fb_canonical s;
    double eta = fb_dcca_config_of(&m->matcher.config)->top_ridge;
    const fb_ridge ridge[2] = {{eta, 1e-8}, {eta, 1e-8}};
    while (left > 0) {
        const fb_batch *batch;
        FB_TRY(batches->next(batches->self, ctx, &batch));
        if (!batch)
            break;
        int32_t rows = batch->images < left ? batch->images : (int32_t)left;
        FB_TRY(add(ctx, m, batches, batch, rows, sums));
        left -= rows;
    }
    fb_status status = fb_canonical_solve(ctx, &s, sums, m->matcher.config.vector,
                                          ridge, fb_view_names);
    if (status == FB_OK)
        status =
            fb_projection_set(ctx, m->matcher.params, batches->be, &m->projection, &s);
    fb_canonical_clear(&s);
    return status;
}

fb_status fb_dcca_finish(fb_context *ctx, fb_matcher *matcher,
                         const fb_batch_stream *batches)
{
    fb_covariance sums;
    int32_t o = matcher->config.vector;
    fb_status status = fb_covariance_create(ctx, &sums, o, o);
    if (status == FB_OK)
        status = solve(ctx, (fb_dcca *)matcher, batches, &sums);
    fb_covariance_clear(&sums);
    return status;
}

/* ---- vectors ---------------------------------------------------------------------- */

fb_status fb_dcca_vectors(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                          float *texts, float *images)
{
    fb_dcca *m = (fb_dcca *)matcher;
    const fb_dcca_config *c = fb_dcca_config_of(&matcher->config);
    float *const out[2] = {images, texts};
    const int32_t count[2] = {batch->images, batch->texts};
    for (int v = 0; v < 2; v++) {
        fb_var *var;
        fb_matrix h;
        if (!out[v] || count[v] == 0)
            continue;
        FB_TRY(fb_dcca_forward(m, tape, batch, v, &var));
        FB_TRY(to_matrix(tape, var, count[v], &h));
        FB_TRY(fb_projection_vectors(tape, &m->projection, v, h, c->power, out[v]));
    }
    return FB_OK;
}
