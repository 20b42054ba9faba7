/* store_load.c - an index folder's products into PostgreSQL, and how much of the exact
 * answer a search there then finds. */
#include "base/option.h"
#include "retrieval/postgres/pg_store.h"
#include "tasks/index_build.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { QUERIES = 200, WANTED = 10 };

#define FB_OPTION_AT(member) offsetof(fb_store_options, member)
static const fb_option option_rows[] = {FB_STORE_OPTIONS(FB_OPTION_ROW)};
#undef FB_OPTION_AT
static const fb_option_table option_table = FB_OPTION_TABLE(option_rows);

void fb_store_options_defaults(fb_store_options *options)
{
    *options = (fb_store_options){0};
    fb_options_defaults(&option_table, options);
    options->index = "";
}

static fb_status check(fb_context *ctx, const fb_store_options *o)
{
    if (o->build_effort < 2 * o->links)
        return fb_fail(ctx, FB_E_USAGE,
                       "--build-effort %d: at least twice the --links, %d, is right",
                       (int)o->build_effort, (int)o->links);
    return FB_OK;
}

/* The share of `want`'s hits that `got` has; a hit as good as the last wanted one
 * counts too. */
static double share_of(const fb_search_result *want, const fb_search_result *got)
{
    int32_t found = 0, n = want->hit_count;
    for (int32_t i = 0; i < got->hit_count; i++)
        found += got->hits[i].score >= want->hits[n - 1].score - 1e-5f;
    return n ? (found < n ? found : n) / (double)n : 1;
}

static fb_status ask_both(fb_context *ctx, const fb_index *index, const fb_index *store,
                          const float *vector, double *share)
{
    fb_search_options o;
    fb_search_result *want = NULL, *got = NULL;
    fb_search_options_defaults(&o);
    o.k = WANTED;
    fb_status status = fb_index_search(ctx, store, vector, &o, &got);
    o.exact = true;
    if (status == FB_OK)
        status = fb_index_search(ctx, index, vector, &o, &want);
    if (status == FB_OK)
        *share = share_of(want, got);
    fb_search_result_free(want);
    fb_search_result_free(got);
    return status;
}

static fb_status measure(fb_context *ctx, const fb_index *index, const char *places,
                         double *recall)
{
    fb_index *store = NULL;
    double sum = 0;
    float vector[FB_STORED_WIDTH];
    int64_t asked = 0, step = index->rows / QUERIES + 1;
    FB_TRY(fb_pg_store_open(ctx, &store, places));
    fb_status status = FB_OK;
    for (int64_t i = 0; i < index->rows && status == FB_OK; i += step) {
        int64_t row = i;
        double share = 0;
        const fb_segment *s = fb_index_segment_of(index, &row);
        if (!fb_segment_is_alive(s, row))
            continue;
        fb_stored_decode(fb_stored_any(&s->text) ? &s->text : &s->vectors, row, 1,
                         vector);
        status = ask_both(ctx, index, store, vector, &share);
        sum += share;
        asked++;
    }
    fb_index_unload(store);
    *recall = asked ? sum / (double)asked : NAN;
    return status;
}

fb_status fb_store_load(fb_context *ctx, const fb_store_options *options,
                        fb_store_report *report)
{
    FB_TRY(fb_options_check(ctx, &option_table, options));
    fb_index *index = NULL;
    fb_store_report made = {0};
    FB_TRY(check(ctx, options));
    if (!options->index[0])
        return fb_fail(ctx, FB_E_USAGE, "no index folder to load is named");
    FB_TRY(fb_index_load(ctx, &index, options->index, 0));
    fb_status status = fb_pg_store_load(ctx, index, options, &made);
    if (status == FB_OK)
        status = measure(ctx, index, options->store, &made.recall10);
    fb_index_unload(index);
    if (status == FB_OK)
        *report = made;
    return status;
}
