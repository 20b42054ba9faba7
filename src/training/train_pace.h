/* train_pace.h - whether a run keeps to its time, and with how many steps it would.
 *
 *     c   seconds of a step, the mean of the last ones: it forgets half with each look
 *     v   of what comes beside one of `every` steps, validation and checkpoint, likewise
 *     e   of what follows the last step
 *     t   that have gone by, of d
 *
 *     left = d - t - e,    with r steps to go it takes need = r (c + v / every)
 *
 * Where need is above left, as many steps remain as take 98 % of it, so that the next
 * looks find nothing to do; never fewer than a 50th of the plan, over which the learning
 * rate comes down. A look is taken every 50th of the plan.
 *
 * No clock is read here: who calls says what time it is.
 */
#ifndef FB_TRAINING_TRAIN_PACE_H
#define FB_TRAINING_TRAIN_PACE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct fb_train_pace {
    double deadline_s;       /* d; 0: there is none */
    double end_s;            /* e */
    double step_s, beside_s; /* c and v so far; 0: not known yet */
    int64_t every;           /* steps; at least 1 */
    int64_t look_every, least;
    double window_s; /* of the steps since the last look */
    int64_t window_steps;
} fb_train_pace;

/* Of a plan of so many steps; what is known of costs may be set behind it. */
void fb_train_pace_begin(fb_train_pace *pace, double deadline_s, int64_t planned,
                         int64_t every);

/* One step took step_s. beside_s: what came beside it, 0 if nothing did. */
void fb_train_pace_add(fb_train_pace *pace, double step_s, double beside_s);

/* Seconds until the end, of `step` of `total` steps; negative: not known yet. */
double fb_train_pace_left(const fb_train_pace *pace, int64_t step, int64_t total);

/* After `step` of `total` steps, elapsed_s gone by: how many steps in all, at most
 * `total`. */
int64_t fb_train_pace_total(fb_train_pace *pace, int64_t step, int64_t total,
                            double elapsed_s);

#endif
