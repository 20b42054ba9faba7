/* test_http_form.c - bodies of requests: JSON and multipart give the same form;
 * whatever breaks the schema or the format is refused, naming the field.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/http_bodies.h"
#include "server/http_form.h"

typedef struct world {
    fb_context *ctx;
    fb_form form;
} world;

static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    w->ctx = fb_context_create();
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    fb_form_free(&w->form);
    fb_context_free(w->ctx);
    free(w);
    return 0;
}

static fb_status read_bytes(world *w, const fb_schema *schema, fb_media media,
                            const char *boundary, const char *body, size_t size)
{
    static uint8_t copy[1 << 16]; /* what the form borrows from */
    assert_true(size <= sizeof copy);
    memcpy(copy, body, size);
    fb_form_free(&w->form);
    return fb_form_read(w->ctx, &w->form, schema, media, boundary, copy, size);
}

static fb_status read_json(world *w, const fb_schema *schema, const char *body)
{
    return read_bytes(w, schema, FB_MEDIA_JSON, "", body, strlen(body));
}

static fb_status read_parts(world *w, const fb_schema *schema, const char *body)
{
    return read_bytes(w, schema, FB_MEDIA_MULTIPART, "X", body, strlen(body));
}

#define PART(name, value)                                                              \
    "--X\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"
#define FILE_PART(name, value)                                                         \
    "--X\r\nContent-Disposition: form-data; filename=\"a.png\"; name=" name            \
    "\r\nContent-Type: image/png\r\n\r\n" value "\r\n"

static void expect_search(world *w)
{
    const char *text = NULL;
    int32_t k = 10, rerank = 0;
    bool exact = false;
    double weight = -1;
    fb_form_string(&w->form, "text", &text);
    fb_form_int(&w->form, "k", &k);
    fb_form_int(&w->form, "rerank", &rerank);
    fb_form_bool(&w->form, "exact", &exact);
    fb_form_double(&w->form, "text_weight", &weight);
    assert_string_equal(text, "robe d\xc3\xa9t\xc3\xa9");
    assert_int_equal(k, 7);
    assert_int_equal(rerank, 0);
    assert_true(exact);
    assert_true(weight == .25);
    const fb_blob *image =
        fb_form_blob(&w->form, json_object_get(w->form.fields, "image"));
    assert_non_null(image);
    assert_int_equal(image->size_bytes, 4);
    assert_memory_equal(image->bytes, "abcd", 4);
    json_t *filter = json_object_get(w->form.fields, "filter");
    assert_string_equal(json_string_value(json_object_get(filter, "colour")), "Blue");
    assert_int_equal(json_array_size(json_object_get(filter, "gender")), 2);
}

static void json_and_multipart_give_the_same_form(void **state)
{
    world *w = *state;
    assert_int_equal(
        read_json(w, &fb_search_request,
                  "{\"text\": \"robe d\\u00e9t\xc3\xa9\", \"k\": 7.0, \"exact\": true,"
                  " \"text_weight\": 0.25, \"image\": \"YWJjZA==\", \"filter\":"
                  " {\"colour\": \"Blue\", \"gender\": [\"Men\", \"Women\"]}}"),
        FB_OK);
    expect_search(w);
    assert_int_equal(
        read_parts(w, &fb_search_request,
                   "preamble\r\n" PART("text", "robe d\xc3\xa9t\xc3\xa9") PART("k", "7")
                       PART("exact", "true") PART("text_weight", "0.25")
                           FILE_PART("image", "abcd")
                               PART("filter", "{\"colour\": \"Blue\", \"gender\": "
                                              "[\"Men\", \"Women\"]}") "--X--\r\n"),
        FB_OK);
    expect_search(w);
}

static void arrays_are_repeated_parts(void **state)
{
    world *w = *state;
    assert_int_equal(read_parts(w, &fb_match_request,
                                PART("texts", "a") FILE_PART("images", "1") PART(
                                    "texts", "b") FILE_PART("images", "22") "--X--"),
                     FB_OK);
    const json_t *texts = json_object_get(w->form.fields, "texts");
    const json_t *images = json_object_get(w->form.fields, "images");
    assert_int_equal(json_array_size(texts), 2);
    assert_string_equal(json_string_value(json_array_get(texts, 1)), "b");
    assert_int_equal(fb_form_blob(&w->form, json_array_get(images, 1))->size_bytes, 2);
}

static void a_part_may_be_empty_or_hold_any_bytes(void **state)
{
    world *w = *state;
    static const char body[] =
        "--X\r\nContent-Disposition: form-data; name=\"images\"\r\n\r\n--X \t\r\n"
        "content-disposition:form-data;name=images\r\n\r\n\0\r\n--\r\n--Y\r\n\r\n--"
        "X\r\n"
        "Content-Disposition: form-data; name=texts\r\n\r\nx\r\n--X--\r\nepilogue";
    assert_int_equal(read_bytes(w, &fb_match_request, FB_MEDIA_MULTIPART, "X", body,
                                sizeof body - 1),
                     FB_OK);
    const json_t *images = json_object_get(w->form.fields, "images");
    assert_int_equal(fb_form_blob(&w->form, json_array_get(images, 0))->size_bytes, 0);
    const fb_blob *second = fb_form_blob(&w->form, json_array_get(images, 1));
    assert_int_equal(second->size_bytes, 12);
    assert_memory_equal(second->bytes, "\0\r\n--\r\n--Y\r\n", 12);
}

