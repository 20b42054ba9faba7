/* train_stage.h - one run of training from its options to a model folder; a recipe is
 * several of them. */
#ifndef FB_TRAINING_TRAIN_STAGE_H
#define FB_TRAINING_TRAIN_STAGE_H

#include "base/status.h"
#include "fashionbert.h"

/* One whole run, stage `stage` of `stages` of a recipe or 0 of 0: open, train,
 * calibrate, close. A checkpoint is taken between steps, validation just before it. On
 * failure report is as it was. */
fb_status fb_train_stage(fb_context *ctx, const fb_train_options *options,
                         int32_t stage, int32_t stages, fb_train_report *report);

#endif
