/* server.h - what the threads of one server share.
 *
 *     transport thread      request -> answered at once, or admitted ->
 *     prepare thread(s)     body checked, images decoded, texts counted ->
 *     worker thread(s)      a batch of requests computed together -> answered
 *     the caller's thread   signals, slow clients, new models
 *
 * An admitted request waits in to_prepare, then in to_compute; at most options.queue
 * wait in both together, and none that would have to wait longer than
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
    fb_work_queue *to_prepare, *to_compute;
    fb_http *http;
    char *openapi; /* written once */
    size_t openapi_bytes;

    atomic_bool draining;               /* ending, soon */
    atomic_bool ended;                  /* what is not computed yet gets 503 */
    atomic_int_fast64_t waiting;        /* requests admitted and not yet computed */
    atomic_int_fast64_t waiting_tokens; /* of those in to_compute */
    atomic_int_fast64_t body_bytes;     /* of all bodies in memory */
    _Atomic double token_s;             /* seconds that a token took lately */
} fb_server;

/* Whether one more request may wait; if so, it is counted. */
bool fb_server_admit(fb_server *server, fb_exchange *x);
/* x waits no longer: it is computed or answered. */
void fb_server_stop_waiting(fb_server *server, fb_exchange *x);
/* Seconds after which to come back, at least 1: what waits, at the speed of late. */
int32_t fb_server_retry_after(const fb_server *server);
void fb_server_reject(fb_server *server, fb_exchange *x);

/* Room for `more` bytes of bodies; false: there is none. */
bool fb_server_take_body_bytes(fb_server *server, size_t more);
void fb_server_give_body_bytes(fb_server *server, size_t bytes);

/* x has its answer: hand it back to the transport. */
void fb_server_answer(fb_server *server, fb_exchange *x);

/* Threads: read bodies; compute. Each runs until its queue is closed and empty. */
void *fb_prepare_run(void *server);
typedef struct fb_worker {
    fb_server *server;
    int32_t number;
} fb_worker;
void *fb_worker_run(void *worker);

#endif
