/* test_task_options.c - every row of every verb's list of options: its default is one
 * that it takes, it is set by name, and the library refuses what the command refuses.
 * Training's own rules are tested in training/test_train_options.c.
 */
#include <math.h>

#include "support/catalogue_fixture.h"

#include "base/option.h"
#include "fashionbert.h"

/* What a test asks of a verb: its struct, and the call that must look at it first. */
typedef union any_options {
    fb_import_options import;
    fb_inspect_options inspect;
    fb_evaluate_options evaluate;
    fb_explain_options explain;
    fb_encode_options encode;
    fb_index_build_options index;
    fb_search_options search;
    fb_serve_options serve;
    fb_bench_options bench;
    fb_compare_options compare;
} any_options;

typedef struct verb {
    const char *name;
    fb_option_table table;
    void (*defaults)(any_options *o);
    fb_status (*set)(fb_context *ctx, any_options *o, const char *name,
                     const char *text);
    fb_status (*run)(fb_context *ctx, const any_options *o);
} verb;

#define FUNCTIONS(verb_, type_)                                                        \
    static void verb_##_defaults(any_options *o)                                       \
    {                                                                                  \
        type_##_defaults(&o->verb_);                                                   \
    }                                                                                  \
    static fb_status verb_##_set(fb_context *ctx, any_options *o, const char *name,    \
                                 const char *text)                                     \
    {                                                                                  \
        return type_##_set(ctx, &o->verb_, name, text);                                \
    }
FUNCTIONS(import, fb_import_options)
FUNCTIONS(inspect, fb_inspect_options)
FUNCTIONS(evaluate, fb_evaluate_options)
FUNCTIONS(explain, fb_explain_options)
FUNCTIONS(encode, fb_encode_options)
FUNCTIONS(index, fb_index_build_options)
FUNCTIONS(search, fb_search_options)
FUNCTIONS(serve, fb_serve_options)
FUNCTIONS(bench, fb_bench_options)
FUNCTIONS(compare, fb_compare_options)

static fb_status import_run(fb_context *ctx, const any_options *o)
{
    fb_import_report report;
    return fb_import(ctx, &o->import, &report);
}
static fb_status inspect_run(fb_context *ctx, const any_options *o)
{
    fb_inspection *inspection = NULL;
    return fb_inspect(ctx, &o->inspect, &inspection);
}
static fb_status evaluate_run(fb_context *ctx, const any_options *o)
{
    fb_evaluation *evaluation = NULL;
    return fb_evaluate(ctx, &o->evaluate, &evaluation);
}
static fb_status encode_run(fb_context *ctx, const any_options *o)
{
    fb_encode_report report;
    return fb_encode(ctx, &o->encode, &report);
}
static fb_status index_run(fb_context *ctx, const any_options *o)
{
    fb_index_report report;
    return fb_index_build(ctx, &o->index, &report);
}
static fb_status serve_run(fb_context *ctx, const any_options *o)
{
    fb_serve_options serve = o->serve;
    serve.model = "nowhere";
    return fb_serve(ctx, &serve);
}
static fb_status bench_run(fb_context *ctx, const any_options *o)
{
    fb_bench_report report;
    return fb_bench(ctx, &o->bench, &report);
}
static fb_status compare_run(fb_context *ctx, const any_options *o)
{
    fb_comparison *comparison = NULL;
    return fb_compare(ctx, &o->compare, &comparison);
}

#define FB_OPTION            FB_OPTION_ROW
#define FB_LIST              FB_LIST_ROW
#define FB_OPTION_AT(member) offsetof(fb_import_options, member)
static const fb_option import_rows[] = {
#include "fashionbert/import.def"
};
#define FB_OPTION            FB_OPTION_ROW
#define FB_OPTION_AT(member) offsetof(fb_inspect_options, member)
static const fb_option inspect_rows[] = {
#include "fashionbert/inspect.def"
};
#define FB_OPTION            FB_OPTION_ROW
#define FB_OPTION_AT(member) offsetof(fb_evaluate_options, member)
static const fb_option evaluate_rows[] = {
#include "fashionbert/evaluate.def"
};
#define FB_OPTION            FB_OPTION_ROW
#define FB_OPTION_AT(member) offsetof(fb_explain_options, member)
static const fb_option explain_rows[] = {
#include "fashionbert/explain.def"
};
#define FB_OPTION            FB_OPTION_ROW
#define FB_OPTION_AT(member) offsetof(fb_encode_options, member)
static const fb_option encode_rows[] = {
#include "fashionbert/encode.def"
};
#define FB_OPTION            FB_OPTION_ROW
#define FB_LIST              FB_LIST_ROW
#define FB_OPTION_AT(member) offsetof(fb_index_build_options, member)
static const fb_option index_rows[] = {
#include "fashionbert/index.def"
};
#define FB_OPTION            FB_OPTION_ROW
#define FB_OPTION_AT(member) offsetof(fb_search_options, member)
static const fb_option search_rows[] = {
#include "fashionbert/search.def"
};
#define FB_OPTION            FB_OPTION_ROW
#define FB_OPTION_AT(member) offsetof(fb_serve_options, member)
static const fb_option serve_rows[] = {
#include "fashionbert/serve.def"
};
#define FB_OPTION            FB_OPTION_ROW
#define FB_OPTION_AT(member) offsetof(fb_bench_options, member)
static const fb_option bench_rows[] = {
#include "fashionbert/bench.def"
};
#define FB_OPTION            FB_OPTION_ROW
#define FB_OPTION_AT(member) offsetof(fb_compare_options, member)
static const fb_option compare_rows[] = {
#include "fashionbert/compare.def"
};

