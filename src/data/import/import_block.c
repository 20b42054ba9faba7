/* import_block.c - see import_block.h. Threads take the next job by one counter; each
 * has a resizer and a context of its own. */
#include "data/import/import_block.h"

#include "base/file.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_CHUNK_BYTES = 1 << 20 };

typedef struct worker {
    fb_import_block *block;
    fb_resizer *resizer;
    pthread_t thread;
    struct fb_context ctx;
    fb_status failure;
} worker;

struct fb_import_block {
    char folder[4096];
    int32_t resize, threads, running;
    fb_arena *arena;
    fb_import_job jobs[FB_IMPORT_BLOCK_JOBS];
    int32_t count;
    size_t image_bytes;
    atomic_int_least32_t next;
    worker worker[FB_IMPORT_THREADS_MAX];
};

fb_status fb_import_block_create(fb_context *ctx, fb_import_block **block,
                                 const char *folder, int32_t resize, int32_t threads)
{
    fb_import_block *b = calloc(1, sizeof *b);
    bool room = b != NULL;
    if (b) {
        snprintf(b->folder, sizeof b->folder, "%s", folder);
        b->resize = resize;
        b->threads = threads < 1                       ? 1
                     : threads > FB_IMPORT_THREADS_MAX ? FB_IMPORT_THREADS_MAX
                                                       : threads;
        atomic_init(&b->next, 0);
        b->arena = fb_arena_create(ARENA_CHUNK_BYTES);
        room = b->arena != NULL;
    }
    for (int32_t i = 0; room && i < b->threads; i++) {
        b->worker[i].block = b;
        b->worker[i].resizer = fb_resizer_create();
        room = b->worker[i].resizer != NULL;
    }
    if (!room) {
        fb_import_block_free(b);
        return fb_fail(ctx, FB_E_MEMORY, "no memory to import images");
    }
    *block = b;
    return FB_OK;
}

static void join(fb_import_block *b)
{
    for (int32_t i = 0; i < b->running; i++)
        pthread_join(b->worker[i].thread, NULL);
    b->running = 0;
}

void fb_import_block_free(fb_import_block *b)
{
    if (!b)
        return;
    atomic_store(&b->next, INT32_MAX / 2); /* nothing is left to take */
    join(b);
    for (int32_t i = 0; i < FB_IMPORT_THREADS_MAX; i++)
        fb_resizer_free(b->worker[i].resizer);
    fb_arena_free(b->arena);
    free(b);
}

/* ---- fill --------------------------------------------------------------------------
 */

fb_arena *fb_import_block_arena(fb_import_block *b)
{
    return b->arena;
}

fb_import_job *fb_import_block_take(fb_import_block *b)
{
    if (b->count == FB_IMPORT_BLOCK_JOBS || b->image_bytes > FB_IMPORT_BLOCK_BYTES)
        return NULL;
    fb_import_job *job = &b->jobs[b->count++];
    memset(job, 0, sizeof *job);
    return job;
}

void fb_import_block_count(fb_import_block *b, size_t image_bytes)
{
    b->image_bytes += image_bytes;
}

fb_import_job *fb_import_block_jobs(fb_import_block *b, int32_t *count)
{
    *count = b->count;
    return b->jobs;
}

void fb_import_block_clear(fb_import_block *b)
{
    b->count = 0;
    b->image_bytes = 0;
    fb_arena_reset(b->arena);
}

void fb_import_file_folder(int64_t number, char out[32])
{
    snprintf(out, 32, "images/%03lld", (long long)(number / FB_IMPORT_FOLDER_FILES));
}

/* ---- work --------------------------------------------------------------------------
 */

/* What the log says of the record is still so. */
static bool take_over(const fb_import_block *b, fb_import_job *job)
{
    const fb_import_entry *old = job->old;
    char path[4096];
    if (!old || !old->kept || old->stamp != job->entry.stamp ||
        strcmp(old->row, job->row) != 0 || strlen(old->file_name) >= 64 ||
        fb_path_join(NULL, path, b->folder, old->file_name) != FB_OK ||
        !fb_import_image_is_there(path, old->image.size_bytes, old->image.hash))
        return false;
    job->entry = *old;
    job->resumed = true;
    return true;
}

static fb_status do_job(worker *w, fb_import_job *job)
{
    const fb_import_block *b = w->block;
    char folder[32], name[48], stem[4096];
    job->entry = (fb_import_entry){.row = job->row};
    if (job->fault != FB_RECORD_GOOD)
        return FB_OK;
    job->entry.stamp = fb_import_image_stamp(&job->image);
    if (take_over(b, job))
        return FB_OK;
    fb_import_file_folder(job->number, folder);
    snprintf(name, sizeof name, "%s/%06lld", folder, (long long)job->number);
    FB_TRY(fb_path_join(&w->ctx, stem, b->folder, name));
    FB_TRY(fb_import_image_store(&w->ctx, w->resizer, &job->image, stem, b->resize,
                                 &job->entry.image, &job->fault));
    if (job->fault != FB_RECORD_GOOD) {
        snprintf(job->why, sizeof job->why, "%.600s", w->ctx.message);
        fb_context_clear(&w->ctx);
        return FB_OK;
    }
    snprintf(job->file_name, sizeof job->file_name, "%s%s", name,
             job->entry.image.suffix);
    job->entry.file_name = job->file_name;
    job->entry.kept = true;
    return FB_OK;
}

static void *work(void *self)
{
    worker *w = self;
    fb_import_block *b = w->block;
    while (w->failure == FB_OK) {
        int32_t at = atomic_fetch_add(&b->next, 1);
        if (at >= b->count)
            break;
        w->failure = do_job(w, &b->jobs[at]);
    }
    return NULL;
}

fb_status fb_import_block_start(fb_context *ctx, fb_import_block *b)
{
    sigset_t all, before; /* signals are for the program's own threads */
    atomic_store(&b->next, 0);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = 0;
    while (b->running < b->threads && error == 0) {
        worker *w = &b->worker[b->running];
        w->failure = FB_OK;
        fb_context_clear(&w->ctx);
        error = pthread_create(&w->thread, NULL, work, w);
        b->running += error == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (b->running == 0)
        return fb_fail(ctx, FB_E_MEMORY, "cannot start a thread to read images: %s",
                       strerror(error));
    return FB_OK;
}

fb_status fb_import_block_wait(fb_context *ctx, fb_import_block *b)
{
    int32_t ran = b->running;
    join(b);
    for (int32_t i = 0; i < ran; i++)
        if (b->worker[i].failure != FB_OK)
            return fb_fail(ctx, b->worker[i].failure, "%s", b->worker[i].ctx.message);
    return FB_OK;
}
