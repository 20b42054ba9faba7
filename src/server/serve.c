/* serve.c - fb_serve: start the threads, wait for signals, end.
 *
 *     SIGTERM, SIGINT   /ready says 503; for a moment connections that were on their
 *                       way are still taken; then none, and what has come is answered
 *     SIGHUP            open the model and the index anew; reopen the access log
 *     every moment      close connections of slow clients
 *
 *     SIGTERM |-- --drain-timeout --|- slices end, the rest gets 503 -|- last words -|
 *                                   ended                             give up        over
 *
 * A thread that is deep in something when the time is up is left behind: its request is
 * answered in its stead, and the process ends around it.
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
#include "server/line_queue.h"
#include "server/openapi.h"
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 64 };
#define LAST_CALL_S  .25 /* after SIGTERM, for connections that are not accepted yet */
#define OVER_S       .8  /* behind --drain-timeout, to end what is not finished */
#define AT_ONCE_S    .4  /* the same when told twice */
#define LAST_WORDS_S .2  /* of both, for the last answers and lines */

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

/* ---- start ----------------------------------------------------------------------- */

/* What is served is opened on a thread of its own: it takes seconds, and signals are
 * taken meanwhile. */
typedef struct opening {
    pthread_t thread;
    fb_context ctx;
    const fb_serve_options *options;
    fb_served *served;
    fb_status status;
    double began;
    atomic_bool done;
    bool runs, again; /* again: told to once more */
} opening;

typedef struct running {
    fb_server server;
    const char **labels; /* of the request counters */
    fb_worker workers[THREADS];
    char computes[FB_COMPUTE_TEXT];
    pthread_t worker_threads[THREADS], decode_threads[THREADS], prepare_thread;
    int32_t worker_count, decode_count, prepare_count; /* that run */
    opening opening;
    fb_line_queue *said; /* lines for standard error, whose reader may stall too */
    double end_s;        /* when all must be over */
    int32_t left_behind; /* threads that did not end in time */
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
    s->to_decode = fb_work_queue_create();
    s->to_compute = fb_work_queue_create();
    if (!s->metrics || !s->to_prepare || !s->to_decode || !s->to_compute)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to serve");
    if (!o->quiet)
        FB_TRY(fb_line_queue_open(ctx, &r->said, STDERR_FILENO));
    FB_TRY(fb_access_log_open(ctx, &s->log,
                              strcmp(o->access_log, "none") == 0 ? "" : o->access_log));
    FB_TRY(fb_openapi_write(ctx, &s->openapi, &s->openapi_bytes));
    FB_TRY(fb_served_slot_open(ctx, &s->slot));
    r->has_slot = true;
    return FB_OK;
}

static fb_status start_threads(fb_context *ctx, running *r)
{
    fb_server *s = &r->server;
    bool all = pthread_create(&r->prepare_thread, NULL, fb_prepare_run, s) == 0;
    r->prepare_count = all;
    while (all && r->decode_count < s->options.readers) {
        pthread_t *thread = &r->decode_threads[r->decode_count];
        all = pthread_create(thread, NULL, fb_decode_run, s) == 0;
        r->decode_count += all;
    }
    while (all && r->worker_count < s->options.workers) {
        int32_t i = r->worker_count;
        r->workers[i] = (fb_worker){s, i};
        all = pthread_create(&r->worker_threads[i], NULL, fb_worker_run,
                             &r->workers[i]) == 0;
        r->worker_count += all;
    }
    return all ? FB_OK : fb_fail(ctx, FB_E_MEMORY, "a thread does not start");
}

/* ---- run ------------------------------------------------------------------------- */

