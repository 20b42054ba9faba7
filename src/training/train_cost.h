/* train_cost.h - what the parts of a training run cost on this machine, found by trying
 * them.
 *
 *     c   of a step, the mean over places spread evenly over the schedule: a step may
 *         cost more at its end (--unmask-last)
 *     v   of a validation
 *
 * The trial's weights stay as they are and its batches are of the schedule, but its
 * moments move: the run is to be thrown away.
 */
#ifndef FB_TRAINING_TRAIN_COST_H
#define FB_TRAINING_TRAIN_COST_H

#include "training/train_run.h"

/* How long to try. */
typedef struct fb_train_trial {
    double (*clock)(void); /* of the processor or of the wall (base/clock.h) */
    double least_s;        /* of steps, in rounds of places */
    double most_s;         /* no step begins behind it */
    int64_t most_steps;    /* beside a first one that is not counted */
} fb_train_trial;

typedef struct fb_train_cost {
    int64_t steps;               /* that the options make */
    int64_t every;               /* steps between two validations */
    double step_s, validation_s; /* 0: nothing was tried; there is no validation */
    double trial_s;              /* that finding these took */
} fb_train_cost;

/* Of a run just opened, for measuring. A system in closed form, or a run of one step:
 * nothing is tried. */
fb_status fb_train_cost_find(fb_train_run *run, const fb_train_trial *trial,
                             fb_train_cost *cost);

#endif
