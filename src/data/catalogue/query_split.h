/* query_split.h - the queries of one split: positives, and negative sampling for them
 * (products that were shown and not clicked first, then others of the category).
 *
 *     rows    a query and a product that it wanted, one item or more of the split; each
 *             pair once, however often it was clicked
 *
 * A query and another item mismatch (draw) when the item's product is not one that the
 * query wanted, in any split, and the item has neither the title nor, byte for byte,
 * the image of the row's own item. First choice is a product that was skipped for the
 * query; where the split has none, one of the own item's category, the most specific
 * level first, then of anywhere. A skipped product may share title or image, not both.
 * With `anywhere` it is any item of the split at once: whoever only ever tells shirts
 * from shirts need not read that a query asks for shirts.
 */
#ifndef FB_DATA_CATALOGUE_QUERY_SPLIT_H
#define FB_DATA_CATALOGUE_QUERY_SPLIT_H

#include "base/random.h"
#include "data/catalogue/query_set.h"

typedef struct fb_query_row {
    int32_t query, product;
} fb_query_row;

typedef struct fb_query_split fb_query_split;

/* Catalogue and set are borrowed. FB_E_MISSING: no query wanted a product of the split.
 * FB_E_MEMORY */
fb_status fb_query_split_create(fb_context *ctx, fb_query_split **split,
                                const fb_query_set *set, const fb_catalogue *catalogue,
                                fb_split which);
void fb_query_split_free(fb_query_split *split);

const fb_query_set *fb_query_split_set(const fb_query_split *split);
int32_t fb_query_split_rows(const fb_query_split *split);
fb_query_row fb_query_split_row(const fb_query_split *split, int32_t row);
/* 0 .. rows - 1, for who orders rows as others order items (item_order.h). */
const int32_t *fb_query_split_numbers(const fb_query_split *split);

/* Items of the split, of one product; ascending. */
const int32_t *fb_query_split_items(const fb_query_split *split, int32_t product,
                                    int32_t *count);

/* What was drawn. */
typedef struct fb_query_draw {
    int32_t item;
    bool skipped;   /* it was shown and not clicked */
    bool fell_back; /* it came from above the item's most specific category */
} fb_query_draw;

/* An item that mismatches the row whose own item is `item`; a function of the bits that
 * `random` gives. Any number of threads may draw.
 * FB_E_FORMAT   nothing in the split mismatches; FB_E_IO, FB_E_MISSING: an image file
 */
fb_status fb_query_split_draw(fb_context *ctx, const fb_query_split *split,
                              fb_random *random, int32_t query, int32_t item,
                              bool anywhere, fb_query_draw *drawn);

/* Up to `most` items that mismatch the row, in random order: those of skipped products
 * first, then those of the own item's category, at the most specific level that has
 * some, or else of anywhere. items [most]. */
fb_status fb_query_split_list(fb_context *ctx, const fb_query_split *split,
                              fb_random *random, int32_t query, int32_t item,
                              int32_t most, int32_t *items, int32_t *count);

/* The items of the split, ascending. */
const int32_t *fb_query_split_all(const fb_query_split *split, int32_t *count);

#endif