static void say(const running *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(const running *r, const char *format, ...)
{
    char line[2048] = "fashionbert: ";
    size_t at = strlen(line), room = sizeof line - at - 1;
    va_list arguments;
    if (!r->said)
        return;
    va_start(arguments, format);
    int n = fb_text_print_list(line + at, room, format, arguments);
    va_end(arguments);
    at += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
    line[at++] = '\n';
    fb_line_queue_put(r->said, line, at);
}

static int wait_for_signal(const running *r, double seconds)
{
    struct timespec time = {(time_t)seconds, (long)(1e9 * (seconds - floor(seconds)))};
    return sigtimedwait(&r->signals, NULL, &time);
}

static bool tells_to_end(int signal)
{
    return signal == SIGTERM || signal == SIGINT;
}

/* Told to end once more: at once. */
static void hurry(running *r)
{
    double at_once = fb_clock_s() + AT_ONCE_S;
    if (at_once < r->end_s)
        r->end_s = at_once;
}

static void *open_served(void *self)
{
    opening *o = self;
    o->status = fb_served_open(&o->ctx, &o->served, o->options);
    atomic_store(&o->done, true);
    return NULL;
}

static fb_status begin_opening(fb_context *ctx, running *r)
{
    opening *o = &r->opening;
    *o = (opening){.options = &r->server.options, .began = fb_clock_s()};
    if (pthread_create(&o->thread, NULL, open_served, o) != 0)
        return fb_fail(ctx, FB_E_MEMORY, "a thread does not start");
    o->runs = true;
    return FB_OK;
}

static fb_status open_first(fb_context *ctx, running *r, bool *told)
{
    opening *o = &r->opening;
    FB_TRY(begin_opening(ctx, r));
    while (!*told && !atomic_load(&o->done))
        *told = tells_to_end(wait_for_signal(r, .005));
    if (*told)
        return FB_OK;
    pthread_join(o->thread, NULL);
    o->runs = false;
    if (o->status != FB_OK)
        return fb_fail(ctx, o->status, "%s", fb_context_message(&o->ctx));
    atomic_store(&r->server.token_s, o->served->token_s);
    atomic_store(&r->server.quick_s, o->served->quick_s);
    fb_model_describe(o->served->models[0], r->computes);
    fb_served_slot_set(&r->server.slot, o->served);
    return FB_OK;
}

static void reload(running *r)
{
    fb_context ctx = {0};
    if (fb_access_log_reopen(&ctx, r->server.log) != FB_OK)
        say(r, "%s", fb_context_message(&ctx));
    if (r->opening.runs)
        r->opening.again = true;
    else if (begin_opening(&ctx, r) != FB_OK)
        say(r, "%s", fb_context_message(&ctx));
}

/* A model that cannot be opened leaves the old one where it is. */
static void take_opened(running *r)
{
    fb_server *s = &r->server;
    opening *o = &r->opening;
    bool again = o->again;
    if (!o->runs || !atomic_load(&o->done))
        return;
    pthread_join(o->thread, NULL);
    o->runs = false;
    if (o->status != FB_OK) {
        fb_metrics_count(s->metrics, FB_COUNTER_RELOAD_FAILURES);
        say(r, "not opened anew, the old model and index go on: %s",
            fb_context_message(&o->ctx));
    } else {
        fb_served_slot_set(&s->slot, o->served);
        fb_metrics_count(s->metrics, FB_COUNTER_RELOADS);
        say(r, "model and index opened anew in %.1f s", fb_clock_s() - o->began);
    }
    if (again)
        reload(r);
}

static void wait_until_told(running *r)
{
    for (;;) {
        int signal = wait_for_signal(r, r->opening.runs ? .02 : .25);
        if (tells_to_end(signal))
            return;
        if (signal == SIGHUP)
            reload(r);
        take_opened(r);
        fb_http_close_slow(r->server.http);
    }
}

/* ---- end ------------------------------------------------------------------------- */

static void wait_until_idle(running *r, double until_s, bool enough)
{
    while (fb_http_busy(r->server.http) > 0 && fb_clock_s() < until_s &&
           fb_clock_s() < r->end_s) {
        if (tells_to_end(wait_for_signal(r, .01))) {
            hurry(r);
            if (enough)
                return;
        }
        fb_http_close_slow(r->server.http);
    }
}

/* Answer what has come; what is not computed after drain_s gets 503. */
static void drain(running *r)
{
    fb_server *s = &r->server;
    double began = fb_clock_s(), time = s->options.drain_s;
    r->end_s = began + time + OVER_S;
    atomic_store(&s->draining, true);
    say(r, "ending: answering what has come");
    if (tells_to_end(wait_for_signal(r, time < LAST_CALL_S ? time : LAST_CALL_S)))
        hurry(r);
    fb_http_quiesce(s->http);
    if (r->end_s >= began + time)
        wait_until_idle(r, began + time, true);
    atomic_store(&s->ended, true);
}

/* Whether it ends in time; else it is left behind. */
static bool join(running *r, pthread_t thread)
{
    for (;;) {
        struct timespec soon;
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_nsec += 10000000;
        soon.tv_sec += soon.tv_nsec / 1000000000;
        soon.tv_nsec %= 1000000000;
        if (pthread_timedjoin_np(thread, NULL, &soon) == 0)
            return true;
        if (tells_to_end(wait_for_signal(r, 0)))
            hurry(r);
        if (fb_clock_s() > r->end_s - LAST_WORDS_S) {
            pthread_detach(thread);
            r->left_behind++;
            return false;
        }
    }
}

static void end_queue(running *r, fb_work_queue *queue, const pthread_t *threads,
                      int32_t count)
{
    if (queue)
        fb_work_queue_close(queue);
    for (int32_t i = 0; i < count; i++)
        join(r, threads[i]);
}

/* Threads end once their queues are empty, so every request has its answer. */
static void join_threads(running *r)
{
    fb_server *s = &r->server;
    end_queue(r, s->to_prepare, &r->prepare_thread, r->prepare_count);
    end_queue(r, s->to_decode, r->decode_threads, r->decode_count);
    end_queue(r, s->to_compute, r->worker_threads, r->worker_count);
    if (r->opening.runs && join(r, r->opening.thread))
        fb_served_close(r->opening.served);
    r->opening.runs = false;
}

static double time_left(const running *r)
{
    double left = r->end_s - fb_clock_s();
    return left > .05 ? left : .05;
}

static void free_parts(running *r)
{
    fb_server *s = &r->server;
    fb_access_log_close(s->log, time_left(r));
    fb_line_queue_close(r->said, time_left(r));
    if (r->has_slot)
        fb_served_slot_close(&s->slot);
    fb_work_queue_free(s->to_prepare);
    fb_work_queue_free(s->to_decode);
    fb_work_queue_free(s->to_compute);
    fb_metrics_free(s->metrics);
    free(s->openapi);
    free(r->labels);
    free(r);
}

static fb_status run(fb_context *ctx, running *r)
{
    fb_server *s = &r->server;
    bool told = false;
    FB_TRY(make_parts(ctx, r));
    FB_TRY(open_first(ctx, r, &told));
    if (told)
        return FB_OK;
    FB_TRY(start_threads(ctx, r));
    FB_TRY(fb_http_start(ctx, s));
    bool v6 = strchr(s->options.host, ':') != NULL;
    say(r, "computing in %s, %d worker%s", r->computes, (int)s->options.workers,
        s->options.workers == 1 ? "" : "s");
    say(r, "serving %s on http://%s%s%s:%d/", s->options.model, v6 ? "[" : "",
        s->options.host, v6 ? "]" : "", (int)fb_http_port(s->http));
    wait_until_told(r);
    drain(r);
    return FB_OK;
}

/* All that runs has ended, and everyone has an answer; or what has not ended is left
 * behind with all that it may look at, and its requests are answered here. */
static void end(running *r)
{
    fb_server *s = &r->server;
    if (r->end_s <= 0) /* it never served */
        r->end_s = fb_clock_s() + OVER_S;
    atomic_store(&s->ended, true);
    join_threads(r);
    if (s->http && r->left_behind)
        fb_http_give_up(s->http);
    if (s->http)
        wait_until_idle(r, r->end_s, false); /* answers on their way out */
    if (r->left_behind == 0) {
        fb_http_stop(s->http);
        return;
    }
    say(r, "%d thread%s still at work; what they were asked is answered 503",
        (int)r->left_behind, r->left_behind == 1 ? " was" : "s were");
    if (s->log)
        fb_access_log_flush(s->log, time_left(r));
    if (r->said)
        fb_line_queue_flush(r->said, time_left(r));
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
    end(r);
    give_signals_back(r);
    if (options->left_behind)
        *options->left_behind = r->left_behind > 0;
    if (r->left_behind == 0)
        free_parts(r);
    return status;
}
