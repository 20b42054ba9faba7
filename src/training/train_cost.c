/* train_cost.c - see train_cost.h. */
#include "training/train_cost.h"

#include "training/train_step.h"
#include "training/train_validate.h"

enum { PLACES = 4, ROUNDS = 8 };

/* The step at a place of the schedule, 0 to 1. */
static fb_status step_at(fb_train_run *run, double place)
{
    fb_train_line line;
    run->state.step = (int64_t)(place * (double)run->state.total_steps);
    return fb_train_step(run, &line);
}

/* One step before is not counted, unless there is no time for more: it makes what later
 * ones reuse. */
static fb_status try_steps(fb_train_run *run, const fb_train_trial *trial,
                           fb_train_cost *cost)
{
    int64_t most = run->state.total_steps - 1, count = 0;
    double spent_s = 0;
    most = trial->most_steps < most ? trial->most_steps : most;
    int64_t places = most < PLACES ? most : PLACES;
    if (most < 1)
        return FB_OK;
    run->optimizer.lr = 0; /* no weight moves: any place of the schedule is as safe */
    double begun_s = trial->clock();
    FB_TRY(step_at(run, 0));
    cost->step_s = trial->clock() - begun_s;
    if (cost->step_s > trial->most_s)
        return FB_OK;
    begun_s = trial->clock();
    while (count < most && count < PLACES * ROUNDS && !(spent_s > trial->most_s)) {
        FB_TRY(step_at(run, ((double)(count % places) + 0.5) / (double)places));
        count++;
        spent_s = trial->clock() - begun_s;
        if (count % places == 0 && spent_s > trial->least_s)
            break;
    }
    cost->step_s = spent_s / (double)count;
    return FB_OK;
}

static fb_status try_validation(fb_train_run *run, const fb_train_trial *trial,
                                fb_train_cost *cost)
{
    fb_measures measures;
    double begun_s = trial->clock();
    if (!run->has_validation || !(cost->step_s > 0))
        return FB_OK;
    FB_TRY(fb_train_validate(run, &measures));
    cost->validation_s = trial->clock() - begun_s;
    return FB_OK;
}

fb_status fb_train_cost_find(fb_train_run *run, const fb_train_trial *trial,
                             fb_train_cost *cost)
{
    double begun_s = trial->clock();
    *cost = (fb_train_cost){run->state.total_steps, run->validate_every, 0, 0, 0};
    if (run->system->fit || run->state.total_steps < 2)
        return FB_OK;
    FB_TRY(try_steps(run, trial, cost));
    FB_TRY(try_validation(run, trial, cost));
    cost->trial_s = trial->clock() - begun_s;
    return FB_OK;
}
