/* cli_bench.c - `fashionbert bench`: speed of scoring and training on this machine. */
#include "base/json.h"
#include "cli/table.h"
#include "cli/verbs.h"

typedef struct bench_arguments {
    fb_bench_options task;
    bool json;
} bench_arguments;

#define AT(member) offsetof(bench_arguments, task.member)

static const fb_option options[] = {
    {.name = "presets",
     .value = "LIST",
     .type = FB_OPTION_SET,
     .choices = "mini,small,base",
     .offset = AT(presets),
     .help = "model sizes to run"},
    {.name = "modes",
     .value = "LIST",
     .type = FB_OPTION_SET,
     .choices = "score,train",
     .offset = AT(modes),
     .help = "scoring of pairs, and whole training steps"},
    {.name = "batch",
     .value = "PAIRS",
     .type = FB_OPTION_INT32,
     .offset = AT(batch),
     .low = 2,
     .high = 65536,
     .help = "pairs a step"},
    {.name = "text-tokens",
     .value = "TOKENS",
     .type = FB_OPTION_INT32,
     .offset = AT(text_tokens),
     .low = 3,
     .high = 512,
     .help = "of each title, beside the patches"},
    {.name = "repeats",
     .value = "N",
     .type = FB_OPTION_INT32,
     .offset = AT(repeats),
     .low = 1,
     .high = 10000,
     .help = "runs of which the median counts"},
    FB_OPTION_COMPUTE_ROWS(bench_arguments, task.backend, task.dtype, task.threads),
    FB_OPTION_FLAG_ROW(bench_arguments, "profile", task.profile,
                       "print the time of each class of operation too"),
    FB_OPTION_FLAG_ROW(bench_arguments, "json", json, "print the numbers as JSON"),
    FB_OPTION_FLAG_ROW(bench_arguments, "quiet", task.quiet, "no progress on stderr"),
};

static void defaults(void *arguments)
{
    fb_bench_options_defaults(&((bench_arguments *)arguments)->task);
}

static void write_run(fb_json_writer *w, const fb_bench_run *r, bool profile)
{
    fb_json_open_object(w);
    fb_json_key_string(w, "preset", r->preset);
    fb_json_key_string(w, "mode", r->mode);
    fb_json_key_string(w, "dtype", r->dtype);
    fb_json_key_double(w, "pairs_per_s", r->pairs_per_s);
    fb_json_key_double(w, "tflops", r->tflops);
    fb_json_key_double(w, "fraction", r->fraction);
    fb_json_key_int(w, "peak_memory_bytes", r->peak_memory_bytes);
    if (profile) {
        fb_json_key(w, "ops");
        fb_json_open_object(w);
        for (int32_t i = 0; i < r->op_count; i++)
            fb_json_key_double(w, r->op_name[i], r->op_seconds[i]);
        fb_json_close_object(w);
    }
    fb_json_close_object(w);
}

static void print_json(const bench_arguments *a, const fb_bench_report *report)
{
    fb_json_writer w;
    fb_json_begin(&w, stdout, 2);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "machine", report->machine);
    fb_json_key_int(&w, "threads", report->threads);
    fb_json_key_double(&w, "gemm_tflops", report->gemm_tflops);
    fb_json_key(&w, "runs");
    fb_json_open_array(&w);
    for (int32_t i = 0; i < report->run_count; i++)
        write_run(&w, &report->runs[i], a->task.profile);
    fb_json_close_array(&w);
    fb_json_close_object(&w);
    fputc('\n', stdout);
}

static fb_status print_runs(fb_context *ctx, const fb_bench_report *report)
{
    fb_table *table = fb_table_create("<preset|<mode|<dtype|>pairs/s|>TFLOP/s|"
                                      ">of matrix rate|>peak MiB");
    for (int32_t i = 0; i < report->run_count; i++) {
        const fb_bench_run *r = &report->runs[i];
        fb_table_text(table, r->preset);
        fb_table_text(table, r->mode);
        fb_table_text(table, r->dtype);
        fb_table_number(table, r->pairs_per_s, 1);
        fb_table_number(table, r->tflops, 3);
        fb_table_number(table, r->fraction, 3);
        fb_table_number(table, (double)r->peak_memory_bytes / (1 << 20), 1);
    }
    fb_status status = fb_table_print(ctx, table, stdout);
    fb_table_free(table);
    return status;
}

static fb_status print_profile(fb_context *ctx, const fb_bench_report *report)
{
    fb_table *table = fb_table_create("<preset|<mode|<operation|>ms a step|>share");
    for (int32_t i = 0; i < report->run_count; i++) {
        const fb_bench_run *r = &report->runs[i];
        double all = 0;
        for (int32_t j = 0; j < r->op_count; j++)
            all += r->op_seconds[j];
        for (int32_t j = 0; j < r->op_count; j++) {
            fb_table_text(table, r->preset);
            fb_table_text(table, r->mode);
            fb_table_text(table, r->op_name[j]);
            fb_table_number(table, r->op_seconds[j] * 1e3, 3);
            fb_table_number(table, r->op_seconds[j] / all, 3);
        }
    }
    fputc('\n', stdout);
    fb_status status = fb_table_print(ctx, table, stdout);
    fb_table_free(table);
    return status;
}

static fb_status run(fb_context *ctx, void *arguments)
{
    const bench_arguments *a = arguments;
    fb_bench_report report = {0};
    FB_TRY(fb_bench(ctx, &a->task, &report));
    if (a->json) {
        print_json(a, &report);
        return FB_OK;
    }
    printf(
        "machine: %s, %d threads, matrix products at %.3f TFLOP/s (2048x768x3072)\n\n",
        report.machine, (int)report.threads, report.gemm_tflops);
    FB_TRY(print_runs(ctx, &report));
    return a->task.profile ? print_profile(ctx, &report) : FB_OK;
}

const fb_verb fb_verb_bench = {
    .name = "bench",
    .summary = "measure the speed of scoring and training on this machine",
    .about =
        "Measures the machine's rate of matrix products, then pairs a second and "
        "TFLOP/s of scoring and of training for each model size, also as a fraction of "
        "that rate. Weights and inputs are made up; no model or catalogue is needed.",
    .example = "fashionbert bench --presets mini,base --modes score --json",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .arguments_bytes = sizeof(bench_arguments),
    .defaults = defaults,
    .run = run,
};
