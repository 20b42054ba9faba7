/* prepare.c - the threads that read bodies:
 *
 *     to_prepare -> one thread: small bodies, and what only needs looking up
 *     to_decode  -> --readers threads: large bodies, and images, one at a time: a request
 *                   that has more of them goes to the end of the queue behind each
 *
 * A request leaves them answered or ready to be computed.
 */
#include "base/clock.h"
#include "server/job.h"
#include "server/server.h"

/* Whether what waits leaves time for `job` to be begun within the seconds that a request
 * may wait. What is quick waits for what is quick alone: it overtakes the rest. */
static bool has_room(const fb_server *server, const fb_job *job)
{
    double token_s = atomic_load(&server->token_s);
    int64_t ahead = atomic_load(&server->quick_tokens);
    if (job->dear_tokens > 0)
        ahead += atomic_load(&server->waiting_tokens);
    return ahead == 0 || token_s * (double)ahead <= server->options.max_wait_s;
}

/* Answered, with or without a job. */
static void answer(fb_server *server, fb_exchange *x)
{
    fb_job_free(server, x->job);
    x->job = NULL;
    fb_server_give_body_bytes(server, x->body_capacity);
    fb_exchange_drop_body(x);
    if (x->times.prepared == 0)
        x->times.prepared = fb_clock_s();
    fb_server_answer(server, x);
}

static void compute(fb_server *server, fb_exchange *x)
{
    fb_job *job = x->job;
    fb_lane lane = job->quick_tokens > 0 ? FB_LANE_QUICK : FB_LANE_DEAR;
    fb_server_give_body_bytes(server, x->body_capacity);
    fb_exchange_drop_body(x);
    x->times.prepared = fb_clock_s();
    job->quick_waiting = job->quick_tokens;
    job->dear_waiting = job->dear_tokens;
    atomic_fetch_add(&server->quick_tokens, job->quick_waiting);
    atomic_fetch_add(&server->waiting_tokens, job->dear_waiting);
    if (!fb_work_queue_push(server->to_compute, x, lane)) {
        fb_exchange_fail(x, 503, "the server is ending");
        answer(server, x);
    }
}

/* Read it if it is not read yet. */
static void read(fb_server *server, fb_exchange *x)
{
    if (x->job)
        return;
    x->times.prepare_begun = fb_clock_s();
    fb_metrics_observe(server->metrics, FB_HISTOGRAM_PREPARE_WAIT,
                       x->times.prepare_begun - x->times.received);
    if (x->route->answer_now) {
        x->route->answer_now(server, x);
        return;
    }
    x->job = fb_job_read(server, x);
    if (x->media == FB_MEDIA_JSON) { /* all of it is copied */
        fb_server_give_body_bytes(server, x->body_capacity);
        fb_exchange_drop_body(x);
    }
    if (x->job && !has_room(server, x->job))
        fb_server_reject(server, x);
}

static void prepare(fb_server *server, fb_exchange *x, bool decodes)
{
    if (fb_server_drops(server, x)) {
        answer(server, x);
        return;
    }
    read(server, x);
    if (x->job && x->status == 0 && decodes && !fb_job_is_decoded(x->job))
        (void)fb_job_decode_one(server, x, x->job);
    if (x->status != 0) {
        answer(server, x);
    } else if (fb_job_is_decoded(x->job)) {
        compute(server, x);
    } else if (decodes) {
        fb_work_queue_put_back(server->to_decode, x, FB_LANE_DEAR);
    } else if (!fb_work_queue_push(server->to_decode, x, FB_LANE_DEAR)) {
        fb_exchange_fail(x, 503, "the server is ending");
        answer(server, x);
    }
}

void *fb_prepare_run(void *self)
{
    fb_server *server = self;
    fb_lane lane = FB_LANE_QUICK;
    for (fb_exchange *x; (x = fb_work_queue_pop(server->to_prepare, &lane));)
        prepare(server, x, false);
    return NULL;
}

void *fb_decode_run(void *self)
{
    fb_server *server = self;
    fb_lane lane = FB_LANE_DEAR;
    for (fb_exchange *x; (x = fb_work_queue_pop(server->to_decode, &lane));)
        prepare(server, x, true);
    return NULL;
}
