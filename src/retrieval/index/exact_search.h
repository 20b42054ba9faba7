/* exact_search.h - exact maximum inner product search (brute force, a flat index): the
 * oracle of every approximate index, and the default where there are not too many rows.
 *
 *     score[n] = rows[n] . query        [N, D] as stored, and [D] f32
 *
 * Rows are walked in blocks that stay in the cache; threads take contiguous stretches,
 * one after the other, so that none waits for one that was held up, with a heap each.
 * The answer does not depend on how many there are, nor on who walked what.
 *
 * Of int8 the codes are walked alone, and each gives bounds (stored_vectors.h): rows
 * whose upper bound reaches the k-th best lower bound are candidates, and these are
 * compared by all that is stored.
 */
#ifndef FB_RETRIEVAL_INDEX_EXACT_SEARCH_H
#define FB_RETRIEVAL_INDEX_EXACT_SEARCH_H

#include "backend/backend.h"
#include "retrieval/index/stored_vectors.h"
#include "retrieval/index/top_k.h"

/* Rows that may be found: bit n & 7 of byte n >> 3; NULL: all. */
static inline bool fb_row_passes(const uint8_t *allowed, int64_t row)
{
    return !allowed || (allowed[row >> 3] >> (row & 7) & 1);
}

/* Vectors end to end; borrowed. */
typedef struct fb_vectors {
    const float *rows; /* [count, width] */
    int64_t count, width;
} fb_vectors;

/* Add to `top` the vectors' rows, numbered from first_row. The backend lends its
 * products of rows and its number of threads; several threads may search with one at
 * once. FB_E_MEMORY. */
fb_status fb_exact_search(fb_context *ctx, const fb_backend *be,
                          const fb_stored *vectors, const float *query,
                          const uint8_t *allowed, int64_t first_row, fb_top_k *top);

/* For each of the queries, as wide as the vectors, its k best rows, best first, into
 * found [queries, k] (row -1 behind the last): many at once, each block of rows read
 * once for all of them. FB_E_MEMORY. */
fb_status fb_exact_search_many(fb_context *ctx, const fb_backend *be,
                               const fb_stored *vectors, const fb_vectors *queries,
                               int32_t k, fb_scored *found);

#endif
