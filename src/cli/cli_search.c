/* cli_search.c - `fashionbert search`: the products of an index nearest to a text, an
 * image or both. */
#include "base/json.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include <stdlib.h>
#include <string.h>

typedef struct search_arguments {
    fb_search_options task;
#define FB_COMMAND      FB_OPTION_MEMBER
#define FB_COMMAND_LIST FB_LIST_MEMBER
#include "fashionbert/search.def"
} search_arguments;

#define FB_OPTION             FB_OPTION_ROW
#define FB_COMMAND            FB_COMMAND_ROW
#define FB_COMMAND_LIST       FB_COMMAND_LIST_ROW
#define FB_OPTION_AT(member)  offsetof(search_arguments, task.member)
#define FB_COMMAND_AT(member) offsetof(search_arguments, member)
static const fb_option options[] = {
#include "fashionbert/search.def"
};

/* ---- printing ------------------------------------------------------------------- */

static void print_took(fb_json_writer *w, const fb_search_result *r)
{
    fb_json_key(w, "took_ms");
    fb_json_open_object(w);
    fb_json_key_double(w, "encode", r->encode_ms);
    fb_json_key_double(w, "search", r->search_ms);
    fb_json_key_double(w, "rerank", r->rerank_ms);
    fb_json_key_double(w, "total", r->total_ms);
    fb_json_close_object(w);
}

static void print_hit(fb_json_writer *w, const fb_hit *hit)
{
    fb_json_open_object(w);
    fb_json_key_string(w, "product_id", hit->product_id);
    fb_json_key_string(w, "title", hit->title);
    fb_json_key_string(w, "image", hit->image);
    fb_json_key_float(w, "score", hit->score);
    fb_json_key_float(w, "rerank_score", hit->rerank_score);
    fb_json_key_int(w, "rank", hit->rank);
    fb_json_key(w, "attributes");
    fb_json_open_object(w);
    for (int32_t i = 0; i < hit->attribute_count; i++)
        fb_json_key_string(w, hit->attributes[2 * i], hit->attributes[2 * i + 1]);
    fb_json_close_object(w);
    fb_json_close_object(w);
}

static void print_json(const search_arguments *a, const fb_search_result *r)
{
    fb_json_writer w;
    fb_json_begin(&w, stdout, 2);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "query", a->text);
    if (a->image[0])
        fb_json_key_string(&w, "query_image", a->image);
    print_took(&w, r);
    fb_json_key_int(&w, "compared", r->compared);
    fb_json_key_int(&w, "rerank_dropped", r->rerank_dropped);
    fb_json_key(&w, "results");
    fb_json_open_array(&w);
    for (int32_t i = 0; i < r->hit_count; i++)
        print_hit(&w, &r->hits[i]);
    fb_json_close_array(&w);
    fb_json_close_object(&w);
    fputc('\n', stdout);
}

static fb_status print_table(fb_context *ctx, const search_arguments *a,
                             const fb_search_result *r)
{
    bool reranked = a->task.rerank > 0;
    fb_table *table =
        fb_table_create(reranked ? ">score|>by vector|>rank|<product|<title"
                                 : ">score|<product|<title");
    for (int32_t i = 0; i < r->hit_count; i++) {
        const fb_hit *hit = &r->hits[i];
        if (reranked)
            fb_table_number(table, (double)hit->rerank_score, 4);
        fb_table_number(table, (double)hit->score, 4);
        if (reranked)
            fb_table_int(table, hit->rank);
        fb_table_text(table, hit->product_id);
        fb_table_text(table, hit->title);
    }
    fb_status status = fb_table_print(ctx, table, stdout);
    fb_table_free(table);
    if (r->compared >= 0)
        fprintf(stderr, "%lld products; ", (long long)r->compared);
    fprintf(stderr, "encode %.1f ms, search %.1f ms, re-rank %.1f ms\n", r->encode_ms,
            r->search_ms, r->rerank_ms);
    if (r->rerank_dropped > 0)
        fprintf(stderr, "%d of %d were not re-ranked: --rerank-margin %g\n",
                (int)r->rerank_dropped, (int)r->retrieved_count, a->task.rerank_margin);
    return status;
}

