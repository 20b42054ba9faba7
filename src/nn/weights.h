/* weights.h - a parameter table to and from a safetensors file. */
#ifndef FB_NN_WEIGHTS_H
#define FB_NN_WEIGHTS_H

#include "nn/param.h"
#include "nn/safetensors.h"

/* Write the values and the buffers under their names. */
fb_status fb_weights_save(fb_context *ctx, const fb_params *params, const char *path);
/* Read every parameter and buffer; each must be there with its shape and hold finite
 * numbers. All problems are counted, the first ten named; then nothing has changed.
 * Tensors that no parameter has are an error too. */
fb_status fb_weights_load(fb_context *ctx, fb_params *params, const char *path);

/* Read what file and table both have, which must fit; the rest of either is left alone.
 */
fb_status fb_weights_load_shared(fb_context *ctx, fb_params *params, const char *path);

/* Read every parameter and buffer whose name begins with `prefix`, as fb_weights_load
 * does all; what else the file has is left alone. */
fb_status fb_weights_load_part(fb_context *ctx, fb_params *params, const char *path,
                               const char *prefix);

/* The optimiser's moments, as NAME.moment1 and NAME.moment2; frozen parameters have
 * none. */
fb_status fb_moments_save(fb_context *ctx, const fb_params *params, const char *path);
fb_status fb_moments_load(fb_context *ctx, fb_params *params, const char *path);

/* What one part of a parameter, or a buffer, is in a file: its shape there (a
 * convolution's has four dimensions), and its numbers in a block of the table's layout.
 */
fb_saved_tensor fb_weights_describe(const fb_param *p, int32_t part, const char *name,
                                    const float *block);
fb_saved_tensor fb_weights_describe_buffer(const fb_buffer *b, const float *block);

#endif
