/* matcher.h - a model of one of the systems (system.h), made from its configuration:
 * what it offers is called through its row, matcher->system.
 *
 * A matcher owns its parameter table; the tape, its arena and the batch are the
 * caller's.
 */
#ifndef FB_MODELS_MATCHER_H
#define FB_MODELS_MATCHER_H

#include "models/measures.h"
#include "models/model_config.h"
#include "models/system.h"
#include "nn/param.h"
#include "tensor/batch.h"

/* ---- what a score is made of ------------------------------------------------------ */

enum { FB_ATTRIBUTION_STEPS = 256 };

/* score = alignment * margin + similarity * cosine; 0: that part is not computed. */
struct fb_attribution_options {
    double alignment, similarity;
    int32_t mask_id; /* token id of [MASK] */
    int32_t steps;   /* 1 to FB_ATTRIBUTION_STEPS */
    int64_t pixels;  /* that go through a network at once, at least one image's: bounds
                        memory; 0: 2^19 */
    /* NULL, or called between parts of few steps; false: stop, FB_E_STATE. */
    bool (*pause)(void *self);
    void *pause_self;
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
