/* test_format_choice.c - f32 or bf16 by rates; the trial with made-up formats and a clock
 * that they turn; what is remembered of a machine, and files that are not to be trusted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "base/cache_folder.h"
#include "base/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- choosing ---------------------------------------------------------------------- */

static void the_faster_is_taken(void **state)
{
    (void)state;
    assert_int_equal(
        fb_format_choose(&(fb_format_rates){.f32 = 2.83e11, .bf16 = 1.55e11}), FB_F32);
    assert_int_equal(fb_format_choose(&(fb_format_rates){.f32 = 4e11, .bf16 = 9.7e11}),
                     FB_BF16);
    assert_int_equal(fb_format_choose(&(fb_format_rates){.f32 = 4e11, .bf16 = 4e11}),
                     FB_F32);
    assert_int_equal(fb_format_choose(&(fb_format_rates){.f32 = 0, .bf16 = 0}), FB_F32);
    assert_int_equal(
        fb_format_choose(&(fb_format_rates){.f32 = 1, .bf16 = (double)NAN}), FB_F32);
}

/* ---- measuring --------------------------------------------------------------------- */

static double now_s; /* the tests' own clock */

static double turned_clock(void)
{
    return now_s;
}

typedef struct format {
    const double *rates; /* of its trials, the last one again and again */
    int32_t count, tried;
    double takes_s;
    fb_status status;
} format;

static fb_status try_format(void *self, fb_context *ctx, double *flop_per_s)
{
    format *f = self;
    int32_t place = f->tried < f->count ? f->tried : f->count - 1;
    f->tried++;
    now_s += f->takes_s;
    *flop_per_s = f->rates[place];
    return f->status == FB_OK ? FB_OK : fb_fail(ctx, f->status, "no such format");
}

static fb_status measure(format *f32, format *bf16, double most_s,
                         fb_format_rates *rates)
{
    const fb_format_trial a = {f32, try_format}, b = {bf16, try_format};
    now_s = 100;
    return fb_format_measure(NULL, &a, &b, turned_clock, most_s, rates);
}

static void each_counts_with_its_best_turn(void **state)
{
    (void)state;
    static const double busy[] = {1, 5, 3}, even[] = {4, 4, 4};
    format f32 = {busy, 3, 0, 0.01, FB_OK}, bf16 = {even, 3, 0, 0.01, FB_OK};
    fb_format_rates rates;
    assert_int_equal(measure(&f32, &bf16, 0.06001, &rates), FB_OK);
    assert_int_equal(f32.tried, 3);
    assert_int_equal(bf16.tried, 3);
    assert_true(rates.f32 == 5 && rates.bf16 == 4);
}

static void the_time_is_kept(void **state)
{
    (void)state;
    static const double one[] = {1};
    for (double takes_s = 0.001; takes_s < 1; takes_s *= 3) {
        format f32 = {one, 1, 0, takes_s, FB_OK},
               bf16 = {one, 1, 0, takes_s / 2, FB_OK};
        fb_format_rates rates;
        assert_int_equal(measure(&f32, &bf16, 0.15, &rates), FB_OK);
        assert_int_equal(f32.tried, bf16.tried);
        assert_true(f32.tried == 1 || now_s - 100 <= 0.15 + 1e-9);
    }
    format f32 = {one, 1, 0, 0, FB_OK}, bf16 = {one, 1, 0, 0, FB_OK};
    fb_format_rates rates; /* a clock that stands ends it, too */
    assert_int_equal(measure(&f32, &bf16, 0.15, &rates), FB_OK);
    assert_int_equal(f32.tried, 1);
}

static void a_trial_that_fails_leaves_no_rates(void **state)
{
    (void)state;
    static const double one[] = {1};
    format f32 = {one, 1, 0, 0.1, FB_OK}, bf16 = {one, 1, 0, 0.1, FB_E_BACKEND};
    fb_format_rates rates = {7, 8};
    assert_int_equal(measure(&f32, &bf16, 1, &rates), FB_E_BACKEND);
    assert_true(rates.f32 == 7 && rates.bf16 == 8);
}

/* ---- remembering ------------------------------------------------------------------- */

typedef struct place {
    char root[64], folder[128], file[256];
} place;

static int make_place(void **state)
{
    place *p = calloc(1, sizeof *p);
    strcpy(p->root, "/tmp/fb_test_format_XXXXXX");
    if (!mkdtemp(p->root))
        return -1;
    snprintf(p->folder, sizeof p->folder, "%s/a/b", p->root);
    *state = p;
    return 0;
}

static int remove_place(void **state)
{
    place *p = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", p->root);
    int removed = system(command);
    free(p);
    return removed;
}

static const char *const MACHINE = "a \"processor\", 2 threads";

static void find_file(place *p)
{
    char command[512];
    snprintf(command, sizeof command, "ls %s/format-*.json", p->folder);
    FILE *list = popen(command, "r");
    assert_non_null(list);
    assert_non_null(fgets(p->file, sizeof p->file, list));
    assert_int_equal(pclose(list), 0);
    p->file[strcspn(p->file, "\n")] = 0;
}

static void rates_come_back(void **state)
{
    place *p = *state;
    const fb_format_rates kept = {2.5e11, 1.25e11};
    fb_format_rates read = {0, 0};
    assert_false(fb_format_recall(p->folder, MACHINE, &read));
    fb_format_remember(p->folder, MACHINE, &kept);
    assert_false(fb_format_recall(p->folder, "another", &read));
    assert_true(fb_format_recall(p->folder, MACHINE, &read));
    assert_true(read.f32 == kept.f32 && read.bf16 == kept.bf16);
}

