/* pg_pool.h - the databases of a store and connections to them, taken and given back by
 * any number of threads; a broken one is opened again once, by who finds it so.
 */
#ifndef FB_RETRIEVAL_POSTGRES_PG_POOL_H
#define FB_RETRIEVAL_POSTGRES_PG_POOL_H

#include "retrieval/index/index_store.h"
#include "retrieval/postgres/pg_link.h"

typedef struct fb_pg_pool fb_pg_pool;

/* What index->store is of an index in PostgreSQL. */
typedef struct fb_pg_store {
    fb_product_store store; /* first */
    fb_pg_pool *pool;
    int32_t effort; /* hnsw.ef_search unless told */
    bool repeats;   /* some product has more than one row */
} fb_pg_store;

static inline const fb_pg_store *fb_pg_store_of(const fb_index *index)
{
    return (const fb_pg_store *)index->store;
}

/* Of URIs with blanks between; nothing is connected yet. FB_E_USAGE, FB_E_LIMIT. */
fb_status fb_pg_pool_create(fb_context *ctx, fb_pg_pool **pool, const char *places);
void fb_pg_pool_free(fb_pg_pool *pool);
int32_t fb_pg_pool_count(const fb_pg_pool *pool);
const char *fb_pg_pool_name(const fb_pg_pool *pool, int32_t shard);
const char *fb_pg_pool_conninfo(const fb_pg_pool *pool, int32_t shard);

/* A statement that reads, to one shard; *result is the caller's to PQclear. */
fb_status fb_pg_pool_ask(fb_context *ctx, fb_pg_pool *pool, int32_t shard,
                         const char *sql, const fb_pg_parameters *parameters,
                         PGresult **result);

/* To all of them at once, results [count]: all or, after a failure, none. effort:
 * hnsw.ef_search; exact: no index of vectors is used. */
fb_status fb_pg_pool_ask_all(fb_context *ctx, fb_pg_pool *pool, const char *sql,
                             const fb_pg_parameters *parameters, int32_t effort,
                             bool exact, PGresult **results);

#endif
