/* cli_train.c - `fashionbert train`: a catalogue becomes a model folder. */
#include "base/json.h"
#include "cli/table.h"
#include "cli/verbs.h"

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
    fb_json_key_double(&w, "seconds", report->seconds);
    fb_json_key_double(&w, "wait_seconds", report->wait_seconds);
    fb_json_key_double(&w, "loss", report->loss);
    fb_json_key_double(&w, "mlm", report->mlm);
    fb_json_key_double(&w, "mpm", report->mpm);
    fb_json_key_double(&w, "tia", report->tia);
    fb_json_key_double(&w, "itc", report->itc);
    fb_json_key_double(&w, "selfie", report->selfie);
    fb_json_key_double(&w, "click", report->click);
    fb_json_key_double(&w, "qt", report->qt);
    fb_json_key_double(&w, "qi", report->qi);
    fb_json_key_double(&w, "best_val_accuracy", report->best_val_accuracy);
    fb_json_key_double(&w, "chance", report->chance > 0 ? report->chance : (double)NAN);
    fb_json_key_int(&w, "best_step", report->best_step);
    fb_json_close_object(&w);
    fputc('\n', stdout);
}

static void fill_row(fb_table *table, const train_arguments *a,
                     const fb_train_report *report)
{
    fb_table_text(table, a->task.out);
    fb_table_int(table, report->steps);
    fb_table_number(table, report->seconds, 1);
    fb_table_number(table, report->wait_seconds, 1);
    fb_table_number(table, report->loss, 4);
    if (report->chance > 0) { /* selfie */
        fb_table_number(table, report->best_val_accuracy, 4);
        fb_table_number(table, report->chance, 4);
    } else {
        fb_table_number(table, report->mlm, 4);
        fb_table_number(table, report->mpm, 4);
        fb_table_number(table, report->tia, 4);
        if (report->click > 0) {
            fb_table_number(table, report->click, 4);
            fb_table_number(table, report->qt, 4);
            fb_table_number(table, report->qi, 4);
        } else {
            fb_table_number(table, report->itc, 4);
        }
        fb_table_number(table, report->best_val_accuracy, 4);
    }
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
    fb_table *table = fb_table_create(
        report.chance > 0
            ? "<model|>steps|>seconds|>waited|>loss|>best val pointing accuracy|>chance"
              "|>at step"
        : report.click > 0
            ? "<model|>steps|>seconds|>waited|>loss|>mlm|>mpm|>tia|>click|>qt|>qi"
              "|>best val accuracy|>at step"
            : "<model|>steps|>seconds|>waited|>loss|>mlm|>mpm|>tia|>itc"
              "|>best val accuracy|>at step");
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
