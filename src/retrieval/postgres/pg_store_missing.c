/* pg_store_missing.c - in the place of pg_store.c and pg_load.c where libpq is not. */
#include "retrieval/postgres/pg_store.h"

static fb_status unavailable(fb_context *ctx)
{
    return fb_fail(
        ctx, FB_E_STATE,
        "this program was built without libpq, which PostgreSQL stores need; "
        "install it (Debian: libpq-dev) and build again");
}

fb_status fb_pg_store_open(fb_context *ctx, fb_index **index, const char *places)
{
    (void)index, (void)places;
    return unavailable(ctx);
}

void fb_pg_store_close(fb_pg_store *store)
{
    (void)store;
}

fb_status fb_pg_store_search(fb_context *ctx, const fb_index *index,
                             const float *vector, const fb_search_options *options,
                             int64_t wanted, fb_search_result **result)
{
    (void)index, (void)vector, (void)options, (void)wanted, (void)result;
    return unavailable(ctx);
}

fb_status fb_pg_store_find(fb_context *ctx, const fb_index *index,
                           const char *product_id, fb_search_result **result)
{
    (void)index, (void)product_id, (void)result;
    return unavailable(ctx);
}

fb_status fb_pg_store_values(fb_context *ctx, const fb_index *index,
                             const char *attribute, int32_t limit,
                             const char *const **values, const int64_t **counts,
                             int32_t *count)
{
    (void)index, (void)attribute, (void)limit, (void)values, (void)counts, (void)count;
    return unavailable(ctx);
}

fb_status fb_pg_store_load(fb_context *ctx, const fb_index *index,
                           const fb_store_options *options, fb_store_report *report)
{
    (void)index, (void)options, (void)report;
    return unavailable(ctx);
}