typedef struct wrong {
    const char *body, *words; /* of the sentence */
    fb_status status;
} wrong;

static void wrong_json_is_refused(void **state)
{
    static const wrong cases[] = {
        {"", "not JSON", FB_E_FORMAT},
        {"{\"text\": \"a\"", "not JSON", FB_E_FORMAT},
        {"{\"text\": \"a\"} {}", "not JSON", FB_E_FORMAT},
        {"{\"text\": \"a\", \"text\": \"b\"}", "not JSON", FB_E_FORMAT},
        {"{\"text\": \"\xff\"}", "not JSON", FB_E_FORMAT},
        {"{\"k\": 1e999}", "not JSON", FB_E_FORMAT},
        {"[]", "the body must be an object, not an array", FB_E_USAGE},
        {"null", "the body must be an object, not null", FB_E_USAGE},
        {"{}", "lacks one of the fields text,image", FB_E_USAGE},
        {"{\"text\": \"a\", \"kk\": 1}", "unknown field \"kk\"; known: text, image, k",
         FB_E_USAGE},
        {"{\"text\": 1}", "text must be a string, not a number", FB_E_USAGE},
        {"{\"text\": null}", "text must be a string, not null", FB_E_USAGE},
        {"{\"text\": \"\"}", "text must have 1 to 8192 characters, it has 0",
         FB_E_USAGE},
        {"{\"text\": \"a\", \"k\": \"7\"}", "k must be a whole number, not a string",
         FB_E_USAGE},
        {"{\"text\": \"a\", \"k\": 0}", "k must be a whole number from 1 to 1000",
         FB_E_USAGE},
        {"{\"text\": \"a\", \"k\": 1001}", "k must be a whole number from 1 to 1000",
         FB_E_USAGE},
        {"{\"text\": \"a\", \"k\": 1.5}", "k must be a whole number from 1 to 1000",
         FB_E_USAGE},
        {"{\"text\": \"a\", \"k\": true}", "k must be a whole number, not true",
         FB_E_USAGE},
        {"{\"text\": \"a\", \"exact\": 1}", "exact must be true or false, not a number",
         FB_E_USAGE},
        {"{\"text\": \"a\", \"by\": \"sound\"}", "by must be one of image,text",
         FB_E_USAGE},
        {"{\"text\": \"a\", \"text_weight\": -0.1}",
         "text_weight must be a number from 0 to 1", FB_E_USAGE},
        {"{\"text\": \"a\", \"filter\": []}", "filter must be an object", FB_E_USAGE},
        {"{\"text\": \"a\", \"filter\": {\"colour\": 1}}",
         "filter.colour must be a string or an array of strings", FB_E_USAGE},
        {"{\"text\": \"a\", \"filter\": {\"colour\": []}}",
         "filter.colour is an empty array", FB_E_USAGE},
        {"{\"text\": \"a\", \"filter\": {\"colour\": [\"b\", {}]}}",
         "filter.colour[1] must be a string, not an object", FB_E_USAGE},
        {"{\"image\": 3}", "image must be the base64 of", FB_E_USAGE},
        {"{\"image\": \"abc\"}", "image is no base64", FB_E_FORMAT},
        {"{\"image\": \"ab=c\"}", "image is no base64", FB_E_FORMAT},
        {"{\"image\": \"a===\"}", "image is no base64", FB_E_FORMAT},
        {"{\"image\": \"ab d\"}", "image is no base64", FB_E_FORMAT},
    };
    world *w = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fb_status status = read_json(w, &fb_search_request, cases[i].body);
        if (status != cases[i].status ||
            !strstr(fb_context_message(w->ctx), cases[i].words))
            fail_msg("%s: %s: %s", cases[i].body, fb_status_name(status),
                     fb_context_message(w->ctx));
    }
}

