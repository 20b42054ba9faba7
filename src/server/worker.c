/* worker.c - the thread that computes. In turn:
 *
 *     a batch of what is quick: queries of searches, a few vectors
 *         1. encode    all of them                                 one pass
 *         2. search    the index, query by query; those without re-ranking are answered
 *     a slice of what takes long, behind which it goes to its lane's end
 *         match        pairs, of as many requests as fit           one pass
 *         encode       of many inputs                              one pass
 *         re-rank, explain                                         of one request
 *
 * So what is quick waits for a slice at most, and a slice for one batch. Nothing waits
 * for a batch to fill: while one is computed, the next gathers. Where a pass over several
 * requests fails, each is run alone, so that only the guilty one fails.
 */
#include "base/clock.h"
#include "server/job.h"
#include "server/replies.h"
#include "server/server.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 }; /* requests of a batch */

/* Where quick requests come, a slice takes as long as so many of them, within bounds:
 * below, passes over few pairs cost more than they are worth; above, people notice. Where
 * none has come lately, it is as long as the next one may wait. */
#define SLICE_OF_QUICK 2
#define SLICE_LEAST_S  .004
#define SLICE_MOST_S   .05
#define LATELY_S       2

typedef struct batch {
    fb_server *server;
    fb_served *served;
    fb_model *model, *ranker; /* this worker's own; ranker: NULL without one */
    fb_exchange *x[MOST];
    int32_t count;
    int64_t tokens, budget;
} batch;

/* Its answer is there, or it has failed: away with it. */
static void answer(batch *b, fb_exchange *x)
{
    fb_job *job = x->job;
    x->job = NULL;
    if (x->status == 0)
        fb_reply_write(x, job);
    fb_job_free(b->server, job);
    fb_server_answer(b->server, x);
}

/* A product's own image that cannot be read is no fault of the request's. */
static void fail(batch *b, fb_exchange *x, fb_status status, const fb_context *ctx)
{
    if (status == FB_E_USAGE || status == FB_E_STATE || status == FB_E_IO ||
        status == FB_E_MEMORY)
        fb_exchange_fail_from(x, status, ctx);
    else
        fb_exchange_fail(x, 500, "%s", fb_context_message(ctx));
    answer(b, x);
}

/* Its turn has come, for the first time or for one more slice; or it is dropped. */
static bool take_up(batch *b, fb_exchange *x, fb_lane lane)
{
    fb_server *server = b->server;
    fb_job *job = x->job;
    bool dropped = fb_server_drops(server, x);
    if (!job->begun) {
        job->begun = true;
        x->times.compute_begun = fb_clock_s();
        fb_metrics_observe(server->metrics, FB_HISTOGRAM_QUEUE,
                           x->times.compute_begun - x->times.prepared);
    }
    if (lane == FB_LANE_DEAR || job->dear_tokens == 0)
        fb_server_stop_waiting(server, x);
    if (dropped) {
        answer(b, x);
        return false;
    }
    if (lane == FB_LANE_QUICK) {
        atomic_fetch_sub(&server->quick_tokens, job->quick_waiting);
        job->quick_waiting = 0;
    }
    return true;
}

/* The pass lasted so long, for each request that was in it. */
static void end_pass(batch *b, double began, fb_exchange *const *in, int32_t count,
                     bool encode)
{
    double took = fb_clock_s() - began;
    fb_metrics_observe(b->server->metrics, FB_HISTOGRAM_INFERENCE, took);
    for (int32_t i = 0; i < count; i++) {
        in[i]->job->compute_s += took;
        if (encode)
            in[i]->job->encode_s += took;
    }
}

static double blend(double before, double now)
{
    return .8 * before + .2 * now;
}

/* ---- one pass over several ------------------------------------------------------- */

/* What a pass computes: slices of the inputs of several requests, one behind the other.
 */
typedef struct gathered {
    fb_input *inputs;     /* [count] */
    const char **queries; /* [count] of a model of queries; else NULL */
    float *numbers;       /* [count, width], to each request its own */
    int64_t count;
} gathered;

