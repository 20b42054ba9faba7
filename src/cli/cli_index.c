/* cli_index.c - `fashionbert index`: make an index of a catalogue's products, or change
 * one. */
#include "base/json.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include <math.h>
#include <string.h>

typedef struct index_arguments {
    fb_index_build_options task;
    fb_store_options store;
    bool add, replace, json;
} index_arguments;

#define AT(member) offsetof(index_arguments, task.member)

static const fb_option options[] = {
    {.name = "model",
     .value = "DIR",
     .type = FB_OPTION_STRING,
     .offset = AT(model),
     .help = "model folder, trained with vectors; not needed with --delete"},
    {.name = "catalog",
     .value = "DIR",
     .type = FB_OPTION_STRING,
     .offset = AT(catalog),
     .help = "catalogue whose products are indexed; not needed with --delete"},
    {.name = "out",
     .value = "DIR",
     .type = FB_OPTION_STRING,
     .offset = AT(out),
     .required = true,
     .help = "index folder to make (in the place of an older index) or to change"},
    FB_OPTION_FLAG_ROW(index_arguments, "add", add,
                       "add the catalogue's products to the index; none may be there"),
    FB_OPTION_FLAG_ROW(index_arguments, "replace", replace,
                       "add them, in the place of those of the same product id"),
    {.name = "delete",
     .value = "ID",
     .type = FB_OPTION_LIST,
     .offset = AT(ids),
     .count_offset = AT(id_count),
     .help = "take the products of these ids out of the index"},
    {.name = "split",
     .value = "NAME",
     .type = FB_OPTION_CHOICE,
     .choices = "all,train,val,test",
     .offset = AT(split),
     .help = "products to index, by their split field"},
    {.name = "what",
     .value = "OF",
     .type = FB_OPTION_CHOICE,
     .choices = "product,image,text",
     .offset = AT(what),
     .help = "what a product's vector is made of: its title and its image, or one"},
    {.name = "text-weight",
     .value = "W",
     .type = FB_OPTION_DOUBLE,
     .offset = AT(text_weight),
     .high = 1,
     .automatic = true,
     .help = "of the title beside the image in a product's vector; auto is " FB_QUOTED(
         FB_TEXT_WEIGHT)},
    {.name = "kind",
     .value = "KIND",
     .type = FB_OPTION_CHOICE,
     .choices = "auto,exact,hnsw,ivfpq",
     .offset = AT(kind),
     .help = "exact compares all vectors in each search, hnsw follows a graph, ivfpq "
             "looks through short codes; auto is exact below 200,000 products, else "
             "hnsw"},
    {.name = "keep",
     .value = "WHAT",
     .type = FB_OPTION_CHOICE,
     .choices = "auto,pixels,features,none",
     .offset = AT(keep),
     .help =
         "of each image, so that re-ranking need not read it: its pixels, or what the "
         "image network makes of them; auto is features where the model has a "
         "network, else pixels, up to 2 GiB in all"},
    {.name = "vectors",
     .value = "FILE",
     .type = FB_OPTION_STRING,
     .offset = AT(vectors),
     .help = "vectors of the products, .npy or .fvecs in the catalogue's order, in the "
             "place of encoding them"},
    {.name = "to",
     .value = "URI",
     .type = FB_OPTION_STRING,
     .offset = offsetof(index_arguments, store.store),
     .help = "then load the index into PostgreSQL with pgvector: postgresql://host/db, "
             "and others behind blanks to hold a part each; without --catalog the "
             "index as it is; none for none"},
    {.name = "links",
     .value = "N",
     .type = FB_OPTION_INT32,
     .offset = offsetof(index_arguments, store.links),
     .low = 2,
     .high = 100,
     .help = "of each vector in the database's graph (pgvector's m)"},
    {.name = "build-effort",
     .value = "N",
     .type = FB_OPTION_INT32,
     .offset = offsetof(index_arguments, store.build_effort),
     .low = 4,
     .high = 1000,
     .help = "with which that is built (ef_construction); at least twice the links"},
    {.name = "search-effort",
     .value = "N",
     .type = FB_OPTION_INT32,
     .offset = offsetof(index_arguments, store.effort),
     .low = 1,
     .high = 1000,
     .help = "of searches there, unless told (ef_search)"},
    FB_OPTION_COMPUTE_ROWS(index_arguments, task.backend, task.dtype, task.threads),
    FB_OPTION_FLAG_ROW(index_arguments, "json", json, "print what was done as JSON"),
    FB_OPTION_FLAG_ROW(index_arguments, "quiet", task.quiet, "no progress on stderr"),
};

static void defaults(void *arguments)
{
    index_arguments *a = arguments;
    fb_index_build_options_defaults(&a->task);
    fb_store_options_defaults(&a->store);
}

