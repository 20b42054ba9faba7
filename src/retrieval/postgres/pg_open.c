/* pg_open.c - opening products that lie in PostgreSQL databases, and counts of their
 * attributes' values (pg_store.h).
 */
#include "retrieval/index/value_counts.h"

#include "base/ascii.h"
#include "base/number_text.h"
#include "retrieval/postgres/pg_pool.h"
#include "retrieval/postgres/pg_store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening -------------------------------------------------------------------- */

/* The one row of fashionbert_store on one shard. */
typedef struct described {
    char load[32], fingerprint[32], what[16], type[16];
    int32_t format, shard, shards, width, effort;
    double text_weight;
    int64_t rows, products;
} described;

static void copy_text(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text);
}

/* A whole number of the one row; 0 where it is none, or not an int's. */
static int32_t whole(const PGresult *r, int column)
{
    long number = strtol(PQgetvalue(r, 0, column), NULL, 10);
    return number >= INT32_MIN && number <= INT32_MAX ? (int32_t)number : 0;
}

static fb_status read_description(fb_context *ctx, fb_pg_pool *pool, int32_t i,
                                  fb_index_manifest *m, described *d)
{
    PGresult *r;
    fb_status status = fb_pg_pool_ask(
        ctx, pool, i,
        "SELECT format, load, shard, shards, fingerprint, width, what, text_weight, "
        "model, effort, row_count, product_count, (SELECT t.typname FROM pg_attribute "
        "a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attname = 'embedding' AND "
        "a.attrelid = to_regclass('fashionbert_products')) FROM fashionbert_store",
        NULL, &r);
    if (status == FB_E_MISSING)
        return fb_fail(
            ctx, FB_E_MISSING,
            "%s: no products are there; load an index with `fashionbert index "
            "--out INDEX --to URI`",
            fb_pg_pool_name(pool, i));
    FB_TRY(status);
    if (PQntuples(r) != 1 || whole(r, 0) != 1) {
        PQclear(r);
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: fashionbert_store is not as this program writes it; load "
                       "the products again",
                       fb_pg_pool_name(pool, i));
    }
    copy_text(d->load, sizeof d->load, PQgetvalue(r, 0, 1));
    d->shard = whole(r, 2);
    d->shards = whole(r, 3);
    copy_text(d->fingerprint, sizeof d->fingerprint, PQgetvalue(r, 0, 4));
    d->width = whole(r, 5);
    copy_text(d->what, sizeof d->what, PQgetvalue(r, 0, 6));
    d->text_weight = fb_number_read(PQgetvalue(r, 0, 7), NULL);
    copy_text(m->model, sizeof m->model, PQgetvalue(r, 0, 8));
    d->effort = whole(r, 9);
    d->rows = strtoll(PQgetvalue(r, 0, 10), NULL, 10);
    d->products = strtoll(PQgetvalue(r, 0, 11), NULL, 10);
    copy_text(d->type, sizeof d->type, PQgetvalue(r, 0, 12));
    PQclear(r);
    if (d->width < 1 || d->width > FB_PG_HALF_WIDTH || d->shard < 1 ||
        d->shards < d->shard)
        return fb_fail(ctx, FB_E_FORMAT, "%s: fashionbert_store holds what cannot be",
                       fb_pg_pool_name(pool, i));
    return FB_OK;
}

/* All parts of one load, or loads that are each whole, of the same model. */
static fb_status check_parts(fb_context *ctx, fb_pg_pool *pool, const described *d,
                             int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        const described *a = &d[0], *b = &d[i];
        const char *name = fb_pg_pool_name(pool, i);
        if (strcmp(a->fingerprint, b->fingerprint) != 0 || a->width != b->width ||
            strcmp(a->what, b->what) != 0)
            return fb_fail(ctx, FB_E_STATE,
                           "%s: its vectors are of another model or of other parts of "
                           "products than those of %s",
                           name, fb_pg_pool_name(pool, 0));
        bool parts = a->shards > 1 || b->shards > 1;
        if (parts && (strcmp(a->load, b->load) != 0 || b->shards != count))
            return fb_fail(
                ctx, FB_E_STATE,
                "%s: holds part %d of %d of a load, and %d stores are given; "
                "give all parts of one load, or load again",
                name, (int)b->shard, (int)b->shards, (int)count);
        for (int32_t k = 0; k < i && parts; k++)
            if (d[k].shard == b->shard)
                return fb_fail(ctx, FB_E_STATE, "%s: part %d of a load is given twice",
                               name, (int)b->shard);
    }
    return FB_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names of attributes of all shards, each once however it is spelt. */
static fb_status read_names(fb_context *ctx, fb_index *x, fb_pg_pool *pool)
{
    int32_t count = 0, room = 0;
    const char **names = NULL;
    for (int32_t i = 0; i < fb_pg_pool_count(pool); i++) {
        PGresult *r;
        FB_TRY(fb_pg_pool_ask(
            ctx, pool, i, "SELECT DISTINCT name FROM fashionbert_values", NULL, &r));
        for (int32_t k = 0; k < PQntuples(r); k++) {
            if (count == room) {
                const char **grown = fb_arena_alloc(
                    x->arena, (size_t)(room += 64 + room) * sizeof *names);
                if (grown && count)
                    memcpy(grown, names, (size_t)count * sizeof *names);
                names = grown;
            }
            bool there = false;
            for (int32_t n = 0; names && n < count && !there; n++)
                there = fb_ascii_compare(names[n], PQgetvalue(r, k, 0)) == 0;
            if (names && !there)
                names[count++] = fb_arena_strdup(x->arena, PQgetvalue(r, k, 0));
            if (!names || (count && !names[count - 1])) {
                PQclear(r);
                return fb_fail(ctx, FB_E_MEMORY, "no memory for a store");
            }
        }
        PQclear(r);
    }
    if (count)
        qsort(names, (size_t)count, sizeof *names, by_name);
    x->info.attributes = names;
    x->info.attribute_count = count;
    return FB_OK;
}

