/* train_time.c - see train_time.h. */
#include "training/train_time.h"

#include "base/clock.h"
#include "engine/model_folder.h"
#include "engine/model_regions.h"
#include "training/calibrate.h"
#include "training/train_queries.h"

#include <math.h>
#include <stdlib.h>

static const double least_share = 0.01, most_share = 0.04, reserve_share = 0.03;

enum { TRIAL_PART = 50 }; /* of the steps, without minutes */

/* The run's own parts as an opened model. */
static fb_status find_calibration(fb_train_run *run, double item_s, double *seconds)
{
    fb_model *m = calloc(1, sizeof *m);
    fb_status status = FB_OK;
    if (!m)
        return fb_fail(run->ctx, FB_E_MEMORY, "no memory to try a model");
    m->be = run->be;
    m->matcher = run->matcher;
    m->vocab = run->vocab;
    m->resizer = fb_resizer_create();
    if (!m->resizer)
        status = fb_fail(run->ctx, FB_E_MEMORY, "no memory to resize images");
    if (status == FB_OK)
        status = fb_scorer_create(run->ctx, &m->scorer, run->be, run->matcher);
    if (status == FB_OK)
        status = fb_model_open_regions(run->ctx, m, run->options.regions, NULL);
    if (status == FB_OK)
        status = fb_calibrate_time(run->ctx, &run->options, m, item_s, seconds);
    fb_scorer_free(m->scorer);
    fb_region_table_close(m->regions);
    fb_resizer_free(m->resizer);
    free(m);
    return status;
}

static fb_status find_end(fb_train_run *run, fb_train_time *time)
{
    int32_t items = fb_train_run_rows(run, FB_SPLIT_VAL);
    int32_t most = run->options.validate_pairs;
    const fb_system *s = run->system;
    time->end_s = 0;
    if (!run->has_validation || !(time->cost.step_s > 0) ||
        !(s->gives & (FB_GIVES_SCORE | FB_GIVES_VECTORS)))
        return FB_OK;
    items = most && items > most ? most : items;
    double item_s = time->cost.validation_s / (items > 0 ? items : 1);
    return find_calibration(run, item_s * run->matcher->config.views, &time->end_s);
}

static fb_status find(fb_train_run *run, double minutes, fb_train_time *time)
{
    double seconds = minutes * 60;
    fb_train_trial trial = {fb_clock_s, least_share * seconds, most_share * seconds,
                            INT64_MAX};
    if (!(minutes > 0)) {
        trial.most_s = INFINITY;
        trial.most_steps = run->state.total_steps / TRIAL_PART;
    }
    FB_TRY(fb_train_cost_find(run, &trial, &time->cost));
    return find_end(run, time);
}

fb_status fb_train_time_find(fb_context *ctx, const fb_train_options *options,
                             const fb_train_opening *opening, double minutes,
                             fb_train_time *time, fb_model_config *shape)
{
    fb_train_run *run;
    fb_train_opening measuring = *opening;
    double begun_s = fb_clock_s();
    measuring.measuring = true;
    FB_TRY(fb_train_run_open(ctx, &run, options, &measuring));
    time->open_s = fb_clock_s() - begun_s - run->features_s; /* these are kept */
    fb_status status = find(run, minutes, time);
    *shape = run->matcher->config;
    fb_train_run_close(run);
    return status;
}

/* ---- by the formula ---------------------------------------------------------------- */

static double each_s(const fb_train_time *t)
{
    return t->cost.step_s + t->cost.validation_s / (double)t->cost.every;
}

static double fixed_s(const fb_train_time *t)
{
    return t->open_s + t->cost.validation_s + t->end_s;
}

double fb_train_time_seconds(const fb_train_time *time, int64_t steps)
{
    return fixed_s(time) + (double)steps * each_s(time);
}

double fb_train_time_share(const fb_train_time *times, int32_t count, double seconds)
{
    double fixed = 0, moving = 0, left = seconds * (1 - reserve_share);
    for (int32_t i = 0; i < count; i++) {
        fixed += fixed_s(&times[i]);
        moving += (double)times[i].cost.steps * each_s(&times[i]);
    }
    if (left <= fixed)
        return 0;
    return left - fixed < moving ? (left - fixed) / moving : 1;
}

static int64_t share_of(const fb_train_time *t, double share)
{
    int64_t steps = (int64_t)(share * (double)t->cost.steps + 1e-6); /* of a whole */
    return steps > 1 ? steps : 1;
}

static double sum_s(const fb_train_time *times, int32_t count, double share)
{
    double all = 0;
    for (int32_t i = 0; i < count; i++)
        all += fb_train_time_seconds(&times[i], share_of(&times[i], share));
    return all;
}

double fb_train_time_all(const fb_train_time *times, int32_t count, double seconds)
{
    return sum_s(times, count,
                 seconds > 0 ? fb_train_time_share(times, count, seconds) : 1);
}

void fb_train_time_open(const fb_train_time *times, int32_t count, double seconds,
                        double elapsed_s, fb_train_opening *opening)
{
    double left_s = seconds - elapsed_s;
    double share = seconds > 0 ? fb_train_time_share(times, count, left_s) : 1;
    double own = fb_train_time_seconds(&times[0], share_of(&times[0], share));
    double all = sum_s(times, count, share);
    opening->step_s = times[0].cost.step_s;
    opening->validation_s = times[0].cost.validation_s;
    opening->end_s = times[0].end_s;
    opening->later_s = all - own;
    if (!(seconds > 0))
        return;
    opening->steps = share_of(&times[0], share);
    opening->deadline_s = count > 1 ? elapsed_s + left_s * own / all : seconds;
}
