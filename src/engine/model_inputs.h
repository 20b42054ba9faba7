/* model_inputs.h - the images that a caller hands over, as the pixels of a batch. */
#ifndef FB_ENGINE_MODEL_INPUTS_H
#define FB_ENGINE_MODEL_INPUTS_H

#include "engine/model_folder.h"

/* pixels [size, size, 3] of an image in a file, in memory or read already; number: of
 * the input, for sentences about one in memory. Uses the model's resizer, so one thread
 * at a time. */
fb_status fb_model_load_input(fb_context *ctx, fb_model *model,
                              const fb_image_input *image, int64_t number,
                              uint8_t *pixels);

/* The margins [count] whose sigmoids fb_model_score_query gives. Failures as there. */
fb_status fb_model_query_margins(fb_context *ctx, fb_model *model,
                                 const char *const *queries, const fb_input *products,
                                 int64_t count, float *margins);

#endif
