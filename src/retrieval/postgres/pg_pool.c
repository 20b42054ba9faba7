/* pg_pool.c - see pg_pool.h. */
#include "retrieval/postgres/pg_pool.h"

#include "retrieval/postgres/pg_store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IDLE = 32 }; /* connections kept for the next search, a shard */

typedef struct shard {
    const char *conninfo;
    char *name;
    fb_pg_link idle[IDLE];
    int32_t idle_count;
} shard;

struct fb_pg_pool {
    pthread_mutex_t lock;
    char *places; /* the URIs, cut apart */
    shard *shards;
    int32_t count;
};

static fb_status cut_places(fb_context *ctx, fb_pg_pool *pool)
{
    char *rest = NULL, which[32];
    for (char *place = strtok_r(pool->places, " ", &rest); place;
         place = strtok_r(NULL, " ", &rest)) {
        snprintf(which, sizeof which, "store %d", (int)pool->count + 1);
        if (pool->count == FB_PG_SHARDS)
            return fb_fail(ctx, FB_E_LIMIT, "more than %d stores", FB_PG_SHARDS);
        if (!fb_pg_is_store(place))
            return fb_fail(ctx, FB_E_USAGE,
                           "%s: give postgresql://host/database, and others behind "
                           "blanks",
                           which);
        shard *s = &pool->shards[pool->count++];
        s->conninfo = place;
        FB_TRY(fb_pg_link_name(ctx, &s->name, place, which));
    }
    return pool->count ? FB_OK : fb_fail(ctx, FB_E_USAGE, "no store is named");
}

fb_status fb_pg_pool_create(fb_context *ctx, fb_pg_pool **pool, const char *places)
{
    fb_pg_pool *p = calloc(1, sizeof *p);
    if (!p)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a store");
    pthread_mutex_init(&p->lock, NULL);
    p->places = strdup(places);
    p->shards = calloc(FB_PG_SHARDS, sizeof *p->shards);
    fb_status status = p->places && p->shards
                           ? cut_places(ctx, p)
                           : fb_fail(ctx, FB_E_MEMORY, "no memory for a store");
    if (status == FB_OK)
        *pool = p;
    else
        fb_pg_pool_free(p);
    return status;
}

void fb_pg_pool_free(fb_pg_pool *pool)
{
    if (!pool)
        return;
    for (int32_t i = 0; i < pool->count; i++) {
        shard *s = &pool->shards[i];
        while (s->idle_count > 0)
            fb_pg_link_close(&s->idle[--s->idle_count]);
        free(s->name);
    }
    pthread_mutex_destroy(&pool->lock);
    free(pool->shards);
    free(pool->places);
    free(pool);
}

int32_t fb_pg_pool_count(const fb_pg_pool *pool)
{
    return pool->count;
}

const char *fb_pg_pool_name(const fb_pg_pool *pool, int32_t number)
{
    return pool->shards[number].name;
}

const char *fb_pg_pool_conninfo(const fb_pg_pool *pool, int32_t number)
{
    return pool->shards[number].conninfo;
}

static fb_pg_link take(fb_pg_pool *pool, int32_t number)
{
    shard *s = &pool->shards[number];
    pthread_mutex_lock(&pool->lock);
    fb_pg_link link = {.conninfo = s->conninfo, .name = s->name};
    if (s->idle_count > 0)
        link = s->idle[--s->idle_count];
    pthread_mutex_unlock(&pool->lock);
    return link;
}

static void give(fb_pg_pool *pool, int32_t number, fb_pg_link *link, bool good)
{
    shard *s = &pool->shards[number];
    pthread_mutex_lock(&pool->lock);
    bool kept = good && fb_pg_link_is_up(link) && s->idle_count < IDLE;
    if (kept)
        s->idle[s->idle_count++] = *link;
    pthread_mutex_unlock(&pool->lock);
    if (!kept)
        fb_pg_link_close(link);
}

/* What a search asks of its connection; effort 0: nothing. */
typedef struct question {
    const char *sql;
    const fb_pg_parameters *parameters;
    int32_t effort;
    bool exact;
} question;

static fb_status get_ready(fb_context *ctx, fb_pg_link *link, const question *q)
{
    char sql[160];
    if (!fb_pg_link_is_up(link))
        FB_TRY(fb_pg_link_connect(ctx, link));
    if (q->effort && link->effort != q->effort) {
        snprintf(sql, sizeof sql,
                 "SET hnsw.ef_search = %d; SET hnsw.iterative_scan = strict_order",
                 (int)q->effort);
        FB_TRY(fb_pg_link_do(ctx, link, sql));
        link->effort = q->effort;
    }
    if (link->exact == q->exact)
        return FB_OK;
    FB_TRY(fb_pg_link_do(ctx, link,
                         q->exact ? "SET enable_indexscan = off"
                                  : "SET enable_indexscan = on"));
    link->exact = q->exact;
    return FB_OK;
}

static fb_status send(fb_context *ctx, fb_pg_link *link, const question *q)
{
    FB_TRY(get_ready(ctx, link, q));
    return fb_pg_link_send(ctx, link, q->sql, q->parameters);
}

/* The rest of a question whose first half came to `status`. A connection that had
 * been there before and broke is opened again, and asked again. */
static fb_status receive(fb_context *ctx, fb_pg_link *link, const question *q, bool old,
                         fb_status status, PGresult **result)
{
    if (status == FB_OK)
        status = fb_pg_link_receive(ctx, link, result);
    if (status == FB_OK || fb_pg_link_is_up(link) || !old)
        return status;
    fb_pg_link_close(link);
    FB_TRY(send(ctx, link, q));
    FB_TRY(fb_pg_link_receive(ctx, link, result));
    fb_context_clear(ctx);
    return FB_OK;
}

fb_status fb_pg_pool_ask(fb_context *ctx, fb_pg_pool *pool, int32_t number,
                         const char *sql, const fb_pg_parameters *parameters,
                         PGresult **result)
{
    const question q = {.sql = sql, .parameters = parameters};
    fb_pg_link link = take(pool, number);
    bool old = link.conn != NULL;
    fb_status status = send(ctx, &link, &q);
    status = receive(ctx, &link, &q, old, status, result);
    give(pool, number, &link, status == FB_OK);
    return status;
}

/* One shard's part of a question to all. */
typedef struct asked {
    fb_context ctx; /* its own sentence */
    fb_pg_link link;
    bool old;
    fb_status status;
} asked;

fb_status fb_pg_pool_ask_all(fb_context *ctx, fb_pg_pool *pool, const char *sql,
                             const fb_pg_parameters *parameters, int32_t effort,
                             bool exact, PGresult **results)
{
    const question q = {sql, parameters, effort, exact};
    fb_status status = FB_OK;
    asked *all = calloc((size_t)pool->count, sizeof *all);
    if (!all)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to search");
    for (int32_t i = 0; i < pool->count; i++) {
        asked *a = &all[i];
        a->link = take(pool, i);
        a->old = a->link.conn != NULL;
        a->status = send(&a->ctx, &a->link, &q);
    }
    for (int32_t i = 0; i < pool->count; i++) {
        asked *a = &all[i];
        a->status = receive(&a->ctx, &a->link, &q, a->old, a->status, &results[i]);
        give(pool, i, &a->link, a->status == FB_OK);
        if (status != FB_OK || a->status == FB_OK)
            continue;
        status = a->status; /* the first failure is what is told */
        *ctx = a->ctx;
    }
    free(all);
    for (int32_t i = 0; i < pool->count && status != FB_OK; i++) {
        PQclear(results[i]);
        results[i] = NULL;
    }
    return status;
}
