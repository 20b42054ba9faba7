/* attribution.h - how much each token and each patch of one pair adds to its score.
 *
 * Integrated gradients (Sundararajan, Taly & Yan 2017) along two straight paths, from a
 * text of [MASK] tokens and from a blank image, each with the other side whole:
 *
 *     x(a) = mask + a (x - mask)      a token's word embedding, position kept
 *     q(a) = blank + a (q - blank)    a pixel, normalised
 *
 *     token weight = (x - mask) . sum_k w_k d score(x(a_k), q) / d x
 *     patch weight = (q - blank) . sum_k w_k d score(x, q(a_k)) / d q
 *                                     over the patch's pixels
 *
 * a_k, w_k: Gauss-Legendre's points in (0, 1). The tokens' weights sum to
 * score(x, q) - score(mask, q), the patches' to score(x, q) - score(x, blank), but for
 * what `steps` points miss and the dtype rounds.
 *
 * Pixels and not features, since each place of a network's last map has seen much more
 * of the image than its own patch, and what it found lies anywhere in it.
 */
#ifndef FB_MODELS_FASHIONBERT_ATTRIBUTION_H
#define FB_MODELS_FASHIONBERT_ATTRIBUTION_H

#include "models/matcher.h"

/* batch: one text in [CLS] ... [SEP], and as images the photo and a blank one; pairs
 * are not read. tape: begun, on an arena that stays until `out` was read (its arrays
 * lie there). FB_E_STATE: a similarity that the model does not have; FB_E_NUMBER: a
 * score or weight is not finite. */
fb_status fb_fashionbert_attribute(fb_matcher *matcher, fb_tape *tape,
                                   const fb_batch *batch,
                                   const fb_attribution_options *options,
                                   fb_attribution *out);

/* Gauss-Legendre's points and weights for (0, 1); at, weight [count]. */
void fb_gauss_legendre(int32_t count, double *at, double *weight);

#endif
