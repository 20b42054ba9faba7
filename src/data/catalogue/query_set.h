/* query_set.h - which products each query asked for.
 *
 *     from a click log               wanted    clicked for the query at least once
 *                                    skipped   shown for it, never clicked
 *     from the catalogue's queries   wanted    lists the query; such a row may say that
 *                                              its queries were composed from what is
 *                                              known of it: "queries_composed": true
 *
 * Queries that differ only in case and white space are one query. Once open, a set does
 * not change: any number of threads may read it.
 */
#ifndef FB_DATA_CATALOGUE_QUERY_SET_H
#define FB_DATA_CATALOGUE_QUERY_SET_H

#include "data/catalogue/catalogue.h"

typedef struct fb_query_set fb_query_set;

/* clicks: a click log (click_log.h); "" takes clicks.tsv in the catalogue's folder
 * where that is, else the catalogue's queries; "catalog" takes these. What was clicked
 * or skipped of products that the catalogue has not is left out, and counted by query
 * and product.
 *
 * FB_E_MISSING: there are neither clicks nor queries, or no product of the log is in
 * the catalogue; FB_E_IO, FB_E_FORMAT, FB_E_LIMIT: the log; FB_E_MEMORY */
fb_status fb_query_set_open(fb_context *ctx, fb_query_set **set,
                            const fb_catalogue *catalogue, const char *clicks);
void fb_query_set_close(fb_query_set *set);

/* "shop/clicks.tsv", or "shop/metadata.jsonl" */
const char *fb_query_set_source(const fb_query_set *set);
/* What says what was wanted: "clicks", "queries", or "composed" where some of these
 * are. */
const char *fb_query_set_kind(const fb_query_set *set);
int64_t fb_query_set_left_out(const fb_query_set *set);
/* 64 bits over queries, wanted and skipped products. */
uint64_t fb_query_set_fingerprint(const fb_query_set *set);

int32_t fb_query_set_count(const fb_query_set *set);
const char *fb_query_set_text(const fb_query_set *set, int32_t query);

/* Keys of products (catalogue.h), ascending. */
const int32_t *fb_query_set_wanted(const fb_query_set *set, int32_t query,
                                   int32_t *count);
const int32_t *fb_query_set_skipped(const fb_query_set *set, int32_t query,
                                    int32_t *count);
bool fb_query_set_wants(const fb_query_set *set, int32_t query, int32_t product);
bool fb_query_set_skips(const fb_query_set *set, int32_t query, int32_t product);

#endif
