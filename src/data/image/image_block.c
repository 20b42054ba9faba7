/* image_block.c - see image_block.h. Threads take the next image by one counter; each
 * has a resizer and a context of its own. */
#include "data/image/image_block.h"

#include "data/image/image_load.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_THREADS = 64 };

typedef struct worker {
    fb_image_block *block;
    fb_resizer *resizer;
    pthread_t thread;
    struct fb_context ctx; /* of its first failure */
    int32_t failed_at;     /* place of that image; -1: none */
} worker;

struct fb_image_block {
    const fb_catalogue *catalogue;
    int32_t most, image_size, threads, running;
    fb_fit fit;
    const int32_t *items;
    int32_t count;
    atomic_int_least32_t next;
    uint8_t *pixels;
    worker worker[MAX_THREADS];
};

static size_t image_bytes(const fb_image_block *b)
{
    return (size_t)b->image_size * (size_t)b->image_size * 3;
}

fb_status fb_image_block_create(fb_context *ctx, fb_image_block **block,
                                const fb_catalogue *catalogue, int32_t most,
                                int32_t image_size, fb_fit fit, int32_t threads)
{
    fb_image_block *b = calloc(1, sizeof *b);
    bool room = b != NULL;
    if (b) {
        b->catalogue = catalogue;
        b->most = most;
        b->image_size = image_size;
        b->fit = fit;
        b->threads = threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
        atomic_init(&b->next, 0);
        b->pixels = malloc((size_t)most * image_bytes(b));
        room = b->pixels != NULL;
    }
    for (int32_t i = 0; room && i < b->threads; i++) {
        b->worker[i].block = b;
        b->worker[i].resizer = fb_resizer_create();
        room = b->worker[i].resizer != NULL;
    }
    if (!room) {
        fb_image_block_free(b);
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %d images", (int)most);
    }
    *block = b;
    return FB_OK;
}

static void join(fb_image_block *b)
{
    for (int32_t i = 0; i < b->running; i++)
        pthread_join(b->worker[i].thread, NULL);
    b->running = 0;
}

void fb_image_block_free(fb_image_block *block)
{
    if (!block)
        return;
    atomic_store(&block->next, INT32_MAX / 2); /* nothing is left to take */
    join(block);
    for (int32_t i = 0; i < MAX_THREADS; i++)
        fb_resizer_free(block->worker[i].resizer);
    free(block->pixels);
    free(block);
}

static fb_status load(worker *w, int32_t place)
{
    const fb_image_block *b = w->block;
    char path[4096];
    FB_TRY(fb_catalogue_image_path(&w->ctx, b->catalogue, b->items[place], path));
    return fb_image_load(&w->ctx, path, w->resizer, b->image_size, b->fit,
                         FB_FILTER_BILINEAR,
                         b->pixels + (size_t)place * image_bytes(b));
}

static void *work(void *argument)
{
    worker *w = argument;
    for (int32_t place;
         (place = atomic_fetch_add(&w->block->next, 1)) < w->block->count;)
        if (load(w, place) != FB_OK) {
            w->failed_at = place;
            break;
        }
    return NULL;
}

fb_status fb_image_block_start(fb_context *ctx, fb_image_block *b, const int32_t *items,
                               int32_t count)
{
    if (b->running > 0 || count < 0 || count > b->most)
        return fb_fail(ctx, FB_E_STATE, "%d images for a block of %d", (int)count,
                       (int)b->most);
    b->items = items;
    b->count = count;
    atomic_store(&b->next, 0);
    sigset_t all, before; /* signals are for the program's own threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = 0;
    while (b->running < b->threads && error == 0) {
        worker *w = &b->worker[b->running];
        w->failed_at = -1;
        fb_context_clear(&w->ctx);
        error = pthread_create(&w->thread, NULL, work, w);
        b->running += error == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (b->running == 0)
        return fb_fail(ctx, FB_E_MEMORY, "cannot start a thread to decode images: %s",
                       strerror(error));
    return FB_OK;
}

fb_status fb_image_block_wait(fb_context *ctx, fb_image_block *b,
                              const uint8_t **pixels)
{
    const worker *first = NULL;
    int32_t ran = b->running;
    join(b);
    for (int32_t i = 0; i < ran; i++) {
        const worker *w = &b->worker[i];
        if (w->failed_at >= 0 && (!first || w->failed_at < first->failed_at))
            first = w;
    }
    if (first)
        return fb_fail(ctx, first->ctx.status, "%s", first->ctx.message);
    *pixels = b->pixels;
    return FB_OK;
}