static fb_status fill(fb_context *ctx, fb_index *x, const described *d, int32_t count)
{
    fb_index_manifest *m = &x->manifest;
    m->kind = FB_INDEX_HNSW;
    m->keep = FB_KEEP_NONE;
    m->width = d->width;
    m->fingerprint = strtoull(d->fingerprint, NULL, 16);
    m->text_weight = d->text_weight;
    m->recall10 = NAN;
    m->effort = d->effort;
    FB_TRY(fb_index_what_parse(ctx, "fashionbert_store", d->what, &m->what));
    for (int32_t i = 0; i < count; i++) {
        x->rows += d[i].rows;
        x->products += d[i].products;
    }
    x->info.products = x->products;
    x->info.vector_size = m->width;
    x->info.fingerprint = m->fingerprint;
    x->info.kind = fb_index_kind_name(m->kind);
    x->info.what = fb_index_what_name(m->what);
    x->info.catalog = "";
    x->info.storage = strcmp(d[0].type, "halfvec") == 0 ? "halfvec" : "vector";
    x->info.text_weight = m->text_weight;
    return FB_OK;
}

static fb_status open_parts(fb_context *ctx, fb_index *x, const char *places)
{
    fb_pg_store *store = (fb_pg_store *)x->store;
    FB_TRY(fb_pg_pool_create(ctx, &store->pool, places));
    fb_pg_pool *pool = store->pool;
    int32_t count = fb_pg_pool_count(pool);
    snprintf(x->folder, sizeof x->folder, "%s", fb_pg_pool_name(pool, 0));
    described *d = calloc((size_t)count, sizeof *d);
    fb_status status = d ? FB_OK : fb_fail(ctx, FB_E_MEMORY, "no memory for a store");
    for (int32_t i = 0; i < count && status == FB_OK; i++)
        status = read_description(ctx, pool, i, &x->manifest, &d[i]);
    if (status == FB_OK)
        status = check_parts(ctx, pool, d, count);
    if (status == FB_OK)
        status = fill(ctx, x, d, count);
    if (status == FB_OK) {
        store->effort = d->effort;
        store->repeats = x->rows > x->products;
        status = read_names(ctx, x, pool);
    }
    free(d);
    return status;
}

/* ---- values of an attribute ------------------------------------------------------ */

static fb_status count_values(fb_context *ctx, PGresult *const *results, int32_t shards,
                              int32_t limit, const char *const **values,
                              const int64_t **counts, int32_t *count)
{
    int64_t n = 0;
    for (int32_t i = 0; i < shards; i++)
        n += PQntuples(results[i]);
    fb_value_count *all = calloc((size_t)n + 1, sizeof *all);
    if (!all)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to count values");
    n = 0;
    for (int32_t i = 0; i < shards; i++)
        for (int32_t k = 0; k < PQntuples(results[i]); k++)
            all[n++] =
                (fb_value_count){PQgetvalue(results[i], k, 0),
                                 strtoll(PQgetvalue(results[i], k, 1), NULL, 10)};
    fb_status status = fb_value_counts_join(ctx, all, n, limit, values, counts, count);
    free(all);
    return status;
}

static fb_status store_values(fb_context *ctx, const fb_index *index,
                              const char *attribute, int32_t limit,
                              const char *const **values, const int64_t **counts,
                              int32_t *count)
{
    fb_pg_pool *pool = fb_pg_store_of(index)->pool;
    int32_t shards = fb_pg_pool_count(pool);
    /* Only ASCII letters compare without case, as they do elsewhere. */
    const char *sql =
        "SELECT value, sum(products) FROM fashionbert_values WHERE translate(name, "
        "'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz') = translate($1, "
        "'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz') GROUP BY value";
    const fb_pg_parameters p = {1, &attribute, NULL, NULL};
    // NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers is meant
    PGresult **results = calloc((size_t)shards, sizeof *results);
    if (!results)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to count values");
    fb_status status = fb_pg_pool_ask_all(ctx, pool, sql, &p, 0, false, results);
    if (status == FB_OK)
        status = count_values(ctx, results, shards, limit, values, counts, count);
    for (int32_t i = 0; i < shards; i++)
        PQclear(results[i]);
    free(results);
    return status;
}

/* ---- open, close ----------------------------------------------------------------- */

static void close_store(fb_product_store *store)
{
    fb_pg_pool_free(((fb_pg_store *)store)->pool);
    free(store);
}

fb_status fb_pg_store_open(fb_context *ctx, fb_index **index, const char *places)
{
    fb_index *x = calloc(1, sizeof *x);
    if (x) {
        fb_pg_store *store = calloc(1, sizeof *store);
        if (store)
            store->store = (fb_product_store){close_store, fb_pg_store_search,
                                              fb_pg_store_find, store_values};
        x->store = store ? &store->store : NULL;
        x->arena = fb_arena_create(1 << 14);
    }
    fb_status status = x && x->store && x->arena
                           ? open_parts(ctx, x, places)
                           : fb_fail(ctx, FB_E_MEMORY, "no memory for a store");
    if (status == FB_OK)
        *index = x;
    else
        fb_index_unload(x);
    return status;
}