typedef struct model_pass {
    fb_status (*run)(fb_context *ctx, const batch *b, const struct model_pass *pass,
                     gathered *all);
    int64_t width;
    double text_weight;
    bool encode;
} model_pass;

static fb_status encode_pass(fb_context *ctx, const batch *b, const model_pass *pass,
                             gathered *all)
{
    return fb_model_encode(ctx, b->model, all->inputs, all->count, pass->text_weight,
                           all->numbers);
}

static fb_status match_pass(fb_context *ctx, const batch *b, const model_pass *pass,
                            gathered *all)
{
    (void)pass;
    if (all->queries)
        return fb_model_score_query(ctx, b->model, all->queries, all->inputs,
                                    all->count, all->numbers);
    return fb_model_match(ctx, b->model, all->inputs, all->count, all->numbers);
}

static fb_status gather(fb_context *ctx, gathered *all, fb_exchange *const *in,
                        int32_t count, int64_t width)
{
    for (int32_t i = 0; i < count; i++)
        all->count += in[i]->job->slice;
    size_t n = (size_t)all->count;
    bool queries = in[0]->job->queries != NULL; /* one model, so all or none */
    all->inputs = malloc(n * sizeof *all->inputs);
    all->queries = queries ? malloc(n * sizeof(const char *)) : NULL;
    all->numbers = malloc((n * (size_t)width + 1) * sizeof *all->numbers);
    if (!all->inputs || !all->numbers || (queries && !all->queries))
        return fb_fail(ctx, FB_E_MEMORY, "no memory to compute");
    int64_t at = 0;
    for (int32_t i = 0; i < count; i++) {
        const fb_job *job = in[i]->job;
        size_t inputs = (size_t)job->slice;
        memcpy(all->inputs + at, job->inputs + job->done, inputs * sizeof *all->inputs);
        if (queries)
            memcpy(all->queries + at, job->queries + job->done,
                   inputs * sizeof(const char *));
        at += job->slice;
    }
    return FB_OK;
}

/* Where number `input` of a job's inputs has its numbers: scores are a row a text. */
static int64_t place_of(const fb_job *job, int64_t input)
{
    int64_t rows = job->row_count;
    if (rows == 0)
        return input;
    return input % rows * (job->input_count / rows) + input / rows;
}

static void hand_out(const gathered *all, fb_exchange *const *in, int32_t count,
                     int64_t width)
{
    const float *numbers = all->numbers;
    for (int32_t i = 0; i < count; i++) {
        fb_job *job = in[i]->job;
        for (int64_t k = 0; k < job->slice; k++, numbers += width)
            memcpy(job->numbers + place_of(job, job->done + k) * width, numbers,
                   (size_t)width * sizeof *numbers);
        job->done += job->slice;
    }
}

static fb_status run_pass(fb_context *ctx, const batch *b, fb_exchange *const *in,
                          int32_t count, const model_pass *pass)
{
    gathered all = {0};
    fb_status status = gather(ctx, &all, in, count, pass->width);
    if (status == FB_OK)
        status = pass->run(ctx, b, pass, &all);
    if (status == FB_OK)
        hand_out(&all, in, count, pass->width);
    free(all.inputs);
    free(all.queries);
    free(all.numbers);
    return status;
}

/* Run all in one pass; where that fails, each alone. Those that fail are answered and
 * taken out; returns how many are left. */
static int32_t run_together(batch *b, fb_exchange **in, int32_t count,
                            const model_pass *pass)
{
    fb_context ctx = {0};
    double began = fb_clock_s();
    fb_status status = run_pass(&ctx, b, in, count, pass);
    if (status == FB_OK) {
        end_pass(b, began, in, count, pass->encode);
        return count;
    }
    int32_t left = 0;
    for (int32_t i = 0; i < count; i++) {
        if (count > 1) {
            began = fb_clock_s();
            status = run_pass(&ctx, b, &in[i], 1, pass);
        }
        if (status == FB_OK) {
            end_pass(b, began, &in[i], 1, pass->encode);
            in[left++] = in[i];
        } else {
            fail(b, in[i], status, &ctx);
        }
    }
    return left;
}

