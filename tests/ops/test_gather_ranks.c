/* test_gather_ranks.c - a contrastive loss over the rows of two processes (threads here)
 * is that of one process with all rows: value, gradients of rows, gradient of the scale,
 * each divided by how many processes there are once they are summed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "ops/ops.h"
#include "support/both_backends.h"
#include "support/comm_threads.h"

enum { RANKS = 2, OWN = 3, ALL = RANKS * OWN, WIDTH = 4 };

static const int32_t products[ALL] = {0, 1, 2, 0, 3, 4}; /* 0 and 3 show one product */
static const int32_t texts[ALL] = {0, 1, 2, 3, 1, 4};

/* What a process found on its backend: the loss, d loss / d its rows, d loss / d log scale. */
typedef struct found {
    const char *backend;
    fb_status status;
    bool same; /* gathering gave back the variable itself */
    double loss;
    float da[ALL * WIDTH], db[ALL * WIDTH], dscale;
} found;

static void fill(float *to, uint64_t side, int64_t first, int64_t rows)
{
    for (int64_t i = 0; i < rows * WIDTH; i++) {
        fb_random r = fb_random_start(5, FB_STREAM_TEST,
                                      side * 1000 + (uint64_t)(first * WIDTH + i));
        to[i] = (float)(fb_random_uniform(&r) - 0.5);
    }
}

static fb_status input(fb_tape *tape, fb_var **x, uint64_t side, int64_t first,
                       int64_t rows)
{
    FB_TRY(fb_tape_new_var(tape, x, FB_F32, rows, WIDTH));
    fb_tensor host = fb_tensor_new(tape->arena, FB_F32, rows, WIDTH);
    fill(host.data, side, first, rows);
    return fb_tape_upload(tape, &(*x)->value, &host);
}

static fb_status fetch(fb_backend *be, float *host, const float *on, int64_t count)
{
    FB_TRY(be->m->download(NULL, be, host, on, (size_t)count * sizeof *on));
    return be->m->finish(NULL, be);
}

static fb_status compute(fb_tape *tape, int64_t first, int64_t rows, found *out)
{
    const float scale[2] = {1.2f, 0}; /* and its gradient */
    fb_backend *be = tape->be;
    float *on;
    FB_TRY(fb_tape_floats(tape, &on, 2));
    FB_TRY(be->m->upload(tape->ctx, be, on, scale, sizeof scale));
    fb_leaf log_scale = {
        .name = "scale", .weight = {on, 1, 1, 1, NULL}, .grad = on + 1};
    fb_var *a, *b, *all_a, *all_b;
    fb_loss *loss;
    FB_TRY(input(tape, &a, 0, first, rows));
    FB_TRY(input(tape, &b, 1, first, rows));
    FB_TRY(fb_op_gather_ranks(tape, &all_a, a));
    FB_TRY(fb_op_gather_ranks(tape, &all_b, b));
    const fb_contrast pairs = {.count = (int32_t)all_a->value.dims[0],
                               .a_group = products,
                               .b_group = texts,
                               .margin = 0.1f};
    FB_TRY(fb_op_contrast(tape, &loss, NULL, all_a, all_b, &log_scale, &pairs));
    FB_TRY(fb_tape_fetch(tape));
    loss->seed = 0.7f;
    FB_TRY(fb_tape_backward(tape, NULL, NULL, true));
    out->same = all_a == a;
    out->loss = loss->value;
    FB_TRY(fetch(be, &out->dscale, on + 1, 1));
    FB_TRY(fetch(be, out->da, a->grad.data, fb_tensor_count(&a->grad)));
    return fetch(be, out->db, b->grad.data, fb_tensor_count(&b->grad));
}

