/* train_stage.c - one stage of training: batches in, steps, checkpoints out.
 *
 * One step: `accumulate` batches, each forward, weigh, backward; then AdamW; then its
 * line in the log. A checkpoint is taken between steps, validation just before it.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/progress.h"
#include "base/random.h"
#include "engine/neighbours.h"
#include "training/calibrate.h"
#include "training/train_queries.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void fb_step_losses_add(fb_step_losses *sum, const fb_step_losses *one)
{
    for (int i = 0; i < FB_LOSSES_ALL; i++) {
        sum->present[i] = sum->present[i] || one->present[i];
        /* by rows, so that a batch without a loss does not dilute it */
        sum->loss[i] += one->loss[i] * (double)one->rows[i];
        sum->rows[i] += one->rows[i];
        sum->weight[i] += one->weight[i];
        sum->squared_norm[i] += one->squared_norm[i];
    }
    sum->has_itc = sum->has_itc || one->has_itc;
    sum->itc += one->itc;
    sum->queries += one->queries;
    sum->queries_right += one->queries_right;
    sum->has_selfie = sum->has_selfie || one->has_selfie;
    sum->selfie += one->selfie * (double)one->points;
    sum->points += one->points;
    sum->points_right += one->points_right;
    sum->points_chance += one->points_chance;
    sum->total += one->total;
    sum->pairs += one->pairs;
    sum->pairs_right += one->pairs_right;
}

void fb_step_losses_mean(fb_step_losses *sum, int64_t count)
{
    double n = count ? (double)count : 1.0;
    for (int i = 0; i < FB_LOSSES_ALL; i++) {
        sum->loss[i] /= sum->rows[i] ? (double)sum->rows[i] : 1.0;
        sum->weight[i] /= n;
        sum->squared_norm[i] /= n;
    }
    sum->itc /= n;
    sum->selfie /= sum->points ? (double)sum->points : 1.0;
    sum->total /= n;
}

double fb_step_losses_accuracy(const fb_step_losses *l)
{
    if (l->pairs)
        return (double)l->pairs_right / (double)l->pairs;
    if (l->queries)
        return (double)l->queries_right / (double)l->queries;
    return l->points ? l->points_right / (double)l->points : 0.0;
}

fb_status fb_train_validate(fb_train_run *run, fb_step_losses *losses)
{
    const fb_train_options *o = &run->options;
    int32_t items = fb_train_run_rows(run, FB_SPLIT_VAL), per_batch = run->matched;
    if (o->validate_pairs && items > o->validate_pairs)
        items = o->validate_pairs;
    int64_t batches = (items + per_batch - 1) / per_batch;
    fb_loader *loader;
    FB_TRY(fb_train_run_loader(run, &loader, FB_SPLIT_VAL, 0, batches));
    fb_status status = FB_OK;
    *losses = (fb_step_losses){0};
    for (int64_t i = 0; i < batches && status == FB_OK; i++) {
        const fb_batch *batch;
        double wait_s;
        fb_step_losses one;
        fb_tape tape = {0};
        fb_arena_reset(run->arena);
        fb_tape_begin(&tape, run->ctx, run->be, run->arena, false);
        status = fb_loader_next(run->ctx, loader, &batch, &wait_s);
        if (status == FB_OK)
            status = run->matcher->system->losses(
                run->matcher, &tape, batch, fb_train_run_losses(run, i, true), &one);
        if (status == FB_OK)
            fb_step_losses_add(losses, &one);
    }
    fb_loader_free(loader);
    fb_step_losses_mean(losses, batches);
    return status;
}

/* One optimiser step; line gets all but the validation and the rate. */
static fb_status train_step(fb_train_run *run, fb_train_line *line)
{
    const fb_train_options *o = &run->options;
    int64_t step = run->state.step;
    *line = (fb_train_line){.step = step + 1};
    for (int32_t i = 0; i < o->accumulate; i++) {
        const fb_batch *batch;
        double wait_s;
        fb_step_losses one;
        fb_tape tape = {0};
        uint64_t micro = (uint64_t)(step * o->accumulate + i);
        FB_TRY(fb_loader_next(run->ctx, run->loader, &batch, &wait_s));
        line->wait_s += wait_s;
        line->fallbacks += batch->fallbacks;
        fb_arena_reset(run->arena);
        fb_tape_begin(&tape, run->ctx, run->be, run->arena, true);
        fb_tape_set_dropout(&tape, (float)run->matcher->config.dropout,
                            fb_random_key(o->seed, FB_STREAM_DROPOUT, micro));
        FB_TRY(run->matcher->system->train_batch(
            run->matcher, &tape, batch, fb_train_run_losses(run, (int64_t)micro, false),
            &one));
        fb_step_losses_add(&line->losses, &one);
    }
    fb_step_losses_mean(&line->losses, o->accumulate);
    fb_optimizer_figures figures;
    FB_TRY(fb_optimizer_step(run->ctx, run->matcher->params, run->be, &run->optimizer,
                             step, run->state.total_steps, 1.0f / (float)o->accumulate,
                             &figures));
    line->gradient_norm = figures.norm;
    line->lr = figures.lr;
    run->state.step++;
    line->epoch = (double)run->state.step / (double)run->steps_per_epoch;
    return FB_OK;
}

static double validation_loss(const fb_step_losses *v)
{
    return v->present[FB_LOSS_CLICK] ? v->loss[FB_LOSS_CLICK]
           : v->pairs                ? v->loss[FB_LOSS_TIA]
           : v->has_selfie           ? v->selfie
                                     : v->itc;
}

