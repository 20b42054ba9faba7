/* explanation.h - attribution: why a model gives a pair its score, what each word and
 * each patch adds to it (fb_explanation in fashionbert.h).
 */
#ifndef FB_ENGINE_EXPLANATION_H
#define FB_ENGINE_EXPLANATION_H

#include "data/image/image_decode.h"
#include "engine/model_folder.h"

/* Of a score of that kind, by options->steps points of integrated gradients. The
 * explanation is freed by fb_explanation_free.
 * FB_E_STATE: the system's score cannot be explained, or the model lacks vectors. */
fb_status fb_model_explain(fb_context *ctx, fb_model *model, const char *text,
                           const fb_image_input *image, fb_score_kind kind,
                           const fb_explain_options *options,
                           fb_explanation **explanation);

/* The image as it is in its file or in memory. FB_E_USAGE: it is in neither. */
fb_status fb_explain_open_image(fb_context *ctx, const fb_image_input *image,
                                fb_image *decoded);

#endif
