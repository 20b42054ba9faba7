/* train_budget.h - how many steps fit in --processor-minutes.
 *
 *     B   seconds of the processor, all threads together, less a share for checkpoints
 *     c   of a step (train_cost.h)
 *     v   of a validation, one every `every` steps and one at the end
 *     m   that measuring took
 *
 *     steps = (B - m - v) / (c + v / every), at most what the options make
 *
 * What is measured is a run of the same options that is then thrown away, its weights
 * left as they are: the planned run is to the bit that of --steps with the number found.
 */
#ifndef FB_TRAINING_TRAIN_BUDGET_H
#define FB_TRAINING_TRAIN_BUDGET_H

#include "training/train_run.h"

/* With --processor-minutes, and where OUT does not go on from a checkpoint: fills in
 * steps and processor_s of the opening, which says the stage. Says on stderr what was
 * found, unless quiet. A system in closed form has its one pass whatever that costs.
 * FB_E_USAGE: not a single step fits; and what opening a run gives. */
fb_status fb_train_budget_plan(fb_context *ctx, const fb_train_options *options,
                               fb_train_opening *opening);

/* The formula above; 0: not one step fits. */
int64_t fb_train_budget_steps(double seconds, double measuring_s, double step_s,
                              double validation_s, int64_t every);

#endif
