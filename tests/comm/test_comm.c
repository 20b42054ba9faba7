/* test_comm.c - the communicator: alone nothing changes; among threads every rank ends
 * up with the same sums, rows and broadcast bytes, whatever its rank. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "support/comm_threads.h"

enum { RANKS = 3, COUNT = 5, ROWS = 2, WIDTH = 4 };

static void alone_changes_nothing(void **state)
{
    (void)state;
    fb_context ctx = {0};
    const fb_comm *c = fb_comm_alone();
    float f[COUNT] = {1, 2, 3, 4, 5};
    double d[COUNT] = {1, 2, 3, 4, 5};
    float rows[ROWS * WIDTH] = {1, 2, 3, 4, 5, 6, 7, 8}, all[ROWS * WIDTH] = {0};
    assert_int_equal(c->rank, 0);
    assert_int_equal(c->size, 1);
    assert_true(fb_comm_writes(c));
    assert_int_equal(fb_comm_sum_f32(&ctx, c, f, COUNT), FB_OK);
    assert_int_equal(fb_comm_sum_f64(&ctx, c, d, COUNT), FB_OK);
    for (int i = 0; i < COUNT; i++) {
        assert_true(f[i] == (float)(i + 1));
        assert_true(d[i] == (double)(i + 1));
    }
    assert_int_equal(
        fb_comm_gather_rows(&ctx, c, all, rows, ROWS, WIDTH * sizeof(float)), FB_OK);
    assert_memory_equal(all, rows, sizeof rows);
    assert_int_equal(fb_comm_gather_rows(&ctx, c, all, all, ROWS, sizeof(float)),
                     FB_OK);
    assert_int_equal(fb_comm_broadcast(&ctx, c, rows, sizeof rows, 0), FB_OK);
    assert_memory_equal(all, rows, sizeof rows);
    assert_int_equal(fb_comm_barrier(&ctx, c), FB_OK);
}

/* cmocka's assertions jump, which a second thread must not: ranks write, the test
 * looks. */
typedef struct seen {
    fb_status status[RANKS];
    bool writes[RANKS];
    float f[RANKS][COUNT];
    double d[RANKS][COUNT];
    float all[RANKS][RANKS * ROWS * WIDTH];
    char word[RANKS][8];
} seen;

static fb_status speak(const fb_comm *c, seen *s)
{
    fb_context ctx = {0};
    int32_t r = c->rank;
    float own[ROWS * WIDTH];
    s->writes[r] = fb_comm_writes(c);
    for (int i = 0; i < COUNT; i++) {
        s->f[r][i] = (float)(i + 1) * (float)(r + 1);
        s->d[r][i] = (i + 1) * 0.5 * (r + 1);
    }
    for (int i = 0; i < ROWS * WIDTH; i++)
        own[i] = (float)(r * 100 + i);
    memcpy(s->word[r], r == 1 ? "middle" : "other", 7 - (r != 1));
    FB_TRY(fb_comm_sum_f32(&ctx, c, s->f[r], COUNT));
    FB_TRY(fb_comm_sum_f64(&ctx, c, s->d[r], COUNT));
    FB_TRY(fb_comm_gather_rows(&ctx, c, s->all[r], own, ROWS, WIDTH * sizeof(float)));
    FB_TRY(fb_comm_broadcast(&ctx, c, s->word[r], sizeof s->word[r], 1));
    return fb_comm_barrier(&ctx, c);
}

static void rank_speaks(const fb_comm *c, void *self)
{
    seen *s = self;
    s->status[c->rank] = speak(c, s);
}

static void ranks_end_up_alike(void **state)
{
    (void)state;
    static seen s;
    comm_threads *group = comm_threads_create(RANKS);
    assert_non_null(group);
    comm_threads_run(group, rank_speaks, &s);
    comm_threads_free(group);
    for (int r = 0; r < RANKS; r++) {
        assert_int_equal(s.status[r], FB_OK);
        assert_true(s.writes[r] == (r == 0));
        for (int i = 0; i < COUNT; i++) {
            assert_true(s.f[r][i] == (float)(6 * (i + 1)));
            assert_true(s.d[r][i] == 3.0 * (i + 1));
        }
        for (int i = 0; i < RANKS * ROWS * WIDTH; i++)
            assert_true(s.all[r][i] ==
                        (float)(i / (ROWS * WIDTH) * 100 + i % (ROWS * WIDTH)));
        assert_string_equal(s.word[r], "middle");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_changes_nothing),
        cmocka_unit_test(ranks_end_up_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
