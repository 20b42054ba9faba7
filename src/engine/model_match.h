/* model_match.h - scores of texts and images that a caller hands over, or names. */
#ifndef FB_ENGINE_MODEL_MATCH_H
#define FB_ENGINE_MODEL_MATCH_H

#include "engine/model_folder.h"

/* margins[count] of pairs of texts and image files by index. Failures as
 * fb_scorer_run's and those of reading the images. */
fb_status fb_model_score_pairs(fb_context *ctx, fb_model *model,
                               const char *const *texts, const char *const *image_files,
                               const fb_score_request *request, fb_score_kind kind,
                               float *margins);

/* The margins [count] whose sigmoids fb_model_score_query gives. Failures as there. */
fb_status fb_model_query_margins(fb_context *ctx, fb_model *model,
                                 const char *const *queries, const fb_input *products,
                                 int64_t count, float *margins);

#endif
