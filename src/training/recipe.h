/* recipe.h - what training options mean that were left to the program: by objective,
 * and, with all of them left, the stages of the best recipe found (docs/recipes.md).
 */
#ifndef FB_TRAINING_RECIPE_H
#define FB_TRAINING_RECIPE_H

#include "fashionbert.h"
#include "models/system.h"

/* How many stages of a system's recipe (fb_system.stages) the options ask for: all where
 * no option about what or how to learn is said (train_options.h); with `objective`
 * besides, those it begins with that are of this objective; 0 (a single run, as the
 * options say) otherwise. */
int32_t fb_recipe_stages(const fb_train_options *options);

/* Stage `number` for a training split of `items`, as options that a user could have
 * typed: of `options` it takes those that are not about what or how to learn. Folders
 * (out, init) are the caller's to set. */
fb_status fb_recipe_stage(fb_context *ctx, fb_train_options *stage,
                          const fb_train_options *options, int32_t number,
                          int32_t items);

/* The image network stays as it is. Encoders without one have nothing to freeze. */
bool fb_recipe_freezes(const fb_train_options *options);
/* What it makes of each image is computed once and kept in a file. */
bool fb_recipe_keeps_features(const fb_train_options *options);

/* Every option still left to the program gets its objective's value; *system is whose
 * objective it is. FB_E_USAGE: no such objective, or options that do not go together. */
fb_status fb_recipe_fill(fb_context *ctx, fb_train_options *options,
                         const fb_system **system);

#endif
