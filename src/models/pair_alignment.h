/* pair_alignment.h - image-text matching: which pairs are judged, the loss of what is
 * said of them, and how many are right. Logits [pairs, 2] f32; the second is a match's.
 *
 *     pairs      each pair of the batch alone: cross entropy against its label
 *     listwise   the batch's items in blocks of K + 1, all pairs of a block: softmax
 *                cross entropy of the margins of each image over the block's texts, and
 *                of each text over its images (hard_pairs.h, op_list.c)
 *
 * Blocks are drawn evenly among the batch's items, so they need no vectors; what shares
 * a product or a text with an item is not in its block.
 */
#ifndef FB_MODELS_PAIR_ALIGNMENT_H
#define FB_MODELS_PAIR_ALIGNMENT_H

#include "models/hard_pairs.h"
#include "models/matcher.h"
#include "ops/ops.h"

typedef struct fb_pair_alignment {
    const fb_batch *batch; /* whose pairs are judged: the caller's, or the blocks' */
    bool listwise;
    fb_hard_pairs blocks; /* listwise; memory is the tape's */
} fb_pair_alignment;

/* others: K; 0 is not listwise. In blocks, *a must stay where it is: batch lies in it.
 * FB_E_SHAPE: blocks of a batch that is not of items. */
fb_status fb_pair_alignment_begin(fb_tape *tape, fb_pair_alignment *a,
                                  const fb_batch *batch, int32_t others, uint64_t key);
/* The batch must have pairs. */
fb_status fb_pair_alignment_loss(fb_tape *tape, fb_loss **loss,
                                 const fb_pair_alignment *a, fb_var *logits);
/* Pairs whose label has the larger logit, or lists whose own pair has the largest
 * margin; ties are wrong. logits: the host's. */
void fb_pair_alignment_count(const fb_pair_alignment *a, const float *logits,
                             int64_t *right, int64_t *of);

/* ---- for the rows of systems that have no vectors ------------------------------------ */

/* FB_E_USAGE: options of vectors, or hidden words of batches that have none. */
fb_status fb_pair_alignment_settle(fb_context *ctx, const fb_train_options *options);
/* Losses by name, `names` ending with NULL, each of weight 1 and absent where NULL;
 * number `alignment` decides, and "accuracy" is the share of right answers, of its
 * logits. logits NULL: alignment was not asked for.
 * FB_E_NUMBER: a loss is not finite. */
fb_status fb_pair_alignment_measure(fb_tape *tape, const fb_pair_alignment *a,
                                    const fb_var *logits, fb_loss *const *losses,
                                    const char *const *names, int32_t alignment,
                                    fb_measures *out);
/* margins[pairs] = slope (match - mismatch) + bias of logits [pairs, 2].
 * FB_E_NUMBER: one is not finite. */
fb_status fb_pair_alignment_margins(fb_tape *tape, float *margins, const fb_var *logits,
                                    double slope, double bias);
/* forward_flops of a batch whose pairs are those of the blocks; others 0: of its own. */
double fb_pair_alignment_flops(const fb_matcher *m, const fb_batch *batch,
                               int32_t others);

#endif
