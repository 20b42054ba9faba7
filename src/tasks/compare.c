/* compare.c - the compare verb: plan, shared features, every system with every seed,
 * and after each of these the tables anew.
 *
 * Seeds are the outer loop: stopped early, every system has about as many. What is done
 * has a result file (compare.h); what failed has none, and is tried again by the next
 * call.
 */
#include "tasks/compare.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/option.h"
#include "data/regions/region_table.h"
#include "training/train_state.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FB_OPTION            FB_OPTION_ROW
#define FB_OPTION_AT(member) offsetof(fb_compare_options, member)
static const fb_option option_rows[] = {
#include "fashionbert/compare.def"
};
static const fb_option_table option_table = FB_OPTION_TABLE(option_rows);

void fb_compare_options_defaults(fb_compare_options *options)
{
    *options = (fb_compare_options){0};
    fb_options_defaults(&option_table, options);
}

fb_status fb_compare_options_set(fb_context *ctx, fb_compare_options *options,
                                 const char *name, const char *text)
{
    return fb_option_set(ctx, &option_table, options, name, text);
}

int32_t fb_compare_seeds(const fb_compare_run *c, int32_t entry)
{
    return c->entries[entry].system ? c->options->seeds : 1;
}

fb_compare_result *fb_compare_result_of(const fb_compare_run *c, int32_t entry,
                                        int32_t seed)
{
    return &c->results[(int64_t)entry * c->options->seeds + seed];
}

/* ---- one system and seed ---------------------------------------------------------- */

static fb_status place_of(const fb_compare_run *c, const fb_compare_entry *e,
                          int32_t seed, const char *kind, const char *end,
                          char out[4096])
{
    char name[224];
    if (e->system)
        snprintf(name, sizeof name, "%s/%s-%d%s", kind, e->key, (int)seed + 1, end);
    else
        snprintf(name, sizeof name, "%s/%s%s", kind, e->key, end);
    return fb_compare_path(c, out, name);
}

/* What a model trained elsewhere says of its training. */
static void take_state(const char *folder, fb_compare_result *r)
{
    fb_train_state state = {0};
    fb_train_options options;
    fb_arena *strings = fb_arena_create(4096);
    fb_train_options_defaults(&options);
    if (strings && fb_train_state_exists(folder) &&
        fb_train_state_read(NULL, folder, &state, &options, strings) == FB_OK) {
        r->steps = state.step;
        r->train_seconds = state.seconds > 0 ? state.seconds : (double)NAN;
        r->processor_seconds = state.processor_s > 0 ? state.processor_s : (double)NAN;
    }
    fb_arena_free(strings);
}

static fb_status make(fb_compare_run *c, const fb_compare_entry *e, int32_t seed,
                      const char *path, fb_compare_result *r)
{
    char folder[4096], last[4096];
    fb_compare_result_clear(r);
    r->seed = (uint64_t)seed + 1;
    if (e->system) {
        FB_TRY(place_of(c, e, seed, "models", "", folder));
        FB_TRY(fb_compare_train(c, e, r->seed, folder, r));
    } else if (!e->floor) {
        snprintf(folder, sizeof folder, "%s", e->folder);
        take_state(folder, r);
    }
    FB_TRY(e->floor ? fb_compare_floor(c, r) : fb_compare_rank(c, folder, r));
    FB_TRY(fb_compare_result_write(c->ctx, path, r));
    r->there = true;
    if (!e->system)
        return FB_OK;
    /* Nothing is to go on from there; it is two thirds of the folder. */
    FB_TRY(fb_path_join(c->ctx, last, folder, "last"));
    return fb_folder_remove(c->ctx, last);
}

static fb_status write_tables(fb_compare_run *c)
{
    fb_comparison *found = NULL;
    FB_TRY(fb_compare_rows(c, &found));
    fb_status status = fb_compare_write_json(c, found);
    if (status == FB_OK)
        status = fb_compare_write_csv(c, found);
    if (status == FB_OK)
        status = fb_compare_write_tex(c, found);
    if (status == FB_OK)
        status = fb_compare_write_report(c, found);
    fb_comparison_free(found);
    return status;
}

/* A failure is the result's; only one of writing what was found ends the comparison. */
static fb_status do_one(fb_compare_run *c, int32_t entry, int32_t seed)
{
    const fb_compare_entry *e = &c->entries[entry];
    fb_compare_result *r = fb_compare_result_of(c, entry, seed);
    char path[4096];
    FB_TRY(place_of(c, e, seed, "results", ".json", path));
    if (!c->options->quiet)
        fprintf(stderr, "%s%s%.0d\n", e->name, e->system ? ", seed " : "",
                e->system ? (int)seed + 1 : 0);
    if (make(c, e, seed, path, r) == FB_OK) {
        c->done++;
    } else {
        fb_compare_result_clear(r);
        snprintf(r->message, sizeof r->message, "%s", fb_context_message(c->ctx));
        fb_context_clear(c->ctx);
        if (!c->options->quiet)
            fprintf(stderr, "%s failed: %s\n", e->name, r->message);
    }
    return write_tables(c);
}

/* ---- all of them ------------------------------------------------------------------ */

