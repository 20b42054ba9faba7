/* serve.c - fb_serve: start the threads, wait for signals, end.
 *
 *     SIGTERM, SIGINT   /ready says 503; for a moment connections that were on their
 *                       way are still taken; then none, and what has come is answered
 *     SIGHUP            open the model and the index anew; reopen the access log
 *     once a second     close connections of slow clients
 *
 * Signals are blocked in this thread and those that it starts, and taken here by
 * sigtimedwait. Threads that a library started before (OpenBLAS does when it is loaded)
 * do not block them: what the kernel gives to one of those is passed on to this thread,
 * in whose stead the process would end.
 */
#include "base/clock.h"
#include "base/number_text.h"
#include "base/option.h"
#include "server/http_server.h"
#include "server/openapi.h"
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 64 };
#define LAST_CALL_S .25 /* after SIGTERM, for connections that are not accepted yet */

#define FB_OPTION            FB_OPTION_ROW
#define FB_OPTION_AT(member) offsetof(fb_serve_options, member)
static const fb_option option_rows[] = {
#include "fashionbert/serve.def"
};
static const fb_option_table option_table = FB_OPTION_TABLE(option_rows);

void fb_serve_options_defaults(fb_serve_options *options)
{
    *options = (fb_serve_options){0};
    fb_options_defaults(&option_table, options);
}

fb_status fb_serve_options_set(fb_context *ctx, fb_serve_options *options,
                               const char *name, const char *text)
{
    return fb_option_set(ctx, &option_table, options, name, text);
}

/* ---- what the threads share ------------------------------------------------------ */

bool fb_server_admit(fb_server *server, fb_exchange *x)
{
    if (atomic_fetch_add(&server->waiting, 1) >= server->options.queue) {
        atomic_fetch_sub(&server->waiting, 1);
        return false;
    }
    x->waiting = true;
    fb_metrics_move(server->metrics, FB_GAUGE_QUEUED, 1);
    return true;
}

void fb_server_stop_waiting(fb_server *server, fb_exchange *x)
{
    if (!x->waiting)
        return;
    x->waiting = false;
    atomic_fetch_sub(&server->waiting, 1);
    fb_metrics_move(server->metrics, FB_GAUGE_QUEUED, -1);
}

int32_t fb_server_retry_after(const fb_server *server)
{
    double seconds =
        atomic_load(&server->token_s) * (double)atomic_load(&server->waiting_tokens);
    return seconds < 1 ? 1 : seconds > 60 ? 60 : (int32_t)ceil(seconds);
}

void fb_server_reject(fb_server *server, fb_exchange *x)
{
    x->retry_after_s = fb_server_retry_after(server);
    fb_metrics_count(server->metrics, FB_COUNTER_REJECTED);
    fb_exchange_fail(x, 429, "too many requests wait; come back in %d s",
                     (int)x->retry_after_s);
}

bool fb_server_take_body_bytes(fb_server *server, size_t more)
{
    int64_t most = (int64_t)server->options.memory_mb << 20;
    if (atomic_fetch_add(&server->body_bytes, (int64_t)more) + (int64_t)more > most) {
        atomic_fetch_sub(&server->body_bytes, (int64_t)more);
        return false;
    }
    fb_metrics_move(server->metrics, FB_GAUGE_BODY_BYTES, (int64_t)more);
    return true;
}

void fb_server_give_body_bytes(fb_server *server, size_t bytes)
{
    atomic_fetch_sub(&server->body_bytes, (int64_t)bytes);
    fb_metrics_move(server->metrics, FB_GAUGE_BODY_BYTES, -(int64_t)bytes);
}

void fb_server_answer(fb_server *server, fb_exchange *x)
{
    fb_server_stop_waiting(server, x);
    x->times.answered = fb_clock_s();
    fb_http_resume(server->http, x);
}

/* ---- start ----------------------------------------------------------------------- */

typedef struct running {
    fb_server server;
    const char **labels; /* of the request counters */
    fb_worker workers[THREADS];
    char computes[FB_COMPUTE_TEXT];
    pthread_t worker_threads[THREADS], reader_threads[THREADS];
    int32_t worker_count, reader_count; /* that run */
    sigset_t signals, before;
    struct sigaction actions[3]; /* of told_by's signals, before */
    bool has_slot;
} running;