/* ---- what is quick --------------------------------------------------------------- */

/* Whether its weight counts: of inputs with a text and an image only. */
static bool has_weight(const fb_job *job)
{
    return job->inputs[0].text && job->inputs[0].image;
}

/* Of all [*count], those that one weight serves, into `in`; the others stay. */
static int32_t take_one_weight(fb_exchange **all, int32_t *count, fb_exchange **in,
                               double *weight)
{
    int32_t n = 0, others = 0;
    *weight = -1;
    for (int32_t i = 0; i < *count; i++) {
        const fb_job *job = all[i]->job;
        double its = job->text_weight < 0 ? FB_TEXT_WEIGHT : job->text_weight;
        if (!has_weight(job) || *weight < 0 || fabs(its - *weight) < 1e-12) {
            *weight = has_weight(job) ? its : *weight;
            in[n++] = all[i];
        } else {
            all[others++] = all[i];
        }
    }
    *weight = *weight < 0 ? FB_TEXT_WEIGHT : *weight;
    *count = others;
    return n;
}

static fb_model *ranker_of(const batch *b, const fb_job *job)
{
    return b->ranker && job->inputs[0].text ? b->ranker : b->model; /* it reads texts */
}

/* To be re-ranked, slice by slice. */
static void begin_ranking(batch *b, fb_exchange *x)
{
    fb_context ctx = {0};
    fb_job *job = x->job;
    fb_status status =
        fb_rerank_begin(&ctx, &job->ranking, ranker_of(b, job), job->served->index,
                        job->inputs, &job->how, job->found);
    if (status != FB_OK)
        fail(b, x, status, &ctx);
    else
        fb_work_queue_put_back(b->server->to_compute, x, FB_LANE_DEAR);
}

static void search(batch *b, fb_exchange *x)
{
    fb_context ctx = {0};
    fb_job *job = x->job;
    double began = fb_clock_s();
    fb_status status =
        fb_index_search(&ctx, job->served->index, job->numbers, &job->how, &job->found);
    job->search_s = fb_clock_s() - began;
    fb_metrics_observe(b->server->metrics, FB_HISTOGRAM_SEARCH, job->search_s);
    if (status != FB_OK)
        fail(b, x, status, &ctx);
    else if (job->how.rerank > 0)
        begin_ranking(b, x);
    else
        answer(b, x);
}

/* One pass for each weight; what needs no more is answered. */
static void encode(batch *b, fb_exchange **all, int32_t left)
{
    fb_exchange *in[MOST];
    int64_t width = fb_model_vector_size(b->model);
    while (left > 0) {
        model_pass encoding = {.run = encode_pass, .width = width, .encode = true};
        int32_t n = take_one_weight(all, &left, in, &encoding.text_weight);
        n = run_together(b, in, n, &encoding);
        for (int32_t i = 0; i < n; i++)
            if (in[i]->job->work == FB_WORK_SEARCH)
                search(b, in[i]);
            else
                answer(b, in[i]);
    }
}

static bool fits_quick(const void *self, const fb_exchange *x)
{
    const batch *b = self;
    return b->count < MOST && x->job->served == b->served &&
           b->tokens + x->job->quick_tokens <= b->budget;
}

static void add_quick(batch *b, fb_exchange *x)
{
    if (!take_up(b, x, FB_LANE_QUICK))
        return;
    b->tokens += x->job->quick_tokens;
    x->job->slice = x->job->input_count;
    b->x[b->count++] = x;
}

static void note_batch(const batch *b)
{
    fb_metrics_observe(b->server->metrics, FB_HISTOGRAM_BATCH_REQUESTS, b->count);
    fb_metrics_observe(b->server->metrics, FB_HISTOGRAM_BATCH_TOKENS,
                       (double)b->tokens);
}

