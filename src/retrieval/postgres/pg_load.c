/* pg_load.c - an index's products into PostgreSQL databases (pg_store.h).
 *
 *     prepare   connect, pgvector, a lock, empty tables under other names
 *     copy      rows through COPY ... (FORMAT BINARY), each to its shard, all shards
 *               at once
 *     build     keys, the HNSW graph, the counts of values; all shards at once
 *     swap      the old tables dropped and the new ones renamed, in one transaction
 */
#include "retrieval/postgres/pg_store.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/memory_stream.h"
#include "base/number_text.h"
#include "base/progress.h"
#include "base/random.h"
#include "retrieval/index/index_search.h"
#include "retrieval/postgres/pg_copy.h"
#include "retrieval/postgres/pg_pool.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS = 7, SEND_BYTES = 1 << 18, FORMAT = 1 };

typedef struct shard {
    fb_pg_link link;
    fb_pg_copy rows;
    int64_t row_count, product_count;
} shard;

typedef struct load {
    fb_context *ctx;
    const fb_index *index;
    const fb_store_options *options;
    fb_pg_pool *pool; /* for places and names alone */
    shard *shards;
    int32_t shard_count;
    char number[24]; /* of this load, on all shards */
    char *json;      /* of one product's attributes */
    const char **keys;
} load;

static bool is_half(const fb_store_options *options)
{
    return strcmp(options->vector_type, "halfvec") == 0;
}

/* ---- prepare -------------------------------------------------------------------- */

static fb_status name_shards(load *l)
{
    FB_TRY(fb_pg_pool_create(l->ctx, &l->pool, l->options->store));
    l->shards = calloc((size_t)fb_pg_pool_count(l->pool), sizeof *l->shards);
    if (!l->shards)
        return fb_fail(l->ctx, FB_E_MEMORY, "no memory to load");
    l->shard_count = fb_pg_pool_count(l->pool);
    for (int32_t i = 0; i < l->shard_count; i++) {
        l->shards[i].link.conninfo = fb_pg_pool_conninfo(l->pool, i);
        l->shards[i].link.name = fb_pg_pool_name(l->pool, i);
    }
    return FB_OK;
}

static fb_status check_pgvector(fb_context *ctx, fb_pg_link *link)
{
    PGresult *r;
    long major = 0, minor = 0;
    FB_TRY(fb_pg_link_do(ctx, link, "CREATE EXTENSION IF NOT EXISTS vector"));
    FB_TRY(fb_pg_link_run(
        ctx, link, "SELECT extversion FROM pg_extension WHERE extname = 'vector'", NULL,
        &r));
    if (PQntuples(r) == 1) {
        char *rest;
        major = strtol(PQgetvalue(r, 0, 0), &rest, 10);
        minor = *rest == '.' ? strtol(rest + 1, NULL, 10) : 0;
    }
    PQclear(r);
    if (major == 0 && minor < 8)
        return fb_fail(ctx, FB_E_STATE,
                       "%s: its pgvector is %ld.%ld; 0.8 or later is needed (ALTER "
                       "EXTENSION vector UPDATE)",
                       link->name, major, minor);
    return FB_OK;
}

/* One load at a time into a schema; the lock ends with the connection. */
static fb_status lock(fb_context *ctx, fb_pg_link *link)
{
    PGresult *r;
    FB_TRY(fb_pg_link_run(ctx, link,
                          "SELECT pg_try_advisory_lock(hashtextextended("
                          "'fashionbert ' || current_schema(), 0))",
                          NULL, &r));
    bool got = PQntuples(r) == 1 && strcmp(PQgetvalue(r, 0, 0), "t") == 0;
    PQclear(r);
    return got ? FB_OK
               : fb_fail(ctx, FB_E_STATE,
                         "%s: somebody else is loading there, or it is given twice",
                         link->name);
}

static const char drop_fresh[] =
    "DROP TABLE IF EXISTS fashionbert_products_new, fashionbert_values_new, "
    "fashionbert_store_new";

