/* cli_evaluate.c - `fashionbert evaluate`: retrieval numbers of a model, chance beside
 * them.
 */
#include "cli/ranking.h"
#include "cli/verbs.h"
#include <math.h>
#include <string.h>

typedef struct evaluate_arguments {
    fb_evaluate_options task;
#define FB_COMMAND FB_OPTION_MEMBER
#include "fashionbert/evaluate.def"
} evaluate_arguments;

#define FB_OPTION             FB_OPTION_ROW
#define FB_COMMAND            FB_COMMAND_ROW
#define FB_OPTION_AT(member)  offsetof(evaluate_arguments, task.member)
#define FB_COMMAND_AT(member) offsetof(evaluate_arguments, member)
static const fb_option options[] = {
#include "fashionbert/evaluate.def"
};

static void write_stages(fb_json_writer *w, const evaluate_arguments *a,
                         const fb_two_stages *s)
{
    fb_json_key(w, "stages");
    fb_json_open_object(w);
    fb_json_key_string(w, "index", a->task.index);
    fb_json_key_string(w, "kind", s->kind);
    fb_json_key_int(w, "depth", s->depth);
    fb_json_key_bool(w, "reranked", s->reranked);
    fb_json_key_int(w, "dropped", s->dropped);
    fb_json_key(w, "vectors");
    fb_json_open_object(w);
    fb_ranking_write(w, "image_to_text", &s->image_to_text);
    fb_ranking_write(w, "text_to_image", &s->text_to_image);
    fb_json_key_double(w, "sum_r", s->sum_r);
    fb_json_close_object(w);
    fb_json_key(w, "ceiling");
    fb_json_open_object(w);
    fb_json_key_double(w, "image_to_text", s->image_to_text_ceiling);
    fb_json_key_double(w, "text_to_image", s->text_to_image_ceiling);
    fb_json_close_object(w);
    fb_json_close_object(w);
}

/* The whole split is ranked under `full`: nothing was drawn. */
static bool is_sampled(const evaluate_arguments *a)
{
    return strcmp(a->task.protocol, "sampled") == 0;
}

static void print_json(const evaluate_arguments *a, const fb_evaluation *e)
{
    fb_json_writer w;
    fb_json_begin(&w, stdout, 2);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "protocol", a->task.protocol);
    fb_json_key_string(&w, "negatives", is_sampled(a) ? a->task.negatives : "all");
    fb_json_key_string(&w, "score", e->score);
    fb_json_key_int(&w, "seed", (int64_t)a->task.seed);
    fb_json_key_int(&w, "draws", is_sampled(a) ? a->task.draws : 1);
    fb_json_key_int(&w, "different_draws", e->draws);
    fb_json_key_string(&w, "split", a->task.split);
    fb_json_key_int(&w, "items", e->items);
    if (e->of_queries) {
        fb_json_key_string(&w, "wanted", e->wanted);
        fb_ranking_write(&w, "query_to_product", &e->query_to_product);
        fb_json_key_double(&w, "ndcg10", e->ndcg10);
        fb_json_key_double(&w, "chance_ndcg10", e->chance_ndcg10);
    } else {
        fb_ranking_write(&w, "image_to_text", &e->image_to_text);
        fb_ranking_write(&w, "text_to_image", &e->text_to_image);
        fb_json_key_double(&w, "sum_r", e->sum_r);
    }
    if (e->stages.used)
        write_stages(&w, a, &e->stages);
    fb_json_key_double(&w, "accuracy", e->accuracy);
    fb_json_key_double(&w, "auc", e->auc);
    fb_json_key_int(&w, "pairs_scored", e->pairs_scored);
    fb_json_key_double(&w, "seconds", e->seconds);
    fb_json_key(&w, "categories");
    fb_json_open_array(&w);
    for (int64_t i = 0; i < e->category_count; i++) {
        fb_json_open_object(&w);
        fb_json_key_string(&w, "name", e->categories[i].name);
        fb_ranking_write(&w, "image_to_text", &e->categories[i].image_to_text);
        fb_ranking_write(&w, "text_to_image", &e->categories[i].text_to_image);
        fb_json_key_int(&w, "different_draws", e->categories[i].draws);
        fb_json_close_object(&w);
    }
    fb_json_close_array(&w);
    fb_json_close_object(&w);
    fputc('\n', stdout);
}

static void add_ranking(fb_table *table, const char *name, const fb_ranking *r)
{
    fb_table_text(table, name);
    fb_ranking_add(table, r);
}

static void print_ceiling(const fb_two_stages *s)
{
    const char *const names[2] = {"image to text", "text to image"};
    const double ceilings[2] = {s->image_to_text_ceiling, s->text_to_image_ceiling};
    printf("\na right answer among the %d nearest:", (int)s->depth);
    for (int i = 0; i < 2; i++)
        if (isfinite(ceilings[i]))
            printf("  %s %.3f", names[i], ceilings[i]);
    fputc('\n', stdout);
    if (s->dropped > 0)
        printf("pairs that --rerank-margin left out: %lld\n", (long long)s->dropped);
}

