/* cca_system.c - CCA as a row of the registry (system.h). */
#include "models/cca/cca_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "nn/transformer.h"

enum {
    WIDEST = 8192,
    VECTOR = 256,
    THUMBNAIL = 16,
    CONCAT = 1024,
    KERNEL = 2048,
    ROUND = 64
};

static const fb_config_key keys[] = {
    {"cca_text_width", FB_CONFIG_INT32, FB_CONFIG_OWN(fb_cca_config, text_width), 1,
     WIDEST, NULL, 2048},
    {"cca_image_cells", FB_CONFIG_INT32, FB_CONFIG_OWN(fb_cca_config, cells), 0, 64,
     NULL, 0},
    {"cca_image_kernel", FB_CONFIG_INT32, FB_CONFIG_OWN(fb_cca_config, kernel[0]), -1,
     WIDEST, NULL, -1},
    {"cca_text_kernel", FB_CONFIG_INT32, FB_CONFIG_OWN(fb_cca_config, kernel[1]), -1,
     WIDEST, NULL, 0},
    {"cca_image_ridge", FB_CONFIG_DOUBLE, FB_CONFIG_OWN(fb_cca_config, ridge[0]), 0, 10,
     NULL, 0},
    {"cca_text_ridge", FB_CONFIG_DOUBLE, FB_CONFIG_OWN(fb_cca_config, ridge[1]), 0, 10,
     NULL, 0},
    {"cca_power", FB_CONFIG_DOUBLE, FB_CONFIG_OWN(fb_cca_config, power), 0, 16, NULL,
     1}};

static const fb_option_value defaults[] = {
    {"encoder", "pixels"}, {"patches", "grid"},   {"fit", "squash"},
    {"epochs", "1"},       {"batch", "256"},      {"lr", "0"},
    {"warmup", "0"},       {"weight-decay", "0"}, {NULL, NULL}};
static const fb_objective objectives[] = {{"cca", defaults}};

/* ---- options ---------------------------------------------------------------------- */

/* A thumbnail is all that a linear map can use of pixels. */
static fb_status settle(fb_context *ctx, fb_train_options *o)
{
    if (o->regions[0])
        return FB_OK;
    if (!fb_encoder_learns(o->encoder)) {
        if (o->image_size < 0)
            o->image_size = THUMBNAIL;
        return FB_OK;
    }
    if (o->encoder_weights[0] || o->init[0] || o->resume)
        return FB_OK;
    return fb_fail(ctx, FB_E_USAGE,
                   "cca does not train the image network --encoder %s; give its "
                   "weights by --encoder-weights, or --encoder pixels",
                   o->encoder);
}

static fb_status plan(fb_context *ctx, const fb_train_options *o, fb_train_plan *plan,
                      void *step)
{
    (void)ctx, (void)o, (void)step;
    plan->items = plan->whole_texts = plan->whole_images = true;
    return FB_OK;
}

/* The most cells, halving from the grid, whose rows side by side are still few. */
static int32_t cells_that_fit(const fb_model_config *c)
{
    int64_t width = fb_model_config_features(c);
    int32_t cells = c->regions ? 1 : c->grid;
    while (cells > 1 && cells * cells * width > CONCAT)
        cells = cells % 2 ? 1 : cells / 2;
    return cells;
}

/* As many frequencies as products, more could not be told apart. */
static int32_t kernel_for(int64_t rows)
{
    return rows < KERNEL ? (int32_t)((rows + ROUND - 1) / ROUND * ROUND) : KERNEL;
}

