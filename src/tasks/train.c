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
#include "base/clock.h"
#include "base/file.h"
#include "base/number_text.h"
#include "base/progress.h"
#include "data/catalogue/catalogue.h"
#include "training/recipe.h"
#include "training/train_options.h"
#include "training/train_stage.h"
#include "training/train_state.h"
#include "training/train_time.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { STAGES = 3 }; /* of a recipe, at most */

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

/* A training: a recipe's stages, or the one run of options that say how. */
typedef struct training {
    fb_context *ctx;
    const fb_train_options *options; /* common to its stages */
    bool resume;
    int32_t first, stages, items; /* stages 0: a run of one's own */
    bool begun;                   /* the first was begun by an earlier start, */
    double deadline_s;            /* and is to end then; 0: any time */
    double begun_s;               /* as fb_train_opening's */
    bool said;                    /* likewise */
    bool timed;                   /* times are known, of the stages from first on */
    fb_train_time times[STAGES];
} training;

/* Paths that a stage's options point to. */
typedef struct stage_paths {
    char out[4096], init[4096];
} stage_paths;

static fb_status stage_options(const training *t, int32_t number, stage_paths *paths,
                               fb_train_options *stage)
{
    const fb_train_options *o = t->options;
    *stage = *o;
    if (t->stages == 0)
        return FB_OK;
    paths->init[0] = 0;
    FB_TRY(fb_recipe_stage(t->ctx, stage, o, number, t->items));
    FB_TRY(stage_folder(t->ctx, o->out, number, t->stages, paths->out));
    if (number > 1)
        FB_TRY(stage_folder(t->ctx, o->out, number - 1, t->stages, paths->init));
    stage->out = paths->out;
    stage->init = paths->init;
    stage->resume = t->resume || (t->begun && number == t->first);
    return FB_OK;
}

static int32_t count_left(const training *t, int32_t number)
{
    return t->stages ? t->stages - number + 1 : 1;
}

/* ---- time --------------------------------------------------------------------------- */

/* Each stage that is left, started from what the one before it would make. */
static fb_status find_times(training *t)
{
    fb_model_config shape[2];
    int32_t count = count_left(t, t->first);
    for (int32_t i = 0; i < count; i++) {
        stage_paths paths;
        fb_train_options stage;
        fb_train_opening opening = {.stage = t->stages ? t->first + i : 0,
                                    .stages = t->stages,
                                    .begun_s = t->begun_s,
                                    .said = &t->said};
        FB_TRY(stage_options(t, t->first + i, &paths, &stage));
        if (i > 0) {
            stage.init = "";
            opening.shape = &shape[(i - 1) % 2];
        }
        FB_TRY(fb_train_time_find(t->ctx, &stage, &opening, t->options->minutes,
                                  &t->times[i], &shape[i % 2]));
    }
    return FB_OK;
}

/* "0:31, 0:22 and 4:10" of the stages, by a share of their steps. */
static double describe_times(const training *t, double share, char *text, size_t size)
{
    int32_t count = count_left(t, t->first);
    double all = 0;
    size_t used = 0;
    text[0] = 0;
    for (int32_t i = 0; i < count; i++) {
        char one[16];
        double steps = share * (double)t->times[i].cost.steps;
        double seconds = fb_train_time_seconds(&t->times[i], (int64_t)steps);
        fb_progress_format_time(seconds, one);
        used += (size_t)snprintf(text + used, size - used, "%s%s",
                                 i == 0           ? ""
                                 : i == count - 1 ? " and "
                                                  : ", ",
                                 one);
        all += seconds;
    }
    return all;
}

static void say_times(const training *t, double share)
{
    char each[128], all[16], part[64] = "";
    double seconds = describe_times(t, share, each, sizeof each);
    for (int32_t i = 0; i < count_left(t, t->first); i++)
        if (!(t->times[i].cost.step_s > 0)) /* nothing was tried */
            return;
    fb_progress_format_time(seconds, all);
    if (share < 1)
        fb_text_print(part, sizeof part, ", with %.3g %% of the steps", 100 * share);
    if (t->stages)
        fprintf(stderr, "training takes about %s here%s: stages of %s\n", all, part,
                each);
    else
        fb_stream_print(stderr,
                        "training takes about %s here%s: %lld steps of %.3g seconds\n",
                        all, part, (long long)(share * (double)t->times[0].cost.steps),
                        t->times[0].cost.step_s);
}

