/* test_progress.c - the progress line on a made-up terminal, and its silence elsewhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/progress.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* What was written to write_end, up to a mark put behind it: a terminal hands over what
 * it was given when it likes, so a read that does not wait may come too early. */
static ssize_t read_to_end_mark(int write_end, int read_end, char *out, size_t size)
{
    size_t got = 0;
    assert_int_equal(write(write_end, "\x01", 1), 1);
    while (got < size - 1 && (got == 0 || out[got - 1] != '\x01')) {
        ssize_t more = read(read_end, out + got, size - 1 - got);
        assert_true(more > 0);
        got += (size_t)more;
    }
    assert_true(got > 0 && out[got - 1] == '\x01');
    out[got - 1] = 0;
    return (ssize_t)got - 1;
}

/* Progress with stderr on a terminal of `columns`, or on a pipe for 0; what it wrote.
 */
static ssize_t draw(int columns, bool quiet, char *out, size_t size)
{
    int read_end, write_end, both[2];
    if (columns > 0) {
        read_end = posix_openpt(O_RDWR | O_NOCTTY);
        if (read_end < 0) {
            print_message("skipped: no pseudo-terminal can be had here (/dev/pts)\n");
            skip();
        }
        assert_true(read_end >= 0 && grantpt(read_end) == 0 && unlockpt(read_end) == 0);
        write_end = open(ptsname(read_end), O_RDWR | O_NOCTTY);
        struct winsize window = {.ws_row = 24, .ws_col = (unsigned short)columns};
        assert_int_equal(ioctl(write_end, TIOCSWINSZ, &window), 0);
    } else {
        assert_int_equal(pipe(both), 0);
        read_end = both[0];
        write_end = both[1];
    }
    fflush(stderr);
    int kept = dup(STDERR_FILENO);
    dup2(write_end, STDERR_FILENO);
    fb_progress p;
    fb_progress_begin(&p, "train", "pairs", 10, 20, quiet);
    fb_progress_update(&p, 15, 2, "r\xc3\xb6t \xe7\xb4\x85 loss 1.25");
    fb_progress_update(&p, 16, 2, "too soon");
    fb_progress_end(&p);
    dup2(kept, STDERR_FILENO);
    close(kept);
    ssize_t got = read_to_end_mark(write_end, read_end, out, size);
    close(write_end);
    close(read_end);
    return got;
}

static void terminal_sees_bar_count_and_text(void **state)
{
    (void)state;
    char out[2000];
    assert_true(draw(200, false, out, sizeof out) > 0);
    assert_non_null(strstr(out, "train [###############.....] 15/20  75%"));
    assert_non_null(strstr(out, "pairs/s"));
    assert_non_null(strstr(out, "loss 1.25"));
    assert_null(strstr(out, "too soon"));
}

static void line_is_cut_to_the_terminal(void **state)
{
    (void)state;
    char out[2000];
    assert_true(draw(20, false, out, sizeof out) > 0);
    assert_string_equal(out, "\rtrain [############\033[K\r\033[K");
}

static void nothing_is_drawn_on_a_pipe_or_when_quiet(void **state)
{
    (void)state;
    char out[2000];
    assert_true(draw(0, false, out, sizeof out) <= 0);
    assert_true(draw(80, true, out, sizeof out) <= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terminal_sees_bar_count_and_text),
        cmocka_unit_test(line_is_cut_to_the_terminal),
        cmocka_unit_test(nothing_is_drawn_on_a_pipe_or_when_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
