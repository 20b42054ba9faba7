/* bench.c - how fast scoring and training run here, as a share of the machine's own
 * matrix-product rate, measured in the same run.
 *
 *     rate      x[2048,768] w[3072,768]^T by the backend, same dtype and threads
 *     score     one forward pass over B pairs, each its own text and image
 *     train     one whole step on B pairs: forward, adaptive weights, backward,
 * clipping, AdamW, repacking; half matched, half mismatched, masks as in training
 *     tflops    model FLOPs of the real tokens (training: three times forward) a
 * second; heads that see few rows are left out, so this is slightly too low
 *
 * Words and pixels are random; speed does not depend on them. Memory is what the
 * process holds more than before the run: parameters, moments, packed weights, the
 * step.
 */
#include "base/clock.h"
#include "base/progress.h"
#include "base/random.h"
#include "models/matcher.h"
#include "nn/optimizer.h"

#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VOCAB = 30522, WARM_UP = 3, GEMM_REPEATS = 15, REPEATS_MAX = 200 };

void fb_bench_options_defaults(fb_bench_options *options)
{
    *options = (fb_bench_options){.presets = "mini,small,base",
                                  .modes = "score,train",
                                  .batch = 32,
                                  .text_tokens = 20,
                                  .repeats = 10,
                                  .backend = "cpu",
                                  .dtype = "auto"};
}

typedef struct bench {
    fb_context *ctx;
    const fb_bench_options *options;
    fb_backend *be;
    fb_arena *arena;
    fb_batch *batch;
    fb_matcher *matcher;
    fb_profile profile;
    double rates[FB_BENCH_RUNS + 1];
    int32_t rate_count;
} bench;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int32_t count)
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
    size_t bytes = (size_t)images * (size_t)b->image_size * (size_t)b->image_size * 3;
    for (size_t i = 0; i < bytes; i++)
        b->pixels[i] = (uint8_t)(fb_random_hash32(r.key, (uint32_t)i) >> 24);
    memset(b->patch_masked, 0, (size_t)images * (size_t)b->patches);
}

/* Matched pairs first; mismatched pair i is matched pair i with another text or image.
 */
static void fill_batch(fb_batch *b, int32_t pairs, int32_t text_tokens, bool training)
{
    int32_t matched = training ? (pairs + 1) / 2 : pairs;
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

static fb_status step(bench *s, bool training, int64_t number)
{
    static const fb_loss_options losses = {.enabled = {true, true, true},
                                           .mode = FB_ADAPTIVE_GRADIENT};
    static const fb_optimizer_options adamw = {1e-4, 0.9, 0.999, 1e-8, 0.01, 1.0, 0.1};
    fb_tape tape = {.profile = s->options->profile ? &s->profile : NULL};
    fb_arena_reset(s->arena);
    fb_tape_begin(&tape, s->ctx, s->be, s->arena, training);
    if (!training) {
        void *scores;
        FB_TRY(fb_tape_alloc(&tape, &scores, (size_t)s->batch->pairs * sizeof(float)));
        return s->matcher->kind->score(s->matcher, &tape, s->batch, scores);
    }
    fb_step_losses out;
    double norm, lr;
    fb_tape_set_dropout(&tape, (float)s->matcher->config.dropout, (uint64_t)number);
    FB_TRY(s->matcher->kind->train_batch(s->matcher, &tape, s->batch, &losses, &out));
    double started_s = fb_tape_clock(&tape);
    FB_TRY(fb_optimizer_step(s->matcher->params, s->be, &adamw, number, 1000, 1.0f,
                             &norm, &lr));
    fb_tape_charge(&tape, "adamw", started_s);
    return FB_OK;
}

static fb_status measure_rate(bench *s)
{
    double flop_per_s = 0;
    FB_TRY(s->be->k->gemm_rate(s->be, &flop_per_s, 2048, 768, 3072, GEMM_REPEATS));
    s->rates[s->rate_count++] = flop_per_s / 1e12;
    return FB_OK;
}

static fb_status time_steps(bench *s, bool training, fb_bench_run *run)
{
    double seconds[REPEATS_MAX];
    int32_t repeats = s->options->repeats;
    fb_progress progress;
    char label[48];
    snprintf(label, sizeof label, "%s %s", run->preset, run->mode);
    fb_progress_begin(&progress, label, "steps", 0, WARM_UP + repeats,
                      s->options->quiet);
    fb_status status = FB_OK;
    for (int32_t i = 0; i < WARM_UP + repeats && status == FB_OK; i++) {
        if (i == WARM_UP)
            s->profile.count = 0;
        double started_s = fb_clock_s();
        status = step(s, training, i);
        if (i >= WARM_UP)
            seconds[i - WARM_UP] = fb_clock_s() - started_s;
        fb_progress_update(&progress, i + 1, 1.0, "");
    }
    fb_progress_end(&progress);
    FB_TRY(status);
    double middle_s = median(seconds, repeats);
    double flops = s->matcher->kind->forward_flops(s->matcher, s->batch);
    run->pairs_per_s = s->batch->pairs / middle_s;
    run->tflops = flops * (training ? 3 : 1) / middle_s / 1e12;
    run->op_count = s->options->profile ? s->profile.count : 0;
    for (int32_t i = 0; i < run->op_count; i++) {
        snprintf(run->op_name[i], sizeof run->op_name[i], "%s", s->profile.op[i].name);
        run->op_seconds[i] = s->profile.op[i].seconds / repeats;
    }
    return FB_OK;
}

static fb_status run_in(bench *s, const fb_model_config *config, fb_bench_run *run)
{
    int32_t pairs = s->options->batch, patches = fb_model_config_patches(config);
    bool training = strcmp(run->mode, "train") == 0;
    int64_t before_bytes = resident_bytes();
    fb_batch_limits limits = {pairs,     pairs * 2,
                              pairs * 2, pairs * 2 * s->options->text_tokens,
                              patches,   config->image_size};
    s->arena = fb_arena_create(64 << 20);
    if (!s->arena)
        return fb_fail(s->ctx, FB_E_MEMORY, "no memory for a step");
    FB_TRY(fb_batch_create(s->ctx, &s->batch, &limits, s->options->text_tokens));
    FB_TRY(fb_fashionbert_create(s->ctx, &s->matcher, config, training));
    fb_params_initialise(s->matcher->params, 1);
    fill_batch(s->batch, pairs, s->options->text_tokens, training);
    FB_TRY(time_steps(s, training, run));
    run->peak_memory_bytes = resident_bytes() - before_bytes;
    return FB_OK;
}

static fb_status run_one(bench *s, const char *preset, const char *mode,
                         fb_bench_report *report)
{
    fb_model_config config;
    if (report->run_count == FB_BENCH_RUNS)
        return fb_fail(s->ctx, FB_E_USAGE, "more than %d runs", (int)FB_BENCH_RUNS);
    fb_bench_run *run = &report->runs[report->run_count];
    FB_TRY(fb_model_config_preset(s->ctx, &config, preset));
    config.vocab = VOCAB;
    snprintf(run->preset, sizeof run->preset, "%s", preset);
    snprintf(run->mode, sizeof run->mode, "%s", mode);
    snprintf(run->dtype, sizeof run->dtype, "%s", fb_dtype_name(s->be->dtype));
    FB_TRY(measure_rate(s));
    fb_status status = run_in(s, &config, run);
    if (s->matcher)
        s->matcher->kind->free(s->matcher, s->be);
    fb_batch_free(s->batch);
    fb_arena_free(s->arena);
    s->matcher = NULL;
    s->batch = NULL;
    s->arena = NULL;
    malloc_trim(0); /* so that the next run's memory is its own */
    FB_TRY(status);
    report->run_count++;
    return FB_OK;
}

/* Whether `word` stands in a comma-separated list. */
static bool listed(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || !at[length]))
            return true;
    }
    return false;
}

