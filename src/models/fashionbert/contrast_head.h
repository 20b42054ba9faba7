/* contrast_head.h - dual encoder: vectors (embeddings) of texts and images encoded
 * alone, and their similarity.
 *
 *     u = unit(W_t mean(h of the text's tokens) + b_t)       [texts, D]
 *     v = unit(W_i mean(features of the image's patches) + b_i)   [images, D]
 *     similarity = u . v        scale = exp(log_scale) = 1 / temperature
 *
 * Contrastive training (InfoNCE both ways; Radford et al. 2021, ITC of Li et al. 2021)
 * pulls a product's two vectors together and the others of the batch apart.
 */
#ifndef FB_MODELS_FASHIONBERT_CONTRAST_HEAD_H
#define FB_MODELS_FASHIONBERT_CONTRAST_HEAD_H

#include "nn/param.h"
#include "ops/ops.h"

/* The learnt scale starts at 1/0.07 and is kept at or below 100. */
#define FB_CONTRAST_SCALE_START (1.0 / 0.07)
#define FB_CONTRAST_SCALE_MOST  100.0

typedef struct fb_contrast_head {
    fb_leaf *text_weight, *text_bias, *image_weight, *image_bias;
    fb_leaf *log_scale; /* [1] */
} fb_contrast_head;

/* Names itc.text.weight, ... ; `vector` D, `width` of hidden states, `features` of
 * patch features. */
fb_status fb_contrast_head_declare(fb_params *params, fb_contrast_head *head,
                                   int64_t vector, int64_t width, int64_t features,
                                   float init_std);

/* Unit vectors of `count` sets of rows of x, offsets [count + 1]: mean, projection. */
fb_status fb_contrast_head_text(fb_tape *tape, fb_var **vectors,
                                const fb_contrast_head *head, fb_var *hidden,
                                const int32_t *offsets, int32_t count);
fb_status fb_contrast_head_image(fb_tape *tape, fb_var **vectors,
                                 const fb_contrast_head *head, fb_var *features,
                                 const int32_t *offsets, int32_t images);

/* Set a projector of features into the trunk, [C, F], to text.weight^T image.weight, at
 * the size (Frobenius norm) it has: a patch then enters the stream where a token of its
 * meaning leaves the text's layers, and their inner product is that of their vectors.
 * Weights must be loaded. */
void fb_contrast_head_align(const fb_contrast_head *head, fb_params *params,
                            fb_leaf *projector);

/* 1 / temperature. */
double fb_contrast_head_scale(float log_scale);

#endif
