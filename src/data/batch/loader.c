/* loader.c - worker threads claim steps in order and fill the slot of each.
 *
 * A slot is free for step s once step s - depth has been given back; the consumer waits
 * for the slot of its next step to be full. One mutex guards the counters and slot
 * states; batches themselves are touched without it, by whoever holds the slot.
 */
#include "data/batch/loader.h"

#include "base/clock.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_THREADS = 64, MAX_DEPTH = 256 };

typedef struct slot {
    fb_batch *batch;
    struct fb_context ctx; /* what went wrong in making it */
    fb_status status;
    bool full;
} slot;

struct fb_loader {
    const fb_sampler *sampler;
    fb_sampler *own_sampler;
    fb_token_lists *own_tokens;
    fb_mask_vocab *own_vocab;
    slot *slots;
    fb_sampler_cursor *cursors[MAX_THREADS];
    pthread_t threads[MAX_THREADS];
    int32_t cursor_count, thread_count, depth;
    int64_t total_steps;
    pthread_mutex_t mutex;
    pthread_cond_t filled, freed;
    int64_t claimed;   /* the next step that no thread has */
    int64_t delivered; /* the next step to hand out */
    int64_t released;  /* slots of steps before this one are free */
    int32_t started;   /* cursors taken by threads */
    atomic_bool stop;
};

void fb_loader_options_defaults(fb_loader_options *options)
{
    *options = (fb_loader_options){
        .sampler = {.split = FB_SPLIT_TRAIN,
                    .batch = 32,
                    .seed = 1,
                    .patches = 64,
                    .image_size = 256,
                    .fit = FB_FIT_PAD,
                    .filter = FB_FILTER_BILINEAR},
        .max_text = 64,
    };
}

/* The next step that this thread is to make, -1 to end. */
static int64_t claim(fb_loader *l)
{
    int64_t step = -1;
    pthread_mutex_lock(&l->mutex);
    while (!atomic_load(&l->stop) && l->claimed < l->total_steps &&
           l->claimed >= l->released + l->depth)
        pthread_cond_wait(&l->freed, &l->mutex);
    if (!atomic_load(&l->stop) && l->claimed < l->total_steps)
        step = l->claimed++;
    pthread_mutex_unlock(&l->mutex);
    return step;
}

static void *work(void *argument)
{
    fb_loader *l = argument;
    pthread_mutex_lock(&l->mutex);
    fb_sampler_cursor *cursor = l->cursors[l->started++];
    pthread_mutex_unlock(&l->mutex);
    for (int64_t step; (step = claim(l)) >= 0;) {
        slot *s = &l->slots[step % l->depth];
        fb_context_clear(&s->ctx);
        s->status = fb_sampler_fill(&s->ctx, l->sampler, cursor, (uint64_t)step,
                                    &l->stop, s->batch);
        pthread_mutex_lock(&l->mutex);
        s->full = true;
        pthread_cond_signal(&l->filled);
        pthread_mutex_unlock(&l->mutex);
    }
    return NULL;
}

/* Signals are for the program's own threads: workers block them all. */
static fb_status start_threads(fb_context *ctx, fb_loader *l, int32_t count)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = 0;
    while (l->thread_count < count && error == 0) {
        error = pthread_create(&l->threads[l->thread_count], NULL, work, l);
        l->thread_count += error == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        return fb_fail(ctx, FB_E_MEMORY, "cannot start a loader thread: %s",
                       strerror(error));
    return FB_OK;
}

static fb_status fill(fb_context *ctx, fb_loader *l, const fb_sampler *sampler,
                      const fb_loader_options *o)
{
    int32_t threads = o->threads > 0 ? o->threads : 2;
    threads = threads > MAX_THREADS ? MAX_THREADS : threads;
    l->sampler = sampler;
    l->depth = o->depth > 0 ? o->depth : threads + 2;
    l->depth = l->depth > MAX_DEPTH ? MAX_DEPTH : l->depth;
    l->depth = l->depth < 2 ? 2 : l->depth; /* one in use, one in the making */
    l->total_steps = o->total_steps;
    l->claimed = l->delivered = l->released = o->first_step;
    if (o->first_step < 0)
        return fb_fail(ctx, FB_E_USAGE, "a loader starts at step 0 or later");
    l->slots = calloc((size_t)l->depth, sizeof *l->slots);
    if (!l->slots)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a loader");
    for (int32_t i = 0; i < l->depth; i++)
        FB_TRY(fb_sampler_batch_create(ctx, &l->slots[i].batch, sampler));
    for (; l->cursor_count < threads; l->cursor_count++)
        FB_TRY(fb_sampler_cursor_create(ctx, &l->cursors[l->cursor_count], sampler));
    return start_threads(ctx, l, threads);
}

