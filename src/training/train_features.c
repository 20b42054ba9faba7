/* train_features.c - see train_features.h. While the network runs over one block of
 * images the next is decoded. */
#include "training/train_features.h"

#include "base/clock.h"
#include "base/intern.h"
#include "base/number_text.h"
#include "base/progress.h"
#include "data/batch/feature_writer.h"
#include "data/image/image_block.h"
#include "nn/patch_encoder.h"
#include "training/recipe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64, BLOCK_PIXEL_BYTES = 64 << 20 };

/* Names and numbers of every tensor of the network, in the table's order, and whether
 * features are of two views (test-time augmentation). */
static uint64_t hash_network(const fb_params *params, int32_t views)
{
    static const char prefix[] = FB_PATCH_ENCODER_PREFIX ".";
    uint64_t hash = 0;
    for (const fb_param *p = params->first; p; p = p->next) {
        if (strncmp(p->name[0], prefix, sizeof prefix - 1) != 0)
            continue;
        hash = fb_hash_bytes(hash, p->name[0], strlen(p->name[0]));
        hash = fb_hash_bytes(hash, params->value + p->offset,
                             (size_t)(p->rows * p->columns) * sizeof(float));
    }
    for (const fb_buffer *b = params->first_buffer; b; b = b->next) {
        if (strncmp(b->name, prefix, sizeof prefix - 1) != 0)
            continue;
        hash = fb_hash_bytes(hash, b->name, strlen(b->name));
        hash = fb_hash_bytes(hash, params->buffer + b->offset,
                             (size_t)b->count * sizeof(float));
    }
    return views > 1 ? fb_hash_bytes(hash, &views, sizeof views) : hash;
}

static fb_status make_key(fb_train_run *run, fb_feature_key *key)
{
    const fb_model_config *c = &run->matcher->config;
    *key = (fb_feature_key){.each = c->each,
                            .image_size = c->image_size,
                            .grid = c->grid,
                            .squash = c->squash,
                            .bf16 = run->be->dtype == FB_BF16,
                            .rows = run->feature_rows.count,
                            .patches = fb_model_config_patches(c),
                            .features = fb_model_config_features(c),
                            .weights = hash_network(run->matcher->params, c->views)};
    snprintf(key->encoder, sizeof key->encoder, "%.23s", c->encoder);
    memcpy(key->mean, c->mean, sizeof key->mean);
    memcpy(key->std, c->std, sizeof key->std);
    return fb_feature_rows_hash(run->ctx, &key->images, &run->feature_rows,
                                run->catalogue);
}

/* ---- computing ------------------------------------------------------------------ */

typedef struct filling {
    fb_train_run *run;
    fb_feature_writer *writer;
    fb_image_block *block[2]; /* one being decoded, one being computed */
    fb_bf16 *rows;
    fb_progress progress;
} filling;

static int32_t images_a_block(const fb_model_config *c)
{
    int64_t most = BLOCK_PIXEL_BYTES / (3 * (int64_t)c->image_size * c->image_size);
    return most < 1 ? 1 : most > BLOCK ? BLOCK : (int32_t)most;
}

static fb_status prepare(filling *f, const fb_feature_key *key, int32_t images)
{
    fb_train_run *run = f->run;
    size_t numbers = (size_t)images * (size_t)key->patches * (size_t)key->features;
    f->rows = malloc(numbers * sizeof *f->rows);
    if (!f->rows)
        return fb_fail(run->ctx, FB_E_MEMORY, "no memory for features of %d images",
                       (int)images);
    for (int i = 0; i < 2; i++)
        FB_TRY(fb_image_block_create(
            run->ctx, &f->block[i], run->catalogue, images, key->image_size,
            key->squash ? FB_FIT_SQUASH : FB_FIT_PAD, run->options.loader_threads));
    return FB_OK;
}

static fb_status start_block(filling *f, int32_t which, int32_t first, int32_t block)
{
    const fb_feature_rows *rows = &f->run->feature_rows;
    int32_t left = rows->count - first;
    if (left <= 0)
        return FB_OK;
    return fb_image_block_start(f->run->ctx, f->block[which], rows->item + first,
                                left < block ? left : block);
}

static fb_status fill_blocks(filling *f, int32_t block)
{
    fb_train_run *run = f->run;
    int32_t which = 0, first = fb_feature_writer_done(f->writer);
    FB_TRY(start_block(f, which, first, block));
    for (int32_t count; (count = fb_feature_writer_next(f->writer)) > 0;) {
        const uint8_t *pixels;
        fb_tape tape = {0};
        FB_TRY(fb_image_block_wait(run->ctx, f->block[which], &pixels));
        FB_TRY(start_block(f, !which, first + count, block));
        fb_arena_reset(run->arena);
        fb_tape_begin(&tape, run->ctx, run->be, run->arena, false);
        FB_TRY(run->matcher->system->features(run->matcher, &tape, pixels, count,
                                              f->rows));
        FB_TRY(fb_feature_writer_add(run->ctx, f->writer, f->rows));
        first += count;
        which = !which;
        fb_progress_update(&f->progress, first, 1.0, "");
    }
    return FB_OK;
}