static void print_json(const char *folder, const fb_index_report *r)
{
    fb_json_writer w;
    fb_json_begin(&w, stdout, 2);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "index", folder);
    fb_json_key_string(&w, "kind", r->kind);
    fb_json_key_int(&w, "products", r->products);
    fb_json_key_int(&w, "added", r->added);
    fb_json_key_int(&w, "deleted", r->deleted);
    fb_json_key_int(&w, "size_bytes", r->size_bytes);
    fb_json_key_double(&w, "recall10", r->recall10);
    fb_json_key_int(&w, "effort", r->effort);
    fb_json_key_double(&w, "encode_seconds", r->encode_seconds);
    fb_json_key_double(&w, "build_seconds", r->build_seconds);
    fb_json_close_object(&w);
    fputc('\n', stdout);
}

static fb_status print_table(fb_context *ctx, const fb_index_report *r)
{
    fb_table *table = fb_table_create(
        "<kind|>products|>added|>deleted|>MB|>recall@10|>effort|>seconds");
    fb_table_text(table, r->kind);
    fb_table_int(table, r->products);
    fb_table_int(table, r->added);
    fb_table_int(table, r->deleted);
    fb_table_number(table, (double)r->size_bytes / 1e6, 1);
    fb_table_number(table, r->recall10, 4);
    if (isfinite(r->recall10))
        fb_table_int(table, r->effort);
    else
        fb_table_text(table, "-");
    fb_table_number(table, r->build_seconds, 1);
    fb_status status = fb_table_print(ctx, table, stdout);
    fb_table_free(table);
    return status;
}

static void print_store_json(const index_arguments *a, const fb_store_report *r)
{
    fb_json_writer w;
    fb_json_begin(&w, stdout, 2);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "index", a->task.out);
    fb_json_key_int(&w, "shards", r->shards);
    fb_json_key_int(&w, "products", r->products);
    fb_json_key_int(&w, "rows", r->rows);
    fb_json_key_double(&w, "recall10", r->recall10);
    fb_json_key_double(&w, "copy_seconds", r->copy_seconds);
    fb_json_key_double(&w, "build_seconds", r->build_seconds);
    fb_json_close_object(&w);
    fputc('\n', stdout);
}

static fb_status print_store(fb_context *ctx, const fb_store_report *r)
{
    fb_table *table = fb_table_create(
        ">shards|>products|>rows|>recall@10|>copy seconds|>build seconds");
    fb_table_int(table, r->shards);
    fb_table_int(table, r->products);
    fb_table_int(table, r->rows);
    fb_table_number(table, r->recall10, 4);
    fb_table_number(table, r->copy_seconds, 1);
    fb_table_number(table, r->build_seconds, 1);
    fb_status status = fb_table_print(ctx, table, stdout);
    fb_table_free(table);
    return status;
}

static fb_status build(fb_context *ctx, const index_arguments *a)
{
    fb_index_report report;
    FB_TRY(fb_index_build(ctx, &a->task, &report));
    if (a->store.store[0])
        return FB_OK; /* one result is printed, the last */
    if (!a->json)
        return print_table(ctx, &report);
    print_json(a->task.out, &report);
    return FB_OK;
}

static fb_status load(fb_context *ctx, index_arguments *a)
{
    fb_store_report report;
    a->store.index = a->task.out;
    a->store.quiet = a->task.quiet;
    FB_TRY(fb_store_load(ctx, &a->store, &report));
    if (!a->json)
        return print_store(ctx, &report);
    print_store_json(a, &report);
    return FB_OK;
}

static fb_status run(fb_context *ctx, void *arguments)
{
    index_arguments *a = arguments;
    int modes = a->add + a->replace + (a->task.id_count > 0);
    if (modes > 1)
        return fb_fail(ctx, FB_E_USAGE,
                       "--add, --replace and --delete do not go together");
    if (modes)
        a->task.mode = a->add ? "add" : a->replace ? "replace" : "delete";
    if (modes || a->task.catalog[0] || a->task.model[0] || !a->store.store[0])
        FB_TRY(build(ctx, a));
    return a->store.store[0] ? load(ctx, a) : FB_OK;
}

const fb_verb fb_verb_index = {
    .name = "index",
    .summary = "make a catalogue's products searchable",
    .about =
        "Encodes every product and writes a folder that `search` and `serve` read. "
        "With an approximate kind it prints how much of the exact answer a search "
        "finds (recall@10), and the effort that it takes. Killed at any instant, "
        "the folder holds the index as it was before.",
    .example = "fashionbert index --model model --catalog shop --out shop.index",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .arguments_bytes = sizeof(index_arguments),
    .defaults = defaults,
    .run = run,
};
