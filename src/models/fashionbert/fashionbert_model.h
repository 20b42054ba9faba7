/* fashionbert_model.h - the forward pass of FashionBERT, for who wants its insides: the
 * matcher itself, tests against other implementations, explanations. */
#ifndef FB_MODELS_FASHIONBERT_FASHIONBERT_MODEL_H
#define FB_MODELS_FASHIONBERT_FASHIONBERT_MODEL_H

#include "models/fashionbert/contrast_head.h"
#include "models/fashionbert/fashionbert_options.h"
#include "models/fashionbert/patch_pool.h"
#include "models/hard_pairs.h"
#include "models/matcher.h"
#include "models/read_rows.h"
#include "nn/patch_encoder.h"
#include "nn/transformer.h"

typedef struct fb_fashionbert {
    fb_matcher matcher;
    fb_leaf *word, *position, *segment, *text_gamma, *text_beta;
    fb_leaf *projector, *patch_type, *patch_position, *patch_gamma, *patch_beta;
    int32_t patch_type_row; /* of patch_type, which patches have */
    bool one_segment_table; /* patches have row 2 of the words' (qti_model.h) */
    fb_patch_pool pool;
    fb_transformer encoder;
    fb_leaf *mean_gamma[2], *mean_beta[2]; /* product head: of words, of patches */
    fb_leaf *pooler_weight, *pooler_bias, *match_weight, *match_bias;
    fb_leaf *mlm_weight, *mlm_bias, *mlm_gamma, *mlm_beta, *decoder_bias;
    fb_leaf *mpm_weight;
    fb_patch_encoder patch_encoder;
    fb_contrast_head contrast; /* where config.vector > 0 */
} fb_fashionbert;

/* Variables of one forward pass. rows[i] is where loss i leaves the trunk, and mark[i]
 * the node before its head; logits are f32. */
typedef struct fb_fashionbert_pass {
    fb_var *features; /* [images*P, F] unmasked */
    fb_var *text;     /* [text tokens, C] embedded */
    fb_var *patches;  /* [images*P, C] embedded, and merged (patch_pool.h) */
    fb_var *hidden;   /* [picked, C] the encoder's output, at the rows of `read` */
    fb_read_rows read;
    fb_var *alone; /* [text tokens, C] behind `depth` layers without patches, or NULL */
    int32_t depth;
    fb_var *rows[FB_LOSSES_ALL], *logits[FB_LOSSES_ALL];
    fb_node *mark[FB_LOSSES_ALL];
    fb_loss *loss[FB_LOSSES_ALL];         /* NULL: not asked for or no rows */
    fb_var *text_vectors, *image_vectors; /* [texts, D], [images, D] */
    fb_tensor similarity; /* [images, texts] f32, the host's behind the next fetch */
    fb_loss *itc;
    fb_hard_pairs hard;
    float *targets; /* [lists * length] of hard's lists (soft_targets.h), or NULL */
    const fb_batch *batch; /* of the stream: the caller's, or hard's; where patches are
                              merged, with what they are merged to */
    const fb_batch *whole; /* whose rows `features` are */
} fb_fashionbert_pass;

/* What the losses of a pass come to. One that is not present: value 0. */
typedef struct fb_pass_losses {
    bool present[FB_LOSSES_ALL];
    double loss[FB_LOSSES_ALL], weight[FB_LOSSES_ALL];
    double squared_norm[FB_LOSSES_ALL]; /* gradient mode */
    int64_t rows[FB_LOSSES_ALL];
    double itc, itc_weight;
    int64_t itc_rows;               /* 0: not present */
    double total;                   /* sum of weight * loss */
    int64_t pairs, pairs_right;     /* alignment: argmax equals the label; listwise: the
                                   right one of each list wins; qti: of triples */
    int64_t queries, queries_right; /* contrastive: its own is the most similar */
} fb_pass_losses;

/* Embeddings, of images in config.views views, and encoder, then the heads in
 * `enabled`; losses of them with `with_losses`, else only the alignment logits matter.
 */
fb_status fb_fashionbert_forward(fb_fashionbert *m, fb_tape *tape,
                                 const fb_batch *batch, const bool enabled[FB_LOSSES],
                                 bool with_losses, fb_fashionbert_pass *pass);

/* All that a training batch's options ask for: vectors, negatives, stream, losses. */
fb_status fb_fashionbert_forward_training(fb_fashionbert *m, fb_tape *tape,
                                          const fb_batch *batch,
                                          const fb_loss_options *options,
                                          fb_fashionbert_pass *pass);

/* The vectors alone; either may be left out. */
fb_status fb_fashionbert_forward_vectors(fb_fashionbert *m, fb_tape *tape,
                                         const fb_batch *batch, bool texts, bool images,
                                         fb_fashionbert_pass *pass);

/* From given inputs: tokens [text tokens, C] before their norm, whose value is
 * overwritten, and features [images*P, F], both of the compute dtype; then alignment
 * logits, vectors, or both. What of the two needs_grad gets its gradient by backward.
 */
fb_status fb_fashionbert_forward_inputs(fb_fashionbert *m, fb_tape *tape,
                                        const fb_batch *batch, fb_var *tokens,
                                        fb_var *features, bool alignment, bool vectors,
                                        fb_fashionbert_pass *pass);

#endif
