/* vse.h - visual-semantic embeddings, VSE (Kiros et al. 2014) and VSE++ (Faghri et al.
 * 2018): an image and a text become vectors, a hinge loss brings a product's two
 * together.
 *
 *     in     token ids of texts, [CLS] and [SEP] in the place of <start> and <end>;
 *            rows of images (patches or regions), of which the mean is taken
 *     v      unit(W mean of the image's rows + b)                            [images, D]
 *     u      unit(state at the last token of GRU(embedding of the tokens))    [texts, D]
 *     S      v_i . u_j                                                          [B, B]
 *     vse    sum_i  sum_j max(0, a + S_ij - S_ii)  +  sum_j max(0, a + S_ji - S_ii)
 *     vse++  sum_i  max_j max(0, a + S_ij - S_ii)  +  max_j max(0, a + S_ji - S_ii)
 *
 * a is --margin. Losses are summed over the batch as in the paper; their mean is shown.
 * With `vse++` the first steps (--hard-warmup) learn from the sum: from the hardest
 * negatives alone a model that knows nothing begins slowly, on few data most of all.
 *
 * Defaults are the official code's where nothing else is said: margin .2, batch 128,
 * words of 300 numbers in +-.1, W in +-sqrt(6 / (F + D)), Adam, clip 2, no decay.
 * Departures from it:
 *
 *     rows          the mean of patches of a small network, not one vector of a ResNet
 *     schedule      a warm-up and linear decay to 0, not a drop to a tenth
 *     lr            3e-3 and D 256, chosen on a catalogue of 28,893 products for minutes
 *                   of training; theirs are 2e-4 and 1024
 *     Adam          beta2 .98, the program's for all systems, not .999
 *     tokens        WordPiece of the training split's vocabulary; theirs were words, of
 *                   the test captions too
 *     left out      pairs of one product or of one text, not the diagonal alone
 */
#ifndef FB_MODELS_VSE_VSE_H
#define FB_MODELS_VSE_VSE_H

#include "models/image_rows.h"
#include "models/matcher.h"
#include "nn/gru.h"

typedef struct fb_vse {
    fb_matcher matcher; /* first */
    fb_image_rows rows;
    fb_leaf *image_weight, *image_bias; /* [D,F], [D] */
    fb_leaf *words;                     /* [V,E] */
    fb_gru gru;                         /* E to D */
} fb_vse;

/* Its own keys in config.json. */
typedef struct fb_vse_config {
    int32_t words; /* E */
} fb_vse_config;

/* The options of a step. */
typedef struct fb_vse_step {
    bool hardest;
    float margin;
} fb_vse_step;

fb_status fb_vse_declare(fb_params *params, fb_vse *m, const fb_model_config *config,
                         fb_model_use use);

/* v [images, D] and u [texts, D] of unit length. */
fb_status fb_vse_images(fb_vse *m, fb_tape *tape, const fb_batch *batch, fb_var **v);
fb_status fb_vse_texts(fb_vse *m, fb_tape *tape, const fb_batch *batch, fb_var **u);

/* Rows of fb_system (system.h). step is an fb_vse_step. */
fb_status fb_vse_train_batch(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                             const void *step, fb_measures *measures);
fb_status fb_vse_losses(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                        const void *step, fb_measures *measures);
fb_status fb_vse_vectors(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                         float *texts, float *images);
fb_status fb_vse_features(fb_matcher *matcher, fb_tape *tape, const uint8_t *pixels,
                          int32_t images, fb_bf16 *features);
double fb_vse_flops(const fb_matcher *matcher, const fb_batch *batch);

extern const fb_system fb_vse_system, fb_vsepp_system;

#endif
