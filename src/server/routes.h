/* routes.h - the table of paths: what each takes, gives and does. Dispatch, checking of
 * bodies, the counters' labels and /openapi.json all come from it.
 */
#ifndef FB_SERVER_ROUTES_H
#define FB_SERVER_ROUTES_H

#include "server/exchange.h"

struct fb_server;

/* What a route with a body computes. */
typedef enum fb_work {
    FB_WORK_NONE,
    FB_WORK_SEARCH,
    FB_WORK_MATCH,
    FB_WORK_RERANK,
    FB_WORK_ENCODE,
    FB_WORK_EXPLAIN
} fb_work;

typedef struct fb_route {
    const char *method;                /* "GET" or "POST"; GET answers HEAD too */
    const char *path;                  /* "/v1/products/{id}" */
    const char *name;                  /* operationId */
    const char *summary;               /* a line */
    const fb_schema *request, *answer; /* NULL: no body; an answer of another type */
    const char *answer_type;           /* of an answer that is not JSON */
    const char *errors; /* statuses that it may give besides, "404,503" */
    bool open;          /* needs no API key */
    bool hidden;        /* not part of the API: the page's files */
    /* Of a route without a body: answers at once. slow: it asks the index or a disk, so
     * a prepare thread calls it, not the transport's. */
    void (*answer_now)(struct fb_server *server, fb_exchange *x);
    bool slow;
    fb_work work;
} fb_route;

extern const fb_route fb_routes[];
extern const int32_t fb_route_count;

/* Find the route of x->target and x->method, and its {id}. On failure x is answered
 * with 400, 404 or 405. */
bool fb_route_find(fb_exchange *x);

#endif