static fb_status prepare(load *l, shard *s)
{
    char sql[800];
    FB_TRY(fb_pg_link_connect(l->ctx, &s->link));
    FB_TRY(check_pgvector(l->ctx, &s->link));
    FB_TRY(lock(l->ctx, &s->link));
    FB_TRY(fb_pg_link_do(l->ctx, &s->link, drop_fresh));
    snprintf(sql, sizeof sql,
             "BEGIN; CREATE TABLE fashionbert_products_new (place bigint NOT NULL, "
             "product_id text NOT NULL, title text NOT NULL, image text NOT NULL, "
             "attributes json NOT NULL, keys text[] NOT NULL, embedding %s(%d) NOT "
             "NULL); COPY fashionbert_products_new FROM STDIN (FORMAT BINARY)",
             l->options->vector_type, (int)l->index->manifest.width);
    FB_TRY(fb_pg_link_send(l->ctx, &s->link, sql, NULL));
    PGresult *r;
    FB_TRY(fb_pg_link_receive(l->ctx, &s->link, &r));
    PQclear(r);
    fb_pg_copy_begin(&s->rows);
    return FB_OK;
}

/* ---- copy ----------------------------------------------------------------------- */

static fb_status flush(load *l, shard *s)
{
    FB_TRY(fb_pg_copy_check(l->ctx, &s->rows));
    int sent = PQputCopyData(s->link.conn, s->rows.bytes, (int)s->rows.size);
    s->rows.size = 0;
    if (sent == 1)
        return FB_OK;
    return fb_pg_link_fail(l->ctx, &s->link, "rows could not be sent");
}

/* {"colour": "Blue", ...} of a product's pairs, into l->json. */
static fb_status write_attributes(load *l, const fb_hit *hit)
{
    size_t size;
    fb_json_writer w;
    free(l->json);
    l->json = NULL;
    FILE *stream = fb_memory_open(&l->json, &size);
    if (!stream)
        return fb_fail(l->ctx, FB_E_MEMORY, "no memory for attributes");
    fb_json_begin(&w, stream, 0);
    fb_json_open_object(&w);
    for (int32_t i = 0; i < hit->attribute_count; i++)
        fb_json_key_string(&w, hit->attributes[2 * i], hit->attributes[2 * i + 1]);
    fb_json_close_object(&w);
    return fb_memory_close(stream, &l->json)
               ? FB_OK
               : fb_fail(l->ctx, FB_E_MEMORY, "no memory for attributes");
}

static fb_status put_keys(load *l, fb_pg_copy *c, const fb_hit *hit)
{
    int32_t made = 0;
    for (; made < hit->attribute_count; made++) {
        l->keys[made] =
            fb_pg_filter_key(hit->attributes[2 * made], hit->attributes[2 * made + 1]);
        if (!l->keys[made])
            break;
    }
    bool complete = made == hit->attribute_count;
    if (complete)
        fb_pg_copy_texts(c, l->keys, made);
    while (made > 0)
        free((void *)(uintptr_t)l->keys[--made]);
    return complete ? FB_OK : fb_fail(l->ctx, FB_E_MEMORY, "no memory for keys");
}

static fb_status put_row(load *l, const fb_hit *hit, const float *vector, bool first)
{
    shard *s = &l->shards[fb_pg_shard_of(hit->product_id, l->shard_count)];
    fb_pg_copy *c = &s->rows;
    FB_TRY(write_attributes(l, hit));
    fb_pg_copy_row(c, FIELDS);
    fb_pg_copy_int64(c, s->row_count++);
    fb_pg_copy_text(c, hit->product_id);
    fb_pg_copy_text(c, hit->title);
    fb_pg_copy_text(c, hit->image);
    fb_pg_copy_text(c, l->json);
    FB_TRY(put_keys(l, c, hit));
    if (is_half(l->options))
        fb_pg_copy_halfvec(c, vector, l->index->manifest.width);
    else
        fb_pg_copy_vector(c, vector, l->index->manifest.width);
    s->product_count += first;
    return c->size < SEND_BYTES ? fb_pg_copy_check(l->ctx, c) : flush(l, s);
}

/* The rows of one product do not all lie in one segment, but in the index once alive:
 * the first alive one of a segment counts it. */
