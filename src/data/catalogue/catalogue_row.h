/* catalogue_row.h - one line of metadata.jsonl, checked. Its own file so that it can be
 * fuzzed alone.
 */
#ifndef FB_DATA_CATALOGUE_CATALOGUE_ROW_H
#define FB_DATA_CATALOGUE_CATALOGUE_ROW_H

#include "base/intern.h"
#include "data/catalogue/catalogue.h"

typedef struct fb_catalogue_row {
    fb_catalogue_item item; /* all but line, keys and categories */
    const char
        *category[FB_CATEGORY_LEVELS]; /* in fb_category_fields' order, or NULL */
} fb_catalogue_row;

extern const char *const fb_category_fields[FB_CATEGORY_LEVELS];

/* `name` begins every sentence ("folder/metadata.jsonl:17"); strings go to the pool. */
fb_status fb_catalogue_row_read(fb_context *ctx, const char *name, const char *text,
                                size_t size_bytes, fb_string_pool *pool,
                                fb_catalogue_row *row);

/* The text key's string (see catalogue.h) in malloc'ed memory; NULL: out of memory. */
char *fb_title_normalise(const char *title);

#endif