static fb_status configure(fb_context *ctx, fb_model_config *config,
                           const fb_train_options *o, const fb_start *start)
{
    fb_cca_config *own = (fb_cca_config *)(void *)&config->own;
    config->score = FB_SCORE_ITC;
    config->similarity_weight = 1;
    if (own->cells == 0)
        own->cells = cells_that_fit(config);
    if (own->text_width > config->vocab)
        own->text_width = config->vocab;
    for (int v = 0; v < 2; v++)
        if (own->kernel[v] < 0)
            own->kernel[v] = kernel_for(start->rows);
    fb_cca_widths w = fb_cca_widths_of(config);
    int32_t most = w.d[0] < w.d[1] ? w.d[0] : w.d[1];
    if (o->vector_size > most)
        return fb_fail(ctx, FB_E_USAGE,
                       "--vector-size %d: cca has %d coordinates at most, as an image "
                       "has %d numbers and a text %d",
                       (int)o->vector_size, (int)most, (int)w.d[0], (int)w.d[1]);
    if (o->vector_size >= start->rows)
        return fb_fail(ctx, FB_E_USAGE,
                       "--vector-size %d needs %d products of split train, there are "
                       "%lld",
                       (int)o->vector_size, (int)o->vector_size + 1,
                       (long long)start->rows);
    int32_t wanted = most < VECTOR ? most : VECTOR;
    config->vector = o->vector_size > 0     ? o->vector_size
                     : wanted < start->rows ? wanted
                                            : (int32_t)start->rows - 1;
    return FB_OK;
}

/* Of a file that a run starts from nothing is settled yet, and it has no vector. */
static fb_status check(fb_context *ctx, const fb_model_config *c, const char *where)
{
    const fb_cca_config *own = fb_cca_config_of(c);
    fb_cca_widths w = fb_cca_widths_of(c);
    double width = (double)own->cells * own->cells * fb_model_config_features(c);
    if (width > WIDEST)
        return fb_fail(
            ctx, FB_E_FORMAT,
            "%s: cca_image_cells %d makes %g numbers of an image, %d are the "
            "most",
            where, (int)own->cells, width, WIDEST);
    if (c->vector == 0)
        return FB_OK;
    if (own->cells < 1 || own->kernel[0] < 0 || own->kernel[1] < 0)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: a model's cca_image_cells and kernels are not left open",
                       where);
    if (c->vector > w.d[0] || c->vector > w.d[1])
        return fb_fail(
            ctx, FB_E_FORMAT,
            "%s: vector_size is %d, more than the numbers of an image (%d) or "
            "of a text (%d)",
            where, (int)c->vector, (int)w.d[0], (int)w.d[1]);
    return FB_OK;
}

/* ---- the model -------------------------------------------------------------------- */

static void cca_free(fb_matcher *matcher, fb_backend *be)
{
    if (!matcher)
        return;
    fb_cca *m = (fb_cca *)matcher;
    fb_image_rows_free(&m->rows, be);
    fb_params_free(matcher->params, be);
    free(m);
}

static fb_status declare_kernel(fb_params *p, fb_cca *m, int view, const char *name)
{
    fb_cca_widths w = fb_cca_widths_of(&m->matcher.config);
    char full[FB_PARAM_NAME];
    if (!fb_cca_config_of(&m->matcher.config)->kernel[view])
        return FB_OK;
    fb_param_name(full, "cca.%s.frequency", name);
    return fb_linear_declare(p, &m->frequency[view], &m->phase[view], full, w.d[view],
                             w.raw[view], 1, false);
}

static fb_status declare(fb_params *p, fb_cca *m, const fb_model_config *c)
{
    static const char *const pieces[1] = {"cca.text.idf"};
    fb_cca_widths w = fb_cca_widths_of(c);
    FB_TRY(fb_image_rows_declare(p, &m->rows, c, FB_MODEL_TRAIN_FROZEN));
    FB_TRY(fb_params_add(p, &m->pieces, pieces, (fb_param_shape){1, c->vocab, 1},
                         FB_INIT_ZERO, 0, false));
    FB_TRY(declare_kernel(p, m, FB_VIEW_IMAGE, "image"));
    FB_TRY(declare_kernel(p, m, FB_VIEW_TEXT, "text"));
    FB_TRY(fb_projection_declare(p, &m->projection, "cca", w.d, c->vector));
    fb_params_freeze(p, "cca.");
    return FB_OK;
}

