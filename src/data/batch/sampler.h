/* sampler.h - what a training step's batch consists of, as a function of (seed, step).
 *
 * Epoch e goes through the split in an order shuffled by (seed, e), item_order.h;
 * epochs lie end to end, and step s takes the items s*M .. s*M + M - 1 of that stream,
 * so any step can be made alone. B pairs of a batch, matched ones first:
 *
 *     M = ceil(B / 2) matched     each item's text with its image
 *     floor(B / 2) mismatched     the first items again, with a negative's image or
 *                                 text in place of their own, half and half
 *                                 (negatives.h)
 *
 * Equal texts and equal image files lie in the batch once, so the masks of a text or
 * image are the same in all its pairs.
 *
 * A batch of items instead (for losses that set every text against every image):
 *
 *     M = B different items       text i, image i and pair i are item i's
 *
 * Equal texts and files lie in it as often as they come; text_group and image_group
 * tell them. Nothing depends on threads.
 *
 * A batch of queries goes through the rows of a query split instead of the items:
 *
 *     M = ceil(B / 2) matched     a row's query with an item of its product
 *     floor(B / 2) mismatched     the first rows' queries again, each with an item that
 *                                 mismatches (query_split.h), a quarter of them from
 *                                 anywhere in the split
 *
 * each as query, title and image; behind these, for each kind in `align`, the sequences
 * of two of the three: the triples' query and title, or query and image; each matched
 * item's title and image, and its title with the mismatched one's image. Rows to guess
 * are of the matched triples. A query has few words: of n, it is masked with
 * probability 0.15 n, so that about as many are hidden as of titles. Token lists hold
 * the titles by item, then the queries.
 */
#ifndef FB_DATA_BATCH_SAMPLER_H
#define FB_DATA_BATCH_SAMPLER_H

#include "data/batch/feature_rows.h"
#include "data/batch/token_lists.h"
#include "data/catalogue/query_split.h"
#include "data/image/augment.h"
#include "data/regions/region_table.h"
#include "tensor/batch.h"

#include <stdatomic.h>

#define FB_QUERIES_ANYWHERE 0.25 /* share of the mismatched */

typedef struct fb_sampler_options {
    fb_split split;
    int32_t batch; /* pairs, or items */
    uint64_t seed;
    int32_t patches, image_size;
    fb_fit fit;
    fb_filter filter;
    bool masked_on_mismatched; /* guess tokens and patches of mismatched pairs too */
    bool negatives_anywhere;   /* not from the item's own category */
    bool whole_texts, whole_images; /* no masked tokens, no masked patches at all */
    double patch_share; /* of an image's patches that are masked; 0: FB_MASK_PATCHES */
    bool items;         /* batches of items, which have no mismatched pairs */
    int32_t group;  /* items of one category that stand together; 0: no matter which */
    double grouped; /* with groups: the share of steps that have them, such as 1 */
    fb_augment augment;        /* of images; all 0: none */
    fb_feature_table features; /* with a cache: batches have its features, no pixels */
    const fb_region_table
        *regions; /* borrowed: batches have these, at most `patches` an image; NULL */
    double text_mask;    /* with whole_texts: the share of words shown as [MASK] */
    double rare_mask;    /* likewise: fb_word_mask.rare, some of it shown as noise */
    int64_t cache_bytes; /* for fitted images, so that later epochs do not decode */
    const fb_query_split
        *queries; /* of the split, borrowed: batches of queries; NULL */
    struct {
        bool query_title, query_image, title_image;
    } align;
} fb_sampler_options;

typedef struct fb_sampler fb_sampler;

/* Catalogue, tokens (by catalogue item) and vocab are borrowed. After creation any
 * number of threads may fill, each with its own cursor.
 * FB_E_USAGE when the split is empty, an item of it has no tokens, or an option is
 * out of range: batches of items need a split of at least `batch`. */
fb_status fb_sampler_create(fb_context *ctx, fb_sampler **sampler,
                            const fb_catalogue *catalogue, const fb_token_lists *tokens,
                            const fb_mask_vocab *vocab,
                            const fb_sampler_options *options);
void fb_sampler_free(fb_sampler *sampler);

int32_t fb_sampler_items(const fb_sampler *sampler); /* of the split, or rows */
int32_t fb_sampler_items_per_step(const fb_sampler *sampler); /* M */

/* A batch with room for any step. */
fb_status fb_sampler_batch_create(fb_context *ctx, fb_batch **batch,
                                  const fb_sampler *sampler);

/* A thread's memory: the order of the epoch last asked for, scratch, a resizer. */
typedef struct fb_sampler_cursor fb_sampler_cursor;
fb_status fb_sampler_cursor_create(fb_context *ctx, fb_sampler_cursor **cursor,
                                   const fb_sampler *sampler);
void fb_sampler_cursor_free(fb_sampler_cursor *cursor);

/* All of the batch of `step` (from 0). cancel may be NULL; once it is true the call
 * soon fails with FB_E_STATE. A failure names the image's file or the row; the batch is
 * then of no use until filled again. */
fb_status fb_sampler_fill(fb_context *ctx, const fb_sampler *sampler,
                          fb_sampler_cursor *cursor, uint64_t step,
                          const atomic_bool *cancel, fb_batch *batch);

#endif