static fb_status put_segment(load *l, const fb_segment *s, fb_progress *progress)
{
    float vector[FB_STORED_WIDTH];
    bool *seen = calloc((size_t)s->rows + 1, sizeof *seen);
    fb_status status = seen ? FB_OK : fb_fail(l->ctx, FB_E_MEMORY, "no memory to load");
    for (int64_t row = 0; row < s->rows && status == FB_OK; row++) {
        fb_search_result *one = NULL;
        int64_t product = fb_product_table_first(s->products, row);
        if (!fb_segment_is_alive(s, row))
            continue;
        status = fb_result_create(l->ctx, &one, 1);
        if (status == FB_OK)
            status = fb_result_fill_hit(l->ctx, one, l->index, s->first + row,
                                        &one->hits[0]);
        fb_stored_decode(&s->vectors, row, 1, vector);
        if (status == FB_OK)
            status = put_row(l, &one->hits[0], vector, !seen[product]);
        seen[product] = true;
        fb_search_result_free(one);
        fb_progress_update(progress, s->first + row + 1, 1.0, "");
    }
    free(seen);
    return status;
}

static fb_status end_copy(load *l, shard *s)
{
    PGresult *r;
    fb_pg_copy_end(&s->rows);
    FB_TRY(flush(l, s));
    if (PQputCopyEnd(s->link.conn, NULL) != 1)
        return fb_pg_link_fail(l->ctx, &s->link, "rows could not be sent");
    FB_TRY(fb_pg_link_receive(l->ctx, &s->link, &r));
    PQclear(r);
    return fb_pg_link_do(l->ctx, &s->link, "COMMIT");
}

static fb_status copy(load *l)
{
    fb_progress progress;
    fb_status status = FB_OK;
    size_t columns = FB_PRODUCT_COLUMNS;
    l->keys = malloc(columns * sizeof *l->keys);
    if (!l->keys)
        return fb_fail(l->ctx, FB_E_MEMORY, "no memory to load");
    fb_progress_begin(&progress, "loading", "products", 0, l->index->rows,
                      l->options->quiet);
    for (int32_t i = 0; i < l->index->segment_count && status == FB_OK; i++)
        status = put_segment(l, &l->index->segment[i], &progress);
    fb_progress_end(&progress);
    for (int32_t i = 0; i < l->shard_count && status == FB_OK; i++)
        status = end_copy(l, &l->shards[i]);
    return status;
}

/* ---- build ---------------------------------------------------------------------- */

static fb_status describe(load *l, int32_t number)
{
    const fb_index_manifest *m = &l->index->manifest;
    shard *s = &l->shards[number];
    char text[10][32];
    snprintf(text[0], sizeof text[0], "%d", FORMAT);
    snprintf(text[1], sizeof text[1], "%d", (int)number + 1);
    snprintf(text[2], sizeof text[2], "%d", (int)l->shard_count);
    snprintf(text[3], sizeof text[3], "%016llx", (unsigned long long)m->fingerprint);
    snprintf(text[4], sizeof text[4], "%d", (int)m->width);
    fb_text_print(text[5], sizeof text[5], "%.17g", m->text_weight);
    snprintf(text[6], sizeof text[6], "%d", (int)l->options->effort);
    snprintf(text[7], sizeof text[7], "%lld", (long long)s->row_count);
    snprintf(text[8], sizeof text[8], "%lld", (long long)s->product_count);
    const char *values[] = {text[0],
                            l->number,
                            text[1],
                            text[2],
                            text[3],
                            text[4],
                            fb_index_what_name(m->what),
                            text[5],
                            m->model,
                            text[6],
                            text[7],
                            text[8]};
    const fb_pg_parameters p = {12, values, NULL, NULL};
    PGresult *r;
    FB_TRY(fb_pg_link_do(
        l->ctx, &s->link,
        "CREATE TABLE fashionbert_store_new (format int, load text, shard int, shards "
        "int, fingerprint text, width int, what text, text_weight float8, model text, "
        "effort int, row_count bigint, product_count bigint, loaded timestamptz "
        "DEFAULT now())"));
    FB_TRY(fb_pg_link_run(l->ctx, &s->link,
                          "INSERT INTO fashionbert_store_new VALUES ($1, $2, $3, $4, "
                          "$5, $6, $7, $8, $9, $10, $11, $12)",
                          &p, &r));
    PQclear(r);
    return FB_OK;
}

