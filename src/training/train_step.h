/* train_step.h - one optimiser step: `accumulate` batches, each forward, weigh, backward;
 * then AdamW. */
#ifndef FB_TRAINING_TRAIN_STEP_H
#define FB_TRAINING_TRAIN_STEP_H

#include "training/train_run.h"

/* Take the run's next step. line gets all but the validation and pairs_per_s; its
 * measures are means over the batches. FB_E_NUMBER: a loss or gradient is not finite.
 */
fb_status fb_train_step(fb_train_run *run, fb_train_line *line);

/* The system's `finish` (system.h), where it has one, over an epoch's batches; line's
 * waiting grows. */
fb_status fb_train_finish(fb_train_run *run, fb_train_line *line);

#endif
