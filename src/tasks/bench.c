/* bench.c - how fast this machine scores, trains, runs image networks and reads images,
 * the first three as a share of its own matrix-product (GEMM) rate, measured in the
 * same run: model FLOPs utilisation.
 *
 *     rate    x[2048,768] w[3072,768]^T by the backend, same dtype and threads; before
 *             each run and at the end, the median counts
 *             the same of int8 products
 *     runs    on pixels: each preset, scoring (by int8 products too) and training; then
 *             each network: its
 *             features (likewise), and training with it end to end; then each system that was
 *             asked for, on features: each preset, scoring and training
 *     images  decoding and resizing, on one thread
 */
#include "base/option.h"
#include "tasks/bench_run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { GEMM_REPEATS = 15 };

static const char *const presets[] = {"mini", "small", "base"};
static const char *const modes[] = {"score", "train", "features", "images"};
enum { PRESETS = sizeof presets / sizeof presets[0] };

static const double unlimited_s = 1e9, network_s = 3;

#define FB_OPTION            FB_OPTION_ROW
#define FB_OPTION_AT(member) offsetof(fb_bench_options, member)
static const fb_option option_rows[] = {
#include "fashionbert/bench.def"
};
static const fb_option_table option_table = FB_OPTION_TABLE(option_rows);

void fb_bench_options_defaults(fb_bench_options *options)
{
    *options = (fb_bench_options){0};
    fb_options_defaults(&option_table, options);
}

fb_status fb_bench_options_set(fb_context *ctx, fb_bench_options *options,
                               const char *name, const char *text)
{
    return fb_option_set(ctx, &option_table, options, name, text);
}

typedef struct bench {
    fb_context *ctx;
    const fb_bench_options *options;
    fb_backend *be;
    fb_backend
        *int8_be; /* in f32 but for int8 products; NULL: there are no such runs */
    double rates[2][FB_BENCH_RUNS + 1]; /* of be's products; of int8 products */
    int32_t rate_count[2];
} bench;

static fb_status measure_rate(bench *s, bool int8)
{
    double flop_per_s = 0;
    fb_backend *be = int8 ? s->int8_be : s->be;
    FB_TRY(
        be->k->gemm_rate(s->ctx, be, &flop_per_s, 2048, 768, 3072, GEMM_REPEATS, int8));
    s->rates[int8][s->rate_count[int8]++] = flop_per_s / 1e12;
    return FB_OK;
}

/* preset "": the network alone; system NULL: FashionBERT, on pixels */
static fb_status run_as(bench *s, const fb_encoder *encoder, const char *preset,
                        fb_bench_kind kind, const fb_system *system, bool int8,
                        fb_bench_report *report)
{
    bool network = encoder->learns && !system;
    fb_bench_spec spec = {.kind = kind,
                          .system = system,
                          .int8 = int8,
                          .batch =
                              network ? s->options->encoder_batch : s->options->batch,
                          .limit_s = encoder->learns ? network_s : unlimited_s};
    if (report->run_count == FB_BENCH_RUNS)
        return fb_fail(s->ctx, FB_E_USAGE, "more than %d runs", (int)FB_BENCH_RUNS);
    fb_bench_run *run = &report->runs[report->run_count];
    FB_TRY(fb_model_config_preset(s->ctx, &spec.config, *preset ? preset : presets[0]));
    fb_model_config_set_encoder(&spec.config, encoder);
    spec.config.image_size = encoder->image_size;
    if (!encoder->alone)
        spec.config.grid = encoder->shape(encoder, encoder->image_size).side;
    run->network = network;
    snprintf(run->encoder, sizeof run->encoder, "%s", encoder->name);
    snprintf(run->preset, sizeof run->preset, "%s", preset);
    snprintf(run->system, sizeof run->system, "%s", system ? system->name : "");
    snprintf(run->mode, sizeof run->mode, "%s", modes[kind]);
    snprintf(run->dtype, sizeof run->dtype, "%s",
             int8 ? "int8" : fb_dtype_name(s->be->dtype));
    run->image_size = spec.config.image_size;
    FB_TRY(measure_rate(s, int8));
    FB_TRY(fb_bench_measure(s->ctx, int8 ? s->int8_be : s->be, s->options, &spec, run));
    report->run_count++;
    return FB_OK;
}

static bool is_int8(const bench *s)
{
    return strcmp(s->options->dtype, "int8") == 0;
}

/* In the backend's type, or by int8 products, or one after the other: of scoring and of
 * features, unless a type was given. Nothing else is done by int8 products. */
