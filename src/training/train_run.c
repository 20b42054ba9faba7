/* train_run.c - opening and closing a training run; see train_run.h. */
#include "training/train_run.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include "data/text/vocab_learn.h"
#include "nn/patch_encoder.h"
#include "training/recipe.h"
#include "training/train_features.h"
#include "training/train_options.h"
#include "training/train_queries.h"
#include "training/train_regions.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fb_status check_range(fb_context *ctx, const char *option, double value,
                             double low, double high)
{
    if (value >= low && value <= high)
        return FB_OK;
    return fb_fail(ctx, FB_E_USAGE, "%s takes %g to %g, not %g", option, low, high,
                   value);
}

/* What the system makes of the options. */
static fb_status plan_learning(fb_train_run *run)
{
    const fb_train_options *o = &run->options;
    fb_fit fit;
    run->step = calloc(1, run->system->step_bytes + 1);
    if (!run->step)
        return fb_fail(run->ctx, FB_E_MEMORY, "no memory for a training run");
    if (run->system->plan)
        FB_TRY(run->system->plan(run->ctx, o, &run->plan, run->step));
    FB_TRY(fb_fit_parse(run->ctx, o->fit, &fit));
    run->optimizer = (fb_optimizer_options){o->lr,           o->beta1, o->beta2, 1e-8,
                                            o->weight_decay, o->clip,  o->warmup};
    return FB_OK;
}

static fb_status make_vocab(fb_train_run *run)
{
    const fb_train_options *o = &run->options;
    if (o->vocab[0] || run->start.kind != FB_START_RANDOM)
        return fb_vocab_open(run->ctx, &run->vocab, o->vocab[0] ? o->vocab : o->init);
    int32_t count;
    const int32_t *items =
        fb_catalogue_split_items(run->catalogue, FB_SPLIT_TRAIN, &count);
    const char **texts = malloc(((size_t)count + 1) * sizeof *texts);
    if (!texts)
        return fb_fail(run->ctx, FB_E_MEMORY, "no memory for the titles");
    for (int32_t i = 0; i < count; i++)
        texts[i] = fb_catalogue_get(run->catalogue, items[i])->title;
    fb_status status = fb_vocab_learn(run->ctx, &run->vocab, texts, count,
                                      o->vocab_size, o->vocab_least);
    free(texts);
    return status;
}

/* A system that reads queries goes on by itself alone. */
static fb_status check_start(fb_train_run *run)
{
    const fb_system *from = run->start.config.system;
    if (run->start.kind != FB_START_MODEL || !(from->reads & FB_READS_QUERY) ||
        (run->system->reads & FB_READS_QUERY))
        return FB_OK;
    return fb_fail(run->ctx, FB_E_USAGE,
                   "--init %s: a model of queries; only --objective %s goes on from it",
                   run->options.init, from->objectives[0].name);
}

/* An encoder that sees whole images says how many patches they have. */
static void set_encoder(fb_model_config *config, const fb_train_options *o,
                        const fb_encoder *encoder)
{
    fb_model_config_set_encoder(config, encoder);
    config->each = strcmp(o->patches, "each") == 0;
    if (o->config[0])
        return;
    config->image_size = config->each ? o->patch_size * config->grid : o->image_size;
    if (config->each || encoder->alone)
        return;
    int32_t side = encoder->shape(encoder, config->image_size).side;
    if (side > 0)
        config->grid = side;
}

static fb_status check_pool(const fb_train_run *run)
{
    const fb_config_keys keys = run->system->keys;
    for (int32_t i = 0; i < keys.count; i++)
        if (strcmp(keys.rows[i].name, "pooled_patches") == 0)
            return FB_OK;
    if (run->options.pool_patches > 0)
        return fb_fail(run->ctx, FB_E_USAGE,
                       "--pool-patches merges patches of fashionbert's stream; %s has "
                       "none to merge",
                       run->system->name);
    return FB_OK;
}

/* Sizes of a new model: the preset's, or a config.json's, with the options over them.
 */
