/* local_match_options.c - what systems of local_match.h make of options, and their keys.
 */
#include "models/local_match.h"

#include <string.h>

const char *const fb_local_directions[] = {"t2i", "i2t", "both", NULL};
const char *const fb_local_pools[] = {"avg", "lse", NULL};

fb_status fb_local_settle(fb_context *ctx, fb_train_options *o)
{
    if (o->losses[0] || o->itc > 0 || strcmp(o->negatives, "hard") == 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "--system %s takes no --losses, --itc or --negatives hard: its "
                       "loss is the hinge of the hardest of all other products of a "
                       "batch",
                       o->system);
    if (strcmp(o->alignment, "pairs") != 0 || o->soft_targets > 0 ||
        o->hard_items > 0 || o->patch_keep < 1 || o->unmask_last > 0)
        return fb_fail(
            ctx, FB_E_USAGE,
            "--system %s takes no --alignment, --soft-targets, --hard-items, "
            "--patch-keep or --unmask-last",
            o->system);
    if (o->vector_size > 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "--system %s scores pairs word by row and has no vectors of "
                       "texts and images; it takes no --vector-size",
                       o->system);
    o->vector_size = 0;
    return FB_OK;
}

fb_status fb_local_plan(fb_context *ctx, const fb_train_options *o, fb_train_plan *plan,
                        void *step)
{
    fb_local_step *s = step;
    (void)ctx;
    plan->items = plan->whole_texts = plan->whole_images = true;
    s->margin = (float)o->margin;
    s->hardest = true;
    return FB_OK;
}

void fb_local_next_step(void *step, const fb_train_options *o,
                        const fb_step_clock *clock)
{
    fb_local_step *s = step;
    s->hardest = clock->validation ||
                 (double)clock->number >= o->hard_warmup * (double)clock->total;
}

static void take_word(int32_t *value, const char *const *words, const char *word)
{
    int32_t place = fb_config_word_find(words, word);
    if (place >= 0) /* auto: what the configuration says */
        *value = place;
}

fb_status fb_local_configure(fb_context *ctx, fb_model_config *config,
                             const fb_train_options *o, const fb_start *start)
{
    fb_local_config *own = (fb_local_config *)(void *)&config->own;
    (void)ctx, (void)start;
    take_word(&own->direction, fb_local_directions, o->cross_attention);
    take_word(&own->lse, fb_local_pools, o->pool);
    config->score = FB_SCORE_TIA;
    config->alignment_weight = 1; /* calibration finds both */
    config->score_bias = 0;
    return FB_OK;
}

fb_status fb_local_check(fb_context *ctx, const fb_model_config *c, const char *where)
{
    if (c->score == FB_SCORE_TIA && c->vector == 0)
        return FB_OK;
    return fb_fail(ctx, FB_E_FORMAT,
                   "%s: %s scores pairs alone: score tia, and a vector_size of 0",
                   where, fb_model_config_system(c)->name);
}