/* ---- running -------------------------------------------------------------------- */

/* "colour=Blue" as name and value; the names' memory is the caller's to free. */
static fb_status split_filters(fb_context *ctx, search_arguments *a,
                               fb_search_filter *filters, char **memory)
{
    size_t bytes = 1;
    for (int32_t i = 0; i < a->filter_count; i++)
        bytes += strlen(a->filters[i]) + 1;
    char *at = *memory = malloc(bytes);
    if (!at)
        return fb_fail(ctx, FB_E_MEMORY, "out of memory for --filter");
    for (int32_t i = 0; i < a->filter_count; i++) {
        const char *sign = strchr(a->filters[i], '=');
        if (!sign || sign == a->filters[i])
            return fb_fail(ctx, FB_E_USAGE,
                           "--filter %s: give NAME=VALUE, such as colour=Blue",
                           a->filters[i]);
        size_t length = strlen(a->filters[i]) + 1;
        memcpy(at, a->filters[i], length);
        at[sign - a->filters[i]] = 0;
        filters[i] = (fb_search_filter){at, at + (sign - a->filters[i]) + 1};
        at += length;
    }
    a->task.filters = filters;
    a->task.filter_count = a->filter_count;
    return FB_OK;
}

static fb_status search(fb_context *ctx, search_arguments *a)
{
    fb_model *model = NULL, *ranker = NULL;
    fb_index *index = NULL;
    fb_search_result *result = NULL;
    fb_image_input image = {.file = a->image};
    fb_input query = {a->text[0] ? a->text : NULL, a->image[0] ? &image : NULL};
    fb_model_options compute = {a->backend, a->dtype, a->threads};
    fb_status status = fb_model_open(ctx, &model, a->model, &compute);
    if (status == FB_OK && a->regions[0])
        status = fb_model_use_regions(ctx, model, a->regions);
    if (status == FB_OK)
        status = fb_index_open(ctx, &index, a->index[0] ? a->index : a->store, model);
    if (status == FB_OK && a->ranker[0])
        status = fb_model_open(ctx, &ranker, a->ranker, &compute);
    a->task.ranker = ranker;
    if (status == FB_OK)
        status = fb_search(ctx, model, index, &query, &a->task, &result);
    if (status == FB_OK && a->json)
        print_json(a, result);
    else if (status == FB_OK)
        status = print_table(ctx, a, result);
    fb_search_result_free(result);
    fb_index_close(index);
    fb_model_close(ranker);
    fb_model_close(model);
    return status;
}

static fb_status run(fb_context *ctx, void *arguments)
{
    search_arguments *a = arguments;
    char *memory = NULL;
    if (!a->text[0] && !a->image[0])
        return fb_fail(ctx, FB_E_USAGE, "give --text, --image or both to look for");
    if (a->ranker[0] && a->task.rerank == 0)
        a->task.rerank = 100;
    if (!a->index[0] == !a->store[0])
        return fb_fail(ctx, FB_E_USAGE, "give --index DIR or --store URI");
    fb_search_filter *filters = calloc((size_t)a->filter_count + 1, sizeof *filters);
    fb_status status = filters ? split_filters(ctx, a, filters, &memory)
                               : fb_fail(ctx, FB_E_MEMORY, "out of memory");
    if (status == FB_OK)
        status = search(ctx, a);
    free(filters);
    free(memory);
    return status;
}

const fb_verb fb_verb_search = {
    .name = "search",
    .summary = "find products by words or by an image",
    .about = "Prints the products of an index that are nearest to a text, an image or "
             "both; with --rerank the best of them in the order of the model's own "
             "score, which reads words and patches together.",
    .example =
        "fashionbert search --model model --index shop.index --text \"red dress\" "
        "--rerank 100",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .arguments_bytes = sizeof(search_arguments),
    .run = run,
};
