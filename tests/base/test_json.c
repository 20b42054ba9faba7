/* test_json.c - JSON in, checked and bounded; JSON out, read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/random.h"

#include <math.h>
#include <stdlib.h>

static int make_context(void **state)
{
    *state = fb_context_create();
    return *state ? 0 : -1;
}

static int free_context(void **state)
{
    fb_context_free(*state);
    return 0;
}

static json_t *parse(fb_context *ctx, const char *text)
{
    json_t *value = NULL;
    assert_int_equal(fb_json_parse(ctx, "t", text, strlen(text), &value), FB_OK);
    return value;
}

static void wrong_text_is_refused_with_its_place(void **state)
{
    fb_context *ctx = *state;
    const char *wrong[] = {"",
                           "{",
                           "{\"a\":1,}",
                           "{\"a\":1} x",
                           "[1,2",
                           "{'a':1}",
                           "{\"a\":1,\"a\":2}",
                           "\"\xff\"",
                           "nul",
                           "[1e999]",
                           "\"\\ud800\"",
                           "[01]",
                           "\"\\",
                           "\"\\u0000\"",
                           "[NaN]"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        json_t *value = NULL;
        assert_int_equal(
            fb_json_parse(ctx, "m.jsonl:7", wrong[i], strlen(wrong[i]), &value),
            FB_E_FORMAT);
        assert_null(value);
        assert_non_null(strstr(fb_context_message(ctx), "m.jsonl:7: line 1 column "));
    }
}

static void nesting_is_allowed_to_64_and_no_deeper(void **state)
{
    fb_context *ctx = *state;
    char text[200000];
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    json_t *value = NULL;
    assert_int_equal(fb_json_parse(ctx, "t", text, 128, &value), FB_OK);
    json_decref(value);
    value = NULL;
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    assert_int_equal(fb_json_parse(ctx, "t", text, 130, &value), FB_E_FORMAT);
    memset(text, '[', sizeof text);
    assert_int_equal(fb_json_parse(ctx, "t", text, sizeof text, &value), FB_E_FORMAT);
    assert_null(value);
    char brackets[300] = "\"\\\"";
    memset(brackets + 3, '[', 200);
    strcpy(brackets + 203, "\"");
    json_decref(parse(ctx, brackets)); /* brackets in a string nest nothing */
}

static void members_are_checked_for_type_and_range(void **state)
{
    fb_context *ctx = *state;
    json_t *o =
        parse(ctx, "{\"i\": 5, \"d\": 0.5, \"b\": true, \"s\": \"x\", \"n\": null}");
    int64_t i = -1;
    double d = -1;
    bool b = false;
    const char *s = "unset";
    assert_int_equal(fb_json_get_int(ctx, "c", o, "i", 0, 5, &i), FB_OK);
    assert_int_equal(i, 5);
    assert_int_equal(fb_json_get_int(ctx, "c", o, "i", 6, 9, &i), FB_E_FORMAT);
    assert_string_equal(fb_context_message(ctx),
                        "c: \"i\" must be a whole number from 6 to 9");
    assert_int_equal(fb_json_get_int(ctx, "c", o, "d", 0, 9, &i), FB_E_FORMAT);
    assert_int_equal(fb_json_get_int(ctx, "c", o, "n", 0, 9, &i), FB_E_FORMAT);
    assert_int_equal(i, 5);
    assert_int_equal(fb_json_get_double(ctx, "c", o, "d", 0, 1, &d), FB_OK);
    assert_true(d == 0.5);
    assert_int_equal(fb_json_get_double(ctx, "c", o, "i", 0, 9, &d), FB_OK);
    assert_true(d == 5);
    assert_int_equal(fb_json_get_double(ctx, "c", o, "s", 0, 9, &d), FB_E_FORMAT);
    assert_int_equal(fb_json_get_double(ctx, "c", o, "d", 1, 2, &d), FB_E_FORMAT);
    assert_int_equal(fb_json_get_bool(ctx, "c", o, "b", &b), FB_OK);
    assert_true(b);
    assert_int_equal(fb_json_get_bool(ctx, "c", o, "i", &b), FB_E_FORMAT);
    assert_int_equal(fb_json_get_string(ctx, "c", o, "s", &s), FB_OK);
    assert_string_equal(s, "x");
    assert_int_equal(fb_json_get_string(ctx, "c", o, "i", &s), FB_E_FORMAT);
    json_decref(o);
}

static void absent_member_keeps_the_default(void **state)
{
    fb_context *ctx = *state;
    json_t *o = parse(ctx, "{}");
    int64_t i = 3;
    double d = 4;
    bool b = true;
    const char *s = "default";
    assert_int_equal(fb_json_get_int(ctx, "c", o, "k", 0, 9, &i), FB_OK);
    assert_int_equal(fb_json_get_double(ctx, "c", o, "k", 0, 9, &d), FB_OK);
    assert_int_equal(fb_json_get_bool(ctx, "c", o, "k", &b), FB_OK);
    assert_int_equal(fb_json_get_string(ctx, "c", o, "k", &s), FB_OK);
    assert_int_equal(i, 3);
    assert_true(d == 4);
    assert_true(b);
    assert_string_equal(s, "default");
    json_decref(o);
}

/* What the writer wrote into memory; free() it. */
struct sink {
    char *text;
    size_t size;
    FILE *stream;
    fb_json_writer writer;
};

static void begin(struct sink *s, int32_t indent)
{
    *s = (struct sink){.text = NULL};
    s->stream = open_memstream(&s->text, &s->size);
    fb_json_begin(&s->writer, s->stream, indent);
}

