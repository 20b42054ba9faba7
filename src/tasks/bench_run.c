/* bench_run.c - see bench_run.h.
 *
 *     score     one forward pass over B pairs, each its own text and image
 *     train     one whole step on B pairs: forward, adaptive weights, backward,
 *               clipping, AdamW, repacking; half matched, half mismatched, masks as in
 *               training; the image network, if any, is trained too
 *     features  the image network over B images, frozen
 *     system    score and train of any system on features in the place of pixels;
 *               training takes what the system trains on: pairs, or items
 *     tflops    model FLOPs of the real tokens and images (training: three times
 *               forward) a second; heads that see few rows are left out, so this is
 *               slightly too low
 *
 * Words, pixels and features are random; speed does not depend on them. Memory is what the
 * process holds more than before the run: parameters, moments, packed weights, the
 * step.
 */
#include "tasks/bench_run.h"

#include "base/clock.h"
#include "base/progress.h"
#include "base/random.h"
#include "models/matcher.h"
#include "nn/optimizer.h"
#include "nn/patch_encoder.h"
#include "nn/quantization.h"
#include "training/recipe.h"

#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    VOCAB = 30522,
    ROWS = 1000000,
    WARM_UP = 3,
    REPEATS_LEAST = 3,
    REPEATS_MAX = FB_BENCH_REPEATS
};