static fb_status print_totals(fb_context *ctx, const fb_evaluation *e)
{
    fb_table *table = fb_table_create("<direction|" FB_RANKING_HEADS);
    const fb_two_stages *s = &e->stages;
    if (s->used) {
        add_ranking(table, "image to text, vectors", &s->image_to_text);
        add_ranking(table, "text to image, vectors", &s->text_to_image);
    }
    if (!s->used || s->reranked) {
        const char *suffix = s->used ? ", re-ranked" : "";
        char names[2][40];
        snprintf(names[0], sizeof names[0], "image to text%s", suffix);
        snprintf(names[1], sizeof names[1], "text to image%s", suffix);
        add_ranking(table, names[0], &e->image_to_text);
        add_ranking(table, names[1], &e->text_to_image);
    }
    fb_status status = fb_table_print(ctx, table, stdout);
    fb_table_free(table);
    FB_TRY(status);
    if (s->used)
        print_ceiling(s);
    fputc('\n', stdout);
    table = fb_table_create(">items|>SumR|>accuracy|>AUC|>pairs scored|>seconds");
    fb_table_int(table, e->items);
    fb_table_number(table, e->sum_r, 3);
    fb_table_number(table, e->accuracy, 3);
    fb_table_number(table, e->auc, 3);
    fb_table_int(table, e->pairs_scored);
    fb_table_number(table, e->seconds, 1);
    status = fb_table_print(ctx, table, stdout);
    fb_table_free(table);
    return status;
}

static fb_status print_queries(fb_context *ctx, const fb_evaluation *e)
{
    const fb_ranking *r = &e->query_to_product;
    fb_table *table = fb_table_create(
        "<wanted by|>queries|>left out|>candidates|>R@1|>chance R@1|>R@5|"
        ">R@10|>MRR|>median rank|>NDCG@10|>chance NDCG@10");
    fb_table_text(table, e->wanted);
    fb_table_int(table, r->queries);
    fb_table_int(table, r->left_out);
    fb_table_number(table, r->candidates_mean, 1);
    fb_table_number(table, r->r1, 3);
    fb_table_number(table, r->chance_r1, 3);
    fb_table_number(table, r->r5, 3);
    fb_table_number(table, r->r10, 3);
    fb_table_number(table, r->mrr, 3);
    fb_table_number(table, r->median_rank, 1);
    fb_table_number(table, e->ndcg10, 3);
    fb_table_number(table, e->chance_ndcg10, 3);
    fb_status status = fb_table_print(ctx, table, stdout);
    fb_table_free(table);
    FB_TRY(status);
    fputc('\n', stdout);
    table = fb_table_create(">items|>accuracy|>AUC|>triples scored|>seconds");
    fb_table_int(table, e->items);
    fb_table_number(table, e->accuracy, 3);
    fb_table_number(table, e->auc, 3);
    fb_table_int(table, e->pairs_scored);
    fb_table_number(table, e->seconds, 1);
    status = fb_table_print(ctx, table, stdout);
    fb_table_free(table);
    return status;
}

static fb_status print_categories(fb_context *ctx, const fb_evaluation *e)
{
    fb_table *table =
        fb_table_create("<category|<direction|>queries|>draws|>candidates|"
                        ">R@1|>chance R@1|>R@5|>R@10|>MRR|>median rank");
    for (int64_t i = 0; i < e->category_count; i++) {
        const fb_category_result *c = &e->categories[i];
        for (int way = 0; way < 2; way++) {
            const fb_ranking *r = way ? &c->text_to_image : &c->image_to_text;
            fb_table_text(table, c->name);
            fb_table_text(table, way ? "text to image" : "image to text");
            fb_table_int(table, r->queries);
            fb_table_int(table, c->draws);
            fb_table_number(table, r->candidates_mean, 1);
            fb_table_number(table, r->r1, 3);
            fb_table_number(table, r->chance_r1, 3);
            fb_table_number(table, r->r5, 3);
            fb_table_number(table, r->r10, 3);
            fb_table_number(table, r->mrr, 3);
            fb_table_number(table, r->median_rank, 1);
        }
    }
    fputc('\n', stdout);
    fb_status status = fb_table_print(ctx, table, stdout);
    fb_table_free(table);
    return status;
}

static fb_status run(fb_context *ctx, void *arguments)
{
    const evaluate_arguments *a = arguments;
    fb_evaluation *evaluation = NULL;
    fb_status status = fb_evaluate(ctx, &a->task, &evaluation);
    if (status == FB_OK && a->json)
        print_json(a, evaluation);
    else if (status == FB_OK && evaluation->of_queries)
        status = print_queries(ctx, evaluation);
    else if (status == FB_OK) {
        status = print_totals(ctx, evaluation);
        if (status == FB_OK && a->per_category)
            status = print_categories(ctx, evaluation);
    }
    if (status == FB_OK && !a->json && is_sampled(a))
        fb_draws_say(evaluation, a->task.draws);
    fb_evaluation_free(evaluation);
    return status;
}

const fb_verb fb_verb_evaluate = {
    .name = "evaluate",
    .summary = "measure how well a model finds the right text or image",
    .about =
        "Ranks, for each image, the right title among others, and for each title the "
        "right image, and prints recall, MRR and median rank beside what chance gives. "
        "A product's own other images, and items with the same text, are never counted "
        "as wrong answers; ties count against the model. A model of queries (train "
        "--objective qti) is asked for the products that each query wanted.",
    .example =
        "fashionbert evaluate --model model --catalog shop --split test --draws 5",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .arguments_bytes = sizeof(evaluate_arguments),
    .run = run,
};
