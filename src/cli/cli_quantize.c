/* cli_quantize.c - `fashionbert quantize`: a model's int8 data, and what they cost. */
#include "cli/ranking.h"
#include "cli/verbs.h"

typedef struct quantize_arguments {
    fb_quantize_options task;
#define FB_COMMAND FB_OPTION_MEMBER
#include "fashionbert/quantize.def"
} quantize_arguments;

#define FB_OPTION             FB_OPTION_ROW
#define FB_COMMAND            FB_COMMAND_ROW
#define FB_OPTION_AT(member)  offsetof(quantize_arguments, task.member)
#define FB_COMMAND_AT(member) offsetof(quantize_arguments, member)
static const fb_option options[] = {
#include "fashionbert/quantize.def"
};

static void write_figures(fb_json_writer *w, const char *key,
                          const fb_quantize_report *r, const fb_quantize_figures *f)
{
    fb_json_key(w, key);
    fb_json_open_object(w);
    if (r->of_queries) {
        fb_ranking_write(w, "query_to_product", &f->query_to_product);
    } else {
        fb_ranking_write(w, "image_to_text", &f->image_to_text);
        fb_ranking_write(w, "text_to_image", &f->text_to_image);
    }
    fb_json_key_double(w, "r1", f->r1);
    fb_json_key_double(w, "auc", f->auc);
    fb_json_key_double(w, "seconds", f->seconds);
    fb_json_close_object(w);
}

static void print_json(const quantize_arguments *a, const fb_quantize_report *r)
{
    fb_json_writer w;
    fb_json_begin(&w, stdout, 2);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "model", a->task.model);
    fb_json_key_string(&w, "split", a->task.split);
    fb_json_key_int(&w, "items", r->items);
    fb_json_key_int(&w, "pairs_scored", r->pairs);
    fb_json_key_int(&w, "layers", r->layers);
    write_figures(&w, "float", r, &r->in_float);
    write_figures(&w, "int8", r, &r->in_int8);
    fb_json_key_double(&w, "r1_lost", r->r1_lost);
    fb_json_key_double(&w, "tolerance", a->task.tolerance);
    fb_json_key_double(&w, "largest_score_difference", r->score_difference);
    fb_json_key_bool(&w, "written", r->written);
    fb_json_close_object(&w);
    fputc('\n', stdout);
}

static void add_row(fb_table *table, const char *dtype, const char *direction,
                    const fb_ranking *ranking, const fb_quantize_figures *f)
{
    fb_table_text(table, dtype);
    fb_table_text(table, direction);
    fb_table_int(table, ranking->queries);
    fb_table_number(table, ranking->r1, 4);
    fb_table_number(table, ranking->r5, 4);
    fb_table_number(table, f->auc, 4);
    fb_table_number(table, f->seconds, 1);
}

static fb_status print_table(fb_context *ctx, const fb_quantize_report *r)
{
    fb_table *table =
        fb_table_create("<numbers|<direction|>queries|>R@1|>R@5|>AUC|>seconds");
    for (int i = 0; i < 2; i++) {
        const fb_quantize_figures *f = i ? &r->in_int8 : &r->in_float;
        const char *dtype = i ? "int8" : "f32";
        if (r->of_queries) {
            add_row(table, dtype, "query to product", &f->query_to_product, f);
            continue;
        }
        add_row(table, dtype, "image to text", &f->image_to_text, f);
        add_row(table, dtype, "text to image", &f->text_to_image, f);
    }
    fb_status status = fb_table_print(ctx, table, stdout);
    fb_table_free(table);
    printf("\n%d layers; int8 loses %.4f of R@1; scores differ by %.4f at most\n",
           (int)r->layers, r->r1_lost, r->score_difference);
    return status;
}

static fb_status run(fb_context *ctx, void *arguments)
{
    const quantize_arguments *a = arguments;
    fb_quantize_report report;
    fb_status status = fb_quantize(ctx, &a->task, &report);
    if (!report.measured) /* figures are printed of a refusal too */
        return status;
    if (a->json)
        print_json(a, &report);
    else if (status == FB_OK)
        return print_table(ctx, &report);
    else
        (void)print_table(NULL, &report); /* the sentence is that of the refusal */
    return status;
}

const fb_verb fb_verb_quantize = {
    .name = "quantize",
    .summary = "make a model ready to score in int8",
    .about =
        "Finds the scales with which the model's linear layers become products of int8 "
        "numbers, ranks the same candidates with both models, prints what is lost, and "
        "writes the scales into the model folder. From then on the verbs that score "
        "use "
        "int8 unless --dtype says otherwise. Where more than --tolerance of R@1 is "
        "lost, "
        "nothing is written.",
    .example = "fashionbert quantize --model model --catalog shop",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .arguments_bytes = sizeof(quantize_arguments),
    .run = run,
};
