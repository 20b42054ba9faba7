/* vlbert_geometry.h - VL-BERT's geometry embedding of an object's box.
 *
 *     s = 100 (x centre, y centre, width, height), shares of the image's
 *     g = for each of the four: sin(s / 1000^(i/n)), i < n; then cos of the same
 *
 * 8 n numbers; n is 256 in the paper, beside features of 2048.
 */
#ifndef FB_MODELS_VLBERT_VLBERT_GEOMETRY_H
#define FB_MODELS_VLBERT_VLBERT_GEOMETRY_H

#include "ops/tape.h"
#include "tensor/batch.h"

/* g [8 n] of a box x1, y1, x2, y2; inverse [n] = 1000^(-i/n). */
void fb_vlbert_geometry(float *g, const float box[4], const float *inverse, int32_t n);

/* *rows [R + images, 8 n], a constant: of each row of the batch's images, then of each
 * whole image. FB_E_SHAPE: the batch has no boxes. */
fb_status fb_vlbert_geometry_rows(fb_tape *tape, fb_var **rows, const fb_batch *batch,
                                  int32_t n);

#endif