static void run_quick(batch *b, fb_exchange *x)
{
    fb_server *server = b->server;
    double began = fb_clock_s();
    b->budget = server->options.batch_tokens;
    add_quick(b, x);
    while ((x = fb_work_queue_pop_if(server->to_compute, FB_LANE_QUICK, fits_quick, b)))
        add_quick(b, x);
    if (b->count == 0)
        return;
    int32_t count = b->count;
    note_batch(b);
    atomic_store(&server->quick_at_s, began);
    encode(b, b->x, b->count);
    if (count == 1)
        atomic_store(&server->quick_s,
                     blend(atomic_load(&server->quick_s), fb_clock_s() - began));
}

/* ---- what takes long ------------------------------------------------------------- */

static int64_t parts_of(const fb_job *job)
{
    if (job->ranking)
        return job->done + fb_rerank_left(job->ranking);
    return job->input_count;
}

static double slice_seconds(const fb_server *server)
{
    double seconds = SLICE_OF_QUICK * atomic_load(&server->quick_s);
    if (fb_clock_s() - atomic_load(&server->quick_at_s) > LATELY_S)
        return SLICE_MOST_S;
    return fmin(fmax(seconds, SLICE_LEAST_S), SLICE_MOST_S);
}

/* As many inputs as its time, or what is left of the budget, is enough for. */
static int64_t slice_of(const batch *b, const fb_job *job)
{
    int64_t parts = parts_of(job), left = parts - job->done;
    double tokens = (double)job->dear_tokens / (double)(parts > 0 ? parts : 1);
    double by_tokens = (double)(b->budget - b->tokens) / fmax(tokens, 1);
    double n = job->input_s > 0 ? slice_seconds(b->server) / job->input_s : by_tokens;
    double most = (double)b->server->options.batch_tokens / fmax(tokens, 1);
    n = fmin(n, fmax(most, 1));
    return n < 1 ? 1 : n > (double)left ? left : (int64_t)n;
}

/* The slice is done; to the lane's end, or answered. */
static void go_on(batch *b, fb_exchange *x)
{
    if (x->job->done < parts_of(x->job))
        fb_work_queue_put_back(b->server->to_compute, x, FB_LANE_DEAR);
    else
        answer(b, x);
}

static void note_slice(batch *b, fb_job *job, int64_t parts, double seconds)
{
    int64_t all = parts_of(job);
    double tokens = (double)job->dear_tokens / (double)(all > 0 ? all : 1);
    int64_t counted = (int64_t)(tokens * (double)parts);
    if (counted > job->dear_waiting)
        counted = job->dear_waiting;
    job->dear_waiting -= counted;
    atomic_fetch_sub(&b->server->waiting_tokens, counted);
    if (parts > 0)
        job->input_s = seconds / (double)parts;
    if (tokens * (double)parts > 0)
        atomic_store(&b->server->token_s, blend(atomic_load(&b->server->token_s),
                                                seconds / tokens / (double)parts));
}

static void rank(batch *b, fb_exchange *x)
{
    fb_context ctx = {0};
    fb_job *job = x->job;
    double began = fb_clock_s();
    int64_t n = slice_of(b, job);
    fb_status status = fb_rerank_run(&ctx, job->ranking, ranker_of(b, job), (int32_t)n);
    if (status == FB_OK) {
        job->done += n;
        note_slice(b, job, n, fb_clock_s() - began);
        if (fb_rerank_left(job->ranking) == 0)
            status = fb_rerank_end(&ctx, job->ranking);
    }
    end_pass(b, began, &x, 1, false);
    if (status != FB_OK)
        fail(b, x, status, &ctx);
    else
        go_on(b, x);
}

typedef struct explaining {
    batch *b;
    fb_exchange *x;
} explaining;

/* Between two parts of an explanation, which cannot go back to its lane. */
static bool let_quick_pass(void *self)
{
    explaining *e = self;
    batch quick = {.server = e->b->server,
                   .served = e->b->served,
                   .model = e->b->model,
                   .ranker = e->b->ranker,
                   .budget = e->b->server->options.batch_tokens};
    fb_exchange *x = fb_work_queue_pop_if(e->b->server->to_compute, FB_LANE_QUICK,
                                          fits_quick, &quick);
    if (x)
        run_quick(&quick, x);
    return !fb_server_drops(e->b->server, e->x);
}

