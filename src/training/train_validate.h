/* train_validate.h - how well the model does on the validation split. */
#ifndef FB_TRAINING_TRAIN_VALIDATE_H
#define FB_TRAINING_TRAIN_VALIDATE_H

#include "training/train_run.h"

/* Means over the validation split's batches, without dropout, and where queries are
 * trained on the ranks that they give. The same batches every time. */
fb_status fb_train_validate(fb_train_run *run, fb_measures *measures);

#endif
