/* cli_import.c - `fashionbert import`: another shop's files become an imagefolder. */
#include "base/json.h"
#include "cli/table.h"
#include "cli/verbs.h"

#include <string.h>

typedef struct import_arguments {
    fb_import_options task;
#define FB_COMMAND FB_OPTION_MEMBER
#include "fashionbert/import.def"
} import_arguments;

#define FB_OPTION             FB_OPTION_ROW
#define FB_LIST               FB_LIST_ROW
#define FB_COMMAND            FB_COMMAND_ROW
#define FB_OPTION_AT(member)  offsetof(import_arguments, task.member)
#define FB_COMMAND_AT(member) offsetof(import_arguments, member)
static const fb_option options[] = {
#include "fashionbert/import.def"
};

/* One line, whatever control characters the source holds. */
static void notice(void *self, const char *sentence)
{
    (void)self;
    for (const char *c = sentence; *c; c++)
        fputc((unsigned char)*c < ' ' || *c == 127 ? '?' : *c, stderr);
    fputc('\n', stderr);
}

static void defaults(void *arguments)
{
    ((import_arguments *)arguments)->task.notice = notice;
}

static void print_json(const import_arguments *a, const fb_import_report *report)
{
    fb_json_writer w;
    fb_json_begin(&w, stdout, 2);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "catalog", a->task.out);
    fb_json_key_int(&w, "items", report->items);
    fb_json_key_int(&w, "skipped", report->skipped);
    fb_json_key_int(&w, "train", report->train);
    fb_json_key_int(&w, "val", report->val);
    fb_json_key_int(&w, "test", report->test);
    fb_json_key_int(&w, "duplicates", report->duplicates);
    fb_json_key_int(&w, "near_duplicates", report->near_duplicates);
    fb_json_key_int(&w, "moved", report->moved);
    fb_json_key_int(&w, "moved_near", report->moved_near);
    fb_json_key_int(&w, "straddling", report->straddling);
    fb_json_key_int(&w, "mended", report->mended);
    fb_json_key_int(&w, "composed", report->composed);
    fb_json_key_int(&w, "clicks", report->clicks);
    fb_json_key_int(&w, "clicks_skipped", report->clicks_skipped);
    fb_json_key_int(&w, "resumed", report->resumed);
    fb_json_key_int(&w, "resized", report->resized);
    fb_json_key_int(&w, "image_bytes", report->image_bytes);
    fb_json_key_double(&w, "seconds", report->seconds);
    fb_json_key_double(&w, "images_per_s", report->images_per_s);
    fb_json_key_double(&w, "cpu_seconds", report->cpu_seconds);
    fb_json_key_double(&w, "decode_seconds", report->decode_seconds);
    fb_json_key_double(&w, "decode_images_per_s", report->decode_images_per_s);
    fb_json_key(&w, "faults");
    fb_json_open_object(&w);