/* The model that the result is of is still what it was. */
static fb_status is_same_model(const fb_compare_run *c, const fb_compare_entry *e,
                               const fb_compare_result *r, bool *same)
{
    const fb_compare_options *o = c->options;
    const fb_model_options compute = {o->backend, o->dtype, o->threads};
    fb_model *model = NULL;
    *same = true;
    if (!e->folder[0])
        return FB_OK;
    FB_TRY(fb_model_open(c->ctx, &model, e->folder, &compute));
    *same = fb_model_fingerprint(model) == r->fingerprint;
    fb_model_close(model);
    return FB_OK;
}

static fb_status read_done(fb_compare_run *c)
{
    for (int32_t i = 0; i < c->entry_count; i++)
        for (int32_t s = 0; s < fb_compare_seeds(c, i); s++) {
            const fb_compare_entry *e = &c->entries[i];
            fb_compare_result *r = fb_compare_result_of(c, i, s);
            char path[4096];
            bool same;
            FB_TRY(place_of(c, e, s, "results", ".json", path));
            fb_status status = fb_compare_result_read(c->ctx, path, r);
            if (status != FB_OK && status != FB_E_MISSING)
                return status;
            fb_context_clear(c->ctx);
            if (status != FB_OK)
                continue;
            FB_TRY(is_same_model(c, e, r, &same));
            if (!same)
                fb_compare_result_clear(r);
            c->done_before += same;
        }
    return FB_OK;
}

/* Before any work: what is missing needs the shared network where it is a system. */
static bool needs_features(const fb_compare_run *c)
{
    for (int32_t i = 0; i < c->entry_count; i++)
        if (c->entries[i].system && !c->options->regions[0])
            return true;
    return false;
}

static fb_status do_all(fb_compare_run *c)
{
    if (needs_features(c))
        FB_TRY(fb_compare_features(c));
    for (int32_t s = 0; s < c->options->seeds; s++)
        for (int32_t i = 0; i < c->entry_count; i++)
            if (s < fb_compare_seeds(c, i) && !fb_compare_result_of(c, i, s)->there)
                FB_TRY(do_one(c, i, s));
    return write_tables(c);
}

/* A file that lacks images is told before anything is trained. */
static fb_status check_regions(const fb_compare_run *c)
{
    const char *path = c->options->regions;
    const fb_catalogue *catalogue = c->items->catalogue;
    fb_region_table *table = NULL;
    if (!path[0])
        return FB_OK;
    FB_TRY(fb_region_table_open(c->ctx, &table, path, catalogue, 0));
    const fb_split needed[] = {FB_SPLIT_TRAIN, FB_SPLIT_VAL, c->items->split};
    fb_status status = FB_OK;
    for (int i = 0; i < 3 && status == FB_OK; i++) {
        int32_t count;
        const int32_t *items = fb_catalogue_split_items(catalogue, needed[i], &count);
        status = fb_region_table_check(c->ctx, table, items, count);
    }
    fb_region_table_close(table);
    return status;
}

static fb_status say_format(const fb_compare_run *c)
{
    const fb_compare_options *o = c->options;
    fb_backend *be;
    char text[FB_BACKEND_TEXT];
    if (o->quiet)
        return FB_OK;
    FB_TRY(fb_backend_create(c->ctx, &be, o->backend, o->dtype, o->threads));
    fb_backend_describe(be, text);
    fb_backend_free(be);
    fprintf(stderr, "computing in %s\n", text);
    return FB_OK;
}

static fb_status open_parts(fb_compare_run *c)
{
    const fb_compare_options *o = c->options;
    if (!o->catalog[0] || !o->out[0])
        return fb_fail(c->ctx, FB_E_USAGE, "compare needs --catalog and --out");
    FB_TRY(fb_compare_list(c));
    if (o->regions[0] && o->features[0])
        return fb_fail(c->ctx, FB_E_USAGE,
                       "--features %s and --regions %s: systems learn from one of the "
                       "two",
                       o->features, o->regions);
    const fb_catalogue_options how = {.files_may_lack = o->regions[0] != 0};
    FB_TRY(fb_split_items_open_as(c->ctx, &c->items, o->catalog, o->split, &how));
    FB_TRY(check_regions(c));
    fb_catalogue_split_items(c->items->catalogue, FB_SPLIT_TRAIN, &c->train_items);
    c->results =
        calloc((size_t)c->entry_count * (size_t)o->seeds + 1, sizeof *c->results);
    if (!c->results)
        return fb_fail(c->ctx, FB_E_MEMORY, "no memory for the results");
    FB_TRY(fb_compare_begin(c));
    FB_TRY(say_format(c));
    return read_done(c);
}

static void close_parts(fb_compare_run *c)
{
    for (int64_t i = 0; c->results && i < (int64_t)c->entry_count * c->options->seeds;
         i++)
        fb_compare_result_clear(&c->results[i]);
    free(c->results);
    free(c->entries);
    fb_split_items_close(c->items);
}

fb_status fb_compare(fb_context *ctx, const fb_compare_options *options,
                     fb_comparison **comparison)
{
    fb_compare_run c = {.ctx = ctx,
                        .options = options,
                        .features_seconds = NAN,
                        .features_processor_s = NAN};
    FB_TRY(fb_options_check(ctx, &option_table, options));
    fb_status status = open_parts(&c);
    if (status == FB_OK)
        status = do_all(&c);
    if (status == FB_OK)
        status = fb_compare_rows(&c, comparison);
    close_parts(&c);
    return status;
}
