/* fashionbert_step.h - what FashionBERT offers as a matcher: a training step's losses
 * weighed and played backwards, scores, vectors. See matcher.h for each. */
#ifndef FB_MODELS_FASHIONBERT_FASHIONBERT_STEP_H
#define FB_MODELS_FASHIONBERT_FASHIONBERT_STEP_H

#include "models/matcher.h"

fb_status fb_fashionbert_train_batch(fb_matcher *matcher, fb_tape *tape,
                                     const fb_batch *batch, const void *step,
                                     fb_measures *measures);
fb_status fb_fashionbert_losses(fb_matcher *matcher, fb_tape *tape,
                                const fb_batch *batch, const void *step,
                                fb_measures *measures);
fb_status fb_fashionbert_score(fb_matcher *matcher, fb_tape *tape,
                               const fb_batch *batch, float *margins);
fb_status fb_fashionbert_vectors(fb_matcher *matcher, fb_tape *tape,
                                 const fb_batch *batch, float *texts, float *images);
fb_status fb_fashionbert_features(fb_matcher *matcher, fb_tape *tape,
                                  const uint8_t *pixels, int32_t images,
                                  fb_bf16 *features);
double fb_fashionbert_similarity_scale(const fb_matcher *matcher);
double fb_fashionbert_flops(const fb_matcher *matcher, const fb_batch *batch);

#endif