#define FAULT_COUNT(name, key, text)                                                   \
    fb_json_key_int(&w, key, report->faults[FB_RECORD_BAD_##name]);
    FB_RECORD_FAULT_MAP(FAULT_COUNT)
#undef FAULT_COUNT
    fb_json_close_object(&w);
    fb_json_close_object(&w);
    fputc('\n', stdout);
}

static fb_status print_table(fb_context *ctx, fb_table *table)
{
    fb_status status = fb_table_print(ctx, table, stdout);
    fb_table_free(table);
    return status;
}

static fb_status print_tables(fb_context *ctx, const import_arguments *a,
                              const fb_import_report *report)
{
    fb_table *table = fb_table_create("<catalogue|>items|>skipped|>train|>val|>test|"
                                      ">duplicates|>near|>moved");
    fb_table_text(table, a->task.out);
    fb_table_int(table, report->items);
    fb_table_int(table, report->skipped);
    fb_table_int(table, report->train);
    fb_table_int(table, report->val);
    fb_table_int(table, report->test);
    fb_table_int(table, report->duplicates);
    fb_table_int(table, report->near_duplicates);
    fb_table_int(table, report->moved);
    FB_TRY(print_table(ctx, table));
    fputc('\n', stdout);
    table = fb_table_create(">MB of images|>resized|>resumed|>seconds|>CPU s|"
                            ">of it decoding|>images/s|>decoding alone");
    fb_table_number(table, (double)report->image_bytes / 1e6, 1);
    fb_table_int(table, report->resized);
    fb_table_int(table, report->resumed);
    fb_table_number(table, report->seconds, 1);
    fb_table_number(table, report->cpu_seconds, 1);
    fb_table_number(table, report->decode_seconds, 1);
    fb_table_number(table, report->images_per_s, 0);
    fb_table_number(table, report->decode_images_per_s, 0);
    return print_table(ctx, table);
}

static fb_status print_regions(fb_context *ctx, const import_arguments *a,
                               const fb_import_regions_report *report)
{
    if (a->json) {
        fb_json_writer w;
        fb_json_begin(&w, stdout, 2);
        fb_json_open_object(&w);
        fb_json_key_string(&w, "regions_file", a->task.out);
        fb_json_key_int(&w, "images", report->images);
        fb_json_key_int(&w, "regions", report->regions);
        fb_json_key_int(&w, "most", report->most);
        fb_json_key_int(&w, "width", report->width);
        fb_json_key_bool(&w, "boxes", report->boxes);
        fb_json_key_int(&w, "classes", report->classes);
        fb_json_key_int(&w, "skipped", report->skipped);
        fb_json_key_int(&w, "missing", report->missing);
        fb_json_key_int(&w, "left_out", report->left_out);
        fb_json_key_double(&w, "seconds", report->seconds);
        fb_json_close_object(&w);
        fputc('\n', stdout);
        return FB_OK;
    }
    fb_table *table =
        fb_table_create("<regions of images|>images|>regions|>most|>width|"
                        "<boxes|>skipped|>left out|>seconds");
    fb_table_text(table, a->task.out);
    fb_table_int(table, report->images);
    fb_table_int(table, report->regions);
    fb_table_int(table, report->most);
    fb_table_int(table, report->width);
    fb_table_text(table, report->boxes ? "yes" : "no");
    fb_table_int(table, report->skipped);
    fb_table_int(table, report->left_out);
    fb_table_number(table, report->seconds, 1);
    return print_table(ctx, table);
}

static fb_status run_regions(fb_context *ctx, const import_arguments *a)
{
    fb_import_regions_options o;
    fb_import_regions_report report = {0};
    fb_import_regions_options_defaults(&o);
    o.catalog = a->catalog;
    o.ids = a->ids;
    o.sources = a->task.sources;
    o.source_count = a->task.source_count;
    o.out = a->task.out;
    o.skip_bad = a->task.skip_bad;
    o.quiet = a->task.quiet;
    o.notice = a->task.notice;
    o.notice_self = a->task.notice_self;
    FB_TRY(fb_import_regions(ctx, &o, &report));
    return print_regions(ctx, a, &report);
}

static fb_status run_proposals(fb_context *ctx, const import_arguments *a)
{
    fb_import_proposals_options o;
    fb_import_regions_report report = {0};
    fb_import_proposals_options_defaults(&o);
    if (a->task.source_count > 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "proposals come from the images of --catalog; there is no "
                       "source such as %.200s to read",
                       a->task.sources[0]);
    o.catalog = a->catalog;
    o.model = a->model;
    o.backend = a->backend;
    o.dtype = a->dtype;
    o.proposals = a->proposals;
    o.regions_most = a->regions_most;
    o.threads = a->task.threads;
    o.out = a->task.out;
    o.skip_bad = a->task.skip_bad;
    o.quiet = a->task.quiet;
    o.notice = a->task.notice;
    o.notice_self = a->task.notice_self;
    FB_TRY(fb_import_proposals(ctx, &o, &report));
    return print_regions(ctx, a, &report);
}

static fb_status run(fb_context *ctx, void *arguments)
{
    const import_arguments *a = arguments;
    if (strcmp(a->task.from, "proposals") == 0)
        return run_proposals(ctx, a);
    if (strcmp(a->task.from, "regions") == 0)
        return run_regions(ctx, a);
    fb_import_report report = {0};
    FB_TRY(fb_import(ctx, &a->task, &report));
    if (a->json) {
        print_json(a, &report);
        return FB_OK;
    }
    return print_tables(ctx, a, &report);
}

const fb_verb fb_verb_import = {
    .name = "import",
    .summary = "make a catalogue folder from other sources",
    .about =
        "Reads product data in another format and writes a catalogue folder "
        "(metadata.jsonl and images/) that train and evaluate read. Every image is "
        "decoded once; copies of one photo never end up in two splits. What is "
        "wrong is named with file and line, the first twenty times, then counted. "
        "The folder appears when it is complete; a killed import goes on when the "
        "same command is given again.",
    .example = "fashionbert import shop --out catalogue --map "
               "title=name,image=images/{id}.jpg",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .arguments_bytes = sizeof(import_arguments),
    .defaults = defaults,
    .run = run,
};
