/* train_stage.c - one stage of training: batches in, steps, checkpoints out.
 *
 *     step (train_step.h) | validation (train_validate.h) | line in the log | checkpoint
 */
#include "training/train_stage.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/number_text.h"
#include "base/progress.h"
#include "engine/neighbours.h"
#include "training/calibrate.h"
#include "training/train_budget.h"
#include "training/train_pace.h"
#include "training/train_queries.h"
#include "training/train_report.h"
#include "training/train_run.h"
#include "training/train_step.h"
#include "training/train_validate.h"

#include <stdio.h>

/* Better: higher accuracy, or as high with a lower deciding loss (measures.h). */
static bool is_best(const fb_train_run *run, const fb_train_line *line)
{
    if (!line->validated)
        return !run->has_validation || run->state.best_step == 0;
    const fb_measures *v = &line->validation;
    double accuracy = fb_measures_value(v, FB_MEASURE_HEADLINE);
    if (run->state.best_step == 0 || accuracy > run->state.best_accuracy)
        return true;
    return !(accuracy < run->state.best_accuracy) &&
           fb_measures_value(v, FB_MEASURE_DECIDES) < run->state.best_loss;
}

static fb_status checkpoint(fb_train_run *run, const fb_train_line *line, bool best)
{
    fb_train_state *s = &run->state;
    const fb_measures *v = &line->validation;
    if (best) {
        s->best_step = s->step;
        s->best_accuracy = fb_measures_value(v, FB_MEASURE_HEADLINE);
        s->best_loss = fb_measures_value(v, FB_MEASURE_DECIDES);
    }
    if (fb_comm_writes(run->comm)) {
        FB_TRY(fb_train_log_sync(run->ctx, run->log, &s->log_bytes));
        FB_TRY(fb_params_fetch(run->ctx, run->matcher->params, run->be));
        FB_TRY(fb_train_state_save(run->ctx, run->options.out, s, &run->options,
                                   run->matcher, best));
    }
    return fb_comm_barrier(run->ctx, run->comm);
}

/* Adds to the state what has gone by since it was last called. */
typedef struct meter {
    double seconds, processor_s;
} meter;

/* A run under way. */
typedef struct course {
    fb_train_run *run;
    const fb_train_opening *opening;
    fb_train_pace pace;
    fb_progress progress;
    meter meter;
    double beside_s; /* what came beside the step before */
    double said_s;   /* when the time left was last said in a line of its own */
    bool says;
} course;

enum { TEXT = 512, SAY_EVERY_S = 60 };

static void read_meter(course *c)
{
    fb_train_state *state = &c->run->state;
    const meter now = {fb_clock_s(), fb_clock_processor_s()};
    state->seconds += now.seconds - c->meter.seconds;
    state->processor_s += now.processor_s - c->meter.processor_s;
    state->elapsed_s = now.seconds - c->opening->begun_s;
    c->meter = now;
}

/* ---- keeping to the time ------------------------------------------------------------- */

static void begin_pace(course *c)
{
    const fb_train_run *run = c->run;
    int64_t every = run->checkpoint_every;
    if (run->has_validation && run->validate_every < every)
        every = run->validate_every;
    fb_train_pace_begin(&c->pace, run->state.deadline_s, run->schedule.planned, every);
    c->pace.step_s = c->opening->step_s;
    c->pace.beside_s = c->opening->validation_s;
    c->pace.end_s = run->state.end_s;
}

/* Before the step's line and its checkpoint, which both have the decision. */
static void keep_pace(course *c, fb_train_line *line, double step_s)
{
    fb_train_run *run = c->run;
    fb_train_state *s = &run->state;
    fb_train_schedule *schedule = &run->schedule;
    fb_train_pace_add(&c->pace, step_s, c->beside_s);
    double elapsed_s = fb_clock_s() - c->opening->begun_s;
    int64_t before = s->total_steps;
    int64_t total = fb_train_pace_total(&c->pace, s->step, before, elapsed_s);
    if (total < before && fb_train_schedule_shorten(schedule, s->step, total)) {
        fb_train_schedule_write(schedule, run->shorten);
        run->options.shorten = run->shorten;
        s->total_steps = total;
        c->progress.total = total;
        if (c->says)
            fb_stream_print(
                stderr,
                "%sstep %lld: slower than planned, %.3g seconds a step; %lld steps "
                "in all, not %lld\n",
                c->progress.on ? "\r\033[K" : "", (long long)s->step, c->pace.step_s,
                (long long)total, (long long)before);
    }
    for (int32_t i = 0; i < schedule->count; i++)
        if (schedule->turns[i].step == s->step)
            line->shortened_to = schedule->turns[i].total;
}

/* Where there is no terminal to draw on, a line now and then. */
static void say_time_left(course *c)
{
    const fb_train_state *s = &c->run->state;
    double now_s = fb_clock_s();
    double left_s = fb_train_pace_left(&c->pace, s->step, s->total_steps);
    char text[16];
    if (!c->says || c->progress.on || now_s - c->said_s < SAY_EVERY_S || left_s < 0)
        return;
    c->said_s = now_s;
    fb_progress_format_time(left_s + c->opening->later_s, text);
    fprintf(stderr, "step %lld of %lld, %s left\n", (long long)s->step,
            (long long)s->total_steps, text);
}

static void describe(const course *c, const fb_train_line *line, char text[TEXT])
{
    const fb_train_state *s = &c->run->state;
    double left_s = fb_train_pace_left(&c->pace, s->step, s->total_steps);
    int used = 0;
    char time[16];
    if (c->opening->later_s > 0 && left_s >= 0) {
        fb_progress_format_time(left_s + c->opening->later_s, time);
        used = snprintf(text, TEXT, "all %s left  ", time);
    }
    fb_train_line_describe(line, text + used, TEXT - (size_t)used);
}