static const char *end(struct sink *s)
{
    fclose(s->stream);
    return s->text;
}

static void write_example(fb_json_writer *w)
{
    fb_json_open_object(w);
    fb_json_key_int(w, "step", 12);
    fb_json_key_double(w, "lr", 1e-4);
    fb_json_key_float(w, "loss", 0.1f);
    fb_json_key_bool(w, "best", true);
    fb_json_key(w, "runs");
    fb_json_open_array(w);
    fb_json_string(w, "a");
    fb_json_open_object(w);
    fb_json_close_object(w);
    fb_json_close_array(w);
    fb_json_close_object(w);
}

static void writer_keeps_commas_and_nesting(void **state)
{
    (void)state;
    struct sink s;
    begin(&s, 0);
    write_example(&s.writer);
    assert_string_equal(end(&s), "{\"step\": 12, \"lr\": 0.0001, \"loss\": 0.1, "
                                 "\"best\": true, \"runs\": [\"a\", {}]}");
    free(s.text);
    begin(&s, 2);
    write_example(&s.writer);
    assert_string_equal(end(&s),
                        "{\n  \"step\": 12,\n  \"lr\": 0.0001,\n  \"loss\": 0.1,\n"
                        "  \"best\": true,\n  \"runs\": [\n    \"a\",\n    {}\n"
                        "  ]\n}");
    free(s.text);
}

static void hostile_strings_are_read_back(void **state)
{
    fb_context *ctx = *state;
    const struct {
        const char *in, *out;
    } cases[] = {{"a\"b\\c\n\t\r\x01\x7f", "a\"b\\c\n\t\r\x01\x7f"},
                 {"\xe7\xb4\x85\xf0\x9f\x91\x97", "\xe7\xb4\x85\xf0\x9f\x91\x97"},
                 {"x\xffy", "x\xef\xbf\xbdy"},
                 {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
                 {"\xc3", "\xef\xbf\xbd"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sink s;
        begin(&s, 0);
        fb_json_string(&s.writer, cases[i].in);
        json_t *value = parse(ctx, end(&s));
        assert_string_equal(json_string_value(value), cases[i].out);
        json_decref(value);
        free(s.text);
    }
}

static void any_number_is_read_back_to_the_bit(void **state)
{
    fb_context *ctx = *state;
    fb_random r = fb_random_start(4, FB_STREAM_TEST, 0);
    for (int i = 0; i < 3000; i++) {
        uint64_t bits = fb_random_next(&r);
        uint32_t half = (uint32_t)bits;
        double d;
        float f;
        memcpy(&d, &bits, sizeof d);
        memcpy(&f, &half, sizeof f);
        struct sink s;
        begin(&s, 0);
        fb_json_open_array(&s.writer);
        fb_json_double(&s.writer, d);
        fb_json_float(&s.writer, f);
        fb_json_close_array(&s.writer);
        json_t *value = parse(ctx, end(&s));
        double d_back = json_number_value(json_array_get(value, 0));
        float f_back = (float)json_number_value(json_array_get(value, 1));
        assert_true(isfinite(d) ? d_back == d : json_is_null(json_array_get(value, 0)));
        assert_true(isfinite(f) ? f_back == f : json_is_null(json_array_get(value, 1)));
        json_decref(value);
        free(s.text);
    }
}

static void numbers_are_short(void **state)
{
    (void)state;
    struct sink s;
    begin(&s, 0);
    fb_json_open_array(&s.writer);
    fb_json_double(&s.writer, 0.1);
    fb_json_double(&s.writer, 100000);
    fb_json_double(&s.writer, -3);
    fb_json_float(&s.writer, 0.3f);
    fb_json_double(&s.writer, -0.0);
    fb_json_double(&s.writer, (double)NAN);
    fb_json_double(&s.writer, (double)INFINITY);
    fb_json_int(&s.writer, INT64_MIN);
    fb_json_close_array(&s.writer);
    assert_string_equal(end(&s),
                        "[0.1, 100000, -3, 0.3, -0, null, null, -9223372036854775808]");
    free(s.text);
}

/* Counted by commas and brackets outside of strings, before anything is made of them. */
static void values_are_counted_before_they_are_made(void **state)
{
    fb_context *ctx = *state;
    json_t *value = NULL;
    static const char few[] = "{\"a\": [1, 2], \"b\": \"[,,,,,\\\"{{{\"}";
    assert_int_equal(fb_json_parse_few(ctx, "x", few, sizeof few - 1, 5, &value),
                     FB_OK);
    json_decref(value);
    value = NULL;
    assert_int_equal(fb_json_parse_few(ctx, "x", few, sizeof few - 1, 4, &value),
                     FB_E_LIMIT);
    assert_null(value);
    assert_non_null(strstr(fb_context_message(ctx), "x: more than 4 values"));
}

#define IN_CONTEXT(test)                                                               \
    cmocka_unit_test_setup_teardown(test, make_context, free_context)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_CONTEXT(values_are_counted_before_they_are_made),
        IN_CONTEXT(wrong_text_is_refused_with_its_place),
        IN_CONTEXT(nesting_is_allowed_to_64_and_no_deeper),
        IN_CONTEXT(members_are_checked_for_type_and_range),
        IN_CONTEXT(absent_member_keeps_the_default),
        IN_CONTEXT(writer_keeps_commas_and_nesting),
        IN_CONTEXT(hostile_strings_are_read_back),
        IN_CONTEXT(any_number_is_read_back_to_the_bit),
        IN_CONTEXT(numbers_are_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
