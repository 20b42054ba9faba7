/* recipe.c - see recipe.h. */
#include "training/recipe.h"

#include "nn/encoder.h"
#include "training/train_options.h"

#include <string.h>

/* What options say that an objective leaves open. Of image and patch sizes: those of
 * the encoder, fill_sizes. */
static const fb_option_value common[] = {
    {"losses", ""},         {"negatives", "category"},
    {"alignment", "pairs"}, {"hard-negatives", "3"},
    {"hard-items", "0"},    {"hardness", "1"},
    {"hard-warmup", "0"},   {"patch-keep", "1"},
    {"unmask-last", "0"},   {"soft-targets", "0"},
    {"itc", "0"},           {"group", "0"},
    {"flip", "0"},          {"shift", "0"},
    {"zoom", "0"},          {"text-mask", "0"},
    {"rare-mask", "0"},     {"margin", "0"},
    {"clip", "1"},
};
/* The same of what systems may settle by other options. */
static const fb_option_value last[] = {
    {"vector-size", "0"}, {"alignment-head", "cls"}, {"patches-from", "0"}};

static bool is_auto(const char *word)
{
    return strcmp(word, "auto") == 0;
}

/* Nothing said about what or how to learn, system and objective aside. */
static bool is_open(const fb_train_options *o)
{
    const fb_option_table *table = &fb_train_option_table;
    for (int32_t i = 0; i < table->count; i++) {
        const fb_option *row = &table->rows[i];
        bool names = row->offset == offsetof(fb_train_options, objective) ||
                     row->offset == offsetof(fb_train_options, system);
        if (!names && fb_train_option_is_own(row) && !fb_option_is_default(row, o))
            return false;
    }
    return true;
}

/* Its stages are those of the recipe of whoever has the objective of the options. */
static const fb_system *recipe_of(const fb_train_options *o)
{
    if (!is_auto(o->objective))
        return fb_systems_find_objective(o->objective, NULL);
    return is_auto(o->system) ? fb_systems_get(0) : fb_systems_find(o->system);
}

int32_t fb_recipe_stages(const fb_train_options *options)
{
    const fb_system *s = recipe_of(options);
    int32_t count = 0;
    if (!s || !is_open(options))
        return 0;
    if (is_auto(options->objective))
        return s->stage_count;
    while (count < s->stage_count &&
           strcmp(s->stages[count].objective, options->objective) == 0)
        count++;
    return count;
}

/* Passes over a split so that about `products` go by: small splits are seen more often,
 * within reason. */
static double passes(double products, int32_t items)
{
    double epochs = products / (items > 0 ? items : 1);
    return epochs < 1 ? 1 : epochs > 60 ? 60 : epochs;
}

/* A word of ten products among thousands says little about others; where there are few
 * products all words are of few. */
static double rare_words(int32_t items)
{
    return items < 5000 ? items / 500.0 : 10;
}

fb_status fb_recipe_stage(fb_context *ctx, fb_train_options *stage,
                          const fb_train_options *options, int32_t number,
                          int32_t items)
{
    const fb_option_table *table = &fb_train_option_table;
    fb_train_options_defaults(stage);
    for (int32_t i = 0; i < table->count; i++)
        if (!fb_train_option_is_own(&table->rows[i]))
            fb_option_copy(&table->rows[i], stage, options);
    const fb_system *s = recipe_of(options);
    const fb_stage *row = &s->stages[number - 1];
    stage->system = s->name;
    FB_TRY(fb_option_set(ctx, table, stage, "objective", row->objective));
    for (const fb_option_value *said = row->said; said->name; said++)
        FB_TRY(fb_option_set(ctx, table, stage, said->name, said->value));
    stage->rare_mask = rare_words(items);
    stage->epochs = passes(row->products, items);
    if (number > 1)
        stage->vocab = ""; /* that of the stage before */
    return FB_OK;
}

bool fb_recipe_freezes(const fb_train_options *o)
{
    return fb_encoder_learns(o->encoder) && (o->freeze_encoder || !(o->encoder_lr > 0));
}

bool fb_recipe_keeps_features(const fb_train_options *o)
{
    return fb_recipe_freezes(o) && strcmp(o->feature_cache, "none") != 0;
}

/* ---- options left to the program -------------------------------------------------- */

static fb_status fill(fb_context *ctx, fb_train_options *o,
                      const fb_option_value *given, size_t count)
{
    return fb_options_fill(ctx, &fb_train_option_table, o, given, (int32_t)count);
}

static void fill_size(int32_t *pixels, int32_t value)
{
    if (*pixels < 0)
        *pixels = value;
}

static fb_status fill_sizes(fb_context *ctx, fb_train_options *o)
{
    const fb_encoder *e;
    FB_TRY(fb_encoder_get(ctx, &e, o->encoder));
    fill_size(&o->image_size, e->image_size);
    fill_size(&o->patch_size, e->patch_size);
    return FB_OK;
}

/* Features that are kept are of images as they are. */
static void keep_images(fb_train_options *o, const fb_train_options *asked)
{
    if (!fb_recipe_keeps_features(o))
        return;
    o->flip = asked->flip < 0 ? 0 : asked->flip;
    o->shift = asked->shift < 0 ? 0 : asked->shift;
    o->zoom = asked->zoom < 0 ? 0 : asked->zoom;
}

/* The system's first objective, and the system of the objective. */
static fb_status fill_objective(fb_context *ctx, fb_train_options *o)
{
    const fb_system *named = is_auto(o->system) ? NULL : fb_systems_find(o->system);
    if (is_auto(o->objective)) {
        const fb_system *s = named ? named : fb_systems_get(0);
        o->objective = s->objectives[0].name;
    }
    const fb_system *s = fb_systems_find_objective(o->objective, NULL);
    if (!s)
        return fb_fail(ctx, FB_E_USAGE, "--objective %s is not known", o->objective);
    if (named && named != s)
        return fb_fail(ctx, FB_E_USAGE, "--objective %s is of --system %s, not of %s",
                       o->objective, s->name, named->name);
    o->system = s->name;
    return FB_OK;
}

fb_status fb_recipe_fill(fb_context *ctx, fb_train_options *o, const fb_system **system)
{
    const fb_train_options asked = *o;
    const fb_objective *objective;
    size_t count = 0;
    FB_TRY(fill_objective(ctx, o));
    const fb_system *s = fb_systems_find_objective(o->objective, &objective);
    if (o->regions[0] && !(s->reads & FB_READS_REGIONS))
        return fb_fail(ctx, FB_E_USAGE,
                       "--regions %s: %s reads no regions, only photos", o->regions,
                       s->name);
    while (objective->defaults && objective->defaults[count].name)
        count++;
    FB_TRY(fill(ctx, o, objective->defaults, count));
    keep_images(o, &asked);
    FB_TRY(fill(ctx, o, common, sizeof common / sizeof common[0]));
    const char *reader = fb_systems_objective_reading(FB_READS_QUERY);
    if (o->clicks[0] && !(s->reads & FB_READS_QUERY))
        return fb_fail(ctx, FB_E_USAGE,
                       "--clicks %s: a click log is learnt by --objective %s",
                       o->clicks, reader ? reader : "of a system that reads queries");
    if (s->settle)
        FB_TRY(s->settle(ctx, o));
    if (o->losses[0] && !s->choices)
        return fb_fail(ctx, FB_E_USAGE, "--objective %s takes no --losses",
                       o->objective);
    FB_TRY(fill(ctx, o, last, sizeof last / sizeof last[0]));
    FB_TRY(fill_sizes(ctx, o));
    *system = s;
    return FB_OK;
}
