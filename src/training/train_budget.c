/* train_budget.c - see train_budget.h. */
#include "training/train_budget.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/number_text.h"
#include "training/train_cost.h"

#include <math.h>
#include <stdio.h>

/* Rounds of steps are measured until they have taken the first share; the second is
 * left for checkpoints and for what no measurement foresees. */
static const double measuring_share = 0.02, reserve_share = 0.03;

int64_t fb_train_budget_steps(double seconds, double measuring_s, double step_s,
                              double validation_s, int64_t every)
{
    double left = seconds * (1 - reserve_share) - measuring_s - validation_s;
    double each = step_s + validation_s / (double)every;
    return left > 0 && each > 0 ? (int64_t)(left / each) : 0;
}

static fb_status plan(fb_train_run *run, fb_train_opening *opening)
{
    const fb_train_options *o = &run->options;
    double budget_s = o->processor_minutes * 60;
    const fb_train_trial trial = {fb_clock_processor_s, measuring_share * budget_s,
                                  INFINITY, INT64_MAX};
    fb_train_cost cost;
    FB_TRY(fb_train_cost_find(run, &trial, &cost));
    if (run->system->fit || cost.steps < 2)
        return FB_OK;
    opening->processor_s = cost.trial_s;
    int64_t fit = fb_train_budget_steps(budget_s, cost.trial_s, cost.step_s,
                                        cost.validation_s, cost.every);
    if (fit < 1)
        return fb_fail(run->ctx, FB_E_USAGE,
                       "--processor-minutes %g is too little: measuring took %.3g "
                       "seconds of the processor, a step takes %.3g and a validation "
                       "%.3g",
                       o->processor_minutes, cost.trial_s, cost.step_s,
                       cost.validation_s);
    opening->steps = fit < cost.steps ? fit : cost.steps;
    if (!o->quiet)
        fb_stream_print(
            stderr,
            "plan: %lld steps, %.3g processor seconds a step and %.3g a validation; "
            "%lld fit in %g processor minutes\n",
            (long long)opening->steps, cost.step_s, cost.validation_s, (long long)fit,
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