static fb_status fill(filling *f, const char *path, const fb_feature_key *key,
                      bool keep)
{
    fb_train_run *run = f->run;
    bool quiet = run->options.quiet;
    int32_t block = images_a_block(&run->matcher->config);
    FB_TRY(fb_feature_writer_open(run->ctx, &f->writer, path, key, block, keep));
    FB_TRY(prepare(f, key, block));
    int32_t there = fb_feature_writer_done(f->writer);
    double started_s = fb_clock_s();
    fb_progress_begin(&f->progress, "features", "images", there, key->rows, quiet);
    fb_status status = fill_blocks(f, block);
    fb_progress_end(&f->progress);
    FB_TRY(status);
    double seconds = fb_clock_s() - started_s;
    int32_t computed = key->rows - there;
    if (!quiet)
        fb_stream_print(
            stderr, "features: %d images computed, %d were there, %.4g images/s: %s\n",
            (int)computed, (int)there, seconds > 0 ? computed / seconds : 0.0, path);
    return fb_feature_writer_finish(run->ctx, f->writer);
}

static fb_status compute(fb_train_run *run, const char *path, const fb_feature_key *key,
                         bool keep)
{
    filling f = {.run = run};
    fb_status status = fill(&f, path, key, keep);
    for (int i = 0; i < 2; i++)
        fb_image_block_free(f.block[i]);
    fb_feature_writer_close(f.writer);
    free(f.rows);
    return status;
}

/* ---- opening -------------------------------------------------------------------- */

static fb_status check_options(fb_context *ctx, const fb_train_options *o,
                               const fb_system *system)
{
    bool named = o->feature_cache[0] != 0;
    if (!fb_recipe_freezes(o))
        return named ? fb_fail(ctx, FB_E_USAGE,
                               "--feature-cache keeps what a network that is not "
                               "trained makes: it needs --freeze-encoder and an "
                               "--encoder other than pixels")
                     : FB_OK;
    if (fb_recipe_keeps_features(o) &&
        (!(system->reads & FB_READS_FEATURES) || !(system->gives & FB_GIVES_FEATURES)))
        return fb_fail(ctx, FB_E_USAGE,
                       "%s reads images, not features made of them before; give "
                       "--feature-cache none",
                       system->name);
    if (fb_recipe_keeps_features(o) && (o->flip > 0 || o->shift > 0 || o->zoom > 0))
        return fb_fail(ctx, FB_E_USAGE,
                       "--flip, --shift and --zoom change images while training, but "
                       "features of a frozen network are computed once; leave them "
                       "out, or give --feature-cache none");
    return FB_OK;
}

static fb_status open_or_compute(fb_train_run *run, const char *path, bool named)
{
    fb_feature_key key;
    FB_TRY(make_key(run, &key));
    fb_status status = fb_feature_cache_open(run->ctx, &run->feature_cache, path, &key);
    if (status == FB_OK && !run->options.quiet)
        fprintf(stderr, "features: %d images from %s\n", (int)key.rows, path);
    bool anew = status == FB_E_MISSING ||
                (!named && (status == FB_E_STATE || status == FB_E_FORMAT));
    if (!anew)
        return status;
    fb_context_clear(run->ctx);
    FB_TRY(compute(run, path, &key, named));
    return fb_feature_cache_open(run->ctx, &run->feature_cache, path, &key);
}

fb_status fb_train_features_open(fb_train_run *run)
{
    const fb_train_options *o = &run->options;
    char path[4096];
    bool named = o->feature_cache[0] != 0;
    FB_TRY(check_options(run->ctx, o, run->system));
    if (!fb_recipe_keeps_features(o))
        return FB_OK;
    FB_TRY(fb_path_join(run->ctx, path, o->out, "features.cache"));
    if (!named)
        FB_TRY(fb_folder_make(run->ctx, o->out));
    FB_TRY(fb_feature_rows_create(run->ctx, &run->feature_rows, run->catalogue));
    FB_TRY(open_or_compute(run, named ? o->feature_cache : path, named));
    run->features = (fb_feature_table){run->feature_cache, &run->feature_rows,
                                       fb_model_config_features(&run->matcher->config)};
    return FB_OK;
}

void fb_train_features_close(fb_train_run *run)
{
    fb_feature_cache_close(run->feature_cache);
    fb_feature_rows_clear(&run->feature_rows);
    run->feature_cache = NULL;
    run->features = (fb_feature_table){0};
}
