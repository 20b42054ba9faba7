/* model_folder.c - opening a model folder. */
#include "engine/model_folder.h"

#include "base/file.h"
#include "base/option.h"
#include "engine/model_vectors.h"
#include "engine/neighbours.h"
#include "nn/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FB_OPTION_AT(member) offsetof(fb_model_options, member)
static const fb_option option_rows[] = {FB_SCORING_OPTIONS(FB_OPTION_ROW)};
#undef FB_OPTION_AT
static const fb_option_table option_table = FB_OPTION_TABLE(option_rows);

void fb_model_options_defaults(fb_model_options *options)
{
    *options = (fb_model_options){0};
    fb_options_defaults(&option_table, options);
}

/* Quantisation data, where products are to be of int8 numbers: asked for, or left open
 * and the folder has them. */
static fb_status read_int8(fb_context *ctx, fb_model *m, const char *dtype)
{
    char path[4096];
    bool asked = strcmp(dtype, "int8") == 0;
    if (!asked && strcmp(dtype, "auto") != 0)
        return FB_OK;
    FB_TRY(fb_path_join(ctx, path, m->folder, FB_QUANTIZATION_FILE));
    if (fb_path_exists(path))
        return fb_quantization_read(ctx, &m->int8, path);
    return !asked ? FB_OK
                  : fb_fail(ctx, FB_E_MISSING,
                            "%s: not there, and dtype int8 needs it: fashionbert "
                            "quantize --model %s --catalog DIR makes it",
                            path, m->folder);
}

static fb_status use_int8(fb_context *ctx, fb_model *m)
{
    if (!m->int8)
        return FB_OK;
    if (m->int8->fingerprint != m->fingerprint)
        return fb_fail(ctx, FB_E_STATE,
                       "%s/" FB_QUANTIZATION_FILE ": made for another model than the "
                       "one there; quantize it again, or give --dtype f32 or bf16",
                       m->folder);
    return fb_quantization_use(ctx, m->int8, m->matcher->params, m->be);
}

/* What the rest is computed in. */
static const char *float_type(const fb_model *m, const char *dtype)
{
    return m->int8 ? "f32" : strcmp(dtype, FB_DTYPE_FLOAT) == 0 ? "auto" : dtype;
}

static fb_status open_parts(fb_context *ctx, fb_model *m,
                            const fb_model_options *options)
{
    char path[4096];
    fb_model_config config;
    if (!fb_path_is_folder(m->folder))
        return fb_fail(ctx, FB_E_MISSING, "%s: no such model folder", m->folder);
    FB_TRY(fb_model_config_preset(ctx, &config, "base")); /* what absent keys mean */
    FB_TRY(fb_path_join(ctx, path, m->folder, "config.json"));
    FB_TRY(fb_model_config_read(ctx, &config, path));
    FB_TRY(fb_path_join(ctx, path, m->folder, "vocab.txt"));
    FB_TRY(fb_vocab_open(ctx, &m->vocab, path));
    if (fb_vocab_size(m->vocab) != config.vocab)
        return fb_fail(ctx, FB_E_FORMAT, "%s has %d lines, config.json says %d", path,
                       (int)fb_vocab_size(m->vocab), (int)config.vocab);
    FB_TRY(fb_path_join(ctx, path, m->folder, "model.safetensors"));
    if (!fb_path_exists(path))
        return fb_fail(ctx, FB_E_MISSING,
                       "%s: not there; training writes it with its first checkpoint",
                       path);
    FB_TRY(read_int8(ctx, m, options->dtype));
    FB_TRY(fb_backend_create(ctx, &m->be, options->backend,
                             float_type(m, options->dtype), options->threads));
    FB_TRY(fb_matcher_create(ctx, &m->matcher, &config, FB_MODEL_SCORE));
    if (!fb_matcher_gives(m->matcher, FB_GIVES_SCORE) &&
        !fb_matcher_gives(m->matcher, FB_GIVES_VECTORS))
        return fb_fail(ctx, FB_E_STATE,
                       "%s holds a pre-trained image encoder (%s), which scores no "
                       "pairs; train a model that starts from it: train --init %s",
                       m->folder, m->matcher->system->name, m->folder);
    FB_TRY(fb_weights_load(ctx, m->matcher->params, path));
    m->resizer = fb_resizer_create();
    if (!m->resizer)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to resize images");
    m->fingerprint = fb_model_hash(m);
    FB_TRY(fb_params_move(ctx, m->matcher->params, m->be));
    FB_TRY(use_int8(ctx, m));
    FB_TRY(fb_scorer_create(ctx, &m->scorer, m->be, m->matcher));
    if (config.score != FB_SCORE_BOTH || !(config.neighbour_weight > 0))
        return FB_OK;
    FB_TRY(fb_neighbours_open(ctx, &m->neighbours, m->folder, config.vector));
    fb_scorer_use_neighbours(m->scorer, m->neighbours);
    return FB_OK;
}

fb_status fb_model_open(fb_context *ctx, fb_model **model, const char *folder,
                        const fb_model_options *options)
{
    fb_model_options defaults;
    fb_model_options_defaults(&defaults);
    fb_model *m = calloc(1, sizeof *m);
    if (!m)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a model");
    if ((size_t)snprintf(m->folder, sizeof m->folder, "%s", folder) >=
        sizeof m->folder) {
        free(m);
        return fb_fail(ctx, FB_E_LIMIT, "the model folder's path is too long");
    }
    fb_status status = open_parts(ctx, m, options ? options : &defaults);
    if (status != FB_OK) {
        fb_model_close(m);
        return status;
    }
    *model = m;
    return FB_OK;
}

void fb_model_describe(const fb_model *model, char text[FB_COMPUTE_TEXT])
{
    char floats[FB_BACKEND_TEXT];
    fb_backend_describe(model->be, floats);
    if (model->int8)
        snprintf(text, FB_COMPUTE_TEXT, "int8 products by %s, the %srest in %s",
                 model->int8->by,
                 model->int8->no_network ? "image network and the " : "", floats);
    else
        snprintf(text, FB_COMPUTE_TEXT, "%s", floats);
}

void fb_model_say(const fb_model *model, bool quiet)
{
    char text[FB_COMPUTE_TEXT];
    fb_model_describe(model, text);
    if (!quiet)
        fprintf(stderr, "computing in %s\n", text);
}

void fb_model_close(fb_model *model)
{
    if (!model)
        return;
    fb_scorer_free(model->scorer);
    fb_neighbours_free(model->neighbours);
    fb_resizer_free(model->resizer);
    fb_region_table_close(model->regions);
    fb_quantization_free(model->int8);
    if (model->matcher)
        model->matcher->system->free(model->matcher, model->be);
    fb_backend_free(model->be);
    fb_vocab_free(model->vocab);
    free(model);
}