static fb_status check_options(fb_context *ctx, const fb_serve_options *o)
{
    FB_TRY(fb_options_check(ctx, &option_table, o));
    if (!o->model[0])
        return fb_fail(ctx, FB_E_USAGE, "a model folder is needed to serve");
    if (o->memory_mb < o->max_body_mb)
        return fb_fail(ctx, FB_E_USAGE, "--memory %d is below --max-body %d",
                       (int)o->memory_mb, (int)o->max_body_mb);
    return FB_OK;
}

static fb_status make_parts(fb_context *ctx, running *r)
{
    fb_server *s = &r->server;
    const fb_serve_options *o = &s->options;
    r->labels = calloc((size_t)fb_route_count + 1, sizeof *r->labels);
    if (!r->labels)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to serve");
    for (int32_t i = 0; i < fb_route_count; i++)
        r->labels[i] = fb_routes[i].path;
    r->labels[fb_route_count] = "none";
    s->metrics = fb_metrics_create(r->labels, fb_route_count + 1);
    s->to_prepare = fb_work_queue_create();
    s->to_compute = fb_work_queue_create();
    if (!s->metrics || !s->to_prepare || !s->to_compute)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to serve");
    FB_TRY(fb_access_log_open(ctx, &s->log,
                              strcmp(o->access_log, "none") == 0 ? "" : o->access_log));
    FB_TRY(fb_openapi_write(ctx, &s->openapi, &s->openapi_bytes));
    FB_TRY(fb_served_slot_open(ctx, &s->slot));
    r->has_slot = true;
    fb_served *served = NULL;
    FB_TRY(fb_served_open(ctx, &served, o));
    atomic_store(&s->token_s, served->token_s);
    fb_model_describe(served->models[0], r->computes);
    fb_served_slot_set(&s->slot, served);
    return FB_OK;
}

static fb_status start_threads(fb_context *ctx, running *r)
{
    fb_server *s = &r->server;
    for (; r->reader_count < s->options.readers; r->reader_count++)
        if (pthread_create(&r->reader_threads[r->reader_count], NULL, fb_prepare_run,
                           s) != 0)
            return fb_fail(ctx, FB_E_MEMORY, "a thread does not start");
    for (; r->worker_count < s->options.workers; r->worker_count++) {
        int32_t i = r->worker_count;
        r->workers[i] = (fb_worker){s, i};
        if (pthread_create(&r->worker_threads[i], NULL, fb_worker_run,
                           &r->workers[i]) != 0)
            return fb_fail(ctx, FB_E_MEMORY, "a thread does not start");
    }
    return FB_OK;
}

/* ---- run ------------------------------------------------------------------------- */