static fb_status check_list(fb_context *ctx, const char *option, const char *list,
                            const char *const *words, int32_t count)
{
    char copy[256];
    snprintf(copy, sizeof copy, "%s", list);
    char *rest = copy;
    for (char *word; (word = strsep(&rest, ",")) != NULL;) {
        bool known = false;
        for (int32_t i = 0; i < count; i++)
            known = known || strcmp(word, words[i]) == 0;
        if (!known)
            return fb_fail(ctx, FB_E_USAGE, "%s %s is not known; use %s, %s%s%s",
                           option, word, words[0], words[1], count > 2 ? " or " : "",
                           count > 2 ? words[2] : "");
    }
    return FB_OK;
}

static void describe_machine(char *out, size_t out_bytes)
{
    char line[256];
    snprintf(out, out_bytes, "unknown processor");
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f)) {
        char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !value)
            continue;
        value[strcspn(value, "\n")] = 0;
        snprintf(out, out_bytes, "%.100s", value + 1 + (value[1] == ' '));
        break;
    }
    if (f)
        fclose(f);
}

static fb_status run_all(bench *s, fb_bench_report *report)
{
    static const char *const presets[] = {"mini", "small", "base"};
    static const char *const modes[] = {"score", "train"};
    for (int p = 0; p < 3; p++)
        for (int m = 0; m < 2; m++)
            if (listed(s->options->presets, presets[p]) &&
                listed(s->options->modes, modes[m]))
                FB_TRY(run_one(s, presets[p], modes[m], report));
    FB_TRY(measure_rate(s));
    report->gemm_tflops = median(s->rates, s->rate_count);
    for (int32_t i = 0; i < report->run_count; i++)
        report->runs[i].fraction = report->runs[i].tflops / report->gemm_tflops;
    return FB_OK;
}

fb_status fb_bench(fb_context *ctx, const fb_bench_options *options,
                   fb_bench_report *report)
{
    static const char *const presets[] = {"mini", "small", "base"};
    static const char *const modes[] = {"score", "train"};
    FB_TRY(check_list(ctx, "--presets", options->presets, presets, 3));
    FB_TRY(check_list(ctx, "--modes", options->modes, modes, 2));
    if (options->batch < 1 || options->batch > 1024 || options->text_tokens < 3 ||
        options->text_tokens > 448 || options->repeats < 1 ||
        options->repeats > REPEATS_MAX)
        return fb_fail(
            ctx, FB_E_USAGE,
            "--batch takes 1 to 1024, --text-tokens 3 to 448, --repeats 1 to %d",
            (int)REPEATS_MAX);
    bench s = {.ctx = ctx, .options = options};
    fb_bench_report fresh = {0};
    FB_TRY(fb_backend_create(ctx, &s.be, options->backend, options->dtype,
                             options->threads));
    describe_machine(fresh.machine, sizeof fresh.machine);
    fresh.threads = s.be->threads;
    fb_status status = run_all(&s, &fresh);
    fb_backend_free(s.be);
    if (status == FB_OK)
        *report = fresh;
    return status;
}
