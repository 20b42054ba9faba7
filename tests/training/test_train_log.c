/* test_train_log.c - the log, the terminal line and the report show what they are given:
 * measures of a system that no source file names.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "training/train_log.h"
#include "training/train_report.h"

#define assert_near(a, b) assert_true(fabs((a) - (b)) <= 1e-12)

/* A made-up system: two losses, one of them absent, a share with its chance, a figure. */
static fb_measures made_up(double hinge)
{
    fb_measures m = {.total = hinge / 2};
    fb_measures_put_loss(&m, "zipper", FB_MEASURE_WEIGHED, 0, 0, 0);
    fb_measures_put_loss(&m, "hinge", FB_MEASURE_WEIGHED | FB_MEASURE_DECIDES, hinge,
                         0.5, 4);
    fb_measures_put_share(&m, "hook_share", FB_MEASURE_HEADLINE, 3, 4, 1);
    fb_measures_put_share(&m, "seam", 0, 1, 4, 2);
    return m;
}

static fb_train_line line_of(double hinge)
{
    fb_train_line line = {.step = 7,
                          .epoch = 0.5,
                          .lr = 0.25,
                          .gradient_norm = 2,
                          .fallbacks = 1,
                          .wait_s = 0.5,
                          .pairs_per_s = 16,
                          .measures = made_up(hinge),
                          .validated = true,
                          .validation = made_up(8)};
    fb_measures_put_figure(&line.validation, "depth", 0.125);
    return line;
}

/* The bytes of the only file in folder whose name begins so; free() them. */
static char *read_events(const char *folder, size_t *size_bytes)
{
    char command[256];
    snprintf(command, sizeof command, "cat %s/events.out.tfevents.*", folder);
    FILE *pipe = popen(command, "r");
    char *text = calloc(1, 1 << 16);
    assert_non_null(pipe);
    *size_bytes = fread(text, 1, (1 << 16) - 1, pipe);
    pclose(pipe);
    return text;
}

static bool holds(const char *bytes, size_t size_bytes, const char *word)
{
    return memmem(bytes, size_bytes, word, strlen(word)) != NULL;
}

static void log_line_has_the_measures_in_their_order(void **state)
{
    (void)state;
    const char want[] =
        "{\"step\": 7, \"epoch\": 0.5, \"loss\": 1, \"zipper\": null, \"hinge\": 2, "
        "\"hook_share\": 0.75, \"chance\": 0.25, \"seam\": 0.25, \"chance_seam\": 0.5, "
        "\"weight_zipper\": 0, \"weight_hinge\": 0.5, \"lr\": 0.25, "
        "\"gradient_norm\": 2, \"fallback_negatives\": 1, \"val_zipper\": null, "
        "\"val_hinge\": 8, \"val_hook_share\": 0.75, \"val_chance\": 0.25, "
        "\"val_seam\": 0.25, \"val_chance_seam\": 0.5, \"val_depth\": 0.125, "
        "\"wait_ms\": 500, \"pairs_per_s\": 16}\n";
    char folder[] = "/tmp/fb_train_log_XXXXXX", path[4096], got[1024] = "";
    fb_context *ctx = fb_context_create();
    fb_train_log *log;
    fb_train_line line = line_of(2);
    int64_t bytes;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(fb_train_log_open(ctx, &log, folder, 0), FB_OK);
    assert_int_equal(fb_train_log_write(ctx, log, &line), FB_OK);
    assert_int_equal(fb_train_log_sync(ctx, log, &bytes), FB_OK);
    fb_train_log_close(log);
    assert_int_equal(fb_path_join(ctx, path, folder, "log.jsonl"), FB_OK);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fread(got, 1, sizeof got - 1, f), bytes);
    fclose(f);
    assert_string_equal(got, want);

    size_t size;
    char *events = read_events(folder, &size);
    assert_true(holds(events, size, "train/hinge"));
    assert_true(holds(events, size, "weight/hinge"));
    assert_true(holds(events, size, "train/hook_share"));
    assert_true(holds(events, size, "val/depth"));
    assert_true(holds(events, size, "train/loss"));
    assert_false(holds(events, size, "zipper"));
    free(events);
    assert_int_equal(fb_folder_remove(ctx, folder), FB_OK);
    fb_context_free(ctx);
}

