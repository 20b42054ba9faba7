/* train_stage.h - one run of training from its options to a model folder; a recipe is
 * several of them. */
#ifndef FB_TRAINING_TRAIN_STAGE_H
#define FB_TRAINING_TRAIN_STAGE_H

#include "training/train_run.h"

/* One whole run, opened as told: open, train, calibrate, close. A checkpoint is taken
 * between steps, validation just before it. On failure report is as it was. */
fb_status fb_train_stage(fb_context *ctx, const fb_train_options *options,
                         const fb_train_opening *opening, fb_train_report *report);

#endif
