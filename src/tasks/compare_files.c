/* compare_files.c - a comparison as compare.json, compare.csv and compare.tex. */
#include "base/file.h"
#include "base/json.h"
#include "base/number_text.h"
#include "tasks/compare.h"

#include <math.h>
#include <string.h>

/* ---- JSON ------------------------------------------------------------------------- */

static void write_spread(fb_json_writer *w, const char *key, fb_mean_sd s)
{
    fb_json_key(w, key);
    fb_json_open_object(w);
    fb_json_key_double(w, "mean", s.mean);
    fb_json_key_double(w, "sd", s.sd);
    fb_json_close_object(w);
}

static void write_recall(fb_json_writer *w, const char *key, const fb_mean_recall *r)
{
    fb_json_key(w, key);
    fb_json_open_object(w);
    fb_json_key_double(w, "r1", r->r1.mean);
    fb_json_key_double(w, "r5", r->r5.mean);
    fb_json_key_double(w, "r10", r->r10.mean);
    fb_json_key_double(w, "r1_sd", r->r1.sd);
    fb_json_key_double(w, "r5_sd", r->r5.sd);
    fb_json_key_double(w, "r10_sd", r->r10.sd);
    fb_json_close_object(w);
}

static void write_row(fb_json_writer *w, const fb_compare_row *r)
{
    fb_json_open_object(w);
    fb_json_key_string(w, "name", r->name);
    fb_json_key_bool(w, "trained", r->trained);
    fb_json_key_int(w, "seeds", r->seeds);
    fb_json_key_int(w, "failed", r->failed);
    if (r->message[0])
        fb_json_key_string(w, "message", r->message);
    write_spread(w, "sum_r", r->sum_r);
    write_recall(w, "image_to_text", &r->image_to_text);
    write_recall(w, "text_to_image", &r->text_to_image);
    write_spread(w, "accuracy", r->accuracy);
    fb_json_key(w, "sum_r_against_first");
    fb_json_open_object(w);
    fb_json_key_double(w, "difference", r->sum_r_against_first.difference);
    fb_json_key_double(w, "low", r->sum_r_against_first.low);
    fb_json_key_double(w, "high", r->sum_r_against_first.high);
    fb_json_close_object(w);
    fb_json_key_double(w, "train_seconds", r->train_seconds.mean);
    fb_json_key_double(w, "processor_seconds", r->processor_seconds.mean);
    fb_json_key_double(w, "products", r->products.mean);
    fb_json_key_double(w, "pairs_per_s", r->pairs_per_s.mean);
    fb_json_key_int(w, "parameters", r->parameters);
    fb_json_close_object(w);
}

fb_status fb_compare_write_json(const fb_compare_run *c, const fb_comparison *found)
{
    const fb_compare_options *o = c->options;
    char path[4096];
    fb_replace file;
    fb_json_writer w;
    FB_TRY(fb_compare_path(c, path, "compare.json"));
    FB_TRY(fb_replace_open(c->ctx, path, &file));
    fb_json_begin(&w, file.stream, 2);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "catalog", o->catalog);
    fb_json_key_string(&w, "split", o->split);
    fb_json_key_string(&w, "protocol", o->protocol);
    fb_json_key_string(&w, "negatives", o->negatives);
    fb_json_key_int(&w, "draws", o->draws);
    fb_json_key_int(&w, "items", c->items->count);
    fb_json_key_double(&w, "budget_processor_minutes", o->budget);
    fb_json_key_int(&w, "budget_products", o->products);
    fb_json_key_int(&w, "resamples", o->resamples);
    fb_json_key(&w, "features");
    fb_json_open_object(&w);
    fb_json_key_string(&w, "model", found->features);
    fb_json_key_double(&w, "seconds", found->features_seconds);
    fb_json_key_double(&w, "processor_seconds", found->features_processor_seconds);
    fb_json_close_object(&w);
    fb_json_key_string(&w, "regions", o->regions);
    fb_json_key_int(&w, "done", found->done);
    fb_json_key_int(&w, "done_before", found->done_before);
    fb_json_key_int(&w, "failed", found->failed);
    fb_json_key_int(&w, "peak_memory_bytes", found->peak_memory_bytes);
    fb_json_key(&w, "systems");
    fb_json_open_array(&w);
    for (int32_t i = 0; i < found->row_count; i++)
        write_row(&w, &found->rows[i]);
    fb_json_close_array(&w);
    fb_json_close_object(&w);
    fputc('\n', file.stream);
    return fb_replace_commit(c->ctx, &file);
}

/* ---- columns of the two tables ---------------------------------------------------- */

/* Numbers of a row by name; decimals: in LaTeX. */
typedef struct column {
    const char *name, *heading;
    size_t offset;
    int decimals;
} column;

