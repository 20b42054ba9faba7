/* value_counts.h - how many products have each value of an attribute, summed over the
 * parts of an index that were counted alone: segments of a folder, shards of a store.
 */
#ifndef FB_RETRIEVAL_INDEX_VALUE_COUNTS_H
#define FB_RETRIEVAL_INDEX_VALUE_COUNTS_H

#include "base/status.h"

typedef struct fb_value_count {
    const char *value; /* borrowed */
    int64_t count;
} fb_value_count;

/* all [n], in any order, a value once for each part that has it; they are moved about.
 * The sums, most first and equal ones by name, without those of 0 and at most `limit`
 * of them. *values and *counts [*count] are in one block that borrows nothing:
 * free(*values). FB_E_MEMORY: outputs are as they were. */
fb_status fb_value_counts_join(fb_context *ctx, fb_value_count *all, int64_t n,
                               int32_t limit, const char *const **values,
                               const int64_t **counts, int32_t *count);

#endif
