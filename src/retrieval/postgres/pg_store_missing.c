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

fb_status fb_pg_store_load(fb_context *ctx, const fb_index *index,
                           const fb_store_options *options, fb_store_report *report)
{
    (void)index, (void)options, (void)report;
    return unavailable(ctx);
}