#define AT(member) offsetof(fb_compare_row, member)
static const column columns[] = {
    {"image_to_text_r1", "R@1", AT(image_to_text.r1), 3},
    {"image_to_text_r5", "R@5", AT(image_to_text.r5), 3},
    {"image_to_text_r10", "R@10", AT(image_to_text.r10), 3},
    {"text_to_image_r1", "R@1", AT(text_to_image.r1), 3},
    {"text_to_image_r5", "R@5", AT(text_to_image.r5), 3},
    {"text_to_image_r10", "R@10", AT(text_to_image.r10), 3},
    {"sum_r", "SumR", AT(sum_r), 3},
    {"accuracy", "Acc.", AT(accuracy), 3},
    {"train_seconds", NULL, AT(train_seconds), 0},
    {"processor_seconds", "Proc. s", AT(processor_seconds), 0},
    {"products", "Products", AT(products), 0},
    {"pairs_per_s", "Pairs/s", AT(pairs_per_s), 0},
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

static fb_mean_sd value_of(const fb_compare_row *row, const column *of)
{
    fb_mean_sd value;
    memcpy(&value, (const char *)row + of->offset, sizeof value);
    return value;
}

/* ---- CSV -------------------------------------------------------------------------- */

void fb_csv_text(FILE *out, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

/* What is not known is empty. */
static void csv_number(FILE *out, double value)
{
    if (isfinite(value))
        fb_stream_print(out, ",%.9g", value);
    else
        fputc(',', out);
}

fb_status fb_compare_write_csv(const fb_compare_run *c, const fb_comparison *found)
{
    char path[4096];
    fb_replace file;
    FB_TRY(fb_compare_path(c, path, "compare.csv"));
    FB_TRY(fb_replace_open(c->ctx, path, &file));
    FILE *out = file.stream;
    fputs("name,seeds,failed", out);
    for (int k = 0; k < COLUMNS; k++)
        fprintf(out, ",%s,%s_sd", columns[k].name, columns[k].name);
    fputs(",sum_r_difference,sum_r_low,sum_r_high,parameters,message\n", out);
    for (int32_t i = 0; i < found->row_count; i++) {
        const fb_compare_row *r = &found->rows[i];
        fb_csv_text(out, r->name);
        fprintf(out, ",%d,%d", (int)r->seeds, (int)r->failed);
        for (int k = 0; k < COLUMNS; k++) {
            csv_number(out, value_of(r, &columns[k]).mean);
            csv_number(out, value_of(r, &columns[k]).sd);
        }
        csv_number(out, r->sum_r_against_first.difference);
        csv_number(out, r->sum_r_against_first.low);
        csv_number(out, r->sum_r_against_first.high);
        csv_number(out, r->parameters ? (double)r->parameters : (double)NAN);
        fputc(',', out);
        fb_csv_text(out, r->message);
        fputc('\n', out);
    }
    return fb_replace_commit(c->ctx, &file);
}

/* ---- LaTeX ------------------------------------------------------------------------ */

void fb_latex_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (strchr("&%$#_{}", *text))
            fprintf(out, "\\%c", *text);
        else if (*text == '~')
            fputs("\\textasciitilde{}", out);
        else if (*text == '^')
            fputs("\\textasciicircum{}", out);
        else if (*text == '\\')
            fputs("\\textbackslash{}", out);
        else
            fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
    }
}

static void latex_number(FILE *out, fb_mean_sd value, int decimals)
{
    if (!isfinite(value.mean))
        fputs(" & --", out);
    else if (isfinite(value.sd) && decimals > 0)
        fb_stream_print(out, " & $%.*f \\pm %.*f$", decimals, value.mean, decimals,
                        value.sd);
    else
        fb_stream_print(out, " & $%.*f$", decimals, value.mean);
}

static void latex_interval(FILE *out, const fb_interval *i)
{
    if (isfinite(i->low))
        fb_stream_print(out, " & $%+.3f$ [$%+.3f$, $%+.3f$]", i->difference, i->low,
                        i->high);
    else
        fputs(" & --", out);
}

static void latex_row(FILE *out, const fb_compare_row *r)
{
    fb_latex_text(out, r->name);
    if (r->seeds == 0) {
        fputs(" & \\multicolumn{13}{l}{\\emph{", out);
        fb_latex_text(out, r->message);
        fputs("}} \\\\\n", out);
        return;
    }
    for (int k = 0; k < COLUMNS; k++) {
        if (columns[k].heading)
            latex_number(out, value_of(r, &columns[k]), columns[k].decimals);
        if (strcmp(columns[k].name, "sum_r") == 0)
            latex_interval(out, &r->sum_r_against_first);
    }
    fb_stream_print(out, " & $%.2f$M \\\\\n", (double)r->parameters / 1e6);
}

fb_status fb_compare_write_tex(const fb_compare_run *c, const fb_comparison *found)
{
    char path[4096];
    fb_replace file;
    FB_TRY(fb_compare_path(c, path, "compare.tex"));
    FB_TRY(fb_replace_open(c->ctx, path, &file));
    FILE *out = file.stream;
    fputs("% needs \\usepackage{booktabs}\n\\begin{tabular}{l rrr rrr rl rrrr r}\n"
          "\\toprule\n & \\multicolumn{3}{c}{image to text} & \\multicolumn{3}{c}{text "
          "to image} \\\\\n\\cmidrule(lr){2-4}\\cmidrule(lr){5-7}\nSystem",
          out);
    for (int k = 0; k < COLUMNS; k++) {
        if (columns[k].heading)
            fprintf(out, " & %s", columns[k].heading);
        if (strcmp(columns[k].name, "sum_r") == 0)
            fputs(" & against the first", out);
    }
    fputs(" & Parameters \\\\\n\\midrule\n", out);
    for (int32_t i = 0; i < found->row_count; i++)
        latex_row(out, &found->rows[i]);
    fputs("\\bottomrule\n\\end{tabular}\n", out);
    return fb_replace_commit(c->ctx, &file);
}
