/* test_memory_stream.c - what is written is there, and a failure is told however far
 * from the end it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory_stream.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static void all_of_it_is_there(void **state)
{
    (void)state;
    char *bytes;
    size_t size;
    FILE *stream = fb_memory_open(&bytes, &size);
    assert_non_null(stream);
    for (int i = 0; i < 100000; i++)
        fprintf(stream, "%05d", i);
    assert_int_equal(fflush(stream), 0);
    assert_int_equal(size, 500000);
    fputc(0, stream);
    fputs("end", stream);
    assert_true(fb_memory_close(stream, &bytes));
    assert_int_equal(size, 500004);
    assert_memory_equal(bytes + 499990, "9999899999\0end", 15);
    free(bytes);
}

static void nothing_written_is_an_empty_text(void **state)
{
    (void)state;
    char *bytes;
    size_t size;
    assert_true(fb_memory_close(fb_memory_open(&bytes, &size), &bytes));
    assert_int_equal(size, 0);
    assert_string_equal(bytes, "");
    free(bytes);
    assert_false(fb_memory_close(NULL, &bytes));
}

/* One piece too large for the address space, small ones before and behind it. */
static void a_piece_that_did_not_fit_is_told_at_the_end(void **state)
{
    (void)state;
    const size_t large = (size_t)256 << 20;
    struct rlimit before, less;
    char *bytes, *piece = calloc(1, large);
    size_t size;
    assert_non_null(piece);
    FILE *stream = fb_memory_open(&bytes, &size);
    assert_non_null(stream);
    fputs("before", stream);
    fflush(stream);
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    less = before;
    less.rlim_cur = large + large / 2;
    if (setrlimit(RLIMIT_AS, &less) != 0)
        skip();
    size_t wrote = fwrite(piece, 1, large, stream);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    free(piece);
    assert_true(wrote < large);
    fputs("behind", stream);
    assert_false(fb_memory_close(stream, &bytes));
    assert_null(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it_is_there),
        cmocka_unit_test(nothing_written_is_an_empty_text),
        cmocka_unit_test(a_piece_that_did_not_fit_is_told_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