/* explain and search need a model and an index: their own tests call them. */
#define VERB(name_, run_)                                                              \
    {                                                                                  \
#name_, FB_OPTION_TABLE(name_##_rows), name_##_defaults, name_##_set, run_     \
    }
static const verb verbs[] = {
    VERB(import, import_run),     VERB(inspect, inspect_run),
    VERB(evaluate, evaluate_run), VERB(explain, NULL),
    VERB(encode, encode_run),     VERB(index, index_run),
    VERB(search, NULL),           VERB(serve, serve_run),
    VERB(bench, bench_run),       VERB(compare, compare_run),
};
enum { VERBS = sizeof verbs / sizeof verbs[0] };

static void every_default_is_right_and_set_by_name(void **state)
{
    fixture *f = *state;
    for (int v = 0; v < VERBS; v++) {
        const fb_option_table *table = &verbs[v].table;
        any_options o, again;
        verbs[v].defaults(&o);
        assert_int_equal(fb_options_check(f->ctx, table, &o), FB_OK);
        for (int32_t i = 0; i < table->count; i++) {
            const fb_option *row = &table->rows[i];
            assert_true(fb_option_is_default(row, &o));
            assert_ptr_equal(fb_option_find(table, row->name), row); /* no twins */
            verbs[v].defaults(&again);
            if (row->type == FB_OPTION_LIST)
                continue;
            assert_int_equal(verbs[v].set(f->ctx, &again, row->name, row->standard),
                             FB_OK);
            assert_true(fb_option_is_default(row, &again));
        }
        assert_int_equal(verbs[v].set(f->ctx, &o, "no-such-option", "1"), FB_E_USAGE);
    }
}

static void put(const fb_option *row, any_options *o, double value)
{
    void *at = (char *)o + row->offset;
    if (row->type == FB_OPTION_INT32)
        *(int32_t *)at = (int32_t)value;
    else if (row->type == FB_OPTION_INT64)
        *(int64_t *)at = (int64_t)value;
    else if (row->type == FB_OPTION_UINT64)
        *(uint64_t *)at = (uint64_t)value;
    else if (row->type == FB_OPTION_DOUBLE)
        *(double *)at = value;
    else
        *(const char **)at = "strange";
}

static void refuse(fixture *f, const verb *v, const fb_option *row, double value)
{
    any_options o;
    char name[80];
    v->defaults(&o);
    put(row, &o, value);
    snprintf(name, sizeof name, "--%s: ", row->name);
    fb_status status =
        v->run ? v->run(f->ctx, &o) : fb_options_check(f->ctx, &v->table, &o);
    assert_int_equal(status, FB_E_USAGE);
    if (!strstr(fb_context_message(f->ctx), name))
        fail_msg("%s --%s = %g: %s", v->name, row->name, value,
                 fb_context_message(f->ctx));
}

static void what_the_command_refuses_the_library_does(void **state)
{
    fixture *f = *state;
    int32_t tried = 0;
    for (int v = 0; v < VERBS; v++)
        for (int32_t i = 0; i < verbs[v].table.count; i++) {
            const fb_option *row = &verbs[v].table.rows[i];
            if (row->type == FB_OPTION_STRING || row->type == FB_OPTION_FLAG ||
                row->type == FB_OPTION_LIST)
                continue;
            bool words = row->type == FB_OPTION_CHOICE || row->type == FB_OPTION_SET;
            bool natural = row->type == FB_OPTION_UINT64;
            if (words || !natural)
                refuse(f, &verbs[v], row, row->automatic ? -2 : row->low - 1);
            if (!words && row->high < (natural ? 1e18 : (double)INT32_MAX))
                refuse(f, &verbs[v], row, row->high + 2);
            if (row->type == FB_OPTION_DOUBLE)
                refuse(f, &verbs[v], row, NAN);
            tried++;
        }
    assert_true(tried > 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(every_default_is_right_and_set_by_name),
        FIXTURE_TEST(what_the_command_refuses_the_library_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
