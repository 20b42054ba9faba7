/* work_queue.h - exchanges on their way from one thread to another, first in first out.
 */
#ifndef FB_SERVER_WORK_QUEUE_H
#define FB_SERVER_WORK_QUEUE_H

#include "server/exchange.h"

typedef struct fb_work_queue fb_work_queue;

fb_work_queue *fb_work_queue_create(void);     /* NULL when memory is out */
void fb_work_queue_free(fb_work_queue *queue); /* must be empty */

/* false: the queue is closed, x is still the caller's. */
bool fb_work_queue_push(fb_work_queue *queue, fb_exchange *x);

/* The first one; waits for one. NULL: the queue is closed and empty. */
fb_exchange *fb_work_queue_pop(fb_work_queue *queue);

/* The first one if `fits` says so; does not wait. NULL: none, or it does not fit. */
fb_exchange *fb_work_queue_pop_if(fb_work_queue *queue,
                                  bool (*fits)(const void *self, const fb_exchange *x),
                                  const void *self);

/* Take nothing more; those who wait wake once nothing is left. */
void fb_work_queue_close(fb_work_queue *queue);

#endif
