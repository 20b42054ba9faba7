/* soft_targets.h - soft labels of listwise alignment, distilled from the vectors.
 *
 *     t[l,k] = (1 - share) [k = 0]  +  share softmax_k(scale * similarity)
 *
 * over the members k of list l, its first the right one. The vectors are contrasted
 * with many more others than a list has, so they know which of the wrong ones are
 * nearly right (distillation: Hinton et al. 2015; from the vectors of the same model,
 * Li et al. 2021, ALBEF). No gradient goes back into the similarities.
 */
#ifndef FB_MODELS_FASHIONBERT_SOFT_TARGETS_H
#define FB_MODELS_FASHIONBERT_SOFT_TARGETS_H

#include "models/hard_pairs.h"

/* *targets [lists * length], the tape's. similarity [images, texts] f32 of the items
 * that pairs were drawn from; share in [0, 1]. */
fb_status fb_soft_targets(fb_tape *tape, float **targets, const fb_hard_pairs *pairs,
                          const fb_tensor *similarity, double scale, double share);

#endif
