/* test_query_compose.c - queries composed from fields. */
#include "support/catalogue_fixture.h"

#include "base/arena.h"
#include "data/import/query_compose.h"

static void expect_queries(const fixture *f, const char *templates,
                           const fb_import_item *from, const char *expected)
{
    fb_arena *arena = fb_arena_create(1 << 12);
    fb_query_compose *compose = NULL;
    fb_import_item item = *from;
    char all[512] = "";
    if (fb_query_compose_create(f->ctx, &compose, templates) != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
    assert_int_equal(fb_query_compose_apply(f->ctx, compose, arena, &item), FB_OK);
    for (int32_t i = 0; i < item.query_count; i++) {
        strcat(all, item.queries[i]);
        strcat(all, ";");
    }
    assert_string_equal(all, expected);
    bool marked = item.attribute_count == from->attribute_count + 1 &&
                  strcmp(item.attributes[2 * item.attribute_count - 2],
                         "queries_composed") == 0 &&
                  strcmp(item.attributes[2 * item.attribute_count - 1], "true") == 0;
    assert_int_equal(marked, item.query_count > from->query_count);
    fb_query_compose_free(compose);
    fb_arena_free(arena);
}

static void templates_with_all_their_fields_make_queries(void **state)
{
    fixture *f = *state;
    const char *attributes[] = {"colour", "Red", "gender", "Women"};
    fb_import_item item = {.title = "Summer dress",
                           .category = {NULL, "Dresses", NULL},
                           .attributes = attributes,
                           .attribute_count = 2};
    expect_queries(f, "", &item, "");
    expect_queries(f, "{colour} {gender} {category}", &item, "Red Women Dresses;");
    expect_queries(f, "{season} {category}", &item, "");
    expect_queries(f, "{season} {category}|buy {category}s|{category}", &item,
                   "buy Dressess;Dresses;");
    expect_queries(f, "{colour}|{title}|{colour}", &item, "Red;Summer dress;");
    const char *real[] = {"a real one"};
    item.queries = real;
    item.query_count = 1;
    expect_queries(f, "{colour}", &item, "a real one;");
}

static void broken_templates_are_refused(void **state)
{
    fixture *f = *state;
    static const char *const broken[] = {"red",  "{colour", "colour}", "{}", "{a}|",
                                         "|{a}", "{a{b}}",  "{a|b}",   " "};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        fb_query_compose *compose = NULL;
        if (fb_query_compose_create(f->ctx, &compose, broken[i]) != FB_E_USAGE)
            fail_msg("\"%s\" was taken", broken[i]);
        assert_null(compose);
        assert_non_null(strstr(fb_context_message(f->ctx), "--compose-queries"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(templates_with_all_their_fields_make_queries),
        FIXTURE_TEST(broken_templates_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
