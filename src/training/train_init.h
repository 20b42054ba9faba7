/* train_init.h - where a training run starts from: nothing, a model folder of this
 * program, or a BERT from Hugging Face; and an image network's own weights.
 */
#ifndef FB_TRAINING_TRAIN_INIT_H
#define FB_TRAINING_TRAIN_INIT_H

#include "fashionbert.h"
#include "models/matcher.h"

typedef enum fb_init_kind {
    FB_INIT_RANDOM,
    FB_INIT_MODEL, /* config.json with a "fashionbert" object */
    FB_INIT_BERT
} fb_init_kind;

/* What options->init is; for a model folder the options of its shape that were left to
 * the program (encoder, image size, vectors) become its own. Run before fb_recipe_fill.
 */
fb_status fb_train_init_look(fb_context *ctx, fb_train_options *options,
                             fb_init_kind *kind);

/* Sizes to start with: the preset's, config's, or init's, the first `layers` of it. */
fb_status fb_train_init_config(fb_context *ctx, const fb_train_options *options,
                               fb_init_kind kind, fb_model_config *config);

/* Over freshly initialised parameters: the weights of init, then of encoder_weights.
 * From a model folder every tensor that both have is taken; what only one has is left
 * alone, a shape that differs is an error. */
fb_status fb_train_init_weights(fb_context *ctx, const fb_train_options *options,
                                fb_init_kind kind, fb_params *params);

#endif
