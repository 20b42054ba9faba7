/* served.c - see served.h. */
#include "server/served.h"

#include "base/clock.h"
#include "server/answers.h"
#include <stdlib.h>
#include <string.h>

void fb_served_close(fb_served *served)
{
    if (!served)
        return;
    fb_index_close(served->index);
    for (int32_t i = 0; served->models && i < served->model_count; i++)
        fb_model_close(served->models[i]);
    for (int32_t i = 0; served->rankers && i < served->model_count; i++)
        fb_model_close(served->rankers[i]);
    free(served->models);
    free(served->rankers);
    free(served->about);
    free(served);
}

enum { WARM = 64 }; /* pairs of the largest pass that is made ready */

static fb_status warm_pass(fb_context *ctx, fb_model *model, const fb_input *inputs,
                           int32_t count)
{
    const char *queries[WARM];
    float scores[WARM];
    for (int32_t i = 0; i < count; i++)
        queries[i] = inputs[i].text;
    return fb_model_takes_query(model)
               ? fb_model_score_query(ctx, model, queries, inputs, count, scores)
               : fb_model_match(ctx, model, inputs, count, scores);
}

/* The first pass of each size makes its matrix products ready, which takes longer than
 * running them: done here, no request waits for it. */
static fb_status warm_up(fb_context *ctx, fb_model *model, double *token_s,
                         double *quick_s)
{
    static const char text[] = "a short text of a query";
    int32_t tokens = 0;
    size_t side = (size_t)fb_model_image_size(model);
    uint8_t *blank = malloc(side * side * 3);
    fb_image_input image = {.pixels = blank};
    fb_input inputs[WARM];
    fb_status status =
        blank ? FB_OK : fb_fail(ctx, FB_E_MEMORY, "no memory to warm up a model");
    if (blank)
        memset(blank, 255, side * side * 3);
    for (int32_t i = 0; i < WARM; i++)
        inputs[i] = (fb_input){.text = text, .image = &image};
    for (int32_t n = 1; n <= WARM && status == FB_OK; n *= 4)
        status = warm_pass(ctx, model, inputs, n);
    if (status == FB_OK)
        status = fb_model_count_tokens(ctx, model, text, &tokens);
    double began = fb_clock_s();
    if (status == FB_OK)
        status = warm_pass(ctx, model, inputs, WARM);
    double done = fb_clock_s();
    if (status == FB_OK)
        status = warm_pass(ctx, model, inputs, 1);
    *token_s = (done - began) / (WARM * (tokens + fb_model_patches(model)));
    *quick_s = fb_clock_s() - done;
    free(blank);
    return status;
}

static fb_status open_ranker(fb_context *ctx, fb_model **ranker, const char *folder,
                             const fb_model_options *compute)
{
    double token_s, quick_s;
    FB_TRY(fb_model_open(ctx, ranker, folder, compute));
    if (!fb_model_takes_query(*ranker))
        return fb_fail(ctx, FB_E_STATE,
                       "%s is no model of queries, which a ranker must be", folder);
    return warm_up(ctx, *ranker, &token_s, &quick_s);
}

static fb_status open_parts(fb_context *ctx, fb_served *e,
                            const fb_serve_options *options)
{
    fb_model_options compute = {options->backend, options->dtype, options->threads};
    while (e->model_count < options->workers) {
        int32_t i = e->model_count++;
        FB_TRY(fb_model_open(ctx, &e->models[i], options->model, &compute));
        if (fb_model_takes_regions(e->models[i]))
            return fb_fail(ctx, FB_E_STATE,
                           "%s was trained with --regions and reads no photos, which "
                           "requests bring",
                           options->model);
        FB_TRY(warm_up(ctx, e->models[i], &e->token_s, &e->quick_s));
        if (options->ranker[0])
            FB_TRY(open_ranker(ctx, &e->rankers[i], options->ranker, &compute));
    }
    if (!options->index[0])
        return FB_OK;
    FB_TRY(fb_index_open(ctx, &e->index, options->index, e->models[0]));
    return fb_index_about(ctx, e->index, options->model, &e->about, &e->about_bytes);
}

fb_status fb_served_open(fb_context *ctx, fb_served **served,
                         const fb_serve_options *options)
{
    fb_served *e = calloc(1, sizeof *e);
    if (!e)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a model");
    e->models = calloc((size_t)options->workers, sizeof(fb_model *));
    e->rankers = calloc((size_t)options->workers, sizeof(fb_model *));
    fb_status status = e->models && e->rankers
                           ? open_parts(ctx, e, options)
                           : fb_fail(ctx, FB_E_MEMORY, "no memory for a model");
    if (status != FB_OK) {
        fb_served_close(e);
        return status;
    }
    *served = e;
    return FB_OK;
}

fb_status fb_served_slot_open(fb_context *ctx, fb_served_slot *slot)
{
    *slot = (fb_served_slot){0};
    if (pthread_mutex_init(&slot->lock, NULL) != 0)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a lock");
    return FB_OK;
}

void fb_served_slot_close(fb_served_slot *slot)
{
    fb_served_slot_set(slot, NULL);
    pthread_mutex_destroy(&slot->lock);
}

void fb_served_slot_set(fb_served_slot *slot, fb_served *served)
{
    pthread_mutex_lock(&slot->lock);
    fb_served *old = slot->served;
    slot->served = served;
    if (served)
        served->holders++;
    pthread_mutex_unlock(&slot->lock);
    fb_served_let_go(slot, old);
}

fb_served *fb_served_hold(fb_served_slot *slot)
{
    pthread_mutex_lock(&slot->lock);
    fb_served *served = slot->served;
    served->holders++;
    pthread_mutex_unlock(&slot->lock);
    return served;
}

void fb_served_hold_again(fb_served_slot *slot, fb_served *served)
{
    pthread_mutex_lock(&slot->lock);
    served->holders++;
    pthread_mutex_unlock(&slot->lock);
}

void fb_served_let_go(fb_served_slot *slot, fb_served *served)
{
    if (!served)
        return;
    pthread_mutex_lock(&slot->lock);
    bool last = --served->holders == 0;
    pthread_mutex_unlock(&slot->lock);
    if (last) /* outside the lock: giving back a model's memory takes a while */
        fb_served_close(served);
}
