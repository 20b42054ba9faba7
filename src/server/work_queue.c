/* work_queue.c - see work_queue.h. */
#include "server/work_queue.h"

#include <pthread.h>
#include <stdlib.h>

struct fb_work_queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    fb_exchange *first, *last;
    bool closed;
};

fb_work_queue *fb_work_queue_create(void)
{
    fb_work_queue *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    if (pthread_mutex_init(&q->lock, NULL) != 0) {
        free(q);
        return NULL;
    }
    if (pthread_cond_init(&q->changed, NULL) != 0) {
        pthread_mutex_destroy(&q->lock);
        free(q);
        return NULL;
    }
    return q;
}

void fb_work_queue_free(fb_work_queue *queue)
{
    if (!queue)
        return;
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

bool fb_work_queue_push(fb_work_queue *queue, fb_exchange *x)
{
    x->next = NULL;
    pthread_mutex_lock(&queue->lock);
    bool taken = !queue->closed;
    if (taken) {
        if (queue->last)
            queue->last->next = x;
        else
            queue->first = x;
        queue->last = x;
        pthread_cond_signal(&queue->changed);
    }
    pthread_mutex_unlock(&queue->lock);
    return taken;
}

/* The lock is held. */
static fb_exchange *take(fb_work_queue *queue)
{
    fb_exchange *x = queue->first;
    if (!x)
        return NULL;
    queue->first = x->next;
    if (!queue->first)
        queue->last = NULL;
    x->next = NULL;
    return x;
}

fb_exchange *fb_work_queue_pop(fb_work_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    while (!queue->first && !queue->closed)
        pthread_cond_wait(&queue->changed, &queue->lock);
    fb_exchange *x = take(queue);
    pthread_mutex_unlock(&queue->lock);
    return x;
}

fb_exchange *fb_work_queue_pop_if(fb_work_queue *queue,
                                  bool (*fits)(const void *self, const fb_exchange *x),
                                  const void *self)
{
    pthread_mutex_lock(&queue->lock);
    fb_exchange *x = queue->first && fits(self, queue->first) ? take(queue) : NULL;
    pthread_mutex_unlock(&queue->lock);
    return x;
}

void fb_work_queue_close(fb_work_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}