/* Better: higher accuracy, or as high with a lower alignment loss. */
static bool is_best(const fb_train_run *run, const fb_train_line *line)
{
    if (!line->validated)
        return !run->has_validation || run->state.best_step == 0;
    const fb_step_losses *v = &line->validation;
    double accuracy = fb_step_losses_accuracy(v);
    if (run->state.best_step == 0 || accuracy > run->state.best_accuracy)
        return true;
    return !(accuracy < run->state.best_accuracy) &&
           validation_loss(v) < run->state.best_loss;
}

static fb_status checkpoint(fb_train_run *run, const fb_train_line *line, bool best)
{
    fb_train_state *s = &run->state;
    const fb_step_losses *v = &line->validation;
    FB_TRY(fb_train_log_sync(run->ctx, run->log, &s->log_bytes));
    if (best) {
        s->best_step = s->step;
        s->best_accuracy = fb_step_losses_accuracy(v);
        s->best_loss = validation_loss(v);
    }
    return fb_train_state_save(run->ctx, run->options.out, s, &run->options,
                               run->matcher, best);
}

enum { TEXT = 512 };

static void describe(const fb_train_line *line, char out[TEXT])
{
    const fb_step_losses *l = &line->losses;
    int n = snprintf(out, TEXT, "loss %.3f", l->total);
    for (int i = 0; i < FB_LOSSES_ALL; i++)
        if (l->present[i])
            n += snprintf(out + n, TEXT - (size_t)n, "  %s %.3f x %.2f",
                          fb_loss_name(i), l->loss[i], l->weight[i]);
    if (l->has_itc)
        n += snprintf(out + n, TEXT - (size_t)n, "  itc %.3f", l->itc);
    if (l->points)
        n += snprintf(out + n, TEXT - (size_t)n, "  chance %.3f",
                      l->points_chance / (double)l->points);
    snprintf(out + n, TEXT - (size_t)n, "  accuracy %.2f", fb_step_losses_accuracy(l));
}

/* Means of the report run over the last hundred steps. */
typedef struct recent {
    double loss[FB_LOSSES_ALL + 3][100]; /* total, each, contrastive, pointing */
    int64_t count;
} recent;

static void recent_add(recent *r, const fb_step_losses *l)
{
    int64_t at = r->count++ % 100;
    r->loss[0][at] = l->total;
    for (int i = 0; i < FB_LOSSES_ALL; i++)
        r->loss[i + 1][at] = l->loss[i];
    r->loss[FB_LOSSES_ALL + 1][at] = l->itc;
    r->loss[FB_LOSSES_ALL + 2][at] = l->selfie;
}

static double recent_mean(const recent *r, int32_t which)
{
    int64_t n = r->count < 100 ? r->count : 100;
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += r->loss[which][i];
    return n ? sum / (double)n : 0;
}

static fb_status finish_step(fb_train_run *run, fb_train_line *line, bool *validated)
{
    int64_t step = run->state.step;
    bool end = step == run->state.total_steps;
    bool save = end || step % run->checkpoint_every == 0;
    line->validated = run->has_validation && (end || step % run->validate_every == 0);
    if (line->validated)
        FB_TRY(fb_train_validate(run, &line->validation));
    line->ranked = line->validated && run->queries;
    if (line->ranked)
        FB_TRY(fb_train_queries_rank(run, &line->ranking));
    *validated = line->validated;
    bool best = is_best(run, line);
    FB_TRY(fb_train_log_write(run->ctx, run->log, line));
    return save || (line->validated && best) ? checkpoint(run, line, best) : FB_OK;
}

static fb_status train_all(fb_train_run *run, fb_train_report *report)
{
    fb_progress progress;
    recent means = {0};
    fb_status status = FB_OK;
    double started_s = fb_clock_s();
    fb_progress_begin(&progress, "training", "steps", run->state.step,
                      run->state.total_steps, run->options.quiet);
    while (run->state.step < run->state.total_steps && status == FB_OK) {
        fb_train_line line;
        char text[TEXT];
        bool validated;
        double step_started_s = fb_clock_s();
        status = train_step(run, &line);
        if (status != FB_OK)
            break;
        line.pairs_per_s = (double)run->options.batch * run->options.accumulate /
                           (fb_clock_s() - step_started_s);
        status = finish_step(run, &line, &validated);
        describe(&line, text);
        fb_progress_update(&progress, run->state.step, 1.0, text);
        recent_add(&means, &line.losses);
        if (line.losses.points)
            report->chance = line.losses.points_chance / (double)line.losses.points;
        report->wait_seconds += line.wait_s;
    }
    fb_progress_end(&progress);
    report->steps = run->state.step;
    report->seconds = fb_clock_s() - started_s;
    report->loss = recent_mean(&means, 0);
    report->mlm = recent_mean(&means, FB_LOSS_MLM + 1);
    report->mpm = recent_mean(&means, FB_LOSS_MPM + 1);
    report->tia = recent_mean(&means, FB_LOSS_TIA + 1);
    report->click = recent_mean(&means, FB_LOSS_CLICK + 1);
    report->qt = recent_mean(&means, FB_LOSS_QT + 1);
    report->qi = recent_mean(&means, FB_LOSS_QI + 1);
    report->itc = recent_mean(&means, FB_LOSSES_ALL + 1);
    report->selfie = recent_mean(&means, FB_LOSSES_ALL + 2);
    report->best_step = run->state.best_step;
    report->best_val_accuracy = run->state.best_accuracy;
    return status;
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
    if (!run->has_validation || run->state.best_step == 0)
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
    FB_TRY(fb_train_run_open(ctx, &run, options, stage, stages));
    fb_status status = train_all(run, &fresh);
    if (status == FB_OK)
        status = calibrate(run);
    fb_train_run_close(run);
    if (status == FB_OK)
        *report = fresh;
    return status;
}
