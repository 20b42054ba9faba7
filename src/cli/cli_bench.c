/* cli_bench.c - `fashionbert bench`: speed of scoring, training and images here. */
#include "base/json.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include <math.h>

typedef struct bench_arguments {
    fb_bench_options task;
#define FB_COMMAND FB_OPTION_MEMBER
#include "fashionbert/bench.def"
} bench_arguments;

#define FB_OPTION             FB_OPTION_ROW
#define FB_COMMAND            FB_COMMAND_ROW
#define FB_OPTION_AT(member)  offsetof(bench_arguments, task.member)
#define FB_COMMAND_AT(member) offsetof(bench_arguments, member)
static const fb_option options[] = {
#include "fashionbert/bench.def"
};

static void write_name(fb_json_writer *w, const char *key, const char *name)
{
    if (*name)
        fb_json_key_string(w, key, name);
    else
        fb_json_key_double(w, key, NAN); /* null */
}

static void write_run(fb_json_writer *w, const fb_bench_run *r, bool profile)
{
    fb_json_open_object(w);
    write_name(w, "system", r->system);
    write_name(w, "encoder", r->network ? r->encoder : "");
    write_name(w, "preset", r->preset);
    fb_json_key_string(w, "mode", r->mode);
    fb_json_key_string(w, "dtype", r->dtype);
    fb_json_key_int(w, "image_size", r->image_size);
    fb_json_key_double(w, "pairs_per_s", r->pairs_per_s);
    fb_json_key_double(w, "images_per_s", r->images_per_s);
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

static void write_image(fb_json_writer *w, const fb_bench_image *i)
{
    fb_json_open_object(w);
    fb_json_key_int(w, "width", i->width);
    fb_json_key_int(w, "height", i->height);
    fb_json_key_int(w, "jpeg_bytes", i->jpeg_bytes);
    fb_json_key_int(w, "size", i->size);
    fb_json_key_double(w, "images_per_s", i->images_per_s);
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
    fb_json_key_double(&w, "gemm_tops", report->gemm_tops);
    fb_json_key(&w, "runs");
    fb_json_open_array(&w);
    for (int32_t i = 0; i < report->run_count; i++)
        write_run(&w, &report->runs[i], a->task.profile);
    fb_json_close_array(&w);
    fb_json_key(&w, "images");
    fb_json_open_array(&w);
    for (int32_t i = 0; i < report->image_count; i++)
        write_image(&w, &report->images[i]);
    fb_json_close_array(&w);
    fb_json_close_object(&w);
    fputc('\n', stdout);
}

static fb_status print_runs(fb_context *ctx, const fb_bench_report *report)
{
    fb_table *table = fb_table_create("<of|<preset|<mode|<dtype|>pairs/s|"
                                      ">images/s|>TFLOP/s|>of matrix rate|>peak MiB");
    for (int32_t i = 0; i < report->run_count; i++) {
        const fb_bench_run *r = &report->runs[i];
        fb_table_text(table, *r->system ? r->system : r->encoder);
        fb_table_text(table, *r->preset ? r->preset : "-");
        fb_table_text(table, r->mode);
        fb_table_text(table, r->dtype);
        fb_table_number(table, r->pairs_per_s, 1);
        fb_table_number(table, r->images_per_s, 1);
        fb_table_number(table, r->tflops, 3);
        fb_table_number(table, r->fraction, 3);
        fb_table_number(table, (double)r->peak_memory_bytes / (1 << 20), 1);
    }
    fb_status status = fb_table_print(ctx, table, stdout);
    fb_table_free(table);
    return status;
}

static fb_status print_images(fb_context *ctx, const fb_bench_report *report)
{
    fb_table *table =
        fb_table_create(">width|>height|>JPEG bytes|>to|>images/s, a core");
    for (int32_t k = 0; k < report->image_count; k++) {
        const fb_bench_image *i = &report->images[k];
        fb_table_int(table, i->width);
        fb_table_int(table, i->height);
        fb_table_int(table, i->jpeg_bytes);
        fb_table_int(table, i->size);
        fb_table_number(table, i->images_per_s, 1);
    }
    fputc('\n', stdout);
    fb_status status = fb_table_print(ctx, table, stdout);
    fb_table_free(table);
    return status;
}

static fb_status print_profile(fb_context *ctx, const fb_bench_report *report)
{
    fb_table *table = fb_table_create("<of|<preset|<mode|<operation|>ms a step|>share");
    for (int32_t i = 0; i < report->run_count; i++) {
        const fb_bench_run *r = &report->runs[i];
        double all = 0;
        for (int32_t j = 0; j < r->op_count; j++)
            all += r->op_seconds[j];
        for (int32_t j = 0; j < r->op_count; j++) {
            fb_table_text(table, *r->system ? r->system : r->encoder);
            fb_table_text(table, *r->preset ? r->preset : "-");
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
    printf("machine: %s, %d threads, matrix products at %.3f TFLOP/s", report.machine,
           (int)report.threads, report.gemm_tflops);
    if (isfinite(report.gemm_tops))
        printf(", of int8 numbers at %.3f TOP/s", report.gemm_tops);
    fputs(" (2048x768x3072)\n\n", stdout);
    if (report.run_count)
        FB_TRY(print_runs(ctx, &report));
    if (report.image_count)
        FB_TRY(print_images(ctx, &report));
    return a->task.profile ? print_profile(ctx, &report) : FB_OK;
}

const fb_verb fb_verb_bench = {
    .name = "bench",
    .summary = "measure the speed of scoring and training on this machine",
    .about =
        "Measures the machine's rate of matrix products, then pairs a second and "
        "TFLOP/s of scoring and of training for each model size, the same of training "
        "with each image network, and images a second of the network alone, all as a "
        "fraction of that rate too, of other systems where --systems names them; last, "
        "how fast images are read. Weights and inputs "
        "are made up; no model or catalogue is needed.",
    .example =
        "fashionbert bench --presets mini,base --encoders pixels,resnet50 --json",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .arguments_bytes = sizeof(bench_arguments),
    .run = run,
};
