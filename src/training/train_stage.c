/* train_stage.c - one stage of training: batches in, steps, checkpoints out.
 *
 *     step (train_step.h) | validation (train_validate.h) | line in the log | checkpoint
 */
#include "training/train_stage.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/progress.h"
#include "engine/neighbours.h"
#include "training/calibrate.h"
#include "training/train_budget.h"
#include "training/train_queries.h"
#include "training/train_report.h"
#include "training/train_run.h"
#include "training/train_step.h"
#include "training/train_validate.h"

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

static fb_status finish_step(fb_train_run *run, fb_train_line *line)
{
    int64_t step = run->state.step;
    bool end = step == run->state.total_steps;
    bool save = end || step % run->checkpoint_every == 0;
    line->validated = run->has_validation && (end || step % run->validate_every == 0);
    if (save || line->validated)
        FB_TRY(fb_train_finish(run, line));
    if (line->validated)
        FB_TRY(fb_train_validate(run, &line->validation));
    bool best = is_best(run, line);
    if (fb_comm_writes(run->comm))
        FB_TRY(fb_train_log_write(run->ctx, run->log, line));
    return save || (line->validated && best) ? checkpoint(run, line, best) : FB_OK;
}

enum { TEXT = 512 };

/* Adds to the state what has gone by since it was last called. */
typedef struct meter {
    double seconds, processor_s;
} meter;

static void read_meter(meter *m, fb_train_state *state)
{
    const meter now = {fb_clock_s(), fb_clock_processor_s()};
    state->seconds += now.seconds - m->seconds;
    state->processor_s += now.processor_s - m->processor_s;
    *m = now;
}

static fb_status train_all(fb_train_run *run, meter *m, fb_train_report *report)
{
    fb_progress progress;
    fb_train_means means = {0};
    fb_status status = FB_OK;
    fb_progress_begin(&progress, "training", "steps", run->state.step,
                      run->state.total_steps,
                      run->options.quiet || !fb_comm_writes(run->comm));
    while (run->state.step < run->state.total_steps && status == FB_OK) {
        fb_train_line line;
        char text[TEXT];
        double step_started_s = fb_clock_s();
        status = fb_train_step(run, &line);
        if (status != FB_OK)
            break;
        line.pairs_per_s = (double)run->options.batch * run->options.accumulate /
                           (fb_clock_s() - step_started_s);
        read_meter(m, &run->state);
        status = finish_step(run, &line);
        fb_train_line_describe(&line, text, sizeof text);
        fb_progress_update(&progress, run->state.step, 1.0, text);
        fb_train_means_add(&means, &line.measures);
        report->wait_seconds += line.wait_s;
    }
    fb_progress_end(&progress);
    report->steps = run->state.step;
    fb_train_means_report(&means, run->matcher->system->loss_names, report);
    report->best_step = run->state.best_step;
    report->best_val_accuracy = run->state.best_accuracy;
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

fb_status fb_train_stage(fb_context *ctx, const fb_train_options *options,
                         int32_t stage, int32_t stages, fb_train_report *report)
{
    fb_train_run *run;
    fb_train_report fresh = {0};
    fb_train_opening opening = {.stage = stage, .stages = stages};
    FB_TRY(fb_train_budget_plan(ctx, options, &opening));
    FB_TRY(fb_train_run_open(ctx, &run, options, &opening));
    meter m = {fb_clock_s(), fb_clock_processor_s()}; /* behind what runs share */
    fb_status status = train_all(run, &m, &fresh);
    if (status == FB_OK)
        status = calibrate(run);
    if (status == FB_OK)
        status = fb_comm_barrier(ctx, run->comm);
    read_meter(&m, &run->state);
    fresh.seconds = run->state.seconds;
    fresh.processor_seconds = run->state.processor_s;
    fresh.products = count_products(run);
    fresh.parameters = run->matcher->params->total;
    fb_train_run_close(run);
    if (status == FB_OK)
        *report = fresh;
    return status;
}
