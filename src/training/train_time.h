/* train_time.h - how long training takes by the clock on the wall, and with --minutes the
 * schedules that fit.
 *
 *     of stage k:   n steps as the options make them; c, v (train_cost.h), one validation
 *                   every `every` steps and one at the end; opening takes o, and
 *                   calibration and the like behind the last step e
 *
 *     fixed  = o + v + e,   each = c + v / every
 *     share  = (d (1 - .03) - sum fixed) / sum n each,   of every stage's n, at most 1
 *
 * so that the products that stages see keep the recipe's proportions. d: what is left
 * of the minutes when a stage begins; so a stage that took less or more than its part
 * gives to, or takes from, those behind it.
 */
#ifndef FB_TRAINING_TRAIN_TIME_H
#define FB_TRAINING_TRAIN_TIME_H

#include "training/train_cost.h"

typedef struct fb_train_time {
    fb_train_cost
        cost; /* step_s 0: not known, and takes its steps whatever they cost */
    double open_s, end_s;
} fb_train_time;

/* Of a run by these options, of the opening's stage. minutes: to be planned for, and so
 * worth some more trying; 0: where a trial costs more than a fiftieth of the steps, none
 * is made. shape: of the model that it would train, for the next stage's opening.
 * Failures as fb_train_run_open's. */
fb_status fb_train_time_find(fb_context *ctx, const fb_train_options *options,
                             const fb_train_opening *opening, double minutes,
                             fb_train_time *time, fb_model_config *shape);

/* Of so many steps of it. */
double fb_train_time_seconds(const fb_train_time *time, int64_t steps);

/* The formula above, 0 to 1: 0, that not even what is fixed fits. */
double fb_train_time_share(const fb_train_time *times, int32_t count, double seconds);

/* Seconds of all stages, of the share of steps that fits in `seconds`; 0: of all steps. */
double fb_train_time_all(const fb_train_time *times, int32_t count, double seconds);

/* Fills in the opening of the first of `count` stages that are left to do: what is known
 * of costs, and, of `seconds` in all with elapsed_s gone by, its steps (at least 1) and
 * when it is to end; its share of these where others follow. seconds 0: any time. */
void fb_train_time_open(const fb_train_time *times, int32_t count, double seconds,
                        double elapsed_s, fb_train_opening *opening);

#endif
