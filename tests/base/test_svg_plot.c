/* test_svg_plot.c - plots are well-formed XML whatever they are asked to show, and put
 * their points where they belong. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/number_text.h"
#include "base/svg_plot.h"

/* Inlined, GCC takes what the stream wrote for the stream's own variable. */
__attribute__((noinline)) static char *draw(const fb_svg_plot *plot)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    fb_svg_plot_write(out, plot);
    assert_int_equal(fclose(out), 0);
    return text;
}

/* One tag from its "<": the place behind it. Open elements go onto the stack. */
static const char *read_tag(const char *at, char stack[32][32], int *depth)
{
    char name[32] = "";
    int length = 0;
    bool closing = at[1] == '/', quoted = false;
    const char *c = at + 1 + closing;
    while (*c && !strchr(" />\n", *c) && length < 31)
        name[length++] = *c++;
    name[length] = 0;
    assert_true(length > 0);
    for (; *c && (quoted || *c != '>'); c++) {
        assert_true(*c != '<'); /* not within a value either */
        if (*c == '"')
            quoted = !quoted;
        if (*c == '=' && !quoted)
            assert_true(c[1] == '"');
    }
    assert_true(*c == '>' && !quoted);
    if (closing) {
        assert_true(*depth > 0);
        assert_string_equal(stack[--*depth], name);
    } else if (c[-1] != '/') {
        assert_true(*depth < 32);
        strcpy(stack[(*depth)++], name);
    }
    return c + 1;
}

static void assert_well_formed(const char *text)
{
    static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    char stack[32][32];
    int depth = 0;
    while (*text) {
        if (*text == '<') {
            text = read_tag(text, stack, &depth);
            continue;
        }
        bool known = *text != '&';
        for (size_t i = 0; i < sizeof entities / sizeof entities[0]; i++)
            known = known || strncmp(text, entities[i], strlen(entities[i])) == 0;
        assert_true(known);
        text++;
    }
    assert_int_equal(depth, 0);
}

static int32_t count(const char *text, const char *what)
{
    int32_t n = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what))
        n++;
    return n;
}

static void outside_text_stays_text(void **state)
{
    (void)state;
    const double x[] = {10, 1000}, y[] = {0.25, 0.75};
    const fb_svg_series series = {
        .name = "<b>&\"'</b>", .x = x, .y = y, .count = 2, .named = true};
    for (int kind = 0; kind < 4; kind++) {
        const fb_svg_plot plot = {.title = "</title><script>",
                                  .x_label = "a < b & c",
                                  .y_label = "\"quoted\"",
                                  .log_x = kind & 1,
                                  .lines = kind & 2,
                                  .series = &series,
                                  .series_count = 1};
        char *text = draw(&plot);
        assert_well_formed(text);
        assert_null(strstr(text, "<script"));
        assert_null(strstr(text, "<b>"));
        assert_non_null(strstr(text, "&lt;b&gt;&amp;&quot;&#39;&lt;/b&gt;"));
        free(text);
    }
}

/* Above 0 on a logarithmic axis and finite, or not there. */
static void points_that_have_no_place_are_left_out(void **state)
{
    (void)state;
    const double x[] = {0, 10, NAN, 100, 1000, -5}, y[] = {1, 2, 3, INFINITY, 4, 5};
    const double low[] = {1, NAN, 3, 4, 3.5, 5}, high[] = {1, 3, 3, 4, 4.5, 5};
    const fb_svg_series series = {
        .name = "s", .x = x, .y = y, .low = low, .high = high, .count = 6};
    const fb_svg_plot plot = {.title = "t",
                              .x_label = "x",
                              .y_label = "y",
                              .log_x = true,
                              .series = &series,
                              .series_count = 1};
    char *text = draw(&plot);
    assert_well_formed(text);
    assert_int_equal(count(text, "<circle"), 2);
    assert_int_equal(count(text, "class=\"bar"), 1);
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    free(text);
}

static void nothing_to_show_says_so(void **state)
{
    (void)state;
    const double x[] = {NAN}, y[] = {1};
    const fb_svg_series series = {.name = "s", .x = x, .y = y, .count = 1};
    fb_svg_plot plot = {.title = "costs & more", .x_label = "x", .y_label = "y"};
    for (int32_t n = 0; n < 2; n++) {
        plot.series = n ? &series : NULL;
        plot.series_count = n;
        char *text = draw(&plot);
        assert_well_formed(text);
        assert_non_null(strstr(text, "costs &amp; more: nothing to show"));
        assert_null(strstr(text, "<svg"));
        free(text);
    }
}

