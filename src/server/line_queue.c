/* line_queue.c - see line_queue.h. Two buffers: one is filled while the other is
 * written. The writer can be cancelled in write(2) alone, where it holds no lock. */
#include "server/line_queue.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct fb_line_queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t writer;
    char *filling, *writing; /* [FB_LINE_QUEUE_BYTES] */
    size_t filled;           /* bytes of filling */
    int64_t lost;
    int fd;
    bool closed, busy, given_up; /* busy: the writer has lines of its own */
};

/* The whole line, or as much as goes. */
static bool write_line(int fd, const char *line, size_t bytes)
{
    while (bytes > 0) {
        int before;
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before);
        ssize_t n = write(fd, line, bytes);
        int error = errno;
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
        if (n < 0 && error == EINTR)
            continue;
        if (n <= 0)
            return false;
        line += n;
        bytes -= (size_t)n;
    }
    return true;
}

static int64_t count_lines(const char *text, size_t bytes)
{
    int64_t count = 0;
    for (size_t i = 0; i < bytes; i++)
        count += text[i] == '\n';
    return count;
}

static bool has_given_up(fb_line_queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool given_up = q->given_up;
    pthread_mutex_unlock(&q->lock);
    return given_up;
}

/* A line is one write, so that those of several processes in one file do not mix. */
static int64_t write_lines(fb_line_queue *q, size_t bytes)
{
    int64_t lost = 0;
    for (size_t at = 0; at < bytes;) {
        const char *line = q->writing + at, *end = memchr(line, '\n', bytes - at);
        size_t length = end ? (size_t)(end - line) + 1 : bytes - at;
        if (has_given_up(q))
            return lost + count_lines(line, bytes - at);
        lost += !write_line(q->fd, line, length);
        at += length;
    }
    return lost;
}

static void *write_all(void *self)
{
    fb_line_queue *q = self;
    sigset_t pipes;
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    sigemptyset(&pipes);
    sigaddset(&pipes, SIGPIPE); /* a reader that is gone is an error of write */
    pthread_sigmask(SIG_BLOCK, &pipes, NULL);
    pthread_mutex_lock(&q->lock);
    for (;;) {
        while (q->filled == 0 && !q->closed)
            pthread_cond_wait(&q->changed, &q->lock);
        if (q->filled == 0)
            break;
        char *lines = q->filling;
        size_t bytes = q->filled;
        q->filling = q->writing;
        q->writing = lines;
        q->filled = 0;
        q->busy = true;
        pthread_mutex_unlock(&q->lock);
        int64_t lost = write_lines(q, bytes);
        pthread_mutex_lock(&q->lock);
        q->lost += lost;
        q->busy = false;
        pthread_cond_broadcast(&q->changed);
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

static void free_queue(fb_line_queue *q)
{
    pthread_cond_destroy(&q->changed);
    pthread_mutex_destroy(&q->lock);
    free(q->filling);
    free(q->writing);
    free(q);
}

fb_status fb_line_queue_open(fb_context *ctx, fb_line_queue **queue, int fd)
{
    fb_line_queue *q = calloc(1, sizeof *q);
    if (!q)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for lines to write");
    q->fd = fd;
    q->filling = malloc(FB_LINE_QUEUE_BYTES);
    q->writing = malloc(FB_LINE_QUEUE_BYTES);
    pthread_mutex_init(&q->lock, NULL); /* neither allocates */
    pthread_cond_init(&q->changed, NULL);
    if (!q->filling || !q->writing ||
        pthread_create(&q->writer, NULL, write_all, q) != 0) {
        free_queue(q);
        return fb_fail(ctx, FB_E_MEMORY, "no memory for lines to write");
    }
    *queue = q;
    return FB_OK;
}

bool fb_line_queue_put(fb_line_queue *queue, const char *line, size_t bytes)
{
    pthread_mutex_lock(&queue->lock);
    bool fits = bytes <= FB_LINE_QUEUE_BYTES - queue->filled && !queue->closed;
    if (fits) {
        memcpy(queue->filling + queue->filled, line, bytes);
        queue->filled += bytes;
        pthread_cond_broadcast(&queue->changed);
    } else {
        queue->lost++;
    }
    pthread_mutex_unlock(&queue->lock);
    return fits;
}

int64_t fb_line_queue_lost(fb_line_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    int64_t lost = queue->lost;
    pthread_mutex_unlock(&queue->lock);
    return lost;
}

static struct timespec in_seconds(double seconds)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += (time_t)seconds;
    t.tv_nsec += (long)(1e9 * (seconds - (double)(time_t)seconds));
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

/* The lock is held. */
static bool wait_until_written(fb_line_queue *q, double seconds)
{
    struct timespec until = in_seconds(seconds);
    while ((q->filled > 0 || q->busy) &&
           pthread_cond_timedwait(&q->changed, &q->lock, &until) == 0)
        continue;
    return q->filled == 0 && !q->busy;
}

bool fb_line_queue_flush(fb_line_queue *queue, double seconds)
{
    pthread_mutex_lock(&queue->lock);
    bool written = wait_until_written(queue, seconds);
    pthread_mutex_unlock(&queue->lock);
    return written;
}

void fb_line_queue_close(fb_line_queue *queue, double seconds)
{
    fb_line_queue *q = queue;
    if (!q)
        return;
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->changed);
    q->given_up = !wait_until_written(q, seconds);
    q->filled = 0;
    bool given_up = q->given_up;
    pthread_mutex_unlock(&q->lock);
    if (given_up)
        pthread_cancel(q->writer);
    struct timespec until = in_seconds(.1);
    if (pthread_timedjoin_np(q->writer, NULL, &until) == 0)
        free_queue(q);
    else /* in a write that the kernel does not break off: what it reads stays */
        pthread_detach(q->writer);
}
