/* pg_store.h - an index whose products lie in PostgreSQL with pgvector: one database,
 * or several that hold a part each (shards).
 *
 *     fashionbert_products  place bigint, product_id, title, image text,
 *                           attributes json, keys text[], embedding vector(D)
 *                           or halfvec(D)
 *     fashionbert_values    name, value text, products bigint: the most frequent values
 *     fashionbert_store     one row: which load, which shard, the model's fingerprint
 *
 * They lie in the first schema of the search_path. Loading makes them under other
 * names, builds the HNSW graph, and renames them in one transaction, so that searches
 * see the old products or the new. A search is one statement to each shard, all at
 * once; what users give goes there as parameters.
 *
 * Where libpq is not there when the program is built, pg_store_missing.c stands in, and
 * all of this gives FB_E_STATE.
 */
#ifndef FB_RETRIEVAL_POSTGRES_PG_STORE_H
#define FB_RETRIEVAL_POSTGRES_PG_STORE_H

#include "retrieval/index/index_store.h"
#include "retrieval/postgres/pg_copy.h"

enum {
    FB_PG_SHARDS = 256,
    FB_PG_WIDTH = 2000,     /* that pgvector makes graphs of */
    FB_PG_HALF_WIDTH = 4000 /* and of halfvec */
};

/* An index without segments, for searching alone; index->folder is what sentences call
 * it. Any number of threads may search it at once: each takes a connection of its own
 * from those there are, or opens one. A connection that broke is opened again by the
 * search that finds it so, once; as long as that fails searches do.
 * FB_E_USAGE    not PostgreSQL URIs
 * FB_E_IO       a database does not answer
 * FB_E_MISSING  one has no products
 * FB_E_STATE    they are not the parts of one load */
fb_status fb_pg_store_open(fb_context *ctx, fb_index **index, const char *places);

/* Its searches (fb_product_store).
 * FB_E_IO     a database went away; the next call tries again
 * FB_E_STATE  loaded anew, by another model */
fb_status fb_pg_store_search(fb_context *ctx, const fb_index *index,
                             const float *vector, const fb_search_options *options,
                             int64_t wanted, fb_search_result **result);
fb_status fb_pg_store_find(fb_context *ctx, const fb_index *index,
                           const char *product_id, fb_search_result **result);

/* Put an index's products into the databases, in the place of those there. report: all
 * but recall10.
 * FB_E_STATE  somebody else is loading; no pgvector of 0.8 or later
 * FB_E_LIMIT  vectors longer than FB_PG_WIDTH, or FB_PG_HALF_WIDTH
 * After a failure before the renaming the databases hold what they held. */
fb_status fb_pg_store_load(fb_context *ctx, const fb_index *index,
                           const fb_store_options *options, fb_store_report *report);

#endif
