/* fashionbert_options.c - see fashionbert_options.h. */
#include "models/fashionbert/fashionbert_options.h"

#include "base/random.h"
#include "models/fashionbert/patch_pool.h"

#include <string.h>

const char *const fb_fashionbert_choices[FB_LOSSES + 1] = {"mlm", "tia", "mpm", NULL};
const char *const fb_fashionbert_choices_all[FB_LOSSES_ALL + 1] = {
    "mlm", "tia", "mpm", "click", "qt", "qi", NULL};

const char *fb_loss_name(int32_t loss)
{
    return fb_fashionbert_choices_all[loss];
}

/* ---- options that were left to the program ---------------------------------------- */

static bool is(const char *word, const char *wanted)
{
    return strcmp(word, wanted) == 0;
}

/* What makes pairs of items. */
static fb_status check_negatives(fb_context *ctx, const fb_train_options *o)
{
    bool hard = is(o->negatives, "hard"), block = is(o->alignment, "block");
    bool masked = strstr(o->losses, "mlm") || strstr(o->losses, "mpm");
    if (block && masked)
        return fb_fail(ctx, FB_E_USAGE,
                       "--alignment block makes no pair of some items; it needs "
                       "--losses tia");
    if (hard && o->vector_size == 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "--negatives hard draws by the similarity of vectors; give "
                       "--vector-size, or --init with a model that has them");
    if (o->hard_items > 0 && (!hard || masked))
        return fb_fail(ctx, FB_E_USAGE,
                       "--hard-items makes pairs of part of a batch, which tia alone "
                       "can learn from; it needs --negatives hard --losses tia");
    if (o->patch_keep < 1 && (!hard || masked))
        return fb_fail(ctx, FB_E_USAGE,
                       "--patch-keep leaves patches out of pairs with hard negatives "
                       "that only tia judges; it needs --negatives hard --losses tia");
    if (o->unmask_last > 0 && !(o->patch_keep < 1))
        return fb_fail(ctx, FB_E_USAGE,
                       "--unmask-last ends what --patch-keep leaves out, which is "
                       "nothing");
    return FB_OK;
}

static fb_status check_options(fb_context *ctx, const fb_train_options *o)
{
    bool hard = is(o->negatives, "hard");
    bool list = is(o->alignment, "block") || is(o->alignment, "list");
    if (list && !hard)
        return fb_fail(ctx, FB_E_USAGE,
                       "--alignment %s chooses among hard negatives; it needs "
                       "--negatives hard",
                       o->alignment);
    if (o->soft_targets > 0 && !list)
        return fb_fail(ctx, FB_E_USAGE,
                       "--soft-targets is of a choice among hard negatives; it needs "
                       "--alignment list or block");
    FB_TRY(check_negatives(ctx, o));
    if ((o->text_mask > 0 || o->rare_mask > 0) && !hard && !(o->itc > 0))
        return fb_fail(ctx, FB_E_USAGE,
                       "--text-mask and --rare-mask hide words of batches of items; "
                       "they need --itc or --negatives hard");
    if (o->itc > 0 && !hard && o->losses[0])
        return fb_fail(ctx, FB_E_USAGE,
                       "--itc beside --losses %s needs --negatives hard: both learn "
                       "from the same batch of items",
                       o->losses);
    return FB_OK;
}

fb_status fb_fashionbert_settle(fb_context *ctx, fb_train_options *o)
{
    bool vectors = o->itc > 0 || is(o->negatives, "hard");
    bool block = is(o->alignment, "block");
    if (o->vector_size < 0)
        o->vector_size = vectors ? 256 : 0;
    if (is(o->alignment_head, "auto"))
        o->alignment_head = block ? "product" : "cls";
    if (o->patches_from < 0)
        o->patches_from = block ? o->text_layers : 0; /* -1: where these end */
    return check_options(ctx, o);
}

/* ---- steps ------------------------------------------------------------------------ */