static fb_loader *allocate(fb_context *ctx)
{
    fb_loader *l = calloc(1, sizeof *l);
    if (!l) {
        fb_fail(ctx, FB_E_MEMORY, "no memory for a loader");
        return NULL;
    }
    atomic_init(&l->stop, false);
    pthread_mutex_init(&l->mutex, NULL);
    pthread_cond_init(&l->filled, NULL);
    pthread_cond_init(&l->freed, NULL);
    return l;
}

fb_status fb_loader_create_on(fb_context *ctx, fb_loader **loader,
                              const fb_sampler *sampler,
                              const fb_loader_options *options)
{
    fb_loader *l = allocate(ctx);
    if (!l)
        return FB_E_MEMORY;
    fb_status status = fill(ctx, l, sampler, options);
    if (status == FB_OK)
        *loader = l;
    else
        fb_loader_free(l);
    return status;
}

static fb_status prepare(fb_context *ctx, fb_loader *l, const fb_catalogue *catalogue,
                         const fb_vocab *vocab, const fb_loader_options *o)
{
    FB_TRY(fb_mask_vocab_of(ctx, &l->own_vocab, vocab));
    const fb_query_split *queries = o->sampler.queries;
    FB_TRY(fb_token_lists_of_queries(
        ctx, &l->own_tokens, vocab, catalogue, o->sampler.split,
        queries ? fb_query_split_set(queries) : NULL, o->max_text));
    return fb_sampler_create(ctx, &l->own_sampler, catalogue, l->own_tokens,
                             l->own_vocab, &o->sampler);
}

fb_status fb_loader_create(fb_context *ctx, fb_loader **loader,
                           const fb_catalogue *catalogue, const fb_vocab *vocab,
                           const fb_loader_options *options)
{
    fb_loader *l = allocate(ctx);
    if (!l)
        return FB_E_MEMORY;
    fb_status status = prepare(ctx, l, catalogue, vocab, options);
    if (status == FB_OK)
        status = fill(ctx, l, l->own_sampler, options);
    if (status == FB_OK)
        *loader = l;
    else
        fb_loader_free(l);
    return status;
}

void fb_loader_free(fb_loader *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->mutex);
    atomic_store(&l->stop, true);
    pthread_cond_broadcast(&l->freed);
    pthread_mutex_unlock(&l->mutex);
    for (int32_t i = 0; i < l->thread_count; i++)
        pthread_join(l->threads[i], NULL);
    for (int32_t i = 0; i < l->cursor_count; i++)
        fb_sampler_cursor_free(l->cursors[i]);
    for (int32_t i = 0; l->slots && i < l->depth; i++)
        fb_batch_free(l->slots[i].batch);
    free(l->slots);
    fb_sampler_free(l->own_sampler);
    fb_token_lists_free(l->own_tokens);
    fb_mask_vocab_free(l->own_vocab);
    pthread_cond_destroy(&l->freed);
    pthread_cond_destroy(&l->filled);
    pthread_mutex_destroy(&l->mutex);
    free(l);
}

int32_t fb_loader_items(const fb_loader *l)
{
    return fb_sampler_items(l->sampler);
}

int32_t fb_loader_items_per_step(const fb_loader *l)
{
    return fb_sampler_items_per_step(l->sampler);
}

fb_status fb_loader_next(fb_context *ctx, fb_loader *l, const fb_batch **batch,
                         double *wait_seconds)
{
    if (l->delivered >= l->total_steps)
        return fb_fail(ctx, FB_E_STATE, "the loader has handed out all %lld steps",
                       (long long)l->total_steps);
    double start_s = fb_clock_s();
    slot *s = &l->slots[l->delivered % l->depth];
    pthread_mutex_lock(&l->mutex);
    if (l->released < l->delivered) { /* the batch handed out last */
        l->slots[l->released % l->depth].full = false;
        l->released = l->delivered;
        pthread_cond_broadcast(&l->freed);
    }
    while (!s->full)
        pthread_cond_wait(&l->filled, &l->mutex);
    pthread_mutex_unlock(&l->mutex);
    if (wait_seconds)
        *wait_seconds = fb_clock_s() - start_s;
    if (s->status != FB_OK)
        return fb_fail(ctx, s->status, "%s", s->ctx.message);
    l->delivered++;
    *batch = s->batch;
    return FB_OK;
}