static fb_status process(const fb_comm *comm, int64_t first, int64_t rows, found *out)
{
    fb_context ctx = {0};
    fb_backend *be = NULL;
    fb_tape tape = {0};
    fb_arena *arena = fb_arena_create(1 << 16);
    fb_status status = test_backend_create(&ctx, &be, out->backend, "f32", 1);
    if (status == FB_OK && arena) {
        fb_tape_begin(&tape, &ctx, be, arena, true);
        fb_tape_set_comm(&tape, comm);
        status = compute(&tape, first, rows, out);
    }
    fb_arena_free(arena); /* its values are the backend's */
    fb_backend_free(be);
    return arena ? status : FB_E_MEMORY;
}

static void run_rank(const fb_comm *comm, void *self)
{
    found *out = (found *)self + comm->rank;
    out->status = process(comm, comm->rank * OWN, OWN, out);
}

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-6 * (1 + fabs(want))))
        fail_msg("%.9g is not %.9g", got, want);
}

static void two_processes_are_one_with_all_rows(void **state)
{
    static found alone, rank[RANKS];
    alone.backend = rank[0].backend = rank[1].backend = *state;
    comm_threads *group = comm_threads_create(RANKS);
    assert_non_null(group);
    comm_threads_run(group, run_rank, rank);
    comm_threads_free(group);
    assert_int_equal(process(fb_comm_alone(), 0, ALL, &alone), FB_OK);
    assert_true(alone.same);
    for (int r = 0; r < RANKS; r++) {
        assert_int_equal(rank[r].status, FB_OK);
        assert_false(rank[r].same);
        near(rank[r].loss, alone.loss);
        near(rank[r].dscale, alone.dscale);
        for (int i = 0; i < OWN * WIDTH; i++) {
            near(rank[r].da[i] / RANKS, alone.da[r * OWN * WIDTH + i]);
            near(rank[r].db[i] / RANKS, alone.db[r * OWN * WIDTH + i]);
        }
    }
}

/* Sums of numbers that lie in a backend's memory. */
typedef struct sums {
    const char *backend;
    fb_status status[RANKS];
    float values[RANKS][5], means[RANKS][2];
} sums;

static fb_status sum(fb_backend *be, const fb_comm *comm, sums *s)
{
    fb_context ctx = {0};
    float *values = s->values[comm->rank], *means = s->means[comm->rank];
    void *on;
    for (int i = 0; i < 5; i++)
        values[i] = (float)(i * 10 + comm->rank);
    means[0] = means[1] = (float)(4 * comm->rank);
    FB_TRY(be->m->alloc(&ctx, be, &on, 7 * sizeof(float)));
    float *means_on = (float *)on + 5;
    FB_TRY(be->m->upload(&ctx, be, on, values, 5 * sizeof *values));
    FB_TRY(be->m->upload(&ctx, be, means_on, means, 2 * sizeof *means));
    FB_TRY(fb_exchange_sum(&ctx, be, comm, on, 5));
    FB_TRY(fb_exchange_mean(&ctx, be, comm, means_on, 2));
    FB_TRY(fetch(be, values, on, 5));
    FB_TRY(fetch(be, means, means_on, 2));
    be->m->free(be, on);
    return FB_OK;
}

static void sum_rank(const fb_comm *comm, void *self)
{
    sums *s = self;
    fb_context ctx = {0};
    fb_backend *be = NULL;
    s->status[comm->rank] = test_backend_create(&ctx, &be, s->backend, "f32", 1);
    if (be)
        s->status[comm->rank] = sum(be, comm, s);
    fb_backend_free(be);
}

static void gradients_are_summed_and_statistics_averaged(void **state)
{
    static sums s;
    s.backend = *state;
    comm_threads *group = comm_threads_create(RANKS);
    assert_non_null(group);
    comm_threads_run(group, sum_rank, &s);
    comm_threads_free(group);
    for (int r = 0; r < RANKS; r++) {
        assert_int_equal(s.status[r], FB_OK);
        for (int i = 0; i < 5; i++)
            assert_true(s.values[r][i] == (float)(i * 20 + 1));
        assert_true(s.means[r][0] == 2 && s.means[r][1] == 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_processes_are_one_with_all_rows),
        cmocka_unit_test(gradients_are_summed_and_statistics_averaged),
    };
    return RUN_ON_BOTH(tests);
}
