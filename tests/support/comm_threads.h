/* comm_threads.h - a communicator whose processes are threads of a test: the proof that
 * comm.h fits more than one process. */
#ifndef FB_TESTS_COMM_THREADS_H
#define FB_TESTS_COMM_THREADS_H

#include "comm/comm.h"

typedef struct comm_threads comm_threads;

/* size processes; NULL: memory is out. */
comm_threads *comm_threads_create(int32_t size);
void comm_threads_free(comm_threads *group);
const fb_comm *comm_threads_rank(const comm_threads *group, int32_t rank);

/* Call run(rank's communicator, self) on a thread for each rank and wait for all. */
void comm_threads_run(comm_threads *group, void (*run)(const fb_comm *, void *),
                      void *self);

#endif
