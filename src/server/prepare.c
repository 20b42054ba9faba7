/* prepare.c - the thread that reads bodies, and answers what only needs looking up: a
 * request leaves it answered or ready to be computed. */
#include "base/clock.h"
#include "server/job.h"
#include "server/server.h"

/* Whether what waits leaves room for `tokens` more within the time that a request may
 * wait. With nothing waiting there is always room. */
static bool has_room(const fb_server *server, int64_t tokens)
{
    double token_s = atomic_load(&server->token_s);
    int64_t ahead = atomic_load(&server->waiting_tokens);
    (void)tokens; /* its own length is its own affair */
    return ahead == 0 || token_s * (double)ahead <= server->options.max_wait_s;
}

static void prepare(fb_server *server, fb_exchange *x)
{
    x->times.prepare_begun = fb_clock_s();
    fb_metrics_observe(server->metrics, FB_HISTOGRAM_PREPARE_WAIT,
                       x->times.prepare_begun - x->times.received);
    fb_job *job = NULL;
    if (atomic_load(&server->ended))
        fb_exchange_fail(x, 503, "the server is ending");
    else if (x->route->answer_now)
        x->route->answer_now(server, x);
    else
        job = fb_job_read(server, x);
    fb_server_give_body_bytes(server, x->body_capacity);
    fb_exchange_drop_body(x);
    x->times.prepared = fb_clock_s();
    if (job && !has_room(server, job->tokens)) {
        fb_job_free(server, job);
        job = NULL;
        fb_server_reject(server, x);
    }
    if (!job) {
        fb_server_answer(server, x);
        return;
    }
    x->job = job;
    atomic_fetch_add(&server->waiting_tokens, job->tokens);
    fb_work_queue_push(server->to_compute, x); /* open as long as this thread runs */
}

void *fb_prepare_run(void *self)
{
    fb_server *server = self;
    for (fb_exchange *x; (x = fb_work_queue_pop(server->to_prepare));)
        prepare(server, x);
    return NULL;
}
