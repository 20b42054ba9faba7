/* fashionbert_options.h - what training can ask of the single stream: losses by name,
 * negatives, the contrastive loss beside them; shared with systems built on it
 * (qti_model.h).
 */
#ifndef FB_MODELS_FASHIONBERT_FASHIONBERT_OPTIONS_H
#define FB_MODELS_FASHIONBERT_FASHIONBERT_OPTIONS_H

#include "models/losses.h"
#include "models/system.h"

extern const fb_system fb_fashionbert_system;

/* Numbers of the losses: FashionBERT's, then those of queries. */
enum {
    FB_LOSS_MLM,
    FB_LOSS_TIA,
    FB_LOSS_MPM,
    FB_LOSS_CLICK,
    FB_LOSS_QT,
    FB_LOSS_QI,
    FB_LOSSES = 3,     /* FashionBERT's */
    FB_LOSSES_ALL = 6, /* with those of queries */
};

/* Their words: FashionBERT's, and all. NULL behind the last. */
extern const char *const fb_fashionbert_choices[FB_LOSSES + 1];
extern const char *const fb_fashionbert_choices_all[FB_LOSSES_ALL + 1];

/* "mlm", "tia", ... */
const char *fb_loss_name(int32_t loss);

/* The options of a step. The batch is of pairs, or, where `itc` or `negatives` is set,
 * of items (text b and image b of one product). */
typedef struct fb_loss_options {
    bool enabled[FB_LOSSES_ALL]; /* by FB_LOSS_MLM, ... */
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

/* Of the row (system.h). */
fb_status fb_fashionbert_settle(fb_context *ctx, fb_train_options *options);
fb_status fb_fashionbert_plan(fb_context *ctx, const fb_train_options *options,
                              fb_train_plan *plan, void *step);
void fb_fashionbert_step(void *step, const fb_train_options *options,
                         const fb_step_clock *clock);
fb_status fb_fashionbert_configure(fb_context *ctx, fb_model_config *config,
                                   const fb_train_options *options,
                                   const fb_start *start);

/* Words and numbers of `step` but for its losses, and what of the plan depends on them.
 * FB_E_USAGE: a word is not known. */
fb_status fb_fashionbert_plan_step(fb_context *ctx, const fb_train_options *options,
                                   fb_train_plan *plan, fb_loss_options *step);
/* Where in the trunk patches join. */
int32_t fb_fashionbert_patches_from(const fb_model_config *config,
                                    const fb_train_options *options);

#endif