static void terminal_line_has_what_is_present(void **state)
{
    (void)state;
    char text[256], small[24];
    fb_train_line line = line_of(2);
    fb_train_line_describe(&line, text, sizeof text);
    assert_string_equal(text, "loss 1.000  hinge 2.000 x 0.50  chance 0.250  chance "
                              "0.500  accuracy 0.75");
    fb_train_line_describe(&line, small, sizeof small);
    assert_string_equal(small, "loss 1.000  hinge 2.000");
    line.measures = (fb_measures){.total = 3};
    fb_measures_put_loss(&line.measures, "only", FB_MEASURE_IS_TOTAL, 3, 1, 1);
    fb_train_line_describe(&line, text, sizeof text);
    assert_string_equal(text, "loss 3.000  accuracy 0.00");
}

/* ---- the report ------------------------------------------------------------------ */

static const fb_train_measure *measure(const fb_train_report *report, const char *name)
{
    for (int32_t i = 0; i < report->measure_count; i++)
        if (strcmp(report->measures[i].name, name) == 0)
            return &report->measures[i];
    fail_msg("the report has no %s", name);
    return NULL;
}

static void report_has_means_of_the_last_100_steps(void **state)
{
    (void)state;
    static const char *const own[] = {"hinge", "pocket", NULL};
    fb_train_means *means = calloc(1, sizeof *means);
    fb_train_report report = {0};
    for (int i = 1; i <= 150; i++) {
        fb_measures m = made_up(i);
        fb_train_means_add(means, &m);
    }
    fb_train_means_report(means, own, &report);
    assert_near(report.loss, 50.25); /* of 51 to 150, halved */
    assert_near(measure(&report, "hinge")->mean, 100.5);
    assert_true(measure(&report, "hinge")->shown);
    assert_true(measure(&report, "pocket")->shown); /* its own, never there */
    assert_true(isnan(measure(&report, "pocket")->mean));
    assert_false(measure(&report, "zipper")->shown); /* absent, not its own */
    assert_false(measure(&report, "selfie")->shown); /* another system's */
    assert_string_equal(report.accuracy, "hook_share");
    assert_near(report.chance, 0.25);
    for (int32_t i = 0; i < report.measure_count; i++)
        assert_string_not_equal(report.measures[i].name, "hook_share");
    free(means);
}

static void step_without_a_loss_counts_as_0(void **state)
{
    (void)state;
    static const char *const own[] = {"hinge", NULL};
    fb_train_means *means = calloc(1, sizeof *means);
    fb_train_report report = {0};
    for (int i = 0; i < 150; i++) {
        fb_measures m = {.total = 1};
        if (i % 2)
            m = made_up(6);
        fb_train_means_add(means, &m);
    }
    fb_train_means_report(means, own, &report);
    assert_near(measure(&report, "hinge")->mean, 3);
    free(means);
}

static void report_of_no_step_has_no_numbers(void **state)
{
    (void)state;
    static const char *const own[] = {"hinge", NULL};
    fb_train_means *means = calloc(1, sizeof *means);
    fb_train_report report = {0};
    fb_train_means_report(means, own, &report);
    assert_true(isnan(report.loss) && report.chance == 0);
    assert_true(isnan(measure(&report, "hinge")->mean));
    assert_string_equal(report.accuracy, "accuracy");
    free(means);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_line_has_the_measures_in_their_order),
        cmocka_unit_test(terminal_line_has_what_is_present),
        cmocka_unit_test(report_has_means_of_the_last_100_steps),
        cmocka_unit_test(step_without_a_loss_counts_as_0),
        cmocka_unit_test(report_of_no_step_has_no_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
