/* test_table.c - tables as printed: alignment, wide characters, hostile text. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/table.h"

/* What a table of a text and a number column prints. */
static char *print(const char *const *names, const double *numbers, int count)
{
    char *text = NULL;
    size_t size;
    fb_table *table = fb_table_create("<name|>R@1");
    for (int i = 0; i < count; i++) {
        fb_table_text(table, names[i]);
        fb_table_number(table, numbers[i], 2);
    }
    FILE *stream = open_memstream(&text, &size);
    assert_non_null(stream);
    assert_int_equal(fb_table_print(NULL, table, stream), FB_OK);
    fclose(stream);
    fb_table_free(table);
    return text;
}

static void columns_line_up(void **state)
{
    (void)state;
    char *text =
        print((const char *const[]){"Chairs", "Bed"}, (const double[]){0.5, 10}, 2);
    assert_string_equal(text, "name      R@1\n"
                              "Chairs   0.50\n"
                              "Bed     10.00\n");
    free(text);
}

static void wide_characters_take_two_columns(void **state)
{
    (void)state;
    char *text =
        print((const char *const[]){"椅子", "Chairs"}, (const double[]){1, 1}, 2);
    assert_string_equal(text, "name     R@1\n"
                              "椅子    1.00\n"
                              "Chairs  1.00\n");
    free(text);
}

static void control_characters_and_broken_utf8_are_replaced(void **state)
{
    (void)state;
    char *text = print((const char *const[]){"a\033[2J\nb\xff\xe2\x80\xae"},
                       (const double[]){1}, 1);
    assert_non_null(strstr(text, "a?[2J?b\xef\xbf\xbd?  1.00\n"));
    free(text);
}

static void nan_is_a_dash(void **state)
{
    (void)state;
    char *text = print((const char *const[]){"a"}, (const double[]){(double)NAN}, 1);
    assert_string_equal(text, "name  R@1\na       -\n");
    free(text);
}

static void long_text_is_cut_at_a_whole_character(void **state)
{
    (void)state;
    char *name = malloc(3001);
    assert_non_null(name);
    for (size_t i = 0; i < 1000; i++)
        memcpy(name + 3 * i, "椅", 4);
    char *text = print((const char *const[]){name}, (const double[]){1}, 1);
    char *cell = strchr(text, '\n') + 1;
    size_t bytes = strcspn(cell, " ");
    assert_true(bytes > 400 && bytes < 512);
    assert_int_equal(bytes % 3, 0);
    free(text);
    free(name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_line_up),
        cmocka_unit_test(wide_characters_take_two_columns),
        cmocka_unit_test(control_characters_and_broken_utf8_are_replaced),
        cmocka_unit_test(nan_is_a_dash),
        cmocka_unit_test(long_text_is_cut_at_a_whole_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
