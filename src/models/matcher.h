/* matcher.h - what every matching system offers to tasks/: losses of a batch with their
 * gradients, and scores of pairs.
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

typedef struct fb_loss_options {
    bool enabled[FB_LOSSES]; /* by FB_LOSS_MLM, ... */
    fb_adaptive_mode mode;
    bool detach;       /* softmax mode */
    bool shared_norms; /* gradient mode: norms over all shared parameters */
} fb_loss_options;

/* What one batch gave. A loss without rows in the batch is not present: value 0. */
typedef struct fb_step_losses {
    bool present[FB_LOSSES];
    double loss[FB_LOSSES];
    double weight[FB_LOSSES];
    double squared_norm[FB_LOSSES]; /* gradient mode */
    double total;                   /* sum of weight * loss */
    int64_t pairs, pairs_right;     /* alignment: argmax equals the label */
    int64_t rows[FB_LOSSES];
} fb_step_losses;

typedef struct fb_matcher fb_matcher;

typedef struct fb_matcher_kind {
    const char *name;
    /* Forward, weigh, backward: parameter gradients of the total are added. The tape
     * must record. */
    fb_status (*train_batch)(fb_matcher *m, fb_tape *tape, const fb_batch *batch,
                             const fb_loss_options *options, fb_step_losses *losses);
    /* Losses alone, unweighted; the tape need not record. */
    fb_status (*losses)(fb_matcher *m, fb_tape *tape, const fb_batch *batch,
                        const fb_loss_options *options, fb_step_losses *losses);
    /* scores[B] = P(match) */
    fb_status (*score)(fb_matcher *m, fb_tape *tape, const fb_batch *batch,
                       float *scores);
    /* Model FLOPs of one forward pass over the batch's real tokens. */
    double (*forward_flops)(const fb_matcher *m, const fb_batch *batch);
    void (*free)(fb_matcher *m, fb_backend *be);
} fb_matcher_kind;

struct fb_matcher {
    const fb_matcher_kind *kind;
    fb_model_config config;
    fb_params *params;
};

/* Declare and allocate; values are zero until initialised or loaded. */
fb_status fb_fashionbert_create(fb_context *ctx, fb_matcher **matcher,
                                const fb_model_config *config, bool training);

#endif