static fb_status make_config(fb_train_run *run, fb_model_config *config)
{
    const fb_train_options *o = &run->options;
    const fb_encoder *encoder;
    FB_TRY(fb_encoder_get(run->ctx, &encoder, o->encoder));
    FB_TRY(fb_train_init_config(run->ctx, o, run->start.kind, config));
    run->start.config = *config;
    run->start.rows = fb_train_run_rows(run, FB_SPLIT_TRAIN);
    FB_TRY(check_start(run));
    FB_TRY(check_pool(run));
    fb_model_config_set_system(config, run->system);
    config->vocab = fb_vocab_size(run->vocab);
    config->dropout = o->dropout;
    config->max_text = o->max_text;
    config->squash = strcmp(o->fit, "squash") == 0;
    set_encoder(config, o, encoder);
    FB_TRY(fb_train_init_pixels(run->ctx, o, config));
    FB_TRY(fb_train_regions_configure(run, config));
    config->text_layers =
        o->text_layers < 0 ? (config->layers + 1) / 2 : o->text_layers;
    config->vector = config->patches_from = 0;
    config->head = FB_HEAD_CLS;
    config->score = FB_SCORE_TIA;
    if (o->flip > 0 && encoder->views > 1)
        config->views = encoder->views; /* test-time augmentation, as trained */
    config->neighbour_weight = 0;       /* calibration finds it */
    if (run->system->configure)
        FB_TRY(run->system->configure(run->ctx, config, o, &run->start));
    FB_TRY(check_range(run->ctx, "--max-text", o->max_text, 3, config->positions));
    return fb_model_config_check(run->ctx, config,
                                 o->config[0] ? o->config : "options");
}

static fb_status start_folder(fb_train_run *run)
{
    char path[4096];
    const char *out = run->options.out;
    FB_TRY(fb_folder_make(run->ctx, out));
    FB_TRY(fb_path_join(run->ctx, path, out, "vocab.txt"));
    FB_TRY(fb_vocab_save(run->ctx, run->vocab, path));
    FB_TRY(fb_path_join(run->ctx, path, out, "config.json"));
    return fb_model_config_write(run->ctx, &run->matcher->config, path);
}

static fb_status refuse_used_folder(fb_context *ctx, const char *out)
{
    static const char *const signs[] = {"config.json", "model.safetensors", "last"};
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        char path[4096];
        FB_TRY(fb_path_join(ctx, path, out, signs[i]));
        if (fb_path_exists(path))
            return fb_fail(
                ctx, FB_E_USAGE,
                "%s holds a model already; go on with it by --resume or give "
                "another --out",
                out);
    }
    return FB_OK;
}