static void explain(batch *b, fb_exchange *x)
{
    fb_context ctx = {0};
    fb_job *job = x->job;
    explaining self = {b, x};
    double began = fb_clock_s();
    fb_explain_options how;
    fb_explain_options_defaults(&how);
    how.pause = let_quick_pass;
    how.pause_self = &self;
    fb_status status = fb_explain(&ctx, b->model, job->inputs[0].text,
                                  job->inputs[0].image, &how, &job->why);
    end_pass(b, began, &x, 1, false);
    if (x->status != 0 || status == FB_OK)
        answer(b, x);
    else
        fail(b, x, status, &ctx);
}

static bool fits_match(const void *self, const fb_exchange *x)
{
    const batch *b = self;
    const fb_job *job = x->job;
    return b->count < MOST && job->served == b->served && job->work == FB_WORK_MATCH &&
           b->tokens < b->budget;
}

static void add_match(batch *b, fb_exchange *x)
{
    fb_job *job = x->job;
    job->slice = slice_of(b, job);
    b->tokens += job->slice * job->dear_tokens / job->input_count;
    b->x[b->count++] = x;
}

static void match(batch *b, fb_exchange *x)
{
    model_pass matching = {.run = match_pass, .width = 1};
    int64_t parts[MOST];
    add_match(b, x);
    while (
        (x = fb_work_queue_pop_if(b->server->to_compute, FB_LANE_DEAR, fits_match, b)))
        if (take_up(b, x, FB_LANE_DEAR))
            add_match(b, x);
    double began = fb_clock_s();
    int32_t n = run_together(b, b->x, b->count, &matching);
    double seconds = fb_clock_s() - began, all = 0;
    for (int32_t i = 0; i < n; i++)
        all += (double)(parts[i] = b->x[i]->job->slice);
    for (int32_t i = 0; i < n; i++) {
        note_slice(b, b->x[i]->job, parts[i], seconds * (double)parts[i] / all);
        go_on(b, b->x[i]);
    }
}

static void encode_slice(batch *b, fb_exchange *x)
{
    double began = fb_clock_s();
    fb_job *job = x->job;
    int64_t slice = job->slice = slice_of(b, job);
    model_pass encoding = {.run = encode_pass,
                           .width = fb_model_vector_size(b->model),
                           .text_weight = job->text_weight,
                           .encode = true};
    if (run_together(b, &x, 1, &encoding) == 0)
        return;
    note_slice(b, job, slice, fb_clock_s() - began);
    go_on(b, x);
}

static void run_slice(batch *b, fb_exchange *x)
{
    fb_server *server = b->server;
    double tokens = slice_seconds(server) / atomic_load(&server->token_s);
    double most = server->options.batch_tokens;
    b->budget = (int64_t)(tokens < 1 ? 1 : tokens < most ? tokens : most);
    if (!take_up(b, x, FB_LANE_DEAR))
        return;
    if (x->job->work == FB_WORK_RERANK && !x->job->ranking)
        begin_ranking(b, x);
    else if (x->job->ranking)
        rank(b, x);
    else if (x->job->work == FB_WORK_MATCH)
        match(b, x);
    else if (x->job->work == FB_WORK_ENCODE)
        encode_slice(b, x);
    else
        explain(b, x);
}

void *fb_worker_run(void *self)
{
    const fb_worker *worker = self;
    fb_server *server = worker->server;
    fb_lane lane = FB_LANE_QUICK;
    for (fb_exchange *x; (x = fb_work_queue_pop(server->to_compute, &lane));) {
        batch b = {.server = server, .served = x->job->served};
        b.model = b.served->models[worker->number];
        b.ranker = b.served->rankers[worker->number];
        fb_served_hold_again(&server->slot, b.served); /* longer than its requests do */
        if (lane == FB_LANE_QUICK)
            run_quick(&b, x);
        else
            run_slice(&b, x);
        fb_served_let_go(&server->slot, b.served);
        lane = lane == FB_LANE_QUICK ? FB_LANE_DEAR : FB_LANE_QUICK; /* in turn */
    }
    return NULL;
}