static void a_broken_or_foreign_file_is_none_and_is_replaced(void **state)
{
    place *p = *state;
    static const char *const wrong[] = {
        "",
        "{",
        "[]",
        "{\"machine\": \"another\", \"f32\": 2e11, \"bf16\": 1e11}",
        "{\"machine\": \"a \\\"processor\\\", 2 threads\", \"f32\": 2e11}",
        "{\"machine\": \"a \\\"processor\\\", 2 threads\", \"f32\": 0, \"bf16\": 1e11}",
        "{\"machine\": \"a \\\"processor\\\", 2 threads\", \"f32\": -1, \"bf16\": "
        "1e11}",
        "{\"machine\": \"a \\\"processor\\\", 2 threads\", \"f32\": \"x\", \"bf16\": "
        "1e11}",
        "{\"machine\": \"a \\\"processor\\\", 2 threads\", \"f32\": 1e30, \"bf16\": "
        "1e11}",
        "{\"machine\": 5, \"f32\": 1e11, \"bf16\": 1e11}",
    };
    const fb_format_rates kept = {2.5e11, 1.25e11};
    fb_format_remember(p->folder, MACHINE, &kept);
    find_file(p);
    for (size_t i = 0; i <= sizeof wrong / sizeof wrong[0]; i++) {
        fb_format_rates read = {7, 8};
        char *large = calloc(1, 100001);
        memset(large, ' ', 100000);
        const char *text = i < sizeof wrong / sizeof wrong[0] ? wrong[i] : large;
        assert_int_equal(fb_file_write(NULL, p->file, text, strlen(text)), FB_OK);
        free(large);
        if (fb_format_recall(p->folder, MACHINE, &read))
            fail_msg("file %zu was taken", i);
        assert_true(read.f32 == 7 && read.bf16 == 8);
        fb_format_remember(p->folder, MACHINE, &kept);
        assert_true(fb_format_recall(p->folder, MACHINE, &read));
    }
}

static void where_nothing_can_be_written_nothing_is_said(void **state)
{
    place *p = *state;
    const fb_format_rates kept = {2.5e11, 1.25e11};
    fb_format_rates read;
    char folder[256];
    snprintf(folder, sizeof folder, "%s/file", p->root);
    assert_int_equal(fb_file_write(NULL, folder, "x", 1), FB_OK);
    snprintf(folder, sizeof folder, "%s/file/below", p->root);
    fb_format_remember(folder, MACHINE, &kept);
    assert_false(fb_format_recall(folder, MACHINE, &read));
    fb_format_remember("/proc/fashionbert", MACHINE, &kept);
    assert_false(fb_format_recall("/proc/fashionbert", MACHINE, &read));
}

static void the_cache_folder_is_where_xdg_says(void **state)
{
    (void)state;
    char out[4096], *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    xdg = xdg ? strdup(xdg) : NULL;
    home = home ? strdup(home) : NULL;
    setenv("XDG_CACHE_HOME", "/x/y", 1);
    setenv("HOME", "/home/me", 1);
    assert_true(fb_cache_folder(out));
    assert_string_equal(out, "/x/y/fashionbert");
    static const char *const ignored[] = {"", "relative/path"};
    for (int i = 0; i < 2; i++) {
        setenv("XDG_CACHE_HOME", ignored[i], 1);
        assert_true(fb_cache_folder(out));
        assert_string_equal(out, "/home/me/.cache/fashionbert");
    }
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    assert_false(fb_cache_folder(out));
    if (xdg)
        setenv("XDG_CACHE_HOME", xdg, 1);
    if (home)
        setenv("HOME", home, 1);
    free(xdg);
    free(home);
}

/* ---- of this machine ---------------------------------------------------------------- */

/* What "auto" is can only be said by the rates it goes by. */
static void auto_is_what_its_rates_say(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    for (int32_t threads = 1; threads <= 2; threads++) {
        fb_backend *be;
        char text[FB_BACKEND_TEXT], wanted[32];
        assert_int_equal(fb_backend_create(ctx, &be, "cpu", "auto", threads), FB_OK);
        assert_int_equal(be->dtype, fb_format_choose(&be->rates));
        assert_int_equal(be->rates.f32 > 0, fb_backend_cpu_has_bf16());
        assert_int_equal(be->rates.bf16 > 0, fb_backend_cpu_has_bf16());
        fb_backend_describe(be, text);
        snprintf(wanted, sizeof wanted, "%s on %d thread%s", fb_dtype_name(be->dtype),
                 (int)threads, threads == 1 ? "" : "s");
        assert_int_equal(strncmp(text, wanted, strlen(wanted)), 0);
        fb_backend_free(be);
    }
    fb_context_free(ctx);
}

static void the_line_names_both_rates(void **state)
{
    (void)state;
    char text[FB_BACKEND_TEXT];
    const fb_backend be = {
        .dtype = FB_F32, .threads = 2, .rates = {.f32 = 2.83e11, .bf16 = 1.55e11}};
    fb_backend_describe(&be, text);
    assert_string_equal(text,
                        "f32 on 2 threads (0.283 TFLOP/s of products; bf16 0.155)");
}

#define IN_A_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_faster_is_taken),
        cmocka_unit_test(each_counts_with_its_best_turn),
        cmocka_unit_test(the_time_is_kept),
        cmocka_unit_test(a_trial_that_fails_leaves_no_rates),
        IN_A_PLACE(rates_come_back),
        IN_A_PLACE(a_broken_or_foreign_file_is_none_and_is_replaced),
        IN_A_PLACE(where_nothing_can_be_written_nothing_is_said),
        cmocka_unit_test(the_cache_folder_is_where_xdg_says),
        cmocka_unit_test(auto_is_what_its_rates_say),
        cmocka_unit_test(the_line_names_both_rates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
