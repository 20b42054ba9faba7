/* train_budget.c - see train_budget.h. */
#include "training/train_budget.h"

#include "base/clock.h"
#include "base/file.h"
#include "training/train_step.h"
#include "training/train_validate.h"

#include <stdio.h>

enum { PLACES = 4, ROUNDS = 8 };

/* Rounds of PLACES steps are measured until they have taken the first share; the second
 * is left for checkpoints and for what no measurement foresees. */
static const double measuring_share = 0.02, reserve_share = 0.03;

int64_t fb_train_budget_steps(double seconds, double measuring_s, double step_s,
                              double validation_s, int64_t every)
{
    double left = seconds * (1 - reserve_share) - measuring_s - validation_s;
    double each = step_s + validation_s / (double)every;
    return left > 0 && each > 0 ? (int64_t)(left / each) : 0;
}

/* The step at a place of the schedule, 0 to 1. */
static fb_status step_at(fb_train_run *run, double place)
{
    fb_train_line line;
    run->state.step = (int64_t)(place * (double)run->state.total_steps);
    return fb_train_step(run, &line);
}

/* Mean cost of a step; one before is not counted: it makes what later ones reuse. */
static fb_status measure_steps(fb_train_run *run, double budget_s, double *step_s)
{
    int64_t count = 0;
    double spent_s = 0;
    run->optimizer.lr = 0; /* no weight moves: any place of the schedule is as safe */
    FB_TRY(step_at(run, 0));
    double begun_s = fb_clock_processor_s();
    for (int round = 0; round < ROUNDS && count < run->state.total_steps; round++) {
        for (int i = 0; i < PLACES && count < run->state.total_steps - 1; i++, count++)
            FB_TRY(step_at(run, (i + 0.5) / PLACES));
        spent_s = fb_clock_processor_s() - begun_s;
        if (spent_s > measuring_share * budget_s)
            break;
    }
    *step_s = count ? spent_s / (double)count : 0;
    return FB_OK;
}

static fb_status measure_validation(fb_train_run *run, double *validation_s)
{
    fb_measures measures;
    double begun_s = fb_clock_processor_s();
    *validation_s = 0;
    if (!run->has_validation)
        return FB_OK;
    FB_TRY(fb_train_validate(run, &measures));
    *validation_s = fb_clock_processor_s() - begun_s;
    return FB_OK;
}

static fb_status plan(fb_train_run *run, fb_train_opening *opening)
{
    const fb_train_options *o = &run->options;
    double budget_s = o->processor_minutes * 60, step_s, validation_s;
    double begun_s = fb_clock_processor_s();
    if (run->system->fit || run->state.total_steps < 2)
        return FB_OK;
    FB_TRY(measure_steps(run, budget_s, &step_s));
    FB_TRY(measure_validation(run, &validation_s));
    opening->processor_s = fb_clock_processor_s() - begun_s;
    int64_t fit = fb_train_budget_steps(budget_s, opening->processor_s, step_s,
                                        validation_s, run->validate_every);
    if (fit < 1)
        return fb_fail(run->ctx, FB_E_USAGE,
                       "--processor-minutes %g is too little: measuring took %.3g "
                       "seconds of the processor, a step takes %.3g and a validation "
                       "%.3g",
                       o->processor_minutes, opening->processor_s, step_s,
                       validation_s);
    opening->steps = fit < run->state.total_steps ? fit : run->state.total_steps;
    if (!o->quiet)
        fprintf(
            stderr,
            "plan: %lld steps, %.3g processor seconds a step and %.3g a validation; "
            "%lld fit in %g processor minutes\n",
            (long long)opening->steps, step_s, validation_s, (long long)fit,
            o->processor_minutes);
    return FB_OK;
}

fb_status fb_train_budget_plan(fb_context *ctx, const fb_train_options *options,
                               fb_train_opening *opening)
{
    fb_train_run *run;
    fb_train_opening measuring = *opening;
    if (!(options->processor_minutes > 0))
        return FB_OK;
    if (options->resume && options->out[0]) {
        char last[4096];
        FB_TRY(fb_path_join(ctx, last, options->out, "last"));
        FB_TRY(fb_folder_recover(ctx, last));
        if (fb_train_state_exists(options->out))
            return FB_OK;
    }
    measuring.measuring = true;
    FB_TRY(fb_train_run_open(ctx, &run, options, &measuring));
    fb_status status = plan(run, opening);
    fb_train_run_close(run);
    return status;
}