static void wrong_multipart_is_refused(void **state)
{
    static const wrong cases[] = {
        {"", "the boundary is not in it", FB_E_FORMAT},
        {"--Y--", "the boundary is not in it", FB_E_FORMAT},
        {"--X", "no line end behind a boundary", FB_E_FORMAT},
        {"--Xy\r\n", "no line end behind a boundary", FB_E_FORMAT},
        {"--X\r\n", "the headers of a part do not end", FB_E_FORMAT},
        {"--X\r\nContent-Type: a\r\n\r\nb\r\n--X--", "no Content-Disposition",
         FB_E_FORMAT},
        {"--X\r\nContent-Disposition: form-data\r\n\r\nb\r\n--X--", "no name",
         FB_E_FORMAT},
        {"--X\r\nContent-Disposition: form-data; name=\"te\r\n\r\nb\r\n--X--",
         "no name", FB_E_FORMAT},
        {"--X\r\nContent-Disposition: attachment; name=text\r\n\r\nb\r\n--X--",
         "no name", FB_E_FORMAT},
        {"--X\r\nContent-Disposition: form-data; name=text\r\n\r\nb",
         "does not end with the boundary", FB_E_FORMAT},
        {PART("text", "a"), "does not end with the boundary", FB_E_FORMAT},
        {PART("texd", "a") "--X--", "unknown field \"texd\"", FB_E_USAGE},
        {PART("text", "a") PART("text", "b") "--X--", "text is there more than once",
         FB_E_USAGE},
        {PART("text", "\xff") "--X--", "text is not UTF-8", FB_E_USAGE},
        {PART("text", "a") PART("k", "x") "--X--", "k: line 1", FB_E_FORMAT},
        {PART("text", "a") PART("k", "\"7\"") "--X--",
         "k must be a whole number, not a string", FB_E_USAGE},
        {PART("k", "7") "--X--", "lacks one of the fields text,image", FB_E_USAGE},
    };
    world *w = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fb_status status = read_parts(w, &fb_search_request, cases[i].body);
        if (status == FB_OK || !strstr(fb_context_message(w->ctx), cases[i].words))
            fail_msg("%s: %s: %s", cases[i].body, fb_status_name(status),
                     fb_context_message(w->ctx));
    }
}

static void of_two_fields_only_one(void **state)
{
    world *w = *state;
    assert_int_equal(
        read_json(w, &fb_explain_request, "{\"text\": \"a\", \"product_id\": \"p\"}"),
        FB_OK);
    assert_int_equal(read_json(w, &fb_explain_request,
                               "{\"text\": \"a\", \"product_id\": \"p\", "
                               "\"image\": \"\"}"),
                     FB_E_USAGE);
    assert_non_null(strstr(fb_context_message(w->ctx), "image,product_id, not more"));
}

static void a_number_in_json_is_no_image(void **state)
{
    world *w = *state;
    assert_int_equal(
        read_json(w, &fb_search_request, "{\"text\": \"a\", \"image\": 0}"),
        FB_E_USAGE);
    assert_int_equal(w->form.blob_count, 0);
}

static void lengths_count_characters(void **state)
{
    world *w = *state;
    enum { MOST = FB_MOST_CHARACTERS };
    char *body = calloc(1, 3 * MOST + 100);
    for (int extra = 0; extra < 2; extra++) {
        char *at = body + sprintf(body, "{\"text\": \"");
        for (int i = 0; i < MOST + extra; i++)
            at += sprintf(at, "\xe8\xa3\x99");
        sprintf(at, "\"}");
        assert_int_equal(read_json(w, &fb_search_request, body),
                         extra ? FB_E_USAGE : FB_OK);
    }
    free(body);
}

static void media_types_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        fb_media media;
        const char *boundary;
    } cases[] = {
        {"application/json", FB_MEDIA_JSON, ""},
        {"Application/JSON; charset=UTF-8", FB_MEDIA_JSON, ""},
        {"application/json;charset=\"utf-8\"", FB_MEDIA_JSON, ""},
        {"application/json; charset=latin1", FB_MEDIA_OTHER, ""},
        {"application/jsonx", FB_MEDIA_OTHER, ""},
        {"text/plain", FB_MEDIA_OTHER, ""},
        {"", FB_MEDIA_OTHER, ""},
        {"multipart/form-data; boundary=abc", FB_MEDIA_MULTIPART, "abc"},
        {"multipart/form-data; charset=x; boundary=\"a b\\\"c\"", FB_MEDIA_MULTIPART,
         "a b\"c"},
        {"multipart/form-data", FB_MEDIA_OTHER, ""},
        {"multipart/form-data; boundary=", FB_MEDIA_OTHER, ""},
        {"multipart/form-data; boundary=\"abc", FB_MEDIA_OTHER, ""},
        {"multipart/form-data; boundary="
         "0123456789012345678901234567890123456789012345678901234567890123456789012",
         FB_MEDIA_OTHER, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char boundary[FB_BOUNDARY_BYTES] = "";
        fb_media media = fb_media_parse(cases[i].header, boundary);
        if (media != cases[i].media)
            fail_msg("%s: %d", cases[i].header, (int)media);
        if (media == FB_MEDIA_MULTIPART)
            assert_string_equal(boundary, cases[i].boundary);
    }
    char boundary[FB_BOUNDARY_BYTES];
    assert_int_equal(fb_media_parse(NULL, boundary), FB_MEDIA_OTHER);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(json_and_multipart_give_the_same_form),
        TEST(arrays_are_repeated_parts),
        TEST(a_part_may_be_empty_or_hold_any_bytes),
        TEST(wrong_json_is_refused),
        TEST(wrong_multipart_is_refused),
        TEST(of_two_fields_only_one),
        TEST(a_number_in_json_is_no_image),
        TEST(lengths_count_characters),
        TEST(media_types_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