static fb_status run_one(bench *s, const fb_encoder *encoder, const char *preset,
                         fb_bench_kind kind, const fb_system *system,
                         fb_bench_report *report)
{
    bool scores = kind == FB_BENCH_SCORE || kind == FB_BENCH_FEATURES;
    if (!is_int8(s))
        FB_TRY(run_as(s, encoder, preset, kind, system, false, report));
    return s->int8_be && scores && (is_int8(s) || !system)
               ? run_as(s, encoder, preset, kind, system, true, report)
               : FB_OK;
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

/* Of an encoder that computes nothing. */
static fb_status run_presets(bench *s, const fb_encoder *encoder,
                             fb_bench_report *report)
{
    for (int p = 0; p < PRESETS; p++)
        for (int kind = FB_BENCH_SCORE; kind <= FB_BENCH_TRAIN; kind++)
            if (listed(s->options->presets, presets[p]) &&
                listed(s->options->modes, modes[kind]))
                FB_TRY(
                    run_one(s, encoder, presets[p], (fb_bench_kind)kind, NULL, report));
    return FB_OK;
}

static fb_status run_network(bench *s, const fb_encoder *encoder,
                             fb_bench_report *report)
{
    if (listed(s->options->modes, modes[FB_BENCH_FEATURES]))
        FB_TRY(run_one(s, encoder, "", FB_BENCH_FEATURES, NULL, report));
    if (listed(s->options->modes, modes[FB_BENCH_TRAIN]))
        FB_TRY(run_one(s, encoder, s->options->encoder_preset, FB_BENCH_TRAIN, NULL,
                       report));
    return FB_OK;
}

/* What matches titles with images; training by gradients, not in closed form. */
static fb_status run_system(bench *s, const fb_system *system, fb_bench_report *report)
{
    const fb_encoder *encoder =
        NULL; /* the first whose features could be made before */
    for (int32_t i = 0; fb_encoder_at(i) && !encoder; i++)
        encoder = fb_encoder_at(i)->learns ? fb_encoder_at(i) : NULL;
    if (!(system->gives & (FB_GIVES_SCORE | FB_GIVES_VECTORS)) ||
        (system->reads & FB_READS_QUERY))
        return fb_fail(s->ctx, FB_E_USAGE,
                       "--systems %s: it does not match titles with images",
                       system->name);
    for (int p = 0; p < PRESETS; p++)
        for (int kind = FB_BENCH_SCORE; kind <= FB_BENCH_TRAIN; kind++)
            if (listed(s->options->presets, presets[p]) &&
                listed(s->options->modes, modes[kind]) &&
                (kind == FB_BENCH_SCORE || system->train_batch))
                FB_TRY(run_one(s, encoder, presets[p], (fb_bench_kind)kind, system,
                               report));
    return FB_OK;
}

/* None beside systems, where nothing else was said. */
static const char *encoders_of(const fb_bench_options *o)
{
    const fb_option *row = fb_option_find(&option_table, "encoders");
    if (o->systems[0] && fb_option_is_default(row, o))
        return "";
    return o->encoders;
}

static fb_status run_all(bench *s, fb_bench_report *report)
{
    const fb_encoder *encoder;
    const char *encoders = encoders_of(s->options);
    for (int32_t i = 0; (encoder = fb_encoder_at(i)) != NULL; i++)
        if (listed(encoders, encoder->name))
            FB_TRY(encoder->learns ? run_network(s, encoder, report)
                                   : run_presets(s, encoder, report));
    for (int32_t i = 0; i < fb_systems_count(); i++)
        if (listed(s->options->systems, fb_systems_get(i)->name))
            FB_TRY(run_system(s, fb_systems_get(i), report));
    FB_TRY(measure_rate(s, false));
    if (s->int8_be)
        FB_TRY(measure_rate(s, true));
    report->gemm_tflops = fb_bench_median(s->rates[0], s->rate_count[0]);
    report->gemm_tops =
        s->int8_be ? fb_bench_median(s->rates[1], s->rate_count[1]) : NAN;
    for (int32_t i = 0; i < report->run_count; i++) {
        fb_bench_run *run = &report->runs[i];
        bool int8 = strcmp(run->dtype, "int8") == 0;
        run->fraction = run->tflops / (int8 ? report->gemm_tops : report->gemm_tflops);
    }
    if (listed(s->options->modes, "images"))
        FB_TRY(fb_bench_images(s->ctx, s->options, report));
    return FB_OK;
}

static void say_format(const bench *s)
{
    char text[FB_BACKEND_TEXT];
    fb_backend_describe(s->be, text);
    if (!s->options->quiet)
        fprintf(stderr, "computing in %s\n", text);
}

fb_status fb_bench(fb_context *ctx, const fb_bench_options *options,
                   fb_bench_report *report)
{
    FB_TRY(fb_options_check(ctx, &option_table, options));
    bench s = {.ctx = ctx, .options = options};
    fb_bench_report fresh = {0};
    const char *dtype = is_int8(&s) ? "f32" : options->dtype;
    if (is_int8(&s) && !listed(options->modes, modes[FB_BENCH_SCORE]) &&
        !listed(options->modes, modes[FB_BENCH_FEATURES]))
        return fb_fail(
            ctx, FB_E_USAGE,
            "--dtype int8 is of scoring and features, which --modes %s lacks",
            options->modes);
    fb_status status =
        fb_backend_create(ctx, &s.be, options->backend, dtype, options->threads);
    if (status == FB_OK && (is_int8(&s) || strcmp(dtype, "auto") == 0))
        status = fb_backend_create(ctx, &s.int8_be, options->backend, "f32",
                                   options->threads);
    if (status == FB_OK) {
        describe_machine(fresh.machine, sizeof fresh.machine);
        fresh.threads = s.be->threads;
        say_format(&s);
        status = run_all(&s, &fresh);
    }
    fb_backend_free(s.int8_be);
    fb_backend_free(s.be);
    if (status == FB_OK)
        *report = fresh;
    return status;
}
