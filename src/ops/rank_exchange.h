/* rank_exchange.h - numbers of a backend among the processes of a run: where comm.h, which
 * reaches the host's memory, meets a backend's own.
 *
 * Alone nothing is copied. A backend that computes in the host's memory hands its
 * numbers over as they lie; another one's go through the host.
 */
#ifndef FB_OPS_RANK_EXCHANGE_H
#define FB_OPS_RANK_EXCHANGE_H

#include "backend/memory.h"
#include "comm/comm.h"

/* values [count] of the backend: the sum over all processes. FB_E_MEMORY,
 * FB_E_BACKEND: the numbers are undefined. */
fb_status fb_exchange_sum(fb_context *ctx, fb_backend *be, const fb_comm *comm,
                          float *values, int64_t count);
/* The same divided by how many they are; for few numbers, all of which pass through the
 * host at once. */
fb_status fb_exchange_mean(fb_context *ctx, fb_backend *be, const fb_comm *comm,
                           float *values, int64_t count);

/* all [size * rows, columns] of own [rows, columns], one dtype; in order of rank. */
fb_status fb_exchange_gather(fb_context *ctx, fb_backend *be, const fb_comm *comm,
                             const fb_tensor *all, const fb_tensor *own);

#endif
