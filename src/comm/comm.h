/* comm.h - the processes of one training run, and what they tell each other.
 *
 *     rank      0 .. size - 1, which of them this one is
 *     sum       every process ends up with the sum of all processes' numbers
 *     gather    every process ends up with all processes' rows, in order of rank
 *     broadcast every process ends up with what one of them has
 *     barrier   nobody goes on before everybody is here
 *
 * Rank 0 of 1 always exists (comm_alone.c), so training does not ask whether there are
 * several: it calls, and alone a sum is what it was and gathered rows are one's own.
 * Every process makes the same calls in the same order with the same sizes (as MPI's and
 * NCCL's collectives).
 *
 * Data-parallel training (every process has the whole model and its share of each
 * batch) needs it in four places:
 *
 *     between backward and the optimizer    sum of gradients, mean of running
 *                                           statistics       fb_params_exchange
 *     contrastive batch                     gather of rows   fb_op_gather_ranks
 *     gradient norms that weigh losses      sum              fb_fashionbert_weigh
 *     before a file is written              who writes, and a barrier behind it
 *                                                            training/train_stage.c
 *
 * Numbers lie in memory that the communicator reaches: the host's. Those of a backend
 * come by ops/rank_exchange.h.
 */
#ifndef FB_COMM_COMM_H
#define FB_COMM_COMM_H

#include "base/status.h"

typedef struct fb_comm fb_comm;

/* What a kind of communicator provides. All may fail with FB_E_BACKEND: another process
 * is gone or the transport failed; the numbers are then undefined. */
typedef struct fb_comm_kind {
    const char *name;
    fb_status (*sum_f32)(fb_context *ctx, const fb_comm *comm, float *values,
                         int64_t count);
    fb_status (*sum_f64)(fb_context *ctx, const fb_comm *comm, double *values,
                         int64_t count);
    /* all [size * rows, row_bytes], own [rows, row_bytes]; own may lie in its place
     * of all */
    fb_status (*gather_rows)(fb_context *ctx, const fb_comm *comm, void *all,
                             const void *own, int64_t rows, size_t row_bytes);
    fb_status (*broadcast)(fb_context *ctx, const fb_comm *comm, void *bytes,
                           size_t count, int32_t from);
    fb_status (*barrier)(fb_context *ctx, const fb_comm *comm);
} fb_comm_kind;

/* A kind begins its own struct with this one. */
struct fb_comm {
    const fb_comm_kind *kind;
    int32_t rank, size;
};

/* The communicator of a process that is the only one. */
const fb_comm *fb_comm_alone(void);

/* The process that writes files, logs and the terminal. */
static inline bool fb_comm_writes(const fb_comm *comm)
{
    return comm->rank == 0;
}

static inline fb_status fb_comm_sum_f32(fb_context *ctx, const fb_comm *comm,
                                        float *values, int64_t count)
{
    return comm->kind->sum_f32(ctx, comm, values, count);
}

static inline fb_status fb_comm_sum_f64(fb_context *ctx, const fb_comm *comm,
                                        double *values, int64_t count)
{
    return comm->kind->sum_f64(ctx, comm, values, count);
}

static inline fb_status fb_comm_gather_rows(fb_context *ctx, const fb_comm *comm,
                                            void *all, const void *own, int64_t rows,
                                            size_t row_bytes)
{
    return comm->kind->gather_rows(ctx, comm, all, own, rows, row_bytes);
}

static inline fb_status fb_comm_broadcast(fb_context *ctx, const fb_comm *comm,
                                          void *bytes, size_t count, int32_t from)
{
    return comm->kind->broadcast(ctx, comm, bytes, count, from);
}

static inline fb_status fb_comm_barrier(fb_context *ctx, const fb_comm *comm)
{
    return comm->kind->barrier(ctx, comm);
}

#endif
