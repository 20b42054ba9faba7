/* cli_train.c - `fashionbert train`: a catalogue becomes a model folder. */
#include "base/json.h"
#include "cli/table.h"
#include "cli/verbs.h"

#include <string.h>

typedef struct train_arguments {
    fb_train_options task;
#define FB_COMMAND FB_OPTION_MEMBER
#include "fashionbert/train.def"
} train_arguments;

#define FB_OPTION             FB_OPTION_ROW
#define FB_COMMAND            FB_COMMAND_ROW
#define FB_OPTION_AT(member)  offsetof(train_arguments, task.member)
#define FB_COMMAND_AT(member) offsetof(train_arguments, member)
static const fb_option options[] = {
#include "fashionbert/train.def"
};

static void print_json(const train_arguments *a, const fb_train_report *report)
{
    fb_json_writer w;
    fb_json_begin(&w, stdout, 2);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "model", a->task.out);
    fb_json_key_int(&w, "steps", report->steps);
    fb_json_key_int(&w, "products", report->products);
    fb_json_key_int(&w, "parameters", report->parameters);
    fb_json_key_double(&w, "seconds", report->seconds);
    fb_json_key_double(&w, "processor_seconds", report->processor_seconds);
    fb_json_key_double(&w, "wait_seconds", report->wait_seconds);
    fb_json_key_double(&w, "loss", report->loss);
    for (int32_t i = 0; i < report->measure_count; i++)
        fb_json_key_double(&w, report->measures[i].name, report->measures[i].mean);
    fb_json_key_double(&w, "best_val_accuracy", report->best_val_accuracy);
    fb_json_key_double(&w, "chance", report->chance > 0 ? report->chance : (double)NAN);
    fb_json_key_int(&w, "best_step", report->best_step);
    fb_json_close_object(&w);
    fputc('\n', stdout);
}

static void spell(char *title, size_t size_bytes, const char *before, const char *name)
{
    size_t at = strlen(title);
    snprintf(title + at, size_bytes - at, "%s%s", before, name);
    for (char *c = title + at; *c; c++)
        if (*c == '_')
            *c = ' ';
}

static fb_table *make_table(const fb_train_report *report)
{
    char columns[1024] = "<model|>steps|>products|>seconds|>processor s|>waited|>loss";
    for (int32_t i = 0; i < report->measure_count; i++)
        if (report->measures[i].shown)
            spell(columns, sizeof columns, "|>", report->measures[i].name);
    spell(columns, sizeof columns, "|>best val ", report->accuracy);
    spell(columns, sizeof columns, report->chance > 0 ? "|>chance" : "", "");
    spell(columns, sizeof columns, "|>at step", "");
    return fb_table_create(columns);
}

static void fill_row(fb_table *table, const train_arguments *a,
                     const fb_train_report *report)
{
    fb_table_text(table, a->task.out);
    fb_table_int(table, report->steps);
    fb_table_int(table, report->products);
    fb_table_number(table, report->seconds, 1);
    fb_table_number(table, report->processor_seconds, 1);
    fb_table_number(table, report->wait_seconds, 1);
    fb_table_number(table, report->loss, 4);
    for (int32_t i = 0; i < report->measure_count; i++)
        if (report->measures[i].shown)
            fb_table_number(table, report->measures[i].mean, 4);
    fb_table_number(table, report->best_val_accuracy, 4);
    if (report->chance > 0)
        fb_table_number(table, report->chance, 4);
    fb_table_int(table, report->best_step);
}

static fb_status run(fb_context *ctx, void *arguments)
{
    const train_arguments *a = arguments;
    fb_train_report report = {0};
    FB_TRY(fb_train(ctx, &a->task, &report));
    if (a->json) {
        print_json(a, &report);
        return FB_OK;
    }
    fb_table *table = make_table(&report);
    fill_row(table, a, &report);
    fb_status status = fb_table_print(ctx, table, stdout);
    fb_table_free(table);
    return status;
}

const fb_verb fb_verb_train = {
    .name = "train",
    .summary = "train a model from a catalogue",
    .about =
        "Learns to match titles and images from a catalogue and writes a model folder. "
        "Told nothing else, it takes the best recipe found for a catalogue of that "
        "size, in stages (docs/recipes.md). In the folder: the best weights at its "
        "top, the last complete checkpoint in last/, one line "
        "a step in log.jsonl. Killed at any moment, the same command with --resume "
        "goes on where the last checkpoint stands.",
    .example = "fashionbert train --catalog shop --out model",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .arguments_bytes = sizeof(train_arguments),
    .run = run,
};
