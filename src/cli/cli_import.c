/* cli_import.c - `fashionbert import`: another shop's files become an imagefolder. */
#include "base/json.h"
#include "cli/table.h"
#include "cli/verbs.h"

typedef struct import_arguments {
    fb_import_options task;
    bool json;
} import_arguments;

#define AT(member) offsetof(import_arguments, member)

static const fb_option options[] = {
    {.name = "sources",
     .value = "FILE",
     .type = FB_OPTION_LIST,
     .offset = AT(task.sources),
     .count_offset = AT(task.source_count),
     .required = true,
     .positional = true,
     .help = "files to read, in order; loose words are sources too"},
    {.name = "from",
     .value = "FORMAT",
     .type = FB_OPTION_CHOICE,
     .choices = "sweethome3d",
     .offset = AT(task.from),
     .help =
         "what the sources are: sweethome3d reads .sh3f and .jar furniture catalogues"},
    {.name = "out",
     .value = "DIR",
     .type = FB_OPTION_STRING,
     .offset = AT(task.out),
     .required = true,
     .help = "catalogue folder to make; it must not exist yet"},
    {.name = "split",
     .value = "PERCENTS",
     .type = FB_OPTION_STRING,
     .offset = AT(task.split),
     .help = "train/val/test in percent; items with one title stay together"},
    {.name = "language",
     .value = "CODE",
     .type = FB_OPTION_STRING,
     .offset = AT(task.language),
     .help = "language of the titles, such as zh_CN; none for the catalogue's own"},
    FB_OPTION_FLAG_ROW(import_arguments, "json", json, "print the counts as JSON"),
    FB_OPTION_FLAG_ROW(import_arguments, "quiet", task.quiet, "no progress on stderr"),
};

static void defaults(void *arguments)
{
    fb_import_options_defaults(&((import_arguments *)arguments)->task);
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
    fb_json_close_object(&w);
    fputc('\n', stdout);
}

static fb_status run(fb_context *ctx, void *arguments)
{
    const import_arguments *a = arguments;
    fb_import_report report = {0};
    FB_TRY(fb_import(ctx, &a->task, &report));
    if (a->json) {
        print_json(a, &report);
        return FB_OK;
    }
    fb_table *table = fb_table_create("<catalogue|>items|>skipped|>train|>val|>test");
    fb_table_text(table, a->task.out);
    fb_table_int(table, report.items);
    fb_table_int(table, report.skipped);
    fb_table_int(table, report.train);
    fb_table_int(table, report.val);
    fb_table_int(table, report.test);
    fb_status status = fb_table_print(ctx, table, stdout);
    fb_table_free(table);
    return status;
}

const fb_verb fb_verb_import = {
    .name = "import",
    .summary = "make a catalogue folder from other sources",
    .about = "Reads product data in another format and writes a catalogue folder "
             "(metadata.jsonl and images/) that train and evaluate read.",
    .example = "fashionbert import --from sweethome3d --out furniture *.sh3f",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .arguments_bytes = sizeof(import_arguments),
    .defaults = defaults,
    .run = run,
};
