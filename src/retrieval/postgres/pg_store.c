/* pg_store.c - searching products that lie in PostgreSQL databases (pg_store.h).
 *
 *     one statement  ->  sent to every shard, then each one's rows received
 *     rows of all    ->  best first, each product once  ->  hits
 *
 * An approximate search may find fewer rows than it was asked for where few pass the
 * filters; it is then done again exactly, over those that the keys' index finds.
 */
#include "retrieval/postgres/pg_store.h"
#include "retrieval/postgres/pg_pool.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/memory_stream.h"
#include "base/number_text.h"
#include "retrieval/index/index_search.h"
#include "retrieval/postgres/pg_copy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EFFORT_MOST = 1000, SHARD_SHIFT = 40 };
enum { PLACE, PRODUCT_ID, TITLE, IMAGE, ATTRIBUTES, SCORE, MODEL };

#define HIT_COLUMNS "place, product_id, title, image, attributes"

/* ---- a search's statement ------------------------------------------------------- */

typedef struct found {
    int64_t row; /* of the index: shard << SHARD_SHIFT | place */
    float score;
    int32_t shard, tuple;
} found;

typedef struct search {
    fb_context *ctx;
    const fb_index *index;
    const fb_search_options *options;
    fb_pg_copy vector;
    char **keys;         /* [filter_count] */
    const char **values; /* [filter_count + 1] parameters */
    int *lengths, *formats;
    char *sql;
    PGresult **results; /* [shards] */
    found *rows;
    int64_t count;
    bool exact;
} search;

static fb_status prepare(search *s, const float *vector)
{
    size_t n = (size_t)s->options->filter_count;
    s->keys = calloc(n + 1, sizeof *s->keys);
    s->values = calloc(n + 1, sizeof *s->values);
    s->lengths = calloc(n + 1, sizeof *s->lengths);
    s->formats = calloc(n + 1, sizeof *s->formats);
    size_t databases = (size_t)fb_pg_pool_count(fb_pg_store_of(s->index)->pool);
    // NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers is meant
    s->results = calloc(databases, sizeof *s->results);
    if (!s->keys || !s->values || !s->lengths || !s->formats || !s->results)
        return fb_fail(s->ctx, FB_E_MEMORY, "no memory to search");
    fb_pg_vector_value(&s->vector, vector, s->index->manifest.width);
    FB_TRY(fb_pg_copy_check(s->ctx, &s->vector));
    s->values[0] = s->vector.bytes;
    s->lengths[0] = (int)s->vector.size;
    s->formats[0] = 1;
    for (size_t i = 0; i < n; i++) {
        const fb_search_filter *f = &s->options->filters[i];
        s->keys[i] = fb_pg_filter_key(f->name, f->value);
        if (!s->keys[i])
            return fb_fail(s->ctx, FB_E_MEMORY, "no memory to search");
        s->values[i + 1] = s->keys[i];
    }
    return FB_OK;
}

/* keys && ARRAY[$2, $4]::text[] AND ...: of each name any of its values. */
static void write_filters(const search *s, FILE *sql)
{
    const fb_search_filter *f = s->options->filters;
    int32_t n = s->options->filter_count;
    for (int32_t i = 0; i < n; i++) {
        bool first = true;
        for (int32_t k = 0; k < i && first; k++)
            first = fb_ascii_compare(f[k].name, f[i].name) != 0;
        if (!first)
            continue;
        fprintf(sql, "%s keys && ARRAY[$%d", i ? " AND" : " WHERE", (int)i + 2);
        for (int32_t k = i + 1; k < n; k++)
            if (fb_ascii_compare(f[k].name, f[i].name) == 0)
                fprintf(sql, ", $%d", (int)k + 2);
        fputs("]::text[]", sql);
    }
}

static fb_status write_sql(search *s, int64_t limit)
{
    size_t size;
    free(s->sql);
    s->sql = NULL;
    FILE *sql = fb_memory_open(&s->sql, &size);
    if (!sql)
        return fb_fail(s->ctx, FB_E_MEMORY, "no memory to search");
    fputs("SELECT " HIT_COLUMNS ", -(embedding <#> $1::vector), (SELECT fingerprint "
          "FROM fashionbert_store) FROM fashionbert_products",
          sql);
    write_filters(s, sql);
    fprintf(sql, " ORDER BY embedding <#> $1::vector LIMIT %lld", (long long)limit);
    return fb_memory_close(sql, &s->sql)
               ? FB_OK
               : fb_fail(s->ctx, FB_E_MEMORY, "no memory to search");
}

static void clear_results(search *s)
{
    for (int32_t i = 0;
         s->results && i < fb_pg_pool_count(fb_pg_store_of(s->index)->pool); i++) {
        PQclear(s->results[i]);
        s->results[i] = NULL;
    }
}

/* The rows of every shard; *full: one gave as many as it was asked for, *some: one gave
 * fewer. */
