/* work_queue.h - exchanges on their way from one thread to another, in two lanes, each
 * first in first out:
 *
 *     quick   what takes a moment
 *     dear    what takes long, and is done in slices: behind each it goes to the lane's end
 */
#ifndef FB_SERVER_WORK_QUEUE_H
#define FB_SERVER_WORK_QUEUE_H

#include "server/exchange.h"

typedef enum fb_lane { FB_LANE_QUICK, FB_LANE_DEAR, FB_LANES } fb_lane;

typedef struct fb_work_queue fb_work_queue;

fb_work_queue *fb_work_queue_create(void);     /* NULL when memory is out */
void fb_work_queue_free(fb_work_queue *queue); /* must be empty */

/* false: the queue is closed, x is still the caller's. */
bool fb_work_queue_push(fb_work_queue *queue, fb_exchange *x, fb_lane lane);
/* By one who takes from the queue and will again: closed or not. */
void fb_work_queue_put_back(fb_work_queue *queue, fb_exchange *x, fb_lane lane);

/* The first one of *lane or, where that is empty, of the other, which *lane then names;
 * waits for one. NULL: the queue is closed and empty. */
fb_exchange *fb_work_queue_pop(fb_work_queue *queue, fb_lane *lane);

/* The first one of a lane if `fits` says so; does not wait. NULL: none, or it does not
 * fit. */
fb_exchange *fb_work_queue_pop_if(fb_work_queue *queue, fb_lane lane,
                                  bool (*fits)(const void *self, const fb_exchange *x),
                                  const void *self);

/* Take nothing more; those who wait wake once nothing is left. */
void fb_work_queue_close(fb_work_queue *queue);

#endif
