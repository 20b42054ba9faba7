/* query_fixture.h - sampler_fixture.h's catalogue with queries and a click log: every
 * trap for mismatched queries.
 */
#ifndef FB_TESTS_QUERY_FIXTURE_H
#define FB_TESTS_QUERY_FIXTURE_H

#include "data/catalogue/query_split.h"
#include "support/sampler_fixture.h"

/* What a query of the log wants and was shown, by the number of the row. Products of
 * items 40 on have several items: p40 .. p44. */
static inline bool fixture_wants(int32_t query, int32_t product)
{
    return product % 8 == query || (query == 0 && product % 6 == 2);
}

static inline bool fixture_skips(int32_t query, int32_t product)
{
    return query < 4 && product % 8 == query + 1 && !fixture_wants(query, product);
}

enum { FIXTURE_QUERIES = 8, FIXTURE_PRODUCTS = 45 };

static inline void fixture_clicks(const fixture *f, const char *name)
{
    char *rows = calloc(FIXTURE_QUERIES * FIXTURE_PRODUCTS, 64), *at = rows;
    assert_non_null(rows);
    for (int32_t p = 0; p < FIXTURE_PRODUCTS; p++)
        for (int32_t q = 0; q < FIXTURE_QUERIES; q++) {
            if (fixture_wants(q, p)) /* shown without a click as well */
                at +=
                    sprintf(at, "Query %d\tp%d\t1\nquery  %d\tp%d\t0\t5\n", q, p, q, p);
            else if (fixture_skips(q, p))
                at += sprintf(at, "query %d\tp%d\t0\n", q, p);
        }
    at += sprintf(at, "query 1\tsold out\t1\nquery 2\tsold out\t0\n");
    fixture_text(f, name, rows);
    free(rows);
}

static inline int32_t fixture_query_number(const fb_query_set *set, int32_t query)
{
    char name[24];
    snprintf(name, sizeof name, "Query %d", query);
    for (int32_t q = 0; q < fb_query_set_count(set); q++)
        if (strcmp(fb_query_set_text(set, q), name) == 0)
            return q;
    fail_msg("there is no %s", name);
    return -1;
}

/* "Query 3" to 3 */
static inline int32_t fixture_query(const fb_query_set *set, int32_t number)
{
    return atoi(fb_query_set_text(set, number) + 6);
}

static inline int32_t fixture_product(const fb_catalogue *cat, int32_t item)
{
    return atoi(fb_catalogue_get(cat, item)->product_id + 1);
}

#endif