static fb_status refuse_minutes(const training *t, int32_t worst)
{
    double around_s = fb_clock_s() - t->begun_s;
    for (int32_t i = 0; i < count_left(t, t->first); i++)
        around_s += fb_train_time_seconds(&t->times[i], 0);
    return fb_fail(
        t->ctx, FB_E_USAGE,
        "--minutes %g is too little: a step%s takes %.3g seconds, and all that "
        "is around the steps %.3g",
        t->options->minutes, t->stages ? " of a stage" : "",
        t->times[worst].cost.step_s, around_s);
}

/* What is left of the minutes. */
static double seconds_left(const training *t)
{
    return t->options->minutes * 60 - (fb_clock_s() - t->begun_s);
}

/* Before the first stage begins: how long all will take, and whether that fits. A stage
 * that goes on has its plan; one by --processor-minutes makes its own. */
static fb_status plan_time(training *t)
{
    const fb_train_options *o = t->options;
    int32_t count = count_left(t, t->first);
    bool planned = o->minutes > 0;
    double share = 1;
    if ((t->begun && count == 1) || (!planned && o->quiet) || o->processor_minutes > 0)
        return FB_OK;
    FB_TRY(find_times(t));
    t->timed = true;
    if (t->begun)
        return FB_OK;
    if (planned)
        share = fb_train_time_share(t->times, count, seconds_left(t));
    for (int32_t i = 0; i < count; i++)
        if (share * (double)t->times[i].cost.steps < 1)
            return refuse_minutes(t, i);
    if (!o->quiet)
        say_times(t, share);
    return FB_OK;
}

static void open_time(const training *t, int32_t number, fb_train_opening *opening)
{
    int32_t count = count_left(t, number);
    const fb_train_time *times = &t->times[number - t->first];
    double elapsed_s = fb_clock_s() - t->begun_s;
    double seconds = t->options->minutes > 0 ? t->options->minutes * 60 : 0;
    opening->begun_s = t->begun_s;
    if (!t->timed)
        return;
    if (!t->begun || number > t->first)
        fb_train_time_open(times, count, seconds, elapsed_s, opening);
    else
        opening->later_s = fb_train_time_all(times + 1, count - 1,
                                             seconds > 0 ? seconds - t->deadline_s : 0);
}

/* ---- a stage, and all of them -------------------------------------------------------- */

static fb_status run_stage(training *t, int32_t number, fb_train_report *report)
{
    stage_paths paths;
    fb_train_options stage;
    fb_train_report one = {0};
    fb_train_opening opening = {
        .stage = t->stages ? number : 0, .stages = t->stages, .said = &t->said};
    FB_TRY(stage_options(t, number, &paths, &stage));
    open_time(t, number, &opening);
    if (t->stages && !t->options->quiet)
        fprintf(stderr, "stage %d of %d\n", (int)number, (int)t->stages);
    FB_TRY(fb_train_stage(t->ctx, &stage, &opening, &one));
    one.steps += report->steps;
    one.products += report->products;
    one.seconds += report->seconds;
    one.processor_seconds += report->processor_seconds;
    one.wait_seconds += report->wait_seconds;
    *report = one;
    return FB_OK;
}

static fb_status run_all(training *t, fb_train_report *report)
{
    fb_train_report sum = {0};
    int32_t last = t->stages ? t->stages : t->first;
    FB_TRY(plan_time(t));
    for (int32_t n = t->first; n <= last; n++)
        FB_TRY(run_stage(t, n, &sum));
    *report = sum;
    return FB_OK;
}

