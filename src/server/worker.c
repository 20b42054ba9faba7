/* worker.c - the thread that computes: it takes the requests that wait, up to a budget
 * of tokens, and runs the model over all of them together.
 *
 *     1. encode     queries of searches, inputs of encode          one pass
 *     2. search     the index, query by query; those without re-ranking are answered
 *     3. match      pairs of all match requests                    one pass
 *     4. re-rank, explain                                          request by request
 *
 * Nothing waits for a batch to fill: while one is computed, the next gathers. Where a
 * pass over several requests fails, each is run alone, so that only the guilty one
 * fails.
 */
#include "base/clock.h"
#include "server/job.h"
#include "server/replies.h"
#include "server/server.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 }; /* requests of a batch */

typedef struct batch {
    fb_server *server;
    fb_served *served;
    fb_model *model, *ranker; /* this worker's own; ranker: NULL without one */
    fb_exchange *x[MOST];
    int32_t count;
    int64_t tokens;
} batch;

static bool fits(const void *self, const fb_exchange *x)
{
    const batch *b = self;
    return b->count < MOST && x->job->served == b->served &&
           b->tokens + x->job->tokens <= b->server->options.batch_tokens;
}

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

/* Into the batch; or, where it has waited longer than a request may, turned away. */
static void add(batch *b, fb_exchange *x)
{
    fb_server *server = b->server;
    x->times.compute_begun = fb_clock_s();
    fb_server_stop_waiting(server, x);
    atomic_fetch_sub(&server->waiting_tokens, x->job->tokens);
    fb_metrics_observe(server->metrics, FB_HISTOGRAM_QUEUE,
                       x->times.compute_begun - x->times.prepared);
    if (x->times.compute_begun - x->times.received > server->options.max_wait_s) {
        fb_server_reject(server, x);
        answer(b, x);
        return;
    }
    b->tokens += x->job->tokens;
    b->x[b->count++] = x;
}

/* A product's own image that cannot be read is no fault of the request's. */
static void fail(batch *b, fb_exchange *x, fb_status status, const fb_context *ctx)
{
    if (status == FB_E_USAGE || status == FB_E_STATE || status == FB_E_IO)
        fb_exchange_fail_from(x, status, ctx);
    else
        fb_exchange_fail(x, 500, "%s", fb_context_message(ctx));
    answer(b, x);
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

/* Take out of the batch, into `out`, the requests that `wanted` names. */
static int32_t take(batch *b, fb_exchange *out[MOST], bool (*wanted)(const fb_job *job))
{
    int32_t n = 0, kept = 0;
    for (int32_t i = 0; i < b->count; i++)
        if (wanted(b->x[i]->job))
            out[n++] = b->x[i];
        else
            b->x[kept++] = b->x[i];
    b->count = kept;
    return n;
}

/* ---- one pass over several ------------------------------------------------------- */

/* What a pass computes: the inputs of several requests, one behind the other. */
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
        all->count += in[i]->job->input_count;
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
        size_t inputs = (size_t)job->input_count;
        memcpy(all->inputs + at, job->inputs, inputs * sizeof *all->inputs);
        if (queries)
            memcpy(all->queries + at, job->queries, inputs * sizeof(const char *));
        at += job->input_count;
    }
    return FB_OK;
}

static fb_status hand_out(fb_context *ctx, const gathered *all, fb_exchange *const *in,
                          int32_t count, int64_t width)
{
    int64_t at = 0;
    for (int32_t i = 0; i < count; i++) {
        fb_job *job = in[i]->job;
        size_t bytes = (size_t)(job->input_count * width) * sizeof *job->numbers;
        job->numbers = fb_arena_alloc(job->arena, bytes);
        if (!job->numbers)
            return fb_fail(ctx, FB_E_MEMORY, "no memory for an answer");
        memcpy(job->numbers, all->numbers + at * width, bytes);
        at += job->input_count;
    }
    return FB_OK;
}