/* ---- a step ------------------------------------------------------------------------- */

static fb_status finish_step(course *c, fb_train_line *line, double step_s)
{
    fb_train_run *run = c->run;
    int64_t step = run->state.step;
    bool end = step == run->state.total_steps;
    bool save = end || step % run->checkpoint_every == 0;
    double begun_s = fb_clock_s();
    line->validated = run->has_validation && (end || step % run->validate_every == 0);
    if (save || line->validated)
        FB_TRY(fb_train_finish(run, line));
    if (line->validated)
        FB_TRY(fb_train_validate(run, &line->validation));
    keep_pace(c, line, step_s);
    read_meter(c);
    bool best = is_best(run, line);
    if (fb_comm_writes(run->comm))
        FB_TRY(fb_train_log_write(run->ctx, run->log, line));
    if (save || (line->validated && best))
        FB_TRY(checkpoint(run, line, best));
    c->beside_s = save || line->validated ? fb_clock_s() - begun_s : 0;
    return FB_OK;
}

static fb_status train_all(course *c, fb_train_report *report)
{
    fb_train_run *run = c->run;
    fb_train_means means = {0};
    fb_status status = FB_OK;
    fb_progress_begin(&c->progress, "training", "steps", run->state.step,
                      run->state.total_steps, !c->says);
    begin_pace(c);
    while (run->state.step < run->state.total_steps && status == FB_OK) {
        fb_train_line line;
        char text[TEXT];
        double step_started_s = fb_clock_s();
        status = fb_train_step(run, &line);
        if (status != FB_OK)
            break;
        double step_s = fb_clock_s() - step_started_s;
        line.pairs_per_s =
            (double)run->options.batch * run->options.accumulate / step_s;
        status = finish_step(c, &line, step_s);
        describe(c, &line, text);
        fb_progress_update(&c->progress, run->state.step, 1.0, text);
        say_time_left(c);
        fb_train_means_add(&means, &line.measures);
        report->wait_seconds += line.wait_s;
    }
    fb_progress_end(&c->progress);
    report->steps = run->state.step;
    fb_train_means_report(&means, run->matcher->system->loss_names, report);
    report->best_step = run->state.best_step;
    report->best_val_accuracy = run->has_validation && run->state.best_step
                                    ? run->state.best_accuracy
                                    : (double)NAN;
    return status;
}

/* In closed form a product comes up once. */
static int64_t count_products(const fb_train_run *run)
{
    int64_t products = run->state.step * fb_train_run_products(run);
    int64_t items = fb_train_run_rows(run, FB_SPLIT_TRAIN);
    return run->system->fit && products > items ? items : products;
}

/* last/ has the same score, so it needs the same files. */
static fb_status copy_neighbours(const fb_train_run *run, int32_t width)
{
    char last[4096];
    fb_neighbours *neighbours;
    FB_TRY(fb_path_join(run->ctx, last, run->options.out, "last"));
    FB_TRY(fb_neighbours_open(run->ctx, &neighbours, run->options.out, width));
    fb_status status = fb_neighbours_save(run->ctx, neighbours, last);
    fb_neighbours_free(neighbours);
    return status;
}

/* Weigh similarity in the best model's score, and say so in its config.json. */
static fb_status calibrate(fb_train_run *run)
{
    static const char *const files[] = {"config.json", "last/config.json"};
    fb_model_config config = run->matcher->config;
    if (!run->has_validation || run->state.best_step == 0 || !fb_comm_writes(run->comm))
        return FB_OK;
    FB_TRY(fb_calibrate(run->ctx, run->options.out, &run->options, &config));
    if (config.neighbour_weight > 0)
        FB_TRY(copy_neighbours(run, config.vector));
    for (int i = 0; i < 2; i++) {
        char path[4096];
        FB_TRY(fb_path_join(run->ctx, path, run->options.out, files[i]));
        FB_TRY(fb_model_config_write(run->ctx, &config, path));
    }
    return FB_OK;
}

/* Of a run that goes on, by what it took so far. */
static void say_resumed(const course *c)
{
    const fb_train_state *s = &c->run->state;
    char text[16];
    if (!c->says || s->step == 0 || s->step >= s->total_steps)
        return;
    double left = (double)(s->total_steps - s->step) / (double)s->step;
    fb_progress_format_time(left * s->seconds + c->opening->later_s, text);
    fprintf(stderr, "going on at step %lld of %lld: about %s\n", (long long)s->step,
            (long long)s->total_steps, text);
}

fb_status fb_train_stage(fb_context *ctx, const fb_train_options *options,
                         const fb_train_opening *opening, fb_train_report *report)
{
    fb_train_report fresh = {0};
    fb_train_opening planned = *opening;
    course c = {.opening = &planned};
    FB_TRY(fb_train_budget_plan(ctx, options, &planned));
    FB_TRY(fb_train_run_open(ctx, &c.run, options, &planned));
    fb_train_run *run = c.run;
    c.says = !run->options.quiet && fb_comm_writes(run->comm);
    c.said_s = fb_clock_s();
    c.meter = (meter){c.said_s, fb_clock_processor_s()}; /* behind what runs share */
    say_resumed(&c);
    fb_status status = train_all(&c, &fresh);
    if (status == FB_OK)
        status = calibrate(run);
    if (status == FB_OK)
        status = fb_comm_barrier(ctx, run->comm);
    read_meter(&c);
    fresh.seconds = run->state.seconds;
    fresh.processor_seconds = run->state.processor_s;
    fresh.products = count_products(run);
    fresh.parameters = run->matcher->params->total;
    fb_train_run_close(run);
    if (status == FB_OK)
        *report = fresh;
    return status;
}