static fb_status ask(search *s, int64_t limit, bool *full, bool *some)
{
    fb_pg_pool *pool = fb_pg_store_of(s->index)->pool;
    int32_t effort =
        s->options->effort > 0 ? s->options->effort : fb_pg_store_of(s->index)->effort;
    if (effort < limit)
        effort = limit > EFFORT_MOST ? EFFORT_MOST : (int32_t)limit;
    if (effort > EFFORT_MOST)
        effort = EFFORT_MOST;
    clear_results(s);
    FB_TRY(write_sql(s, limit));
    const fb_pg_parameters p = {s->options->filter_count + 1, s->values, s->lengths,
                                s->formats};
    FB_TRY(fb_pg_pool_ask_all(s->ctx, pool, s->sql, &p, effort, s->exact, s->results));
    s->count = 0;
    *full = *some = false;
    for (int32_t i = 0; i < fb_pg_pool_count(pool); i++) {
        s->count += PQntuples(s->results[i]);
        *full = *full || PQntuples(s->results[i]) >= limit;
        *some = *some || PQntuples(s->results[i]) < limit;
    }
    return FB_OK;
}

/* ---- rows of all shards --------------------------------------------------------- */

static int by_score(const void *a, const void *b)
{
    const found *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static const char *field(const search *s, const found *f, int column)
{
    return PQgetvalue(s->results[f->shard], f->tuple, column);
}

static fb_status gather(search *s)
{
    char fingerprint[32];
    int64_t n = 0;
    free(s->rows);
    s->rows = malloc(((size_t)s->count + 1) * sizeof *s->rows);
    if (!s->rows)
        return fb_fail(s->ctx, FB_E_MEMORY, "no memory to search");
    snprintf(fingerprint, sizeof fingerprint, "%016llx",
             (unsigned long long)s->index->manifest.fingerprint);
    for (int32_t i = 0; i < fb_pg_pool_count(fb_pg_store_of(s->index)->pool); i++)
        for (int32_t k = 0; k < PQntuples(s->results[i]); k++) {
            found *f = &s->rows[n++];
            *f = (found){.shard = i, .tuple = k};
            f->row =
                ((int64_t)i << SHARD_SHIFT) | strtoll(field(s, f, PLACE), NULL, 10);
            f->score = (float)fb_number_read(field(s, f, SCORE), NULL);
            if (strcmp(field(s, f, MODEL), fingerprint) != 0)
                return fb_fail(
                    s->ctx, FB_E_STATE,
                    "%s: was loaded anew with vectors of another model; open "
                    "it again with that",
                    fb_pg_pool_name(fb_pg_store_of(s->index)->pool, i));
        }
    qsort(s->rows, (size_t)n, sizeof *s->rows, by_score);
    return FB_OK;
}

/* Keep each product's best row. A table of those seen, at most half full. */
static fb_status drop_repeats(search *s)
{
    uint64_t slots = 16;
    while (slots < 2 * (uint64_t)s->count)
        slots *= 2;
    int64_t *seen = calloc(slots, sizeof *seen), n = 0; /* of rows, + 1; 0: free */
    if (!seen)
        return fb_fail(s->ctx, FB_E_MEMORY, "no memory to search");
    for (int64_t i = 0; i < s->count; i++) {
        const char *id = field(s, &s->rows[i], PRODUCT_ID);
        uint64_t at = fb_hash_bytes(3, id, strlen(id)) & (slots - 1);
        while (seen[at] &&
               strcmp(field(s, &s->rows[seen[at] - 1], PRODUCT_ID), id) != 0)
            at = (at + 1) & (slots - 1);
        if (seen[at])
            continue;
        s->rows[n++] = s->rows[i];
        seen[at] = n;
    }
    free(seen);
    s->count = n;
    return FB_OK;
}

static fb_status find_products(search *s, int64_t wanted)
{
    for (int64_t limit = wanted;; limit *= 2) {
        bool full, some;
        FB_TRY(ask(s, limit, &full, &some));
        bool filtered = s->options->filter_count > 0;
        if (!s->exact &&
            (filtered ? some : s->count < limit && s->count < s->index->rows)) {
            s->exact = true;
            FB_TRY(ask(s, limit, &full, &some));
        }
        FB_TRY(gather(s));
        if (fb_pg_store_of(s->index)->repeats)
            FB_TRY(drop_repeats(s));
        if (s->count > wanted)
            s->count = wanted;
        if (s->count == wanted || !full)
            return FB_OK;
    }
}

/* ---- hits ----------------------------------------------------------------------- */

static fb_status fill_attributes(fb_context *ctx, fb_arena *arena, const char *name,
                                 const char *text, fb_hit *hit)
{
    json_t *object;
    const char *key;
    json_t *value;
    FB_TRY(fb_json_parse(ctx, name, text, strlen(text), &object));
    size_t count = json_object_size(object);
    const char **pairs = fb_arena_alloc(arena, 2 * (count + 1) * sizeof *pairs);
    bool complete = pairs != NULL;
    int32_t n = 0;
    json_object_foreach(object, key, value)
    {
        if (!complete || !json_is_string(value))
            continue;
        pairs[2 * n] = fb_arena_strdup(arena, key);
        pairs[2 * n + 1] = fb_arena_strdup(arena, json_string_value(value));
        complete = pairs[2 * n] && pairs[2 * n + 1];
        n++;
    }
    json_decref(object);
    hit->attributes = pairs;
    hit->attribute_count = n;
    return complete ? FB_OK : fb_fail(ctx, FB_E_MEMORY, "no memory for a hit");
}

static fb_status fill_hit(fb_context *ctx, fb_search_result *result, const char *name,
                          const PGresult *r, int tuple, fb_hit *hit)
{
    fb_arena *arena = ((fb_owned_result *)result)->arena;
    *hit =
        (fb_hit){.product_id = fb_arena_strdup(arena, PQgetvalue(r, tuple, PRODUCT_ID)),
                 .title = fb_arena_strdup(arena, PQgetvalue(r, tuple, TITLE)),
                 .image = fb_arena_strdup(arena, PQgetvalue(r, tuple, IMAGE)),
                 .score = NAN,
                 .rerank_score = NAN};
    if (!hit->product_id || !hit->title || !hit->image)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a hit");
    return fill_attributes(ctx, arena, name, PQgetvalue(r, tuple, ATTRIBUTES), hit);
}

static fb_status make_result(search *s, fb_search_result **result)
{
    fb_search_result *r;
    FB_TRY(fb_result_create(s->ctx, &r, (int32_t)s->count));
    for (int64_t i = 0; i < s->count; i++) {
        const found *f = &s->rows[i];
        fb_hit *hit = &r->retrieved[i];
        fb_status status = fill_hit(
            s->ctx, r, fb_pg_pool_name(fb_pg_store_of(s->index)->pool, f->shard),
            s->results[f->shard], f->tuple, hit);
        if (status != FB_OK) {
            fb_search_result_free(r);
            return status;
        }
        hit->score = f->score;
        hit->row = f->row;
        hit->rank = (int32_t)i + 1;
    }
    r->retrieved_count = (int32_t)s->count;
    r->hit_count = (int32_t)(s->count < s->options->k ? s->count : s->options->k);
    memcpy(r->hits, r->retrieved, (size_t)r->hit_count * sizeof *r->hits);
    r->compared = s->options->filter_count ? -1 : s->index->rows;
    *result = r;
    return FB_OK;
}

static void search_end(search *s)
{
    clear_results(s);
    for (int32_t i = 0; s->keys && i < s->options->filter_count; i++)
        free(s->keys[i]);
    free(s->keys);
    free(s->values);
    free(s->lengths);
    free(s->formats);
    free(s->results);
    free(s->rows);
    free(s->sql);
    fb_pg_copy_free(&s->vector);
}

fb_status fb_pg_store_search(fb_context *ctx, const fb_index *index,
                             const float *vector, const fb_search_options *options,
                             int64_t wanted, fb_search_result **result)
{
    const char *by = options->by;
    if (strcmp(by, "index") != 0 &&
        strcmp(by, fb_index_what_name(index->manifest.what)) != 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "by %s: a store keeps the vectors of each product's %s alone",
                       by, fb_index_what_name(index->manifest.what));
    search s = {
        .ctx = ctx, .index = index, .options = options, .exact = options->exact};
    fb_status status = prepare(&s, vector);
    if (status == FB_OK)
        status = find_products(&s, wanted < index->rows ? wanted : index->rows + 1);
    if (status == FB_OK)
        status = make_result(&s, result);
    search_end(&s);
    return status;
}

fb_status fb_pg_store_find(fb_context *ctx, const fb_index *index,
                           const char *product_id, fb_search_result **result)
{
    fb_pg_pool *pool = fb_pg_store_of(index)->pool;
    const fb_pg_parameters p = {1, &product_id, NULL, NULL};
    for (int32_t i = 0; i < fb_pg_pool_count(pool); i++) {
        PGresult *rows;
        fb_search_result *one = NULL;
        FB_TRY(fb_pg_pool_ask(ctx, pool, i,
                              "SELECT " HIT_COLUMNS " FROM fashionbert_products WHERE "
                              "product_id = $1 ORDER BY place LIMIT 1",
                              &p, &rows));
        bool there = PQntuples(rows) == 1;
        fb_status status = there ? fb_result_create(ctx, &one, 1) : FB_OK;
        if (there && status == FB_OK)
            status =
                fill_hit(ctx, one, fb_pg_pool_name(pool, i), rows, 0, &one->hits[0]);
        if (there && status == FB_OK) {
            one->hits[0].row = ((int64_t)i << SHARD_SHIFT) |
                               strtoll(PQgetvalue(rows, 0, PLACE), NULL, 10);
            one->retrieved[0] = one->hits[0];
            one->hit_count = one->retrieved_count = 1;
            *result = one;
        }
        PQclear(rows);
        if (status != FB_OK)
            fb_search_result_free(one);
        if (there || status != FB_OK)
            return status;
    }
    return fb_fail(ctx, FB_E_MISSING, "no product %.100s in this store", product_id);
}