static fb_status run_pass(fb_context *ctx, const batch *b, fb_exchange *const *in,
                          int32_t count, const model_pass *pass)
{
    gathered all = {0};
    fb_status status = gather(ctx, &all, in, count, pass->width);
    if (status == FB_OK)
        status = pass->run(ctx, b, pass, &all);
    if (status == FB_OK)
        status = hand_out(ctx, &all, in, count, pass->width);
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

/* ---- the stages ------------------------------------------------------------------ */

static bool is_encoded(const fb_job *job)
{
    return job->work == FB_WORK_SEARCH || job->work == FB_WORK_ENCODE;
}

static bool is_matched(const fb_job *job)
{
    return job->work == FB_WORK_MATCH;
}

static bool is_any(const fb_job *job)
{
    (void)job;
    return true;
}

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
        b->x[b->count++] = x; /* there was room: it came from there */
    else
        answer(b, x);
}

/* One pass for each weight; what needs no more is answered. */
static void encode(batch *b)
{
    fb_exchange *all[MOST], *in[MOST];
    int32_t left = take(b, all, is_encoded);
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

static void match(batch *b)
{
    fb_exchange *in[MOST];
    int32_t n = take(b, in, is_matched);
    model_pass matching = {.run = match_pass, .width = 1};
    if (n > 0)
        n = run_together(b, in, n, &matching);
    for (int32_t i = 0; i < n; i++)
        answer(b, in[i]);
}

static void run_alone(batch *b, fb_exchange *x)
{
    fb_context ctx = {0};
    fb_job *job = x->job;
    double began = fb_clock_s();
    fb_status status = FB_OK;
    bool ranker = b->ranker && job->inputs[0].text; /* it reads texts */
    if (job->work == FB_WORK_SEARCH || job->work == FB_WORK_RERANK)
        status =
            fb_index_rerank(&ctx, ranker ? b->ranker : b->model, job->served->index,
                            job->inputs, &job->how, job->found);
    else
        status = fb_explain(&ctx, b->model, job->inputs[0].text, job->inputs[0].image,
                            NULL, &job->why);
    end_pass(b, began, &x, 1, false);
    if (status != FB_OK)
        fail(b, x, status, &ctx);
    else
        answer(b, x);
}

static void note_speed(batch *b, double seconds, int64_t tokens)
{
    double now = seconds / (double)tokens, before = atomic_load(&b->server->token_s);
    atomic_store(&b->server->token_s, .8 * before + .2 * now);
}

static void compute(batch *b)
{
    double began = fb_clock_s();
    fb_metrics_observe(b->server->metrics, FB_HISTOGRAM_BATCH_REQUESTS, b->count);
    fb_metrics_observe(b->server->metrics, FB_HISTOGRAM_BATCH_TOKENS,
                       (double)b->tokens);
    fb_exchange *rest[MOST];
    encode(b);
    match(b);
    int32_t n = take(b, rest, is_any);
    for (int32_t i = 0; i < n; i++)
        run_alone(b, rest[i]);
    note_speed(b, fb_clock_s() - began, b->tokens);
}

/* The server has ended before these could be computed. */
static void turn_away(batch *b)
{
    for (int32_t i = 0; i < b->count; i++) {
        fb_exchange_fail(b->x[i], 503, "the server is ending");
        answer(b, b->x[i]);
    }
}

void *fb_worker_run(void *self)
{
    const fb_worker *worker = self;
    fb_server *server = worker->server;
    for (fb_exchange *x; (x = fb_work_queue_pop(server->to_compute));) {
        batch b = {.server = server, .served = x->job->served};
        b.model = b.served->models[worker->number];
        b.ranker = b.served->rankers[worker->number];
        fb_served_hold_again(&server->slot, b.served); /* longer than its requests do */
        add(&b, x);
        while ((x = fb_work_queue_pop_if(server->to_compute, fits, &b)))
            add(&b, x);
        if (atomic_load(&server->ended))
            turn_away(&b);
        else if (b.count > 0)
            compute(&b);
        fb_served_let_go(&server->slot, b.served);
    }
    return NULL;
}
