/* train_step.c - one optimiser step of a training run; see train_step.h. */
#include "training/train_step.h"

#include "base/random.h"
#include "training/train_queries.h"

/* ---- in closed form ---------------------------------------------------------------- */

typedef struct batches {
    fb_loader *loader;
    fb_train_line *line;
    int64_t left;
} batches;

static fb_status next_batch(void *self, fb_context *ctx, const fb_batch **batch)
{
    batches *b = self;
    double wait_s;
    *batch = NULL;
    if (b->left == 0)
        return FB_OK;
    FB_TRY(fb_loader_next(ctx, b->loader, batch, &wait_s));
    b->line->wait_s += wait_s;
    b->line->fallbacks += (*batch)->fallbacks;
    b->left--;
    return FB_OK;
}

static fb_batch_stream stream_of(fb_train_run *run, batches *all)
{
    return (fb_batch_stream){fb_train_run_rows(run, FB_SPLIT_TRAIN), all, next_batch,
                             run->be, run->arena};
}

/* All steps at once. */
static fb_status fit(fb_train_run *run, fb_train_line *line)
{
    batches all = {run->loader, line,
                   (run->state.total_steps - run->state.step) *
                       run->options.accumulate};
    const fb_batch_stream stream = stream_of(run, &all);
    *line = (fb_train_line){.step = run->state.total_steps};
    FB_TRY(run->system->fit(run->ctx, run->matcher, &stream));
    run->state.step = run->state.total_steps;
    line->epoch = 1;
    return FB_OK;
}

fb_status fb_train_finish(fb_train_run *run, fb_train_line *line)
{
    batches all = {.line = line,
                   .left = run->steps_per_epoch * run->options.accumulate};
    if (!run->system->finish)
        return FB_OK;
    const fb_batch_stream stream = stream_of(run, &all);
    FB_TRY(fb_train_run_loader(run, &all.loader, FB_SPLIT_TRAIN, false, 0, all.left));
    fb_status status = run->system->finish(run->ctx, run->matcher, &stream);
    fb_loader_free(all.loader);
    return status;
}

/* ---- by gradients ------------------------------------------------------------------ */

static fb_status descend(fb_train_run *run, fb_train_line *line)
{
    const fb_train_options *o = &run->options;
    int64_t step = run->state.step;
    double place = fb_train_schedule_place(&run->schedule, step);
    *line = (fb_train_line){.step = step + 1};
    for (int32_t i = 0; i < o->accumulate; i++) {
        const fb_batch *batch;
        double wait_s;
        fb_measures one;
        fb_tape tape = {0};
        uint64_t micro = (uint64_t)(step * o->accumulate + i);
        FB_TRY(fb_loader_next(run->ctx, run->loader, &batch, &wait_s));
        line->wait_s += wait_s;
        line->fallbacks += batch->fallbacks;
        fb_arena_reset(run->arena);
        fb_tape_begin(&tape, run->ctx, run->be, run->arena, true);
        fb_tape_set_comm(&tape, run->comm);
        fb_tape_set_dropout(&tape, (float)run->matcher->config.dropout,
                            fb_random_key(o->seed, FB_STREAM_DROPOUT, micro));
        FB_TRY(run->matcher->system->train_batch(
            run->matcher, &tape, batch,
            fb_train_run_step(run, (int64_t)place * o->accumulate + i, false), &one));
        fb_measures_add(&line->measures, &one);
    }
    fb_measures_mean(&line->measures, o->accumulate);
    FB_TRY(fb_params_exchange(run->ctx, run->matcher->params, run->be, run->comm));
    fb_optimizer_figures figures;
    double lr = fb_schedule_lr(run->optimizer.lr, run->optimizer.warmup, place,
                               (double)run->schedule.planned);
    FB_TRY(fb_optimizer_step_at(
        run->ctx, run->matcher->params, run->be, &run->optimizer, step, lr,
        1.0f / (float)(o->accumulate * run->comm->size), &figures));
    line->gradient_norm = figures.norm;
    line->lr = figures.lr;
    run->state.step++;
    line->epoch = (double)run->state.step / (double)run->steps_per_epoch;
    return FB_OK;
}

fb_status fb_train_step(fb_train_run *run, fb_train_line *line)
{
    return run->system->fit ? fit(run, line) : descend(run, line);
}
