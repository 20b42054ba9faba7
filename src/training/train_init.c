/* train_init.c - see train_init.h. */
#include "training/train_init.h"

#include "base/file.h"
#include "base/json.h"
#include "nn/patch_encoder.h"
#include "training/recipe.h"

#include <stdio.h>
#include <string.h>

enum { CONFIG_LIMIT = 1 << 20 };

static fb_status config_path(fb_context *ctx, const fb_train_options *o,
                             char path[4096])
{
    if (!fb_path_is_folder(o->init))
        return fb_fail(ctx, FB_E_MISSING, "--init %s: no such folder", o->init);
    return fb_path_join(ctx, path, o->init, "config.json");
}

/* Where in the trunk what begins and ends. */
static void take_depth(fb_train_options *o, const fb_model_config *c)
{
    int32_t most = o->layers > 0 ? o->layers : c->layers;
    if (o->text_layers < 0 && c->vector > 0)
        o->text_layers = c->text_layers < most ? c->text_layers : most;
    if (c->score == FB_SCORE_ITC) /* alignment has yet to be learnt */
        return;
    if (o->patches_from < 0)
        o->patches_from = c->patches_from < most ? c->patches_from : most;
    if (strcmp(o->alignment_head, "auto") == 0)
        o->alignment_head = fb_alignment_head_name(c->head);
}

/* The image network of a model folder and what it sees, where the options leave these
 * open. */
static void take_network(fb_train_options *o, const fb_model_config *c)
{
    bool own = strcmp(o->encoder, "auto") == 0;
    if (own) {
        const char *patches = c->each ? "each" : "grid";
        bool other =
            strcmp(o->patches, "auto") != 0 && strcmp(o->patches, patches) != 0;
        o->encoder = fb_encoder_find(c->encoder)->name; /* lives on */
        if (!other) { /* the same network otherwise sees images of its own size */
            o->patches = patches;
            o->image_size = o->image_size < 0 ? c->image_size : o->image_size;
            if (c->each && o->patch_size < 0)
                o->patch_size = c->image_size / c->grid;
        }
    }
    if (strcmp(o->fit, "auto") == 0)
        o->fit = c->squash ? "squash" : "pad";
}

void fb_train_init_shape(fb_train_options *o, const fb_model_config *c)
{
    take_network(o, c);
    if (o->vector_size < 0 && c->vector > 0)
        o->vector_size = c->vector;
    take_depth(o, c);
}

static fb_status read_config(fb_context *ctx, const char *folder,
                             fb_model_config *config)
{
    char path[4096];
    FB_TRY(fb_path_join(ctx, path, folder, "config.json"));
    FB_TRY(fb_model_config_preset(ctx, config, "base"));
    return fb_model_config_read(ctx, config, path);
}

/* --encoder-weights FOLDER: of this program, with an image network that learns. */
static fb_status look_at_network(fb_context *ctx, fb_train_options *o)
{
    fb_model_config config;
    bool named = strcmp(o->encoder, "auto") != 0;
    if (!fb_path_is_folder(o->encoder_weights) ||
        (named && fb_encoder_find(o->encoder) && !fb_encoder_learns(o->encoder)))
        return FB_OK; /* fb_start_weights refuses what has none */
    FB_TRY(read_config(ctx, o->encoder_weights, &config));
    if (!fb_encoder_learns(config.encoder))
        return fb_fail(ctx, FB_E_USAGE,
                       "--encoder-weights %s: its encoder is %s, which has no weights",
                       o->encoder_weights, config.encoder);
    if (named && strcmp(o->encoder, config.encoder) != 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "--encoder %s: %s has an image network of another kind, %s",
                       o->encoder, o->encoder_weights, config.encoder);
    take_network(o, &config);
    return FB_OK;
}

fb_status fb_train_init_pixels(fb_context *ctx, const fb_train_options *options,
                               fb_model_config *config)
{
    fb_model_config from;
    if (!fb_path_is_folder(options->encoder_weights) ||
        !fb_encoder_learns(options->encoder))
        return FB_OK;
    FB_TRY(read_config(ctx, options->encoder_weights, &from));
    memcpy(config->mean, from.mean, sizeof config->mean);
    memcpy(config->std, from.std, sizeof config->std);
    if (fb_recipe_freezes(options))
        config->views = from.views;
    return FB_OK;
}

fb_status fb_train_init_look(fb_context *ctx, fb_train_options *options,
                             fb_start_kind *kind)
{
    char path[4096];
    json_t *root;
    *kind = FB_START_RANDOM;
    FB_TRY(look_at_network(ctx, options));
    if (!options->init[0])
        return FB_OK;
    if (options->config[0])
        return fb_fail(ctx, FB_E_USAGE,
                       "--config and --init both give the model's sizes; give one");
    FB_TRY(config_path(ctx, options, path));
    FB_TRY(fb_json_read(ctx, path, CONFIG_LIMIT, &root));
    *kind = json_is_object(json_object_get(root, "fashionbert")) ? FB_START_MODEL
                                                                 : FB_START_BERT;
    json_decref(root);
    if (*kind == FB_START_BERT)
        return FB_OK;
    fb_model_config config;
    FB_TRY(read_config(ctx, options->init, &config));
    fb_train_init_shape(options, &config);
    return FB_OK;
}

fb_status fb_train_init_config(fb_context *ctx, const fb_train_options *options,
                               fb_start_kind kind, fb_model_config *config)
{
    char path[4096];
    FB_TRY(fb_model_config_preset(ctx, config,
                                  kind == FB_START_RANDOM ? options->preset : "base"));
    config->max_text = 2; /* fits any file: --max-text has the last word */
    if (kind == FB_START_RANDOM) {
        if (options->config[0])
            FB_TRY(fb_model_config_read(ctx, config, options->config));
    } else {
        FB_TRY(config_path(ctx, options, path));
        FB_TRY(fb_model_config_read(ctx, config, path));
    }
    if (options->layers > config->layers && kind != FB_START_RANDOM)
        return fb_fail(ctx, FB_E_USAGE, "--layers %d: %s has %d", (int)options->layers,
                       options->init, (int)config->layers);
    if (options->layers > 0)
        config->layers = options->layers;
    return FB_OK;
}
