/* query_compose.h - search queries composed from what a product's fields say, for
 * catalogues without real ones: `--compose-queries`.
 *
 *     {colour} {gender} {category}|{colour} {category}
 *
 * Templates with "|" between; {NAME} is a field of the catalogue's row, an attribute or
 * one that has a meaning of its own. A template makes a query where all of its fields
 * have a value. Rows that have queries keep theirs, and get none. Rows with composed
 * ones say so: "queries_composed": true.
 */
#ifndef FB_DATA_IMPORT_QUERY_COMPOSE_H
#define FB_DATA_IMPORT_QUERY_COMPOSE_H

#include "data/import/import_map.h"

#define FB_QUERIES_COMPOSED "queries_composed"

typedef struct fb_query_compose fb_query_compose;

/* "" composes nothing. FB_E_USAGE: a brace without its partner, a template without a
 * field; FB_E_MEMORY. */
fb_status fb_query_compose_create(fb_context *ctx, fb_query_compose **compose,
                                  const char *templates);
void fb_query_compose_free(fb_query_compose *compose);

/* Fields that templates name, each maybe more than once. */
int32_t fb_query_compose_fields(const fb_query_compose *compose);
const char *fb_query_compose_field(const fb_query_compose *compose, int32_t field);

/* Give an item the queries, and the attribute FB_QUERIES_COMPOSED "true". FB_E_MEMORY
 */
fb_status fb_query_compose_apply(fb_context *ctx, const fb_query_compose *compose,
                                 fb_arena *arena, fb_import_item *item);

#endif
