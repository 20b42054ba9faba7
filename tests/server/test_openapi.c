/* test_openapi.c - the description of the HTTP interface says what the table of routes
 * says, refers only to what is there, and every kind of answer fits its schema.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/http_bodies.h"
#include "server/openapi.h"
#include "server/routes.h"

static int setup(void **state)
{
    char *text = NULL;
    size_t bytes = 0;
    fb_context ctx = {0};
    json_t *whole = NULL;
    if (fb_openapi_write(&ctx, &text, &bytes) == FB_OK)
        (void)fb_json_parse(&ctx, "openapi.json", text, bytes, &whole);
    free(text);
    *state = whole;
    return whole ? 0 : -1;
}

static int teardown(void **state)
{
    json_decref(*state);
    return 0;
}

static void every_route_is_described(void **state)
{
    json_t *paths = json_object_get(*state, "paths");
    int32_t described = 0;
    for (int32_t i = 0; i < fb_route_count; i++) {
        const fb_route *route = &fb_routes[i];
        json_t *path = json_object_get(paths, route->path);
        json_t *operation =
            json_object_get(path, route->method[0] == 'G' ? "get" : "post");
        assert_int_equal(operation == NULL, route->hidden);
        if (route->hidden)
            continue;
        described++;
        assert_string_equal(
            json_string_value(json_object_get(operation, "operationId")), route->name);
        assert_int_equal(json_object_get(operation, "requestBody") != NULL,
                         route->request != NULL);
        assert_int_equal(json_object_get(operation, "parameters") != NULL,
                         strchr(route->path, '{') != NULL);
        assert_non_null(
            json_object_get(json_object_get(operation, "responses"), "200"));
    }
    assert_int_equal(json_object_size(paths), described);
}

static int64_t references;

static void look_up(const json_t *whole, json_t *value)
{
    const char *key;
    json_t *member;
    static const char prefix[] = "#/components/schemas/";
    const char *to = json_string_value(json_object_get(value, "$ref"));
    if (to) {
        references++;
        assert_memory_equal(to, prefix, sizeof prefix - 1);
        json_t *schemas =
            json_object_get(json_object_get(whole, "components"), "schemas");
        if (!json_object_get(schemas, to + sizeof prefix - 1))
            fail_msg("nothing at %s", to);
    }
    if (json_is_object(value))
        json_object_foreach(value, key, member) look_up(whole, member);
    for (size_t i = 0; i < json_array_size(value); i++)
        look_up(whole, json_array_get(value, i));
}

static void references_lead_somewhere(void **state)
{
    references = 0;
    look_up(*state, *state);
    assert_true(references > 20);
}

/* The second field of a request, the way a client would read it. */
static void limits_of_a_request_are_those_that_are_checked(void **state)
{
    json_t *schemas = json_object_get(json_object_get(*state, "components"), "schemas");
    json_t *search = json_object_get(schemas, "SearchRequest"), *k = NULL;
    assert_int_equal(json_unpack(search, "{s:{s:o}}", "properties", "k", &k), 0);
    assert_int_equal(json_integer_value(json_object_get(k, "maximum")), FB_MOST_HITS);
    assert_int_equal(json_integer_value(json_object_get(k, "default")), 10);
    assert_true(json_is_false(json_object_get(search, "additionalProperties")));
    assert_int_equal(json_array_size(json_object_get(search, "anyOf")), 2);
}

static bool find(const char *method, const char *target, int32_t *status, char id[64])
{
    fb_exchange *x = fb_exchange_create(target);
    snprintf(x->method, sizeof x->method, "%s", method);
    bool found = fb_route_find(x);
    *status = x->status;
    snprintf(id, 64, "%s", found && x->parameter ? x->parameter : "");
    if (x->status == 405)
        assert_true(x->allow[0] != 0);
    fb_exchange_free(x);
    return found;
}

static void paths_are_found_and_ids_decoded(void **state)
{
    (void)state;
    int32_t status;
    char id[64];
    assert_true(find("POST", "/v1/search?x=1", &status, id));
    assert_true(find("HEAD", "/health", &status, id));
    assert_true(find("GET", "/v1/products/a%2Fb%20c", &status, id));
    assert_string_equal(id, "a/b c");
    assert_true(find("GET", "/v1/products/%C3%A9/image", &status, id));
    assert_string_equal(id, "\xc3\xa9");
    static const struct {
        const char *method, *target;
        int32_t status;
    } wrong[] = {{"GET", "/v1/search", 405},
                 {"DELETE", "/health", 405},
                 {"GET", "/v1/products/", 404},
                 {"GET", "/v1/products/a/b", 404},
                 {"GET", "/v1/products/a%2", 400},
                 {"GET", "/v1/products/a%00b", 400},
                 {"GET", "/v1/products/%+1", 400},
                 {"GET", "/v1/products/%zz", 400},
                 {"GET", "//", 404},
                 {"GET", "", 404},
                 {"GET", "/page/a/b", 404},
                 {"GET", "/v1/productsa", 404},
                 {"GET", "/v1/products/a/img", 404},
                 {"OPTIONS", "*", 404}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (find(wrong[i].method, wrong[i].target, &status, id))
            fail_msg("%s %s was found", wrong[i].method, wrong[i].target);
        if (status != wrong[i].status)
            fail_msg("%s %s: %d", wrong[i].method, wrong[i].target, (int)status);
    }
}

static void an_error_fits_its_schema(void **state)
{
    (void)state;
    fb_context ctx = {0};
    fb_exchange *x = fb_exchange_create("/");
    snprintf(x->id, sizeof x->id, "one");
    fb_exchange_fail(x, 422, "quote \" and \xff and %s", "\x01");
    fb_form form = {0};
    assert_int_equal(
        fb_json_parse(&ctx, "error", x->reply, x->reply_bytes, &form.fields), FB_OK);
    assert_int_equal(fb_schema_check(&ctx, &fb_error_answer, &form, false), FB_OK);
    json_t *error = json_object_get(form.fields, "error");
    assert_string_equal(json_string_value(json_object_get(error, "code")), "invalid");
    assert_string_equal(json_string_value(json_object_get(error, "request_id")), "one");
    fb_form_free(&form);
    fb_exchange_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_is_described),
        cmocka_unit_test(references_lead_somewhere),
        cmocka_unit_test(limits_of_a_request_are_those_that_are_checked),
        cmocka_unit_test(paths_are_found_and_ids_decoded),
        cmocka_unit_test(an_error_fits_its_schema),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