/* The place of the only circle of a colour. */
static void place_of(const char *text, int colour, double *x, double *y)
{
    char sign[48];
    snprintf(sign, sizeof sign, "dot s%d\" cx=\"", colour);
    const char *found = strstr(text, sign);
    assert_non_null(found);
    char *end;
    *x = fb_number_read(found + strlen(sign), &end);
    assert_memory_equal(end, "\" cy=\"", 6);
    *y = fb_number_read(end + 6, &end);
    assert_int_equal(*end, '"');
}

static void points_lie_where_their_numbers_say(void **state)
{
    (void)state;
    const double x[] = {1, 10, 100}, y[] = {0.5, 0.25, 0};
    fb_svg_series series[3];
    double cx[3], cy[3];
    for (int32_t i = 0; i < 3; i++)
        series[i] = (fb_svg_series){
            .name = "s", .x = x + i, .y = y + i, .count = 1, .colour = i};
    const fb_svg_plot plot = {.title = "t",
                              .x_label = "x",
                              .y_label = "y",
                              .log_x = true,
                              .series = series,
                              .series_count = 3};
    char *text = draw(&plot);
    assert_well_formed(text);
    for (int i = 0; i < 3; i++)
        place_of(text, i, &cx[i], &cy[i]);
    assert_true(cx[0] < cx[1] && cy[0] < cy[1]);           /* down the page is less */
    assert_true(fabs((cx[0] + cx[2]) / 2 - cx[1]) < 0.11); /* equal steps of log x */
    assert_true(fabs((cy[0] + cy[2]) / 2 - cy[1]) < 0.11);
    free(text);
}

/* Points in one place: their names stand one below the other. */
static void names_do_not_cover_each_other(void **state)
{
    (void)state;
    const double x[] = {10}, y[] = {1};
    static const char *const names[] = {"first", "second", "third"};
    fb_svg_series series[3];
    for (int32_t i = 0; i < 3; i++)
        series[i] = (fb_svg_series){
            .name = names[i], .x = x, .y = y, .count = 1, .colour = i, .named = true};
    const fb_svg_plot plot = {.title = "t",
                              .x_label = "x",
                              .y_label = "y",
                              .series = series,
                              .series_count = 3};
    char *text = draw(&plot);
    double last = -1e9;
    for (int i = 0; i < 3; i++) {
        char end[32];
        snprintf(end, sizeof end, ">%s</text>", names[i]);
        const char *at = strstr(text, end);
        assert_non_null(at);
        while (strncmp(at, "y=\"", 3) != 0)
            at--;
        double place = strtod(at + 3, NULL);
        assert_true(place - last >= 12);
        last = place;
    }
    free(text);
}

/* A single point, equal numbers, and zeros have an axis to lie on. */
static void a_single_number_has_an_axis(void **state)
{
    (void)state;
    const double values[] = {0, 5, -3, 1e-9, 1e12};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        const double pair[] = {values[i], values[i]};
        const fb_svg_series series = {
            .name = "s", .x = pair, .y = pair, .count = 2, .named = true};
        const fb_svg_plot plot = {.title = "t",
                                  .x_label = "x",
                                  .y_label = "y",
                                  .lines = true,
                                  .series = &series,
                                  .series_count = 1};
        char *text = draw(&plot);
        assert_well_formed(text);
        assert_non_null(strstr(text, "<polyline"));
        assert_int_equal(count(text, "<circle"), 2 + 1); /* few points, the legend */
        assert_null(strstr(text, "nan"));
        free(text);
    }
}

static void steps_are_round(void **state)
{
    (void)state;
    assert_true(fabs(fb_svg_step(10, 5) - 2) < 1e-12);
    assert_true(fabs(fb_svg_step(9, 5) - 2) < 1e-12);
    assert_true(fabs(fb_svg_step(0.6, 6) - 0.1) < 1e-12);
    assert_true(fabs(fb_svg_step(21, 6) - 5) < 1e-12);
    assert_true(fabs(fb_svg_step(1e6, 3) - 5e5) < 1e-6);
    for (double span = 1e-6; span < 1e9; span *= 1.7)
        assert_true(span / fb_svg_step(span, 6) <= 6 + 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outside_text_stays_text),
        cmocka_unit_test(points_that_have_no_place_are_left_out),
        cmocka_unit_test(nothing_to_show_says_so),
        cmocka_unit_test(points_lie_where_their_numbers_say),
        cmocka_unit_test(names_do_not_cover_each_other),
        cmocka_unit_test(a_single_number_has_an_axis),
        cmocka_unit_test(steps_are_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
