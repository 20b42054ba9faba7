/* server.h - what the threads of one server share.
 *
 *     transport thread      request -> answered at once, or admitted ->
 *     prepare thread        small body checked, texts counted; products looked up ->
 *     decode thread(s)      large body checked; images decoded ->
 *     worker thread(s)      a batch of requests computed together, or a slice of what
 *                           takes long -> answered
 *     the caller's thread   signals, slow clients, new models
 *
 * An admitted request waits in to_prepare, to_decode, then in to_compute; at most
 * options.queue wait in all together, and none that would have to wait longer than
 * options.max_wait_s.
 */
#ifndef FB_SERVER_SERVER_H
#define FB_SERVER_SERVER_H

#include "server/access_log.h"
#include "server/metrics.h"
#include "server/routes.h"
#include "server/served.h"
#include "server/work_queue.h"
#include <stdatomic.h>

typedef struct fb_http fb_http;

typedef struct fb_server {
    fb_serve_options options;
    fb_metrics *metrics;
    fb_access_log *log;
    fb_served_slot slot;
    fb_work_queue *to_prepare, *to_decode, *to_compute;
    fb_http *http;
    char *openapi; /* written once */
    size_t openapi_bytes;

    atomic_bool draining;        /* ending, soon */
    atomic_bool ended;           /* what is not computed yet gets 503 */
    atomic_int_fast64_t waiting; /* requests admitted and not begun to be computed */
    /* Tokens to compute: in slices, and of what is quick. */
    atomic_int_fast64_t waiting_tokens, quick_tokens;
    atomic_int_fast64_t body_bytes; /* that requests take, see take_body_bytes */
    _Atomic double token_s;         /* seconds that a token took lately */
    _Atomic double quick_s;         /* seconds that a quick request took lately */
    _Atomic double quick_at_s;      /* when the last one came */
} fb_server;

/* Whether one more request may wait; if so, it is counted. */
bool fb_server_admit(fb_server *server, fb_exchange *x);
/* x waits no longer: it is computed or answered. */
void fb_server_stop_waiting(fb_server *server, fb_exchange *x);
/* Seconds after which to come back, at least 1: what waits, at the speed of late. */
int32_t fb_server_retry_after(const fb_server *server);
void fb_server_reject(fb_server *server, fb_exchange *x);

/* Room for `more` bytes of a request, from its body to its answer; false: there is none.
 * small: the request takes FB_SMALL in all; an eighth of the memory is for such, so that
 * a plain search is answered beside bodies that fill the rest. */
enum { FB_SMALL = 64 << 10 };
bool fb_server_take_body_bytes(fb_server *server, size_t more, bool small);
void fb_server_give_body_bytes(fb_server *server, size_t bytes);

/* x's reply takes memory until it is sent; where there is none, another answer says so.
 */
void fb_server_hold_reply(fb_server *server, fb_exchange *x);

/* x has its answer: hand it back to the transport. Where the transport has answered in
 * its stead (fb_http_give_up), x stays with the caller, who leaves it. */
void fb_server_answer(fb_server *server, fb_exchange *x);

/* Whether x need not be worked at any more; if so it is answered: the server has ended,
 * the client has gone, or it has waited longer than a request may. */
bool fb_server_drops(fb_server *server, fb_exchange *x);

/* Threads: read small bodies; read large ones and decode; compute. Each runs until its
 * queue is closed and empty. */
void *fb_prepare_run(void *server);
void *fb_decode_run(void *server);
typedef struct fb_worker {
    fb_server *server;
    int32_t number;
} fb_worker;
void *fb_worker_run(void *worker);

#endif
