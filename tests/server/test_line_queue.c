/* test_line_queue.c - lines for a descriptor whose reader may stall: whoever has one goes
 * on at once, what does not fit is counted, closing does not wait for a reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "server/line_queue.h"

static void lines_come_whole_and_in_order(void **state)
{
    (void)state;
    int ends[2];
    fb_context ctx = {0};
    fb_line_queue *q = NULL;
    char line[32], got[2048] = "", wanted[2048] = "";
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fb_line_queue_open(&ctx, &q, ends[1]), FB_OK);
    for (int i = 0; i < 100; i++) {
        snprintf(line, sizeof line, "line %d\n", i);
        assert_true(fb_line_queue_put(q, line, strlen(line)));
        strcat(wanted, line);
    }
    assert_true(fb_line_queue_flush(q, 60));
    assert_int_equal(fb_line_queue_lost(q), 0);
    fb_line_queue_close(q, 60);
    close(ends[1]);
    size_t have = 0;
    for (ssize_t n; (n = read(ends[0], got + have, sizeof got - 1 - have)) > 0;)
        have += (size_t)n;
    assert_string_equal(got, wanted);
    close(ends[0]);
}

/* Nobody reads: a pipe's worth is written, a buffer's worth waits, the rest is counted. */
static void a_stalled_reader_costs_lines_and_no_time(void **state)
{
    (void)state;
    int ends[2];
    fb_context ctx = {0};
    fb_line_queue *q = NULL;
    char line[1024];
    int64_t dropped = 0;
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fb_line_queue_open(&ctx, &q, ends[1]), FB_OK);
    for (int i = 0; i < 8 * FB_LINE_QUEUE_BYTES / (int)sizeof line; i++)
        dropped += !fb_line_queue_put(q, line, sizeof line);
    assert_true(dropped > 0);
    assert_int_equal(fb_line_queue_lost(q), dropped);
    assert_false(fb_line_queue_flush(q, .05));
    fb_line_queue_close(q, .05); /* returns: this test would not end */
    close(ends[0]);
    close(ends[1]);
}

static void a_reader_that_is_gone_is_no_signal(void **state)
{
    (void)state;
    int ends[2];
    fb_context ctx = {0};
    fb_line_queue *q = NULL;
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    assert_int_equal(fb_line_queue_open(&ctx, &q, ends[1]), FB_OK);
    assert_true(fb_line_queue_put(q, "line\n", 5));
    assert_true(fb_line_queue_flush(q, 60));
    assert_int_equal(fb_line_queue_lost(q), 1);
    fb_line_queue_close(q, 60);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_whole_and_in_order),
        cmocka_unit_test(a_stalled_reader_costs_lines_and_no_time),
        cmocka_unit_test(a_reader_that_is_gone_is_no_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
