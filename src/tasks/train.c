/* train.c - the train verb: one run, or the stages of the recipe one after
 * another.
 *
 *     OUT/stages/1, ...     model folders of the stages before the last
 *     OUT                   the last stage's, started from the one before
 *
 * Each is a run as a user could have typed it, with its own log and checkpoints.
 * Killed, the newest stage that has begun goes on with the options that it was started
 * with, then the rest follow.
 */
#include "base/arena.h"
#include "base/file.h"
#include "data/catalogue/catalogue.h"
#include "training/recipe.h"
#include "training/train_options.h"
#include "training/train_stage.h"
#include "training/train_state.h"

#include <stdio.h>
#include <string.h>

/* Which stage of how many, and the items of the training split. */
typedef struct stage_place {
    int32_t number, stages, items;
} stage_place;

static fb_status stage_folder(fb_context *ctx, const char *out, int32_t number,
                              int32_t stages, char path[4096])
{
    char name[32] = "";
    if (number < stages)
        snprintf(name, sizeof name, "stages/%d", (int)number);
    return name[0] ? fb_path_join(ctx, path, out, name)
                   : fb_path_join(ctx, path, "", out);
}

static fb_status count_items(fb_context *ctx, const char *catalog, int32_t *items)
{
    fb_catalogue *catalogue;
    FB_TRY(fb_catalogue_open(ctx, &catalogue, catalog, NULL));
    fb_catalogue_split_items(catalogue, FB_SPLIT_TRAIN, items);
    fb_catalogue_close(catalogue);
    return FB_OK;
}

/* What the newest stage with a checkpoint was started with; state->stage 0: there is
 * none. */
static fb_status find_begun(fb_context *ctx, const char *out, fb_arena *strings,
                            fb_train_state *state, fb_train_options *begun)
{
    static const char *const folders[] = {"", "stages/2", "stages/1"};
    *state = (fb_train_state){0};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        char path[4096], last[4096];
        FB_TRY(folders[i][0] ? fb_path_join(ctx, path, out, folders[i])
                             : fb_path_join(ctx, path, "", out));
        FB_TRY(fb_path_join(ctx, last, path, "last"));
        if (!fb_path_is_folder(path))
            continue;
        FB_TRY(fb_folder_recover(ctx, last));
        if (fb_train_state_exists(path))
            return fb_train_state_read(ctx, path, state, begun, strings);
    }
    return FB_OK;
}

static fb_status run_stage(fb_context *ctx, const fb_train_options *options,
                           stage_place place, bool resume, fb_train_report *report)
{
    char out[4096], init[4096] = "";
    fb_train_options stage;
    fb_train_report one = {0};
    FB_TRY(fb_recipe_stage(ctx, &stage, options, place.number, place.items));
    FB_TRY(stage_folder(ctx, options->out, place.number, place.stages, out));
    if (place.number > 1)
        FB_TRY(stage_folder(ctx, options->out, place.number - 1, place.stages, init));
    stage.out = out;
    stage.init = init;
    stage.resume = resume;
    if (!options->quiet)
        fprintf(stderr, "stage %d of %d\n", (int)place.number, (int)place.stages);
    FB_TRY(fb_train_stage(ctx, &stage, place.number, place.stages, &one));
    one.steps += report->steps;
    one.products += report->products;
    one.seconds += report->seconds;
    one.processor_seconds += report->processor_seconds;
    one.wait_seconds += report->wait_seconds;
    *report = one;
    return FB_OK;
}

/* What the stages share comes from the one that was begun, where there is one. */
static fb_status run_recipe(fb_context *ctx, const fb_train_options *options,
                            fb_arena *strings, fb_train_report *report)
{
    fb_train_options common = *options;
    fb_train_state state = {0};
    fb_train_report sum = {0};
    if (options->resume)
        FB_TRY(find_begun(ctx, options->out, strings, &state, &common));
    int32_t first = state.stage > 0 ? state.stage : 1;
    int32_t stages = state.stage > 0 ? state.stages : fb_recipe_stages(options);
    if (stages == 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "%s was begun as a recipe, and these options make another run; "
                       "give another --out",
                       options->out);
    if (!common.catalog[0])
        return fb_fail(ctx, FB_E_USAGE, "train needs --catalog");
    int32_t items;
    FB_TRY(count_items(ctx, common.catalog, &items));
    for (int32_t n = first; n <= stages; n++)
        FB_TRY(run_stage(ctx, &common, (stage_place){n, stages, items},
                         options->resume || n == state.stage, &sum));
    *report = sum;
    return FB_OK;
}

/* OUT was begun as a recipe, or is to be. */
static fb_status is_recipe(fb_context *ctx, const fb_train_options *options, bool *yes)
{
    char path[4096];
    FB_TRY(fb_path_join(ctx, path, options->out, "stages"));
    bool begun = fb_path_is_folder(path);
    if (begun && !options->resume)
        return fb_fail(ctx, FB_E_USAGE,
                       "%s holds the stages of a recipe already; go on with it by "
                       "--resume or give another --out",
                       options->out);
    FB_TRY(fb_path_join(ctx, path, options->out, "config.json"));
    *yes = begun || (fb_recipe_stages(options) > 0 && !fb_path_exists(path));
    return FB_OK;
}

fb_status fb_train(fb_context *ctx, const fb_train_options *options,
                   fb_train_report *report)
{
    bool recipe = false;
    FB_TRY(fb_options_check(ctx, &fb_train_option_table, options));
    if (!options->out[0])
        return fb_fail(ctx, FB_E_USAGE, "train needs --out");
    FB_TRY(is_recipe(ctx, options, &recipe));
    if (!recipe)
        return fb_train_stage(ctx, options, 0, 0, report);
    fb_arena *strings = fb_arena_create(4096);
    if (!strings)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a recipe");
    fb_status status = run_recipe(ctx, options, strings, report);
    fb_arena_free(strings);
    return status;
}