int64_t fb_train_run_products(const fb_train_run *run)
{
    int64_t items = fb_train_run_rows(run, FB_SPLIT_TRAIN);
    bool few = run->plan.items && items < run->matched; /* then all are a batch */
    return (few ? items : run->matched) * run->options.accumulate * run->comm->size;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Of a fresh run: whatever ends first. */
static int64_t count_steps(const fb_train_run *run, int64_t most)
{
    const fb_train_options *o = &run->options;
    double epochs = ceil(o->epochs * (double)run->steps_per_epoch);
    int64_t steps = run->system->fit ? run->steps_per_epoch
                    : o->steps       ? o->steps
                                     : (int64_t)epochs;
    if (o->products) {
        int64_t fit = o->products / fb_train_run_products(run);
        steps = least(steps, fit > 1 ? fit : 1);
    }
    return most ? least(steps, most) : steps;
}

static fb_status plan_steps(fb_train_run *run, int64_t most)
{
    fb_train_options *o = &run->options;
    int32_t items = fb_train_run_rows(run, FB_SPLIT_TRAIN);
    run->matched = run->plan.items ? o->batch : (o->batch + 1) / 2;
    int64_t per_step = (int64_t)run->matched * o->accumulate;
    run->steps_per_epoch = items > per_step ? (items + per_step - 1) / per_step : 1;
    if (!run->state.total_steps)
        run->state.planned_steps = count_steps(run, most);
    FB_TRY(fb_train_schedule_read(run->ctx, &run->schedule, run->state.planned_steps,
                                  o->shorten));
    run->state.total_steps = fb_train_schedule_total(&run->schedule);
    run->checkpoint_every =
        o->checkpoint_every ? o->checkpoint_every : run->steps_per_epoch;
    run->validate_every = o->validate_every ? o->validate_every : run->checkpoint_every;
    fb_catalogue_split_items(run->catalogue, FB_SPLIT_VAL, &items);
    run->has_validation = items >= 2 && fb_train_run_rows(run, FB_SPLIT_VAL) > 0;
    return FB_OK;
}

/* Titles and images are told apart by what differs: of one product, title or image
 * alone every loss is 0, and every model perfect. */
static fb_status check_differences(fb_train_run *run, const int32_t *items,
                                   int32_t count)
{
    const fb_catalogue *c = run->catalogue;
    const fb_catalogue_item *first = fb_catalogue_get(c, items[0]);
    bool product = false, title = false, image = run->regions != NULL;
    uint64_t key = 0, other;
    if (run->queries || !(run->system->reads & FB_READS_TITLE))
        return FB_OK;
    for (int32_t i = 1; i < count && !(product && title && image); i++) {
        const fb_catalogue_item *item = fb_catalogue_get(c, items[i]);
        product |= strcmp(item->product_id, first->product_id) != 0;
        title |= strcmp(item->title, first->title) != 0;
        if (image || strcmp(item->file_name, first->file_name) == 0)
            continue;
        if (key == 0)
            FB_TRY(fb_catalogue_image_key(run->ctx, c, items[0], &key));
        FB_TRY(fb_catalogue_image_key(run->ctx, c, items[i], &other));
        image = other != key;
    }
    if (product && title && image)
        return FB_OK;
    return fb_fail(run->ctx, FB_E_USAGE,
                   "%s: all items of split train have the same %s, so there is nothing "
                   "to tell apart",
                   run->options.catalog,
                   !product ? "product_id"
                   : !title ? "title"
                            : "image");
}

static fb_status open_catalogue(fb_train_run *run)
{
    fb_train_options *o = &run->options;
    int32_t items;
    const int32_t *rows;
    if (!o->catalog[0])
        return fb_fail(run->ctx, FB_E_USAGE, "train needs --catalog");
    const fb_catalogue_options how = {.files_may_lack = o->regions[0] != 0};
    FB_TRY(fb_catalogue_open(run->ctx, &run->catalogue, o->catalog, &how));
    rows = fb_catalogue_split_items(run->catalogue, FB_SPLIT_TRAIN, &items);
    if (items < 2)
        return fb_fail(run->ctx, FB_E_MISSING,
                       "%s has %d items of split train; at least 2 are needed",
                       o->catalog, (int)items);
    FB_TRY(fb_train_queries_open(run));
    FB_TRY(fb_train_regions_open(run));
    FB_TRY(check_differences(run, rows, items));
    uint64_t fingerprint = fb_train_run_fingerprint(run);
    if (run->state.step && run->state.fingerprint != fingerprint)
        return fb_fail(run->ctx, FB_E_STATE,
                       "%s %s that %s was trained on; a run goes on with its own",
                       o->catalog,
                       run->queries   ? "or its queries are not what"
                       : run->regions ? "or its regions are not what"
                                      : "is not the catalogue",
                       o->out);
    run->state.fingerprint = fingerprint;
    return FB_OK;
}

static fb_model_use use_of(const fb_train_run *run)
{
    return fb_recipe_freezes(&run->options) ? FB_MODEL_TRAIN_FROZEN : FB_MODEL_TRAIN;
}

static fb_status start_fresh(fb_train_run *run)
{
    fb_model_config config;
    FB_TRY(open_catalogue(run));
    FB_TRY(make_vocab(run));
    FB_TRY(make_config(run, &config));
    FB_TRY(fb_matcher_create(run->ctx, &run->matcher, &config, use_of(run)));
    fb_params_initialise(run->matcher->params, run->options.seed);
    if (run->system->begin)
        return run->system->begin(run->ctx, run->matcher, &run->options, &run->start);
    return fb_start_weights(run->ctx, &run->options, &run->start, run->matcher->params);
}

static fb_status go_on(fb_train_run *run)
{
    char path[4096];
    fb_model_config config;
    const char *out = run->options.out;
    FB_TRY(open_catalogue(run));
    FB_TRY(fb_model_config_preset(run->ctx, &config, "base"));
    FB_TRY(fb_path_join(run->ctx, path, out, "last/config.json"));
    FB_TRY(fb_model_config_read(run->ctx, &config, path));
    FB_TRY(fb_train_regions_check(run, &config));
    FB_TRY(fb_path_join(run->ctx, path, out, "last/vocab.txt"));
    FB_TRY(fb_vocab_open(run->ctx, &run->vocab, path));
    if (fb_vocab_size(run->vocab) != config.vocab)
        return fb_fail(run->ctx, FB_E_FORMAT, "%s has %d lines, config.json says %d",
                       path, (int)fb_vocab_size(run->vocab), (int)config.vocab);
    FB_TRY(fb_matcher_create(run->ctx, &run->matcher, &config, use_of(run)));
    return fb_train_state_load(run->ctx, out, run->matcher);
}

const void *fb_train_run_step(fb_train_run *run, int64_t number, bool validation)
{
    const fb_step_clock clock = {.number = number,
                                 .total =
                                     run->schedule.planned * run->options.accumulate,
                                 .validation = validation};
    if (run->system->step)
        run->system->step(run->step, &run->options, &clock);
    return run->step;
}

fb_status fb_train_run_loader(fb_train_run *run, fb_loader **loader, fb_split split,
                              bool learning, int64_t first, int64_t count)
{
    const fb_train_options *o = &run->options;
    const fb_model_config *c = &run->matcher->config;
    int32_t items;
    fb_catalogue_split_items(run->catalogue, split, &items);
    fb_loader_options options;
    fb_loader_options_defaults(&options);
    options.sampler = (fb_sampler_options){
        .split = split,
        .batch = run->plan.items && items < o->batch ? items : o->batch,
        .seed = o->seed,
        .patches = fb_model_config_patches(c),
        .image_size = c->image_size,
        .fit = c->squash ? FB_FIT_SQUASH : FB_FIT_PAD,
        .filter = FB_FILTER_BILINEAR,
        .masked_on_mismatched = o->masked_on_mismatched,
        .negatives_anywhere = strcmp(o->negatives, "any") == 0,
        .items = run->plan.items,
        .group = o->group,
        .grouped = o->group > 0 ? 1 : 0,
        .augment = {.flip = learning ? o->flip : 0,
                    .shift = learning ? o->shift : 0,
                    .zoom = learning ? o->zoom : 0},
        .features = run->features,
        .regions = run->regions,
        .queries = run->query_split[split],
        .align = {.query_title = run->plan.query_title,
                  .query_image = run->plan.query_image,
                  .title_image = run->plan.title_image},
        .text_mask = learning && run->plan.items ? o->text_mask : 0,
        .rare_mask = learning && run->plan.items ? o->rare_mask : 0,
        .whole_texts = run->plan.whole_texts,
        .whole_images = run->plan.whole_images,
        .patch_share = run->plan.patch_share,
    };
    options.max_text = c->max_text;
    options.first_step = first;
    options.total_steps = count;
    options.threads = o->loader_threads;
    return fb_loader_create(run->ctx, loader, run->catalogue, run->vocab, &options);
}

/* The folder's own files, and the log. */
static fb_status open_folder(fb_train_run *run, bool resumed)
{
    if (!fb_comm_writes(run->comm))
        return FB_OK;
    if (!resumed)
        FB_TRY(start_folder(run));
    return fb_train_log_open(run->ctx, &run->log, run->options.out,
                             run->state.log_bytes);
}

/* What it computes in: the line that training begins with. */
static void say_format(const fb_train_run *run, const fb_train_opening *opening)
{
    char text[FB_BACKEND_TEXT];
    if (!opening->said || *opening->said || run->options.quiet)
        return;
    *opening->said = true;
    fb_backend_describe(run->be, text);
    fprintf(stderr, "computing in %s\n", text);
}

/* What masking patches teaches where the network has seen them: less than it seems. */
static void say_leak(const fb_train_run *run)
{
    const fb_model_config *c = &run->matcher->config;
    if (run->options.quiet || run->plan.whole_images || c->regions ||
        !fb_encoder_sees_around(c->encoder, c->each))
        return;
    fputs("masked patches: --patches grid has seen them through their neighbours' "
          "features; --patches each has not\n",
          stderr);
}

static fb_status open_parts(fb_train_run *run, const fb_train_opening *opening)
{
    fb_train_options *o = &run->options;
    fb_context *ctx = run->ctx;
    run->strings = fb_arena_create(4096);
    run->arena = fb_arena_create(64 << 20);
    if (!run->strings || !run->arena)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a training run");
    if (!o->out[0])
        return fb_fail(ctx, FB_E_USAGE, "train needs --out");
    if (o->resume) {
        char last[4096], fresh[4096];
        FB_TRY(fb_path_join(ctx, last, o->out, "last"));
        FB_TRY(fb_path_join(ctx, fresh, o->out, "last.new"));
        FB_TRY(fb_folder_recover(ctx, last));
        FB_TRY(fb_folder_remove(ctx, fresh)); /* a checkpoint that was not finished, or
                                                 one replaced that could not go */
    }
    bool resumed = o->resume && !opening->measuring && fb_train_state_exists(o->out);
    if (resumed)
        FB_TRY(fb_train_state_read(ctx, o->out, &run->state, o, run->strings));
    else if (!o->resume)
        FB_TRY(refuse_used_folder(ctx, o->out));
    if (!resumed)
        FB_TRY(fb_train_regions_settle(ctx, o));
    if (!resumed)
        FB_TRY(fb_train_init_look(ctx, o, &run->start.kind));
    if (opening->shape)
        fb_train_init_shape(o, opening->shape);
    FB_TRY(fb_options_check(ctx, &fb_train_option_table, o));
    FB_TRY(fb_recipe_fill(ctx, o, &run->system));
    FB_TRY(check_range(ctx, "--epochs", o->epochs, o->steps ? 0 : 1e-9, 1e6));
    FB_TRY(plan_learning(run));
    FB_TRY(fb_backend_create(ctx, &run->be, o->backend, o->dtype, o->threads));
    o->dtype = fb_dtype_name(run->be->dtype); /* what it goes on with, wherever */
    FB_TRY(resumed ? go_on(run) : start_fresh(run));
    FB_TRY(fb_params_move(ctx, run->matcher->params, run->be));
    fb_patch_encoder_scale_lr(run->matcher->params, (float)o->encoder_lr);
    FB_TRY(plan_steps(run, opening->steps));
    say_format(run, opening);
    if (!opening->measuring)
        say_leak(run);
    if (!resumed) {
        run->state.processor_s = opening->processor_s;
        run->state.deadline_s = opening->deadline_s;
        run->state.end_s = opening->end_s + opening->validation_s;
    }
    double begun_s = fb_clock_s();
    FB_TRY(fb_train_features_open(run));
    run->features_s = fb_clock_s() - begun_s;
    if (!opening->measuring)
        FB_TRY(open_folder(run, resumed));
    return fb_train_run_loader(run, &run->loader, FB_SPLIT_TRAIN, true,
                               run->state.step * o->accumulate,
                               run->state.total_steps * o->accumulate);
}

fb_status fb_train_run_open(fb_context *ctx, fb_train_run **run,
                            const fb_train_options *options,
                            const fb_train_opening *opening)
{
    fb_train_run *r = calloc(1, sizeof *r);
    if (!r)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a training run");
    r->ctx = ctx;
    r->comm = fb_comm_alone();
    r->options = *options;
    r->measuring = opening->measuring;
    r->state.stage = opening->stage;
    r->state.stages = opening->stages;
    fb_status status = open_parts(r, opening);
    if (status != FB_OK) {
        fb_train_run_close(r);
        return status;
    }
    *run = r;
    return FB_OK;
}

void fb_train_run_close(fb_train_run *run)
{
    if (!run)
        return;
    fb_loader_free(run->loader);
    fb_train_features_close(run);
    fb_train_log_close(run->log);
    if (run->matcher)
        run->matcher->system->free(run->matcher, run->be);
    fb_vocab_free(run->vocab);
    fb_train_queries_close(run);
    fb_region_table_close(run->regions);
    fb_catalogue_close(run->catalogue);
    fb_arena_free(run->arena); /* its companion is of the backend's memory */
    fb_backend_free(run->be);
    fb_arena_free(run->strings);
    free(run->step);
    free(run);
}