typedef struct work {
    fb_context *ctx;
    const fb_bench_options *options;
    const fb_bench_spec *spec;
    fb_backend *be;
    fb_arena *arena;
    fb_batch *batch;
    fb_matcher *matcher;       /* score and train */
    fb_train_options training; /* score and train */
    fb_train_plan plan;        /* the same */
    void *step;                /* train: the system's options of a step */
    fb_params *params;         /* features: of the network alone */
    fb_patch_encoder encoder;  /* features */
    fb_quantization *int8;     /* score and features: of what computes; NULL: in the
                                  backend's type */
    fb_profile profile;
} work;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double fb_bench_median(double *values, int32_t count)
{
    qsort(values, (size_t)count, sizeof *values, by_value);
    return count % 2 ? values[count / 2]
                     : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static int64_t resident_bytes(void)
{
    char line[128] = "";
    long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f) {
        if (fgets(line, sizeof line, f) && strchr(line, ' '))
            pages = strtoll(strchr(line, ' '), NULL, 10); /* the second number */
        fclose(f);
    }
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static void fill_pictures(fb_batch *b, fb_random *r)
{
    int64_t rows = b->image_offsets[b->images];
    for (int64_t i = 0; b->feature_width && i < rows * b->feature_width; i++)
        b->features[i] = fb_bf16_from_f32((float)fb_random_uniform(r));
    if (b->feature_width)
        return;
    size_t bytes =
        (size_t)b->images * (size_t)b->image_size * (size_t)b->image_size * 3;
    for (size_t i = 0; i < bytes; i++)
        b->pixels[i] = (uint8_t)(fb_random_hash32(r->key, (uint32_t)i) >> 24);
}

static void fill_texts_and_images(fb_batch *b, int32_t texts, int32_t images,
                                  int32_t text_tokens)
{
    fb_random r = fb_random_start(1, FB_STREAM_TEST, 0);
    b->texts = texts;
    b->images = images;
    for (int32_t t = 0; t <= texts; t++)
        b->text_offsets[t] = t * text_tokens;
    for (int32_t i = 0; i < texts * text_tokens; i++) {
        b->token_ids[i] = (int32_t)fb_random_below(&r, VOCAB);
        b->token_positions[i] = i % text_tokens;
        b->token_segments[i] = 0;
    }
    for (int32_t t = 0; t < texts; t++)
        b->text_group[t] = t;
    for (int32_t i = 0; i < images; i++)
        b->image_group[i] = texts + i;
    fill_pictures(b, &r);
    memset(b->patch_masked, 0, (size_t)images * (size_t)b->patches);
}

/* Matched pairs first; mismatched pair i is matched pair i with another text or image.
 * Items are all matched. */
static void fill_batch(fb_batch *b, int32_t pairs, int32_t text_tokens, bool training,
                       bool items)
{
    int32_t matched = training && !items ? (pairs + 1) / 2 : pairs;
    int32_t other = pairs - matched, other_texts = other / 2;
    fill_texts_and_images(b, matched + other_texts, matched + other - other_texts,
                          text_tokens);
    b->pairs = pairs;
    for (int32_t i = 0; i < pairs; i++) {
        int32_t k = i - matched;
        b->pair_label[i] = i < matched;
        b->pair_text[i] = k < 0 ? i : k < other_texts ? matched + k : k;
        b->pair_image[i] = k < 0 ? i : k < other_texts ? k : matched + k - other_texts;
    }
    fb_batch_pack(b);
    b->mlm_count = b->mpm_count = 0;
    for (int32_t i = 0; training && i < matched; i++) {
        int32_t row = b->seq_offsets[i];
        for (int32_t m = 0; m < text_tokens * 15 / 100; m++) {
            b->mlm_rows[b->mlm_count] = row + 1 + m;
            b->mlm_targets[b->mlm_count++] = m;
        }
        for (int32_t m = 0; m < b->patches / 10; m++) {
            b->mpm_rows[b->mpm_count] = row + text_tokens + m;
            b->mpm_patches[b->mpm_count++] = i * b->patches + m;
            b->patch_masked[i * b->patches + m] = 1;
        }
    }
}

static fb_status forward_alone(work *w, fb_tape *tape)
{
    if (w->spec->kind == FB_BENCH_FEATURES) {
        fb_var *features;
        return fb_patch_encoder_forward(tape, &features, &w->encoder, w->batch->pixels,
                                        w->batch->images);
    }
    const fb_system *s = w->matcher->system;
    void *numbers;
    if (s->gives & FB_GIVES_SCORE) {
        FB_TRY(fb_tape_alloc(tape, &numbers, (size_t)w->batch->pairs * sizeof(float)));
        return s->score(w->matcher, tape, w->batch, numbers);
    }
    size_t bytes =
        (size_t)w->batch->pairs * (size_t)w->matcher->config.vector * sizeof(float);
    FB_TRY(fb_tape_alloc(tape, &numbers, 2 * bytes));
    return s->vectors(w->matcher, tape, w->batch, numbers,
                      (float *)(void *)((char *)numbers + bytes));
}

static fb_status step(work *w, int64_t number)
{
    static const fb_optimizer_options adamw = {1e-4, 0.9, 0.999, 1e-8, 0.01, 1.0, 0.1};
    bool training = w->spec->kind == FB_BENCH_TRAIN;
    fb_tape tape = {.profile = w->options->profile ? &w->profile : NULL};
    fb_arena_reset(w->arena);
    fb_tape_begin(&tape, w->ctx, w->be, w->arena, training);
    if (!training)
        return forward_alone(w, &tape);
    fb_measures out;
    fb_optimizer_figures figures;
    fb_tape_set_dropout(&tape, (float)w->matcher->config.dropout, (uint64_t)number);
    FB_TRY(w->matcher->system->train_batch(w->matcher, &tape, w->batch, w->step, &out));
    double started_s = fb_tape_clock(&tape);
    FB_TRY(fb_optimizer_step(w->ctx, w->matcher->params, w->be, &adamw, number, 1000,
                             1.0f, &figures));
    fb_tape_charge(&tape, "adamw", started_s);
    return FB_OK;
}

static double step_flops(const work *w)
{
    if (w->spec->kind == FB_BENCH_FEATURES)
        return w->batch->images * fb_patch_encoder_flops(&w->encoder);
    const fb_system *s = w->matcher->system;
    if (w->spec->kind != FB_BENCH_TRAIN)
        return s->forward_flops(w->matcher, w->batch);
    return 3 * (s->train_flops ? s->train_flops(w->matcher, w->batch, w->step)
                               : s->forward_flops(w->matcher, w->batch));
}

/* Seconds of each repeat behind the warm-up, and how many there were. */
static fb_status time_steps(work *w, const fb_bench_run *run, double *seconds,
                            int32_t *count)
{
    int32_t total = WARM_UP + w->options->repeats;
    double sum_s = 0;
    fb_progress progress;
    char label[64];
    const char *subject = *run->system ? run->system : run->network ? run->encoder : "";
    snprintf(label, sizeof label, "%s%s%s %s", subject,
             *subject && *run->preset ? " " : "", run->preset, run->mode);
    fb_progress_begin(&progress, label, "steps", 0, total, w->options->quiet);
    fb_status status = FB_OK;
    *count = 0;
    for (int32_t i = 0; i < total && status == FB_OK; i++) {
        if (*count >= REPEATS_LEAST && sum_s > w->spec->limit_s)
            break;
        if (i == WARM_UP)
            w->profile.count = 0;
        double started_s = fb_clock_s();
        status = step(w, i);
        if (i >= WARM_UP) {
            seconds[*count] = fb_clock_s() - started_s;
            sum_s += seconds[(*count)++];
        }
        fb_progress_update(&progress, i + 1, 1.0, "");
    }
    fb_progress_end(&progress);
    return status;
}

static fb_status run_steps(work *w, fb_bench_run *run)
{
    double seconds[REPEATS_MAX];
    int32_t count;
    FB_TRY(time_steps(w, run, seconds, &count));
    double middle_s = fb_bench_median(seconds, count);
    bool features = w->spec->kind == FB_BENCH_FEATURES;
    run->pairs_per_s = features ? NAN : w->batch->pairs / middle_s;
    run->images_per_s = features ? w->batch->images / middle_s : NAN;
    run->tflops = step_flops(w) / middle_s / 1e12;
    run->op_count = w->options->profile ? w->profile.count : 0;
    for (int32_t i = 0; i < run->op_count; i++) {
        snprintf(run->op_name[i], sizeof run->op_name[i], "%s", w->profile.op[i].name);
        run->op_seconds[i] = w->profile.op[i].seconds / count;
    }
    return FB_OK;
}

static fb_status make_network(work *w)
{
    const fb_model_config *c = &w->spec->config;
    fb_patch_encoder_options o = {.name = c->encoder,
                                  .each = c->each,
                                  .image_size = c->image_size,
                                  .grid = c->grid};
    memcpy(o.mean, c->mean, sizeof o.mean);
    memcpy(o.std, c->std, sizeof o.std);
    FB_TRY(fb_params_create(w->ctx, &w->params));
    FB_TRY(fb_patch_encoder_declare(w->params, &w->encoder, &o));
    FB_TRY(fb_params_allocate(w->params, false));
    fb_params_initialise(w->params, 1);
    if (w->spec->int8)
        FB_TRY(fb_quantization_make(w->ctx, &w->int8, w->params, false));
    FB_TRY(fb_params_move(w->ctx, w->params, w->be));
    return w->int8 ? fb_quantization_use(w->ctx, w->int8, w->params, w->be) : FB_OK;
}

/* What is learnt where training's options say nothing. */
static fb_status plan_step(work *w)
{
    const fb_system *system;
    fb_train_options_defaults(&w->training);
    if (w->spec->system)
        w->training.system = w->spec->system->name;
    FB_TRY(fb_recipe_fill(w->ctx, &w->training, &system));
    w->step = calloc(1, system->step_bytes + 1);
    if (!w->step)
        return fb_fail(w->ctx, FB_E_MEMORY, "no memory for a step");
    if (system->plan)
        FB_TRY(system->plan(w->ctx, &w->training, &w->plan, w->step));
    const fb_step_clock middle = {.number = 500, .total = 1000};
    if (system->step)
        system->step(w->step, &w->training, &middle);
    return FB_OK;
}

static fb_status make_model(work *w)
{
    const fb_bench_spec *spec = w->spec;
    const fb_start start = {.kind = FB_START_RANDOM, .rows = ROWS};
    bool training = spec->kind == FB_BENCH_TRAIN, given = spec->system != NULL;
    fb_model_config config = spec->config;
    config.vocab = VOCAB;
    if (given) {
        fb_model_config_set_system(&config, spec->system);
        if (spec->system->configure)
            FB_TRY(spec->system->configure(w->ctx, &config, &w->training, &start));
        FB_TRY(fb_model_config_check(w->ctx, &config, spec->system->name));
    }
    FB_TRY(fb_matcher_create(w->ctx, &w->matcher, &config,
                             !training ? FB_MODEL_SCORE
                             : given   ? FB_MODEL_TRAIN_FROZEN
                                       : FB_MODEL_TRAIN));
    fb_params_initialise(w->matcher->params, 1);
    if (spec->int8)
        FB_TRY(fb_quantization_make(w->ctx, &w->int8, w->matcher->params, false));
    FB_TRY(fb_params_move(w->ctx, w->matcher->params, w->be));
    return w->int8 ? fb_quantization_use(w->ctx, w->int8, w->matcher->params, w->be)
                   : FB_OK;
}

static fb_status run_in(work *w, fb_bench_run *run)
{
    const fb_bench_spec *spec = w->spec;
    int32_t pairs = spec->batch, text_tokens = w->options->text_tokens;
    bool features = spec->kind == FB_BENCH_FEATURES;
    int64_t before_bytes = resident_bytes();
    fb_batch_limits limits = {pairs,
                              pairs * 2,
                              pairs * 2,
                              pairs * 2 * text_tokens,
                              fb_model_config_patches(&spec->config),
                              spec->config.image_size};
    w->arena = fb_arena_create(64 << 20);
    if (!w->arena)
        return fb_fail(w->ctx, FB_E_MEMORY, "no memory for a step");
    if (!features)
        FB_TRY(plan_step(w));
    FB_TRY(fb_batch_create_features(
        w->ctx, &w->batch, &limits, text_tokens,
        spec->system ? fb_model_config_features(&spec->config) : 0));
    fill_batch(w->batch, pairs, text_tokens, spec->kind == FB_BENCH_TRAIN,
               w->plan.items);
    FB_TRY(features ? make_network(w) : make_model(w));
    FB_TRY(run_steps(w, run));
    run->peak_memory_bytes = resident_bytes() - before_bytes;
    return FB_OK;
}

fb_status fb_bench_measure(fb_context *ctx, fb_backend *be,
                           const fb_bench_options *options, const fb_bench_spec *spec,
                           fb_bench_run *run)
{
    work w = {.ctx = ctx, .options = options, .spec = spec, .be = be};
    fb_status status = run_in(&w, run);
    fb_quantization_free(w.int8);
    if (w.matcher)
        w.matcher->system->free(w.matcher, be);
    if (w.params) {
        fb_patch_encoder_free(&w.encoder, be);
        fb_params_free(w.params, be);
    }
    free(w.step);
    fb_batch_free(w.batch);
    fb_arena_free(w.arena);
    malloc_trim(0); /* so that the next run's memory is its own */
    return status;
}
