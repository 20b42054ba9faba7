/* model_vectors.h - late fusion: how the vectors of a text and an image become one. */
#ifndef FB_ENGINE_MODEL_VECTORS_H
#define FB_ENGINE_MODEL_VECTORS_H

#include "engine/model_folder.h"

/* out [D] = unit(weight text + (1 - weight) image); either may be NULL: the other made
 * a unit. out may be one of them. */
void fb_vectors_combine(float *out, const float *text, const float *image,
                        double weight, int32_t width);

/* Of vectors [width], summed in f64. */
float fb_vectors_dot(const float *a, const float *b, int64_t width);

/* What fb_model_fingerprint is, computed. */
uint64_t fb_model_hash(const fb_model *model);

/* -1 is FB_TEXT_WEIGHT; FB_E_USAGE outside 0 to 1. */
fb_status fb_text_weight_check(fb_context *ctx, double *weight);

/* FB_E_STATE: the model gives no vectors. */
fb_status fb_model_check_vectors(fb_context *ctx, const fb_model *model);

#endif
