/* hard_pairs.h - hard-negative mining within a batch: each item's own pair, and the
 * mismatched pairs that the vectors find hardest to tell from it.
 *
 * Items b < B, the first of the batch or all, have text b and image b. With K negatives
 * each way the pairs are
 *
 *     b                   text b      image b      matched
 *     B + b K + k         text j      image b      the k-th text drawn for image b
 *     B + B K + b K + k   text b      image j      the k-th image drawn for text b
 *
 * j is drawn without replacement, in proportion to exp(scale * similarity) over the
 * row (Gumbel top-k trick: the K largest of scale * similarity + noise), never one of
 * the same product or the same text (groups; Li et al. 2021 draw one each way). An item
 * that has fewer others repeats the last, or its own pair when it has none.
 *
 * In blocks instead, items are put together in blocks of K + 1, and all pairs of a
 * block are made: each of them counts for its image and for its text, so that K + 1
 * pairs an item give K negatives each way where 2 K + 1 give them drawn one by one. A
 * block is its first item, as the batch has them, and those K of the rest that the
 * drawing above puts first by the mean of the similarities both ways. Which pairs are
 * right is even within a block, so scores need no correction (op_list.c). Items that
 * fill no block have no pair; where that is all of them, blocks are half as large.
 */
#ifndef FB_MODELS_HARD_PAIRS_H
#define FB_MODELS_HARD_PAIRS_H

#include "ops/tape.h"
#include "tensor/batch.h"

enum { FB_HARD_MOST = 31 }; /* K at most */

typedef struct fb_hard_pairs {
    fb_batch batch;   /* the items' texts and images with the pairs above, packed */
    int32_t lists;    /* 2B (in blocks, B those that lie in one): of images over texts,
                         then of texts over images */
    int32_t length;   /* K + 1 */
    float *log_q;     /* [pairs] scale * similarity: what pairs were drawn by; NULL in
                         blocks */
    int32_t *members; /* [lists * length] pairs of each list, its own first */
} fb_hard_pairs;

/* Of a pair's image and text; similarity [images, texts]. */
static inline double fb_pair_similarity(const fb_batch *batch, const float *similarity,
                                        int64_t texts, int32_t pair)
{
    return (double)similarity[batch->pair_image[pair] * texts + batch->pair_text[pair]];
}

/* How pairs are made of a batch of items. */
typedef struct fb_hard_options {
    int32_t negatives; /* K, of each item each way */
    int32_t items;     /* B: pairs are made of the batch's first so many; 0: of all */
    bool blocks;
    double scale;      /* of similarities, before noise is added */
    double patch_keep; /* share of each image's patches that its pairs show, chosen at
                          random; 1: all (Li et al. 2023, FLIP) */
    uint64_t key;      /* random bits */
} fb_hard_options;

/* similarity [items,items] f32 of all the batch's, rows images, columns texts. Memory
 * is the tape's. The matched pairs come first and in order, so the items' masked rows
 * stay where they are while all patches are kept. FB_E_SHAPE: the batch is not of
 * items. */
fb_status fb_hard_pairs_draw(fb_tape *tape, fb_hard_pairs *hard, const fb_batch *items,
                             const fb_tensor *similarity,
                             const fb_hard_options *options);

/* Mark all but `keep` of each image's patches or regions, at least one, as left out of
 * the batch's sequences, each choice as likely: patch_left_out, the tape's. */
fb_status fb_patches_leave_out(fb_tape *tape, fb_batch *batch, double keep,
                               uint64_t key);

#endif
