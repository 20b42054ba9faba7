/* exchange.h - one request and its answer, from the first line of the one to the last
 * byte of the other.
 *
 *     transport        begins it, adds the body, sends the answer, frees it
 *     a route          answers at once, or
 *     prepare, worker  read the body, compute, answer
 *
 * Only one of them holds it at a time; it is handed on through queues.
 */
#ifndef FB_SERVER_EXCHANGE_H
#define FB_SERVER_EXCHANGE_H

#include "server/http_form.h"
#include <stdatomic.h>

/* The answers that are errors: HTTP status, word for programs. The one list of them. */
#define FB_HTTP_ERROR_MAP(X)                                                           \
    X(400, "bad_request", "The body is not JSON or not multipart")                     \
    X(401, "unauthorized", "The API key is missing or wrong")                          \
    X(404, "not_found", "There is no such path or product")                            \
    X(405, "method_not_allowed", "The path has other methods")                         \
    X(408, "request_timeout", "The request took too long to arrive")                   \
    X(409, "not_available", "This server's model or index cannot do it")               \
    X(413, "too_large", "The body is larger than the limit")                           \
    X(415, "unsupported_media_type",                                                   \
      "The body is neither application/json nor multipart/form-data")                  \
    X(422, "invalid",                                                                  \
      "A field is unknown, missing or wrong, or an image is unreadable")               \
    X(429, "too_many_requests", "The queue is full; come back after Retry-After")      \
    X(499, "client_gone", "Nobody waited for the answer any more; in the log alone")   \
    X(500, "internal", "The server failed")                                            \
    X(503, "unavailable", "The server is ending, or its database does not answer")

/* "not_found"; "error" for a status that is not in the list. */
const char *fb_http_error_code(int32_t status);

struct fb_route;
struct fb_job;

/* When what happened, on fb_clock_s(); 0: not yet. */
typedef struct fb_times {
    double began, received, prepare_begun, prepared, compute_begun, answered;
} fb_times;

typedef struct fb_exchange {
    struct fb_exchange *next; /* in a queue */
    void *transport;
    int socket; /* the transport's, to see whether the client is still there */
    atomic_bool answered; /* handed back to the transport, once */
    bool given_up; /* answered in the stead of who has it, who may still look at it */

    /* The request. */
    const struct fb_route *route; /* NULL: no such path */
    int32_t route_number;         /* of the counters */
    char id[65], method[16], remote[64];
    char *target;    /* path and query as they came; owned */
    char *parameter; /* the path's {id}, decoded; owned; NULL: none */
    fb_media media;
    char boundary[FB_BOUNDARY_BYTES];
    uint8_t *body; /* owned */
    size_t body_bytes, body_capacity,
        received_bytes; /* received: with what was dropped */
    struct fb_job *job;
    bool waiting; /* counts as a request that waits */

    /* The answer. status 0: none yet. */
    int32_t status;
    const char *type; /* Content-Type; borrowed, static */
    char *reply;      /* owned unless reply_is_static */
    size_t reply_bytes;
    bool reply_is_static, cache; /* cache: may be kept by the browser */
    int reply_file;        /* in the place of a reply: its descriptor, owned; -1 */
    size_t reply_held;     /* bytes of the reply that count as memory in use */
    const char *policy;    /* Content-Security-Policy; NULL: none */
    int32_t retry_after_s; /* 0: none */
    bool close;            /* the connection, behind the answer */
    char allow[64];        /* of a 405 */

    fb_times times;
} fb_exchange;

fb_exchange *fb_exchange_create(const char *target);
void fb_exchange_free(fb_exchange *x);

/* Give the body's memory back; the answer needs it no more. */
void fb_exchange_drop_body(fb_exchange *x);

/* Answer with an error: {"error": {code, message, request_id}}. */
void fb_exchange_fail(fb_exchange *x, int32_t status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same from a failed call: its sentence, the HTTP status that its code means. */
void fb_exchange_fail_from(fb_exchange *x, fb_status status, const fb_context *ctx);

/* Answer 200 with JSON: begin, write with the writer, end. end fails the exchange when
 * memory is out. */
typedef struct fb_reply {
    fb_json_writer json;
    FILE *stream;
    char *text;
    size_t bytes;
} fb_reply;
bool fb_reply_begin(fb_exchange *x, fb_reply *reply);
void fb_reply_end(fb_exchange *x, fb_reply *reply);

#endif
