/* train_init.h - the shape that a training run starts with: that of nothing, of a model
 * folder of this program, or of a BERT from Hugging Face.
 */
#ifndef FB_TRAINING_TRAIN_INIT_H
#define FB_TRAINING_TRAIN_INIT_H

#include "fashionbert.h"
#include "models/system.h"

/* What options->init is; for a model folder the options of its shape that were left to
 * the program (encoder, image size, vectors) become its own, and those of the image
 * network that of options->encoder_weights where that is a model folder. Run before
 * fb_recipe_fill. FB_E_USAGE: --encoder names another network than that folder has. */
fb_status fb_train_init_look(fb_context *ctx, fb_train_options *options,
                             fb_start_kind *kind);

/* The same of a model folder that is yet to be made, by its config. */
void fb_train_init_shape(fb_train_options *options, const fb_model_config *config);

/* Sizes to start with: the preset's, config's, or init's, the first `layers` of it. */
fb_status fb_train_init_config(fb_context *ctx, const fb_train_options *options,
                               fb_start_kind kind, fb_model_config *config);

/* How pixels are normalised for the network of options->encoder_weights, where that is
 * a model folder, and how many views of an image it looks at where it is frozen. */
fb_status fb_train_init_pixels(fb_context *ctx, const fb_train_options *options,
                               fb_model_config *config);

#endif
