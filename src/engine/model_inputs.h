/* model_inputs.h - images and texts that a caller hands over, as a batch takes them. */
#ifndef FB_ENGINE_MODEL_INPUTS_H
#define FB_ENGINE_MODEL_INPUTS_H

#include "engine/model_folder.h"

/* pixels [size, size, 3] of an image in a file, in memory or read already; number: of
 * the input, for sentences about one in memory. Uses the model's resizer, so one thread
 * at a time. */
fb_status fb_model_load_input(fb_context *ctx, fb_model *model,
                              const fb_image_input *image, int64_t number,
                              uint8_t *pixels);

/* ids [max_text] of a text with [CLS] and [SEP], cut to the model's longest. */
fb_status fb_model_tokens(fb_context *ctx, const fb_model *model, const char *text,
                          int32_t *ids, int32_t *count);

#endif