/* What the stages share comes from the one that was begun, where there is one. */
static fb_status plan_recipe(training *t, const fb_train_state *state)
{
    t->first = state->stage > 0 ? state->stage : 1;
    t->stages = state->stage > 0 ? state->stages : fb_recipe_stages(t->options);
    if (t->stages < 1 || t->stages > STAGES || t->first > t->stages)
        return fb_fail(t->ctx, FB_E_USAGE,
                       "%s was begun as a recipe, and these options make another run; "
                       "give another --out",
                       t->options->out);
    if (!t->options->catalog[0])
        return fb_fail(t->ctx, FB_E_USAGE, "train needs --catalog");
    return count_items(t->ctx, t->options->catalog, &t->items);
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

/* --resume goes on as the run was begun. What is said beside and is neither that nor
 * the default would be passed over. */
static fb_status refuse_ignored(fb_context *ctx, const fb_train_options *given,
                                const fb_train_options *begun,
                                const fb_train_state *state)
{
    bool recipe = state->stages > 0;
    bool ended = state->step >= state->total_steps && state->stage == state->stages;
    for (int32_t i = 0; i < fb_train_option_table.count; i++) {
        const fb_option *row = &fb_train_option_table.rows[i];
        char now[FB_OPTION_TEXT_BYTES], then[FB_OPTION_TEXT_BYTES];
        if (row->start || row->path || row->type == FB_OPTION_LIST ||
            fb_option_is_default(row, given))
            continue;
        fb_option_format(row, given, now);
        fb_option_format(row, begun, then);
        if (strcmp(now, then) == 0 && (row->common || !recipe))
            continue;
        if (!ended)
            return fb_fail(ctx, FB_E_USAGE,
                           "--resume goes on as %s was begun, with --%s %s; leave out "
                           "--%s %s, or train into another --out",
                           given->out, row->name, then[0] ? then : "not given",
                           row->name, now);
        fprintf(stderr, "%s has ended, --%s %s changes nothing\n", given->out,
                row->name, now);
    }
    return FB_OK;
}

static fb_status train(fb_context *ctx, const fb_train_options *options,
                       fb_arena *strings, fb_train_report *report)
{
    bool recipe = false;
    double started_s = fb_clock_s();
    fb_train_state state = {0};
    fb_train_options common = *options, begun = *options;
    training t = {
        .ctx = ctx, .options = &common, .resume = options->resume, .first = 1};
    FB_TRY(is_recipe(ctx, options, &recipe));
    if (options->resume)
        FB_TRY(find_begun(ctx, options->out, strings, &state, &begun));
    if (state.total_steps > 0)
        FB_TRY(refuse_ignored(ctx, options, &begun, &state));
    if (recipe) { /* a run of its own looks up itself how it was begun */
        common = begun;
        FB_TRY(plan_recipe(&t, &state));
    }
    t.begun = state.step > 0;
    t.deadline_s = state.deadline_s;
    t.begun_s = started_s - state.elapsed_s;
    return run_all(&t, report);
}

/* --minutes chooses what these say. */
static fb_status check_minutes(fb_context *ctx, const fb_train_options *o)
{
    const char *other = o->steps                   ? "steps"
                        : o->epochs >= 0           ? "epochs"
                        : o->processor_minutes > 0 ? "processor-minutes"
                        : o->shorten[0]            ? "shorten"
                                                   : NULL;
    if (!(o->minutes > 0) || !other)
        return FB_OK;
    return fb_fail(ctx, FB_E_USAGE,
                   "--minutes and --%s both say how long to train; give one", other);
}

/* What a run that failed before its first checkpoint has left: the next one would take
 * it for a model. */
static void remove_start(const char *out)
{
    static const char *const files[] = {"config.json", "vocab.txt"};
    char path[4096];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (fb_path_join(NULL, path, out, files[i]) == FB_OK)
            (void)unlink(path);
}

static bool has_checkpoint(const char *out)
{
    char path[4096];
    return fb_path_join(NULL, path, out, "last") != FB_OK || fb_path_exists(path);
}

static fb_status train_alone(fb_context *ctx, const fb_train_options *options,
                             fb_arena *strings, fb_train_report *report)
{
    char config[4096], stages[4096], first[4096];
    int lock;
    const char *out = options->out;
    FB_TRY(fb_path_join(ctx, config, out, "config.json"));
    FB_TRY(fb_path_join(ctx, stages, out, "stages"));
    FB_TRY(fb_path_join(ctx, first, out, "stages/1"));
    bool made = !fb_path_exists(out);
    FB_TRY(fb_folder_make(ctx, out));
    FB_TRY(fb_folder_lock(ctx, out, "training there", &lock));
    bool had_config = fb_path_exists(config), had_stages = fb_path_exists(stages);
    fb_status status = train(ctx, options, strings, report);
    if (status != FB_OK && !had_config && !has_checkpoint(out))
        remove_start(out);
    if (status != FB_OK && !had_stages && fb_path_exists(stages) &&
        !has_checkpoint(first)) {
        (void)fb_folder_remove(NULL, first);
        (void)rmdir(stages);
    }
    if (status != FB_OK && made)
        (void)rmdir(out); /* stays where something is in it */
    close(lock);
    return status;
}

fb_status fb_train(fb_context *ctx, const fb_train_options *options,
                   fb_train_report *report)
{
    FB_TRY(fb_options_check(ctx, &fb_train_option_table, options));
    if (!options->out[0])
        return fb_fail(ctx, FB_E_USAGE, "train needs --out");
    FB_TRY(check_minutes(ctx, options));
    fb_arena *strings = fb_arena_create(4096);
    if (!strings)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a training");
    fb_status status = train_alone(ctx, options, strings, report);
    fb_arena_free(strings);
    return status;
}