static void say(const running *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(const running *r, const char *format, ...)
{
    va_list arguments;
    if (r->server.options.quiet)
        return;
    va_start(arguments, format);
    flockfile(stderr);
    fputs("fashionbert: ", stderr);
    fb_stream_print_list(stderr, format, arguments);
    fputc('\n', stderr);
    funlockfile(stderr);
    va_end(arguments);
}

/* A model that cannot be opened leaves the old one where it is. */
static void reload(running *r)
{
    fb_context ctx = {0};
    fb_served *served = NULL;
    fb_server *s = &r->server;
    double began = fb_clock_s();
    if (fb_access_log_reopen(&ctx, s->log) != FB_OK)
        say(r, "%s", fb_context_message(&ctx));
    if (fb_served_open(&ctx, &served, &s->options) != FB_OK) {
        fb_metrics_count(s->metrics, FB_COUNTER_RELOAD_FAILURES);
        say(r, "not opened anew, the old model and index go on: %s",
            fb_context_message(&ctx));
        return;
    }
    fb_served_slot_set(&s->slot, served);
    fb_metrics_count(s->metrics, FB_COUNTER_RELOADS);
    say(r, "model and index opened anew in %.1f s", fb_clock_s() - began);
}

static int wait_for_signal(const running *r, double seconds)
{
    struct timespec time = {(time_t)seconds, (long)(1e9 * (seconds - floor(seconds)))};
    return sigtimedwait(&r->signals, NULL, &time);
}

static void wait_until_told(running *r)
{
    for (;;) {
        int signal = wait_for_signal(r, 1);
        if (signal == SIGTERM || signal == SIGINT)
            return;
        if (signal == SIGHUP)
            reload(r);
        fb_http_close_slow(r->server.http);
    }
}

static void wait_until_idle(running *r, double until_s)
{
    while (fb_http_busy(r->server.http) > 0 && fb_clock_s() < until_s) {
        int signal = wait_for_signal(r, .02);
        if (signal == SIGTERM || signal == SIGINT)
            return; /* told twice: now */
        fb_http_close_slow(r->server.http);
    }
}

/* Answer what has come; what is not computed after drain_s gets 503. */
static void drain(running *r)
{
    fb_server *s = &r->server;
    double began = fb_clock_s();
    atomic_store(&s->draining, true);
    say(r, "ending: answering what has come");
    wait_for_signal(r, LAST_CALL_S);
    fb_http_quiesce(s->http);
    wait_until_idle(r, began + s->options.drain_s + LAST_CALL_S);
    atomic_store(&s->ended, true);
}

/* Threads end once their queues are empty, so every request has its answer. */
static void join_threads(running *r)
{
    fb_server *s = &r->server;
    if (s->to_prepare)
        fb_work_queue_close(s->to_prepare);
    for (int32_t i = 0; i < r->reader_count; i++)
        pthread_join(r->reader_threads[i], NULL);
    if (s->to_compute)
        fb_work_queue_close(s->to_compute);
    for (int32_t i = 0; i < r->worker_count; i++)
        pthread_join(r->worker_threads[i], NULL);
}

static void free_parts(running *r)
{
    fb_server *s = &r->server;
    if (r->has_slot)
        fb_served_slot_close(&s->slot);
    fb_access_log_close(s->log);
    fb_work_queue_free(s->to_prepare);
    fb_work_queue_free(s->to_compute);
    fb_metrics_free(s->metrics);
    free(s->openapi);
    free(r->labels);
}

static fb_status run(fb_context *ctx, running *r)
{
    fb_server *s = &r->server;
    FB_TRY(make_parts(ctx, r));
    fb_status status = start_threads(ctx, r);
    if (status == FB_OK)
        status = fb_http_start(ctx, s);
    if (status == FB_OK) {
        bool v6 = strchr(s->options.host, ':') != NULL;
        say(r, "computing in %s, %d worker%s", r->computes, (int)s->options.workers,
            s->options.workers == 1 ? "" : "s");
        say(r, "serving %s on http://%s%s%s:%d/", s->options.model, v6 ? "[" : "",
            s->options.host, v6 ? "]" : "", (int)fb_http_port(s->http));
        wait_until_told(r);
        drain(r);
    }
    join_threads(r);
    if (s->http)
        wait_until_idle(r, fb_clock_s() + 1); /* answers on their way out */
    fb_http_stop(s->http);
    return status;
}

static const int told_by[] = {SIGTERM, SIGINT, SIGHUP};
enum { TOLD_BY = sizeof told_by / sizeof told_by[0] };
static pthread_t told; /* one server a process, as one set of signals */

static void pass_on(int signal)
{
    int kept = errno;
    pthread_kill(told, signal);
    errno = kept;
}

static void take_signals(running *r)
{
    struct sigaction action = {.sa_handler = pass_on, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigemptyset(&r->signals);
    told = pthread_self();
    for (int i = 0; i < TOLD_BY; i++)
        sigaddset(&r->signals, told_by[i]);
    pthread_sigmask(SIG_BLOCK, &r->signals, &r->before);
    for (int i = 0; i < TOLD_BY; i++)
        sigaction(told_by[i], &action, &r->actions[i]);
}

static void give_signals_back(running *r)
{
    for (int i = 0; i < TOLD_BY; i++)
        sigaction(told_by[i], &r->actions[i], NULL);
    pthread_sigmask(SIG_SETMASK, &r->before, NULL);
}

fb_status fb_serve(fb_context *ctx, const fb_serve_options *options)
{
    FB_TRY(check_options(ctx, options));
    running *r = calloc(1, sizeof *r);
    if (!r)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to serve");
    r->server.options = *options;
    take_signals(r);
    fb_status status = run(ctx, r);
    free_parts(r);
    give_signals_back(r);
    free(r);
    return status;
}
