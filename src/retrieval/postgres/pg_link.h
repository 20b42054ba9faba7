/* pg_link.h - one connection to a PostgreSQL database through libpq: opened with short
 * timeouts, its failures as sentences that name the database and never a password.
 *
 * For pg_*.c alone: what others see is pg_store.h.
 */
#ifndef FB_RETRIEVAL_POSTGRES_PG_LINK_H
#define FB_RETRIEVAL_POSTGRES_PG_LINK_H

#include "base/status.h"

#include <libpq-fe.h>

typedef struct fb_pg_link {
    PGconn *conn; /* NULL: not connected */
    const char *conninfo;
    const char *name; /* what sentences call it; both borrowed */
    int32_t effort;   /* hnsw.ef_search as set; 0: not yet */
    bool exact;       /* scans of indexes turned off */
} fb_pg_link;

/* "postgresql://host:port/db" of a conninfo, without user and password, malloc'ed.
 * FB_E_USAGE: it is not one; `which` names it. */
fb_status fb_pg_link_name(fb_context *ctx, char **name, const char *conninfo,
                          const char *which);

/* link->conninfo and ->name are set. FB_E_IO: no answer, or refused. */
fb_status fb_pg_link_connect(fb_context *ctx, fb_pg_link *link);
void fb_pg_link_close(fb_pg_link *link);
static inline bool fb_pg_link_is_up(const fb_pg_link *link)
{
    return link->conn && PQstatus(link->conn) == CONNECTION_OK;
}

/* Parameters of a statement; text where format is 0. */
typedef struct fb_pg_parameters {
    int count;
    const char *const *values;
    const int *lengths, *formats;
} fb_pg_parameters;

/* *result is good (tuples, command or copy) and the caller's to PQclear; NULL is passed
 * over in silence by both. parameters may be NULL.
 * FB_E_IO       the connection broke (then fb_pg_link_is_up says no), or the server
 *               refuses
 * FB_E_MISSING  a table is not there
 * FB_E_USAGE    a text that is not UTF-8
 * FB_E_LIMIT    the server is out of memory, disk or connections */
fb_status fb_pg_link_run(fb_context *ctx, fb_pg_link *link, const char *sql,
                         const fb_pg_parameters *parameters, PGresult **result);
/* The same without a result. */
fb_status fb_pg_link_do(fb_context *ctx, fb_pg_link *link, const char *sql);

/* In two halves, so that several servers work at once. */
fb_status fb_pg_link_send(fb_context *ctx, fb_pg_link *link, const char *sql,
                          const fb_pg_parameters *parameters);
fb_status fb_pg_link_receive(fb_context *ctx, fb_pg_link *link, PGresult **result);

/* The sentence of what the connection last said. */
fb_status fb_pg_link_fail(fb_context *ctx, fb_pg_link *link, const char *doing);

#endif
