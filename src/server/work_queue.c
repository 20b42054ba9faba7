/* work_queue.c - see work_queue.h. */
#include "server/work_queue.h"

#include <pthread.h>
#include <stdlib.h>

struct fb_work_queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    fb_exchange *first[FB_LANES], *last[FB_LANES];
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

/* The lock is held. */
static void put(fb_work_queue *queue, fb_exchange *x, fb_lane lane)
{
    x->next = NULL;
    if (queue->last[lane])
        queue->last[lane]->next = x;
    else
        queue->first[lane] = x;
    queue->last[lane] = x;
    pthread_cond_signal(&queue->changed);
}

bool fb_work_queue_push(fb_work_queue *queue, fb_exchange *x, fb_lane lane)
{
    pthread_mutex_lock(&queue->lock);
    bool taken = !queue->closed;
    if (taken)
        put(queue, x, lane);
    pthread_mutex_unlock(&queue->lock);
    return taken;
}

void fb_work_queue_put_back(fb_work_queue *queue, fb_exchange *x, fb_lane lane)
{
    pthread_mutex_lock(&queue->lock);
    put(queue, x, lane);
    pthread_mutex_unlock(&queue->lock);
}

/* The lock is held. */
static fb_exchange *take(fb_work_queue *queue, fb_lane lane)
{
    fb_exchange *x = queue->first[lane];
    if (!x)
        return NULL;
    queue->first[lane] = x->next;
    if (!queue->first[lane])
        queue->last[lane] = NULL;
    x->next = NULL;
    return x;
}

fb_exchange *fb_work_queue_pop(fb_work_queue *queue, fb_lane *lane)
{
    pthread_mutex_lock(&queue->lock);
    while (!queue->first[FB_LANE_QUICK] && !queue->first[FB_LANE_DEAR] &&
           !queue->closed)
        pthread_cond_wait(&queue->changed, &queue->lock);
    if (!queue->first[*lane])
        *lane = *lane == FB_LANE_QUICK ? FB_LANE_DEAR : FB_LANE_QUICK;
    fb_exchange *x = take(queue, *lane);
    pthread_mutex_unlock(&queue->lock);
    return x;
}

fb_exchange *fb_work_queue_pop_if(fb_work_queue *queue, fb_lane lane,
                                  bool (*fits)(const void *self, const fb_exchange *x),
                                  const void *self)
{
    pthread_mutex_lock(&queue->lock);
    fb_exchange *first = queue->first[lane];
    fb_exchange *x = first && fits(self, first) ? take(queue, lane) : NULL;
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
