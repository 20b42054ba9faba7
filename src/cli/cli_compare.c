/* cli_compare.c - `fashionbert compare`: every system under one budget, one table. */
#include "base/file.h"
#include "cli/table.h"
#include "cli/verbs.h"

#include <math.h>
#include <stdlib.h>

typedef struct compare_arguments {
    fb_compare_options task;
#define FB_COMMAND FB_OPTION_MEMBER
#include "fashionbert/compare.def"
} compare_arguments;

#define FB_OPTION             FB_OPTION_ROW
#define FB_COMMAND            FB_COMMAND_ROW
#define FB_OPTION_AT(member)  offsetof(compare_arguments, task.member)
#define FB_COMMAND_AT(member) offsetof(compare_arguments, member)
static const fb_option options[] = {
#include "fashionbert/compare.def"
};

enum { JSON_LIMIT = 64 << 20 };

/* compare.json is the one that writes them. */
static fb_status print_json(fb_context *ctx, const compare_arguments *a)
{
    char path[4096];
    uint8_t *bytes;
    size_t size_bytes;
    FB_TRY(fb_path_join(ctx, path, a->task.out, "compare.json"));
    FB_TRY(fb_file_read(ctx, path, JSON_LIMIT, &bytes, &size_bytes));
    fwrite(bytes, 1, size_bytes, stdout);
    free(bytes);
    return FB_OK;
}

/* "0.512 +-0.004" */
static void add_spread(fb_table *t, fb_mean_sd s, int decimals)
{
    char text[64];
    if (!isfinite(s.sd)) {
        fb_table_number(t, s.mean, decimals);
        return;
    }
    snprintf(text, sizeof text, "%.*f \xc2\xb1%.*f", decimals, s.mean, decimals, s.sd);
    fb_table_text(t, text);
}

static void add_interval(fb_table *t, const fb_interval *i)
{
    char text[64] = "-";
    if (isfinite(i->low))
        snprintf(text, sizeof text, "%+.3f [%+.3f, %+.3f]", i->difference, i->low,
                 i->high);
    fb_table_text(t, text);
}

static fb_status print_recall(fb_context *ctx, const fb_comparison *found)
{
    fb_table *t = fb_table_create(
        "<system|>seeds|>image to text R@1|>R@5|>R@10|>text to image R@1|>R@5|>R@10|"
        ">SumR|>SumR against the first|>accuracy");
    for (int32_t i = 0; i < found->row_count; i++) {
        const fb_compare_row *r = &found->rows[i];
        fb_table_text(t, r->name);
        fb_table_int(t, r->seeds);
        add_spread(t, r->image_to_text.r1, 3);
        fb_table_number(t, r->image_to_text.r5.mean, 3);
        fb_table_number(t, r->image_to_text.r10.mean, 3);
        add_spread(t, r->text_to_image.r1, 3);
        fb_table_number(t, r->text_to_image.r5.mean, 3);
        fb_table_number(t, r->text_to_image.r10.mean, 3);
        add_spread(t, r->sum_r, 3);
        add_interval(t, &r->sum_r_against_first);
        fb_table_number(t, r->accuracy.mean, 3);
    }
    fb_status status = fb_table_print(ctx, t, stdout);
    fb_table_free(t);
    return status;
}

static fb_status print_costs(fb_context *ctx, const fb_comparison *found)
{
    fb_table *t = fb_table_create("<system|>training seconds|>processor seconds|"
                                  ">products|>pairs scored/s|>parameters");
    for (int32_t i = 0; i < found->row_count; i++) {
        const fb_compare_row *r = &found->rows[i];
        fb_table_text(t, r->name);
        fb_table_number(t, r->train_seconds.mean, 1);
        fb_table_number(t, r->processor_seconds.mean, 1);
        fb_table_number(t, r->products.mean, 0);
        fb_table_number(t, r->pairs_per_s.mean, 0);
        fb_table_int(t, r->parameters);
    }
    fputc('\n', stdout);
    fb_status status = fb_table_print(ctx, t, stdout);
    fb_table_free(t);
    return status;
}

static fb_status print_failures(fb_context *ctx, const fb_comparison *found)
{
    if (!found->failed)
        return FB_OK;
    fb_table *t = fb_table_create("<failed|>times|<why");
    for (int32_t i = 0; i < found->row_count; i++) {
        const fb_compare_row *r = &found->rows[i];
        if (!r->failed)
            continue;
        fb_table_text(t, r->name);
        fb_table_int(t, r->failed);
        fb_table_text(t, r->message);
    }
    fputc('\n', stdout);
    fb_status status = fb_table_print(ctx, t, stdout);
    fb_table_free(t);
    return status;
}

static fb_status print_tables(fb_context *ctx, const compare_arguments *a,
                              const fb_comparison *found)
{
    FB_TRY(print_recall(ctx, found));
    FB_TRY(print_costs(ctx, found));
    FB_TRY(print_failures(ctx, found));
    printf("\n%s/report.html shows the rest\n", a->task.out);
    return FB_OK;
}

static fb_status run(fb_context *ctx, void *arguments)
{
    const compare_arguments *a = arguments;
    fb_comparison *found = NULL;
    FB_TRY(fb_compare(ctx, &a->task, &found));
    fb_status status = a->json ? print_json(ctx, a) : print_tables(ctx, a, found);
    if (status == FB_OK && found->failed)
        status =
            fb_fail(ctx, FB_E_STATE,
                    "%d of the systems' trainings or models failed; %s/compare.json "
                    "says why, and the same command tries them again",
                    (int)found->failed, a->task.out);
    fb_comparison_free(found);
    return status;
}

const fb_verb fb_verb_compare = {
    .name = "compare",
    .summary = "train and rank systems under one budget, side by side",
    .about =
        "Trains every system on one frozen set of image features, each within the same "
        "budget and with several seeds, ranks the same candidates with all of them, "
        "and "
        "writes a table (terminal, JSON, CSV, LaTeX) and a page with plots and "
        "examples. "
        "Killed at any moment, the same command goes on: what is done is not done "
        "again. A system that fails is a row that says why; the others go on, and the "
        "exit status is 1. Systems and seeds may be added to a folder later; anything "
        "else must stay as it was begun.",
    .example = "fashionbert compare --catalog shop --systems all --budget 10 --seeds 3 "
               "--out comparison",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .arguments_bytes = sizeof(compare_arguments),
    .run = run,
};
