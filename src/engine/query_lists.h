/* query_lists.h - what each query is ranked against, in both protocols.
 *
 *     sampled   a list is a row, a query and an item of a product that it wanted, with
 *               up to negative_count others that it did not: those that were skipped
 *               first, then items of the same category, or of anywhere where all of it
 *               is wanted (query_split.h). A row with
 *               fewer than min_candidates others is left out and counted.
 *     full      a list is a query and all items of the split. All that the query wanted
 *               are hits; an item that is no hit but has the image of one, byte for
 *               byte, is taken out.
 *
 * Judged, for accuracy and AUC, are as many matched triples as mismatched ones: of each
 * list under sampled its hit and its first other, of each query's rows under full the
 * row and one drawn as in training.
 *
 *     entries of a list    [first .. first + count)
 */
#ifndef FB_ENGINE_QUERY_LISTS_H
#define FB_ENGINE_QUERY_LISTS_H

#include "data/catalogue/query_split.h"

enum { FB_QUERY_TRIPLES_MAX = 1 << 30 };

typedef struct fb_query_ranking_options {
    bool full;
    int32_t queries; /* rows a draw, or queries under full, at most; 0: all */
    int32_t negative_count, min_candidates, draws; /* of sampled */
    uint64_t seed;
    const char *trec;  /* "": none; else prefix of .run and .qrels files */
    const char *label; /* of the progress bar; NULL: none */
    bool quiet;
} fb_query_ranking_options;

typedef struct fb_query_list {
    int32_t query, product; /* product -1: all that it wanted */
    int32_t draw, count;
    int64_t first;
} fb_query_list;

typedef struct fb_query_entry {
    int32_t item;
    uint8_t mark; /* enum fb_mark (ranking_metrics.h) */
} fb_query_entry;

typedef struct fb_query_judged {
    int32_t query, item;
    bool matched;
} fb_query_judged;

typedef struct fb_query_lists {
    fb_query_list *lists; /* by draw */
    fb_query_entry *entries;
    fb_query_judged *judged;
    int64_t count, entry_count, judged_count, left_out;
    int64_t capacity, entry_capacity, judged_capacity;
} fb_query_lists;

/* FB_E_MISSING: no list has enough others; FB_E_LIMIT: too many triples; FB_E_IO,
 * FB_E_MISSING: an image file; FB_E_MEMORY */
fb_status fb_query_lists_make(fb_context *ctx, fb_query_lists *lists,
                              const fb_query_split *split,
                              const fb_catalogue *catalogue,
                              const fb_query_ranking_options *options);
void fb_query_lists_clear(fb_query_lists *lists);

#endif
