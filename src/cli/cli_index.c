/* cli_index.c - `fashionbert index`: make an index of a catalogue's products, or change
 * one. */
#include "base/json.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include <math.h>
#include <string.h>

typedef struct index_arguments {
    fb_index_build_options task;
#define FB_COMMAND FB_OPTION_MEMBER
#include "fashionbert/index.def"
} index_arguments;

#define FB_OPTION             FB_OPTION_ROW
#define FB_LIST               FB_LIST_ROW
#define FB_COMMAND            FB_COMMAND_ROW
#define FB_OPTION_AT(member)  offsetof(index_arguments, task.member)
#define FB_COMMAND_AT(member) offsetof(index_arguments, member)
static const fb_option options[] = {
#include "fashionbert/index.def"
};

static void defaults(void *arguments)
{
    ((index_arguments *)arguments)->task.mode = "make";
}

static void print_json(const char *folder, const fb_index_report *r)
{
    fb_json_writer w;
    fb_json_begin(&w, stdout, 2);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "index", folder);
    fb_json_key_string(&w, "kind", r->kind);
    fb_json_key_string(&w, "storage", r->storage);
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
        "<kind|<storage|>products|>added|>deleted|>MB|>recall@10|>effort|>seconds");
    fb_table_text(table, r->kind);
    fb_table_text(table, r->storage);
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
    if (a->store[0])
        return FB_OK; /* one result is printed, the last */
    if (!a->json)
        return print_table(ctx, &report);
    print_json(a->task.out, &report);
    return FB_OK;
}

static fb_status load(fb_context *ctx, index_arguments *a)
{
    fb_store_report report;
    fb_store_options o;
    fb_store_options_defaults(&o);
    o.index = a->task.out;
    o.store = a->store;
    o.vector_type = a->vector_type;
    o.links = a->links;
    o.build_effort = a->build_effort;
    o.effort = a->effort;
    o.quiet = a->task.quiet;
    FB_TRY(fb_store_load(ctx, &o, &report));
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
    if (modes || a->task.catalog[0] || a->task.model[0] || !a->store[0])
        FB_TRY(build(ctx, a));
    return a->store[0] ? load(ctx, a) : FB_OK;
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
