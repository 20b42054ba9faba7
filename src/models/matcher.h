/* matcher.h - a model of one of the systems (system.h), made from its configuration:
 * what it offers is called through its row, matcher->system.
 *
 * A matcher owns its parameter table; the tape, its arena and the batch are the
 * caller's.
 */
#ifndef FB_MODELS_MATCHER_H
#define FB_MODELS_MATCHER_H

#include "models/adaptive_loss.h"
#include "models/measures.h"
#include "models/model_config.h"
#include "models/system.h"
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
    double patch_keep;   /* patch dropout, with negatives: share of an image's patches
                            that training's pairs show */
    double soft_targets; /* listwise: share of each list's target that are soft labels
                            of the vectors (soft_targets.h) */
    bool listwise;       /* listwise image-text matching among the negatives */
    bool blocks;  /* with it: among all pairs of blocks of items (hard_pairs.h) */
    uint64_t key; /* random bits of the step, for negatives */
} fb_loss_options;

/* ---- what a score is made of ------------------------------------------------------ */

enum { FB_ATTRIBUTION_STEPS = 256 };

/* score = alignment * margin + similarity * cosine; 0: that part is not computed. */
struct fb_attribution_options {
    double alignment, similarity;
    int32_t mask_id; /* token id of [MASK] */
    int32_t steps;   /* 1 to FB_ATTRIBUTION_STEPS */
    int64_t pixels;  /* that go through a network at once, at least one image's: bounds
                        memory; 0: 2^19 */
};

struct fb_attribution {
    double score, without_text, without_image;
    double *tokens;  /* [text tokens]; 0 for [CLS] and [SEP] */
    double *patches; /* [P] */
};

/* ---- a model ---------------------------------------------------------------------- */

struct fb_matcher {
    const fb_system *system;
    fb_model_config config;
    fb_params *params;
};

/* Declare and allocate the system that config names; values are zero until initialised
 * or loaded. */
fb_status fb_matcher_create(fb_context *ctx, fb_matcher **matcher,
                            const fb_model_config *config, fb_model_use use);
/* Whether the model gives FB_GIVES_...: its system does, and vectors were asked for. */
bool fb_matcher_gives(const fb_matcher *matcher, uint32_t what);

/* ---- for systems ------------------------------------------------------------------
 */

/* FB_E_NUMBER: the loss is not finite; the sentence names the first tensor on the tape
 * that is not. */
fb_status fb_matcher_check_loss(fb_tape *tape, double loss);

#endif
