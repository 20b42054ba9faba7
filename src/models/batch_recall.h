/* batch_recall.h - recall@1 within a batch of items, of scores of all its images against
 * all its texts: how many images score highest with their own text, and texts with their
 * own image. Whatever shows the same product or has the same text is no mistake and does
 * not count; a tie counts against, so that a model that sees no difference has 0.
 */
#ifndef FB_MODELS_BATCH_RECALL_H
#define FB_MODELS_BATCH_RECALL_H

#include "models/measures.h"
#include "tensor/batch.h"

/* scores [B,B] on the host, row i of image i, column j of text j; a_group, b_group [B] as
 * in fb_hinge. Returns how many of the 2B are right. */
int64_t fb_batch_recall(const float *scores, const int32_t *a_group,
                        const int32_t *b_group, int32_t count);
/* The same as a share "recall@1" among the measures, the one that decides which
 * checkpoint is best. */
void fb_batch_recall_put(fb_measures *measures, int64_t right, int32_t count);

#endif
