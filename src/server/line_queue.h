/* line_queue.h - lines on their way to a file, a pipe or a terminal that may stall: who
 * has one to write leaves it here and goes on, a thread of the queue's own writes it.
 *
 *     put -> [line line line ...|free] -> write(2), a line each
 *
 * What does not fit while the writer waits is dropped, whole lines, and counted.
 */
#ifndef FB_SERVER_LINE_QUEUE_H
#define FB_SERVER_LINE_QUEUE_H

#include "base/status.h"

enum { FB_LINE_QUEUE_BYTES = 1 << 20 }; /* of lines that wait */

typedef struct fb_line_queue fb_line_queue;

/* To fd, which stays the caller's. FB_E_MEMORY */
fb_status fb_line_queue_open(fb_context *ctx, fb_line_queue **queue, int fd);

/* line [bytes], its line end included. false: it was dropped. From any thread; never
 * waits for the descriptor. */
bool fb_line_queue_put(fb_line_queue *queue, const char *line, size_t bytes);

/* Lines dropped, and those that could not be written. */
int64_t fb_line_queue_lost(fb_line_queue *queue);

/* Wait until all is written, but no longer than so many seconds; whether it is. */
bool fb_line_queue_flush(fb_line_queue *queue, double seconds);

/* What is not written within so many seconds is dropped. Takes NULL. */
void fb_line_queue_close(fb_line_queue *queue, double seconds);

#endif