fb_status fb_fashionbert_plan_step(fb_context *ctx, const fb_train_options *o,
                                   fb_train_plan *plan, fb_loss_options *step)
{
    bool hard = is(o->negatives, "hard");
    step->detach = o->adaptive_detach;
    FB_TRY(fb_adaptive_mode_parse(ctx, o->adaptive, &step->mode));
    step->shared_norms = is(o->adaptive_norm, "shared");
    step->itc = o->itc;
    step->negatives = hard ? o->hard_negatives : 0;
    step->hard_items = o->hard_items;
    step->blocks = is(o->alignment, "block");
    step->listwise = step->blocks || is(o->alignment, "list");
    plan->items = hard || o->itc > 0;
    plan->whole_texts = !step->enabled[FB_LOSS_MLM];
    plan->whole_images = !step->enabled[FB_LOSS_MPM];
    return FB_OK;
}

fb_status fb_fashionbert_plan(fb_context *ctx, const fb_train_options *o,
                              fb_train_plan *plan, void *step)
{
    fb_loss_options *l = step;
    FB_TRY(fb_systems_parse_losses(ctx, &fb_fashionbert_system, o->losses, l->enabled));
    if (o->losses[0] && !l->enabled[FB_LOSS_TIA])
        return fb_fail(ctx, FB_E_USAGE,
                       "--losses needs tia, without it pairs cannot be scored");
    return fb_fashionbert_plan_step(ctx, o, plan, l);
}

void fb_fashionbert_step(void *step, const fb_train_options *o,
                         const fb_step_clock *clock)
{
    fb_loss_options *l = step;
    double rise = o->hard_warmup * (double)clock->total;
    double whole =
        (1 - o->unmask_last) * (double)clock->total; /* patches from here on */
    l->key = fb_random_key(o->seed, FB_STREAM_HARD,
                           (uint64_t)clock->number * 2 + clock->validation);
    /* Even negatives measure every checkpoint alike: hard ones grow harder as the
     * vectors that draw them learn. */
    l->margin = clock->validation ? 0 : o->margin;
    l->hardness = clock->validation ? 0 : o->hardness;
    l->soft_targets = clock->validation ? 0 : o->soft_targets;
    if ((double)clock->number < rise)
        l->hardness *= (double)clock->number / rise;
    l->patch_keep = (double)clock->number < whole ? o->patch_keep : 1;
}

/* ---- configuration ---------------------------------------------------------------- */

int32_t fb_fashionbert_patches_from(const fb_model_config *config,
                                    const fb_train_options *o)
{
    if (!o->losses[0]) /* vectors alone: there is no stream */
        return 0;
    return o->patches_from < 0 ? config->text_layers : o->patches_from;
}

/* As the option says, or as the start's stream has it. */
static fb_status configure_pool(fb_context *ctx, fb_model_config *config,
                                const fb_train_options *o, const fb_start *start)
{
    fb_fashionbert_own *own = (fb_fashionbert_own *)(void *)&config->own;
    own->pooled = o->pool_patches;
    if (o->pool_patches < 0)
        own->pooled =
            start->kind == FB_START_MODEL ? fb_patch_pool_count(&start->config) : 0;
    if (o->pool_patches > 0 && !o->losses[0])
        return fb_fail(
            ctx, FB_E_USAGE,
            "--pool-patches merges the patches of the single stream; vectors "
            "alone have none");
    if (own->pooled > 0 && strstr(o->losses, "mpm"))
        return fb_fail(ctx, FB_E_USAGE,
                       "--losses %s: once patches are merged (--pool-patches %d) none "
                       "can be predicted; leave mpm out",
                       o->losses, (int)own->pooled);
    return FB_OK;
}

fb_status fb_fashionbert_configure(fb_context *ctx, fb_model_config *config,
                                   const fb_train_options *o, const fb_start *start)
{
    config->vector = o->vector_size;
    config->patches_from = fb_fashionbert_patches_from(config, o);
    FB_TRY(configure_pool(ctx, config, o, start));
    if (o->losses[0])
        FB_TRY(fb_alignment_head_parse(ctx, "--alignment-head", o->alignment_head,
                                       &config->head));
    config->score = o->itc <= 0     ? FB_SCORE_TIA
                    : !o->losses[0] ? FB_SCORE_ITC
                                    : FB_SCORE_BOTH;
    return FB_OK;
}