static fb_status build(load *l)
{
    char sql[1600];
    PGresult *r;
    fb_status status = FB_OK;
    snprintf(
        sql, sizeof sql,
        "CREATE INDEX ON fashionbert_products_new USING hnsw (embedding %s_ip_ops) "
        "WITH (m = %d, ef_construction = %d);"
        "ALTER TABLE fashionbert_products_new ADD PRIMARY KEY (place);"
        "CREATE INDEX ON fashionbert_products_new (product_id, place);"
        "CREATE INDEX ON fashionbert_products_new USING gin (keys);"
        "CREATE TABLE fashionbert_values_new AS SELECT name, value, products FROM "
        "(SELECT a.key AS name, a.value, count(*) AS products, row_number() OVER "
        "(PARTITION BY a.key ORDER BY count(*) DESC, a.value) AS nth FROM (SELECT "
        "DISTINCT ON (product_id) attributes FROM fashionbert_products_new ORDER BY "
        "product_id, place) p, json_each_text(p.attributes) a GROUP BY a.key, a.value) "
        "t "
        "WHERE nth <= 1000;"
        "ANALYZE fashionbert_products_new",
        l->options->vector_type, (int)l->options->links, (int)l->options->build_effort);
    for (int32_t i = 0; i < l->shard_count; i++)
        FB_TRY(fb_pg_link_send(l->ctx, &l->shards[i].link, sql, NULL));
    for (int32_t i = 0; i < l->shard_count && status == FB_OK; i++) {
        status = fb_pg_link_receive(l->ctx, &l->shards[i].link, &r);
        PQclear(r);
    }
    for (int32_t i = 0; i < l->shard_count && status == FB_OK; i++)
        status = describe(l, i);
    return status;
}

/* ---- swap ----------------------------------------------------------------------- */

static fb_status swap(load *l)
{
    for (int32_t i = 0; i < l->shard_count; i++)
        FB_TRY(fb_pg_link_do(
            l->ctx, &l->shards[i].link,
            "BEGIN; DROP TABLE IF EXISTS fashionbert_products, fashionbert_values, "
            "fashionbert_store;"
            "ALTER TABLE fashionbert_products_new RENAME TO fashionbert_products;"
            "ALTER TABLE fashionbert_values_new RENAME TO fashionbert_values;"
            "ALTER TABLE fashionbert_store_new RENAME TO fashionbert_store; COMMIT"));
    return FB_OK;
}

static fb_status run(load *l, fb_store_report *report)
{
    double started_s = fb_clock_s();
    FB_TRY(name_shards(l));
    uint64_t number = fb_random_mix((uint64_t)(fb_clock_wall_s() * 1e6));
    snprintf(l->number, sizeof l->number, "%016llx", (unsigned long long)number);
    for (int32_t i = 0; i < l->shard_count; i++)
        FB_TRY(prepare(l, &l->shards[i]));
    FB_TRY(copy(l));
    report->copy_seconds = fb_clock_s() - started_s;
    if (!l->options->quiet)
        fprintf(stderr, "building the graph\n");
    FB_TRY(build(l));
    report->build_seconds = fb_clock_s() - started_s - report->copy_seconds;
    return swap(l);
}

fb_status fb_pg_store_load(fb_context *ctx, const fb_index *index,
                           const fb_store_options *options, fb_store_report *report)
{
    load l = {.ctx = ctx, .index = index, .options = options};
    fb_store_report made = {.recall10 = NAN};
    int32_t most = is_half(options) ? FB_PG_HALF_WIDTH : FB_PG_WIDTH;
    if (index->manifest.width > most)
        return fb_fail(ctx, FB_E_LIMIT,
                       "vectors of %d numbers; pgvector makes graphs of up to %d (of "
                       "halfvec %d)",
                       (int)index->manifest.width, (int)most, FB_PG_HALF_WIDTH);
    fb_status status = run(&l, &made);
    made.shards = l.shard_count;
    for (int32_t i = 0; i < l.shard_count; i++) {
        shard *s = &l.shards[i];
        made.rows += s->row_count;
        made.products += s->product_count;
        if (status != FB_OK && fb_pg_link_is_up(&s->link)) {
            fb_context silent = {0}; /* the first failure is what is told */
            (void)fb_pg_link_do(&silent, &s->link, "ROLLBACK");
            (void)fb_pg_link_do(&silent, &s->link, drop_fresh);
        }
        fb_pg_link_close(&s->link);
        fb_pg_copy_free(&s->rows);
    }
    free(l.shards);
    fb_pg_pool_free(l.pool);
    free(l.json);
    free(l.keys);
    if (status == FB_OK)
        *report = made;
    return status;
}
