/* access_log.h - one JSON object a line for each answer.
 *
 *     {"time":"2026-01-31T12:00:00.123Z","id":"...","remote":"127.0.0.1","method":"POST",
 *      "path":"/v1/search","status":200,"bytes_in":35,"bytes_out":1200,"ms":12.1,
 *      "wait_ms":0.1,"prepare_ms":0.3,"queue_ms":2.0,"compute_ms":9.6}
 */
#ifndef FB_SERVER_ACCESS_LOG_H
#define FB_SERVER_ACCESS_LOG_H

#include "server/exchange.h"

typedef struct fb_access_log fb_access_log;

/* path: "-" is standard output, "" none; else a file that is added to. */
fb_status fb_access_log_open(fb_context *ctx, fb_access_log **log, const char *path);
/* Wait until all is written, but no longer than so many seconds. */
void fb_access_log_flush(fb_access_log *log, double seconds);
/* What is not written within so many seconds is dropped. Takes NULL. */
void fb_access_log_close(fb_access_log *log, double seconds);
/* Open the file anew, as log rotation wants; the old one stays where that fails. */
fb_status fb_access_log_reopen(fb_context *ctx, fb_access_log *log);
/* whole: the answer reached the connection to its end. Does not wait for the file
 * (line_queue.h). */
void fb_access_log_write(fb_access_log *log, const fb_exchange *x, bool whole);
/* Lines that were dropped, since a reader stalled, or could not be written. */
int64_t fb_access_log_lost(const fb_access_log *log);

#endif
