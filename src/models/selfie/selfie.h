/* selfie.h - Selfie (Trinh, Luong and Le 2019), self-supervised pre-training of the
 * image encoder: to say which of an image's masked patches belongs where.
 *
 *     h = encoder(every patch alone)                              [images*P, F]
 *     context   x = LN(W_in h + row + column) of the patches that are not masked,
 *               behind LN(u0), u0 learnt                          [images*(1+P-M), C]
 *     u         the first row of transformer(x)                   [images, C]
 *     query     v_i = u + row_i + column_i of each masked patch   [images*M, C]
 *               q_i = W_out LN(gelu(W v_i + b))                   [images*M, F]
 *     loss      mean over masked i of -log exp(q_i . h_i) / sum_j exp(q_i . h_j),
 *               j the masked patches of the same image
 *
 * The query is projected to the width of h, so that h is compared as it leaves the
 * encoder. The projection is not linear for a reason: were it so, q_i . h_j would be
 * a term of the context alone, the same for all i, plus a term of the position alone,
 * and what is seen around a place could never say what belongs there.
 *
 * A batch says which patches are masked (batch->patch_masked), as many of each image.
 * Texts and pairs are not looked at. An image network is needed that sees each patch
 * alone: a map of the whole image would have seen the masked ones.
 */
#ifndef FB_MODELS_SELFIE_SELFIE_H
#define FB_MODELS_SELFIE_SELFIE_H

#include "models/matcher.h"
#include "nn/patch_encoder.h"
#include "nn/transformer.h"

/* The share of an image's patches that are masked. */
#define FB_SELFIE_MASKED 0.25

extern const fb_system fb_selfie_system;

typedef struct fb_selfie {
    fb_matcher matcher;
    fb_patch_encoder patch_encoder;
    fb_leaf *input_weight, *input_bias; /* [C,F] */
    fb_leaf *row, *column, *start;      /* [grid,C], [grid,C], [1,C] */
    fb_leaf *input_gamma, *input_beta;
    fb_transformer pooling;
    fb_leaf *query_weight, *query_bias, *query_gamma, *query_beta; /* [C,C] */
    fb_leaf *output_weight;                                        /* [F,C] */
} fb_selfie;

typedef struct fb_selfie_pass {
    int32_t masked;   /* M of each image */
    fb_var *features; /* [images*P, F] */
    fb_var *pooled;   /* [images, C] u */
    fb_var *logits;   /* [images*M, M] f32 */
    fb_loss *loss;
} fb_selfie_pass;

/* FB_E_SHAPE: images differ in how many patches are masked, or none or all are. */
fb_status fb_selfie_forward(fb_selfie *m, fb_tape *tape, const fb_batch *batch,
                            fb_selfie_pass *pass);

#endif