static fb_status create(fb_context *ctx, fb_matcher **matcher,
                        const fb_model_config *config, fb_model_use use)
{
    if (config->vector == 0)
        return fb_fail(ctx, FB_E_FORMAT,
                       "a model of cca has vectors, vector_size is 0");
    fb_cca *m = calloc(1, sizeof *m);
    if (!m)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a model");
    m->matcher.system = &fb_cca_system;
    m->matcher.config = *config;
    m->matcher.config.system = &fb_cca_system;
    fb_status status = fb_params_create(ctx, &m->matcher.params);
    if (status == FB_OK)
        status = declare(m->matcher.params, m, config);
    if (status == FB_OK)
        status = fb_params_allocate(m->matcher.params, use != FB_MODEL_SCORE);
    if (status != FB_OK) {
        cca_free(&m->matcher, NULL);
        return status;
    }
    *matcher = &m->matcher;
    return FB_OK;
}

/* Frequencies of deviation 1, which the fit scales, and phases, drawn afresh whatever the
 * run starts from. */
static fb_status begin(fb_context *ctx, fb_matcher *matcher,
                       const fb_train_options *options, const fb_start *start)
{
    const double turn = 6.283185307179586;
    fb_cca *m = (fb_cca *)matcher;
    FB_TRY(fb_start_weights(ctx, options, start, matcher->params));
    for (int v = 0; v < 2; v++) {
        if (!m->frequency[v])
            continue;
        float *frequency = fb_params_value(matcher->params, m->frequency[v]);
        float *phase = fb_params_value(matcher->params, m->phase[v]);
        const fb_weight *w = &m->frequency[v]->weight;
        fb_random r =
            fb_random_start(options->seed, FB_STREAM_INIT, 1000 + (uint64_t)v);
        for (int64_t i = 0; i < w->out * w->in; i++)
            frequency[i] = (float)fb_random_normal(&r);
        for (int64_t i = 0; i < w->out; i++)
            phase[i] = (float)(fb_random_uniform(&r) * turn);
    }
    fb_params_touch(matcher->params);
    return FB_OK;
}

static fb_status losses(fb_matcher *m, fb_tape *tape, const fb_batch *b,
                        const void *step, fb_measures *out)
{
    int32_t k = m->config.vector;
    float *texts, *images;
    void *memory;
    (void)step;
    FB_TRY(fb_tape_alloc(tape, &memory, ((size_t)b->texts * (size_t)k + 1) * 4));
    texts = memory;
    FB_TRY(fb_tape_alloc(tape, &memory, ((size_t)b->images * (size_t)k + 1) * 4));
    images = memory;
    FB_TRY(fb_cca_vectors(m, tape, b, texts, images));
    FB_TRY(fb_projection_measure(tape->ctx, b, texts, images, k, "cca", out));
    return fb_matcher_check_loss(tape, out->total);
}

static double similarity_scale(const fb_matcher *m)
{
    return m->config.similarity_weight;
}

static fb_status features(fb_matcher *m, fb_tape *tape, const uint8_t *pixels,
                          int32_t images, fb_bf16 *out)
{
    fb_cca *c = (fb_cca *)m;
    return fb_image_rows_features(tape, out, &c->rows.encoder, pixels, images,
                                  c->rows.views);
}

/* Products alone; a text's are of its few pieces. */
static double forward_flops(const fb_matcher *m, const fb_batch *b)
{
    const fb_cca *c = (const fb_cca *)m;
    fb_cca_widths w = fb_cca_widths_of(&m->config);
    double flops = fb_image_rows_flops(&c->rows, b), count[2] = {b->images, b->texts};
    for (int v = 0; v < 2; v++) {
        flops += 2.0 * count[v] * w.d[v] * m->config.vector;
        if (c->frequency[v])
            flops += 2.0 * count[v] * w.d[v] * w.raw[v];
    }
    return flops;
}

const fb_system fb_cca_system = {
    .name = "cca",
    .number = 10,
    .reads = FB_READS_TITLE | FB_READS_PIXELS | FB_READS_FEATURES | FB_READS_REGIONS,
    .gives = FB_GIVES_VECTORS | FB_GIVES_FEATURES,
    .keys = {keys, sizeof keys / sizeof keys[0]},
    .objectives = objectives,
    .objective_count = 1,
    .settle = settle,
    .plan = plan,
    .configure = configure,
    .check = check,
    .create = create,
    .begin = begin,
    .fit = fb_cca_fit,
    .losses = losses,
    .vectors = fb_cca_vectors,
    .similarity_scale = similarity_scale,
    .features = features,
    .forward_flops = forward_flops,
    .free = cca_free,
};
