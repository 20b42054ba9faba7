/* query_batch.h - batches of queries, titles and images (batch.h), filled by hand:
 * forget (fb_batch_clear), add, then fb_batch_pack.
 *
 *     [CLS] w1 w2 .. [SEP]     positions 0 1 2 .. 0     segments 0 (query) or 1 (title)
 */
#ifndef FB_DATA_QUERY_BATCH_H
#define FB_DATA_QUERY_BATCH_H

#include "tensor/batch.h"

/* Returns the text's number in the batch; ids with [CLS] and [SEP]. */
int32_t fb_batch_add_query(fb_batch *batch, const int32_t *ids, int32_t count);
int32_t fb_batch_add_title(fb_batch *batch, const int32_t *ids, int32_t count);

/* A sequence of any of the three, -1 where it has none. */
void fb_batch_add_sequence(fb_batch *batch, int32_t query, int32_t title, int32_t image,
                           int32_t label);

#endif
