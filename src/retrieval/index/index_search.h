/* index_search.h - the products nearest to a vector, as fb_index_search gives them, and
 * what of it the tasks use by itself. */
#ifndef FB_RETRIEVAL_INDEX_INDEX_SEARCH_H
#define FB_RETRIEVAL_INDEX_INDEX_SEARCH_H

#include "fashionbert.h"
#include "retrieval/index/index_store.h"
#include "retrieval/index/top_k.h"

/* The k best rows among those whose bits are set (exact_search.h), bits [segments], by
 * options->by, exact and effort; no filter, no deletion and no id is looked at. found
 * [k], best first, *count of them. Failures as fb_index_search. */
fb_status fb_index_search_rows(fb_context *ctx, const fb_index *index,
                               const float *vector, const fb_search_options *options,
                               uint8_t *const *bits, int64_t k, fb_scored *found,
                               int64_t *count);

/* A result that owns what its hits point at, but for the index's own strings. */
typedef struct fb_owned_result {
    fb_search_result result; /* first: what callers see */
    fb_arena *arena;
} fb_owned_result;

/* A result with room for `count` hits and as many retrieved. */
fb_status fb_result_create(fb_context *ctx, fb_search_result **result, int32_t count);

/* Row `row` of the index as a hit, without scores. */
fb_status fb_result_fill_hit(fb_context *ctx, fb_search_result *result,
                             const fb_index *index, int64_t row, fb_hit *hit);

#endif
