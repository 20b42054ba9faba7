/* comm_threads.c - see comm_threads.h. Every collective posts where its numbers lie,
 * waits for all, reads the others' in order of rank (so all get the same bits), and
 * waits again before anybody may change its numbers. */
#include "support/comm_threads.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct member {
    fb_comm comm; /* first: a member is a communicator */
    comm_threads *group;
    void (*run)(const fb_comm *, void *);
    void *self;
} member;

struct comm_threads {
    int32_t size;
    pthread_barrier_t here;
    const void **posted; /* [size] */
    member *members;     /* [size] */
};

static comm_threads *group_of(const fb_comm *comm)
{
    return ((const member *)comm)->group;
}

static void post(const fb_comm *comm, const void *numbers)
{
    comm_threads *g = group_of(comm);
    g->posted[comm->rank] = numbers;
    pthread_barrier_wait(&g->here);
}

static void leave(const fb_comm *comm)
{
    pthread_barrier_wait(&group_of(comm)->here);
}

static fb_status barrier(fb_context *ctx, const fb_comm *comm)
{
    (void)ctx;
    leave(comm);
    return FB_OK;
}

static fb_status sum_f64(fb_context *ctx, const fb_comm *comm, double *values,
                         int64_t count)
{
    double *sum = calloc((size_t)count + 1, sizeof *sum);
    post(comm, values);
    for (int32_t r = 0; r < comm->size && sum; r++)
        for (int64_t i = 0; i < count; i++)
            sum[i] += ((const double *)group_of(comm)->posted[r])[i];
    leave(comm);
    if (!sum)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a sum");
    memcpy(values, sum, (size_t)count * sizeof *sum);
    free(sum);
    return FB_OK;
}

static fb_status sum_f32(fb_context *ctx, const fb_comm *comm, float *values,
                         int64_t count)
{
    float *sum = calloc((size_t)count + 1, sizeof *sum);
    post(comm, values);
    for (int32_t r = 0; r < comm->size && sum; r++)
        for (int64_t i = 0; i < count; i++)
            sum[i] += ((const float *)group_of(comm)->posted[r])[i];
    leave(comm);
    if (!sum)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a sum");
    memcpy(values, sum, (size_t)count * sizeof *sum);
    free(sum);
    return FB_OK;
}

static fb_status gather_rows(fb_context *ctx, const fb_comm *comm, void *all,
                             const void *own, int64_t rows, size_t row_bytes)
{
    size_t bytes = (size_t)rows * row_bytes;
    (void)ctx;
    post(comm, own);
    for (int32_t r = 0; r < comm->size; r++) {
        char *place = (char *)all + (size_t)r * bytes;
        if (place != group_of(comm)->posted[r])
            memcpy(place, group_of(comm)->posted[r], bytes);
    }
    leave(comm);
    return FB_OK;
}

static fb_status broadcast(fb_context *ctx, const fb_comm *comm, void *bytes,
                           size_t count, int32_t from)
{
    (void)ctx;
    post(comm, bytes);
    if (comm->rank != from)
        memcpy(bytes, group_of(comm)->posted[from], count);
    leave(comm);
    return FB_OK;
}

static const fb_comm_kind kind = {
    .name = "threads",
    .sum_f32 = sum_f32,
    .sum_f64 = sum_f64,
    .gather_rows = gather_rows,
    .broadcast = broadcast,
    .barrier = barrier,
};

comm_threads *comm_threads_create(int32_t size)
{
    comm_threads *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->size = size;
    g->posted = calloc((size_t)size, sizeof *g->posted);
    g->members = calloc((size_t)size, sizeof *g->members);
    if (!g->posted || !g->members ||
        pthread_barrier_init(&g->here, NULL, (unsigned)size) != 0) {
        free(g->posted);
        free(g->members);
        free(g);
        return NULL;
    }
    for (int32_t r = 0; r < size; r++)
        g->members[r] =
            (member){.comm = {.kind = &kind, .rank = r, .size = size}, .group = g};
    return g;
}

void comm_threads_free(comm_threads *g)
{
    if (!g)
        return;
    pthread_barrier_destroy(&g->here);
    free(g->posted);
    free(g->members);
    free(g);
}

const fb_comm *comm_threads_rank(const comm_threads *g, int32_t rank)
{
    return &g->members[rank].comm;
}

static void *run_member(void *argument)
{
    member *m = argument;
    m->run(&m->comm, m->self);
    return NULL;
}

void comm_threads_run(comm_threads *g, void (*run)(const fb_comm *, void *), void *self)
{
    pthread_t *threads = calloc((size_t)g->size, sizeof *threads);
    for (int32_t r = 0; r < g->size; r++) {
        g->members[r].run = run;
        g->members[r].self = self;
        if (!threads ||
            pthread_create(&threads[r], NULL, run_member, &g->members[r]) != 0)
            abort(); /* the others would wait for ever */
    }
    for (int32_t r = 0; r < g->size; r++)
        pthread_join(threads[r], NULL);
    free(threads);
}
