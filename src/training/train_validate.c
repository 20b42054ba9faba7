/* train_validate.c - see train_validate.h. */
#include "training/train_validate.h"

#include "training/train_queries.h"

fb_status fb_train_validate(fb_train_run *run, fb_measures *measures)
{
    const fb_train_options *o = &run->options;
    int32_t items = fb_train_run_rows(run, FB_SPLIT_VAL), per_batch = run->matched;
    if (o->validate_pairs && items > o->validate_pairs)
        items = o->validate_pairs;
    int64_t batches = (items + per_batch - 1) / per_batch;
    fb_loader *loader;
    FB_TRY(fb_train_run_loader(run, &loader, FB_SPLIT_VAL, false, 0, batches));
    fb_status status = FB_OK;
    *measures = (fb_measures){0};
    for (int64_t i = 0; i < batches && status == FB_OK; i++) {
        const fb_batch *batch;
        double wait_s;
        fb_measures one;
        fb_tape tape = {0};
        fb_arena_reset(run->arena);
        fb_tape_begin(&tape, run->ctx, run->be, run->arena, false);
        status = fb_loader_next(run->ctx, loader, &batch, &wait_s);
        if (status == FB_OK)
            status = run->matcher->system->losses(
                run->matcher, &tape, batch, fb_train_run_step(run, i, true), &one);
        if (status == FB_OK)
            fb_measures_add(measures, &one);
    }
    fb_loader_free(loader);
    fb_measures_mean(measures, batches);
    if (status == FB_OK && run->queries)
        status = fb_train_queries_rank(run, measures);
    return status;
}
