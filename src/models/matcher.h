/* matcher.h - what every system offers to tasks/: losses of a batch with their
 * gradients, and, where it matches, scores of pairs.
 *
 *     fashionbert    fashionbert_model.h: matches titles and images
 *     qti            qti_model.h: matches queries with titles and images
 *     selfie         selfie.h: pre-trains the image encoder, matches nothing
 *
 * A matcher owns its parameter table; the tape, its arena and the batch are the
 * caller's.
 */
#ifndef FB_MODELS_MATCHER_H
#define FB_MODELS_MATCHER_H

#include "models/adaptive_loss.h"
#include "models/model_config.h"
#include "nn/param.h"
#include "tensor/batch.h"

/* What a training batch is asked for. The batch is of pairs, or, where `itc` or
 * `negatives` is set, of items (text b and image b of one product). */
typedef struct fb_loss_options {
    bool enabled[FB_LOSSES_ALL]; /* by FB_LOSS_MLM, ...: the single stream's */
    fb_adaptive_mode mode;
    bool detach;         /* softmax mode */
    bool shared_norms;   /* gradient mode: norms over all shared parameters */
    double itc;          /* weight of the contrastive loss, beside the three; 0: none */
    double margin;       /* of the contrastive loss (op_contrast.c) */
    int32_t negatives;   /* of each item, each way, by similarity (hard_pairs.h); 0: the
                            batch's own pairs */
    int32_t hard_items;  /* with negatives: of the batch's first so many; 0: of all */
    double hardness;     /* with negatives: 0 any of the batch, 1 by similarity */
    double patch_keep;   /* with negatives: share of an image's patches that training's
                            pairs show */
    double soft_targets; /* listwise: share of each list's target that the vectors say
                            (soft_targets.h) */
    bool listwise; /* alignment as a choice among the negatives, not pair by pair */
    bool blocks;   /* with it: among all pairs of blocks of items (hard_pairs.h) */
    uint64_t key;  /* random bits of the step, for negatives */
} fb_loss_options;

/* What one batch gave. A loss without rows in the batch is not present: value 0. */
typedef struct fb_step_losses {
    bool present[FB_LOSSES_ALL], has_itc;
    double loss[FB_LOSSES_ALL], itc;
    double weight[FB_LOSSES_ALL];
    double squared_norm[FB_LOSSES_ALL]; /* gradient mode */
    double total;                       /* sum of weight * loss */
    int64_t pairs, pairs_right;     /* alignment: argmax equals the label; listwise: the
                                       right one of each list wins; qti: of triples */
    int64_t queries, queries_right; /* contrastive: its own is the most similar */
    int64_t rows[FB_LOSSES_ALL];
    bool has_selfie;
    double selfie; /* pointing at masked patches (selfie.h) */
    int64_t points;
    double points_right;  /* k that are equally the best count 1/k each */
    double points_chance; /* what guessing gets right of them */
} fb_step_losses;

typedef struct fb_matcher fb_matcher;
typedef struct fb_attribution_options fb_attribution_options;
typedef struct fb_attribution fb_attribution;

typedef struct fb_matcher_kind {
    const char *name;
    /* Forward, weigh, backward: parameter gradients of the total are added. The tape
     * must record. */
    fb_status (*train_batch)(fb_matcher *m, fb_tape *tape, const fb_batch *batch,
                             const fb_loss_options *options, fb_step_losses *losses);
    /* Losses alone, unweighted; the tape need not record. */
    fb_status (*losses)(fb_matcher *m, fb_tape *tape, const fb_batch *batch,
                        const fb_loss_options *options, fb_step_losses *losses);
    /* From here to align_patches all are NULL in a system that does not match.
     * margins[B]: the alignment logits' difference, match minus mismatch; P(match) is
     * its sigmoid */
    fb_status (*score)(fb_matcher *m, fb_tape *tape, const fb_batch *batch,
                       float *margins);
    /* Unit vectors of the batch's texts [texts, D] and images [images, D], D =
     * config.vector; either may be NULL. FB_E_STATE: a model without a contrastive
     * head. */
    fb_status (*vectors)(fb_matcher *m, fb_tape *tape, const fb_batch *batch,
                         float *texts, float *images);
    /* Patch features of pixels [images, size, size, 3] as bf16 [images*P, F]; the tape
     * need not record. FB_E_NUMBER: one is not finite. */
    fb_status (*features)(fb_matcher *m, fb_tape *tape, const uint8_t *pixels,
                          int32_t images, fb_bf16 *features);
    /* What each token and patch of a pair adds to its score (attribution.h). */
    fb_status (*attribute)(fb_matcher *m, fb_tape *tape, const fb_batch *batch,
                           const fb_attribution_options *options, fb_attribution *out);
    /* What a similarity counts in a score: config.similarity_weight / temperature. */
    double (*similarity_scale)(const fb_matcher *m);
    /* After contrastive training alone, before alignment is learnt: let patches enter
     * the stream as the vectors see them (contrast_head.h). */
    void (*align_patches)(fb_matcher *m);
    /* Learn the image network at a share of the learning rate. */
    void (*scale_encoder_lr)(fb_matcher *m, float share);
    /* Model FLOPs of one forward pass over the batch's real tokens. */
    double (*forward_flops)(const fb_matcher *m, const fb_batch *batch);
    void (*free)(fb_matcher *m, fb_backend *be);
} fb_matcher_kind;

struct fb_matcher {
    const fb_matcher_kind *kind;
    fb_model_config config;
    fb_params *params;
};

/* What a model is made for, and so what is allocated: values alone; gradients and
 * moments too; or those of all but the image network, which stays as it is. */
typedef enum fb_model_use {
    FB_MODEL_SCORE,
    FB_MODEL_TRAIN,
    FB_MODEL_TRAIN_FROZEN
} fb_model_use;

/* Declare and allocate the system that config names; values are zero until initialised
 * or loaded. */
fb_status fb_matcher_create(fb_context *ctx, fb_matcher **matcher,
                            const fb_model_config *config, fb_model_use use);
fb_status fb_fashionbert_create(fb_context *ctx, fb_matcher **matcher,
                                const fb_model_config *config, fb_model_use use);
fb_status fb_qti_create(fb_context *ctx, fb_matcher **matcher,
                        const fb_model_config *config, fb_model_use use);
fb_status fb_selfie_create(fb_context *ctx, fb_matcher **matcher,
                           const fb_model_config *config, fb_model_use use);

/* ---- for systems ------------------------------------------------------------------
 */

/* FB_E_NUMBER: the loss is not finite; the sentence names the first tensor on the tape
 * that is not. */
fb_status fb_matcher_check_loss(fb_tape *tape, double loss);

#endif
