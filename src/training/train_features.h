/* train_features.h - features of a frozen image network: computed once before training,
 * found again by the next start.
 *
 *     --feature-cache ""      OUT/features.cache; one of something else is made anew
 *     --feature-cache FILE    FILE; one of something else is refused
 *     --feature-cache none    no cache: the network runs in every step
 */
#ifndef FB_TRAINING_TRAIN_FEATURES_H
#define FB_TRAINING_TRAIN_FEATURES_H

#include "training/train_run.h"

/* With a frozen network and a cache: map the file, after computing what it lacks, and
 * set run->features. The run's matcher has its weights. Nothing else happens without.
 * FB_E_USAGE   a cache is named without a frozen network, or images are to be augmented
 * FB_E_STATE   the named file is of something else; says what differs */
fb_status fb_train_features_open(fb_train_run *run);
void fb_train_features_close(fb_train_run *run);

#endif
