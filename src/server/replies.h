/* replies.h - what a job computed, as the JSON of its answer. */
#ifndef FB_SERVER_REPLIES_H
#define FB_SERVER_REPLIES_H

#include "server/job.h"

/* x gets its answer. */
void fb_reply_write(fb_exchange *x, const fb_job *job);

#endif
