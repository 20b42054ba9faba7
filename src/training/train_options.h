/* train_options.h - the table of training's options, include/fashionbert/train.def. */
#ifndef FB_TRAINING_TRAIN_OPTIONS_H
#define FB_TRAINING_TRAIN_OPTIONS_H

#include "base/option.h"
#include "fashionbert.h"

/* Rows of fb_train_options. */
extern const fb_option_table fb_train_option_table;

/* An option about what or how to learn: it makes a run of one's own in the place of the
 * recipe. Of the others, `common` ones are shared by the recipe's stages. */
bool fb_train_option_is_own(const fb_option *option);

#endif
