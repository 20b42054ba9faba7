/* sampler_parts.h - what sampler.c and sampler_queries.c share: a sampler's insides. */
#ifndef FB_DATA_BATCH_SAMPLER_PARTS_H
#define FB_DATA_BATCH_SAMPLER_PARTS_H

#include "data/batch/item_groups.h"
#include "data/batch/item_order.h"
#include "data/batch/negatives.h"
#include "data/batch/pixel_cache.h"
#include "data/batch/sampler.h"

struct fb_sampler {
    const fb_catalogue *catalogue;
    const fb_token_lists *tokens;
    const fb_mask_vocab *vocab;
    fb_sampler_options options;
    const int32_t *items;
    int32_t item_count, longest_text;
    fb_negatives *negatives; /* NULL with batches of items or queries */
    fb_item_order *order;
    fb_item_groups *groups;
    fb_pixel_cache *cache; /* NULL: none */
    int32_t *titles;       /* items of the split with each token; NULL: not asked for */
};

struct fb_sampler_cursor {
    fb_item_epoch *epoch;
    int32_t *scratch; /* [2 * longest_text] */
    int32_t *targets; /* [2 * batch * longest_text], as token_ids */
    fb_resizer *resizer, *zoomer;
    uint8_t *pixels; /* scratch, an image */
};

/* Bits for one slot of one step. */
fb_random fb_sampler_random(const fb_sampler *s, enum fb_stream stream, uint64_t step,
                            int32_t slot);
/* The item, or row, at a place of the stream. */
int32_t fb_sampler_stream(const fb_sampler *s, fb_sampler_cursor *c, uint64_t place);
/* Two token lists are equal. */
bool fb_sampler_same_text(const fb_sampler *s, int32_t a, int32_t b);
/* An empty batch for `limits`, of pixels, features or regions. */
fb_status fb_sampler_make_batch(fb_context *ctx, fb_batch **batch, const fb_sampler *s,
                                const fb_batch_limits *limits, int32_t longest_text);
/* The item's image in the batch, added when it is not there. */
int32_t fb_sampler_place_image(const fb_sampler *s, fb_batch *b, int32_t item);

/* ---- batches of queries (sampler_queries.c) -------------------------------------- */

fb_status fb_sampler_batch_of_queries(fb_context *ctx, fb_batch **batch,
                                      const fb_sampler *s);
fb_status fb_sampler_place_queries(fb_context *ctx, const fb_sampler *s,
                                   fb_sampler_cursor *c, uint64_t step, fb_batch *b);
void fb_sampler_list_masked_queries(const fb_sampler *s, const fb_sampler_cursor *c,
                                    fb_batch *b);
/* Whether no word of a text of `count` tokens is to be guessed, because it is a query
 * and too short. Draws only for queries. */
bool fb_sampler_leaves_whole(const fb_sampler *s, int32_t text, int32_t count,
                             fb_random *random);

#endif
