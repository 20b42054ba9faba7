/* query_batch.c - see query_batch.h. */
#include "data/query_batch.h"

#include "data/sampler.h"

static int32_t add(fb_batch *b, const int32_t *ids, int32_t count, int32_t segment)
{
    int32_t text = fb_batch_add_text(b, ids, count);
    for (int32_t i = b->text_offsets[text]; i < b->text_offsets[text + 1]; i++)
        b->token_segments[i] = segment;
    b->token_positions[b->text_offsets[text + 1] - 1] = 0; /* [SEP] */
    return text;
}

int32_t fb_batch_add_query(fb_batch *batch, const int32_t *ids, int32_t count)
{
    return add(batch, ids, count, 0);
}

int32_t fb_batch_add_title(fb_batch *batch, const int32_t *ids, int32_t count)
{
    return add(batch, ids, count, 1);
}

void fb_batch_add_sequence(fb_batch *batch, int32_t query, int32_t title, int32_t image,
                           int32_t label)
{
    batch->pair_query[batch->pairs] = query;
    fb_batch_add_pair(batch, title, image, label);
}
