/* compare_train.c - the shared image network, and a system trained on its features. */
#include "base/file.h"
#include "base/json.h"
#include "tasks/compare.h"
#include "training/recipe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LOG_LINE = 1 << 20, FEATURES_LIMIT = 1 << 20 };

/* So many that a budget ends first. */
static const double endless_epochs = 1e6;

/* Options that every training has. */
static void begin_options(const fb_compare_run *c, fb_train_options *o)
{
    fb_train_options_defaults(o);
    o->catalog = c->options->catalog;
    o->preset = c->options->preset;
    o->backend = c->options->backend;
    o->dtype = c->options->dtype;
    o->threads = c->options->threads;
    o->loader_threads = c->options->loader_threads;
    o->quiet = c->options->quiet;
}

/* ---- the shared image network ----------------------------------------------------- */

/* The first system that has a recipe: its stages before the last are the network's. */
static const fb_system *with_recipe(void)
{
    for (int32_t i = 0; i < fb_systems_count(); i++)
        if (fb_systems_get(i)->stage_count > 1)
            return fb_systems_get(i);
    return NULL;
}

static fb_status write_features(const fb_compare_run *c, const char *path,
                                const fb_train_report *report)
{
    fb_replace r;
    fb_json_writer w;
    FB_TRY(fb_replace_open(c->ctx, path, &r));
    fb_json_begin(&w, r.stream, 2);
    fb_json_open_object(&w);
    fb_json_key_int(&w, "products", report->products);
    fb_json_key_double(&w, "seconds", report->seconds);
    fb_json_key_double(&w, "processor_seconds", report->processor_seconds);
    fb_json_close_object(&w);
    fputc('\n', r.stream);
    return fb_replace_commit(c->ctx, &r);
}

static fb_status read_features(fb_compare_run *c, const char *path)
{
    json_t *root;
    FB_TRY(fb_json_read(c->ctx, path, FEATURES_LIMIT, &root));
    fb_status status = fb_json_get_double(c->ctx, path, root, "seconds", 0, 1e300,
                                          &c->features_seconds);
    if (status == FB_OK)
        status = fb_json_get_double(c->ctx, path, root, "processor_seconds", 0, 1e300,
                                    &c->features_processor_s);
    json_decref(root);
    return status;
}

/* Stage `number` of `count`, each with its share of the budgets by its products. */
static fb_status train_stage(fb_compare_run *c, const fb_system *s, int32_t number,
                             int32_t count, fb_train_report *sum)
{
    const fb_compare_options *o = c->options;
    fb_train_options common, stage;
    fb_train_report one = {0};
    char out[4096], init[4096] = "", name[40];
    double all = 0;
    for (int32_t i = 0; i < count; i++)
        all += s->stages[i].products;
    double share = s->stages[number - 1].products / all;
    begin_options(c, &common);
    common.system = s->name;
    FB_TRY(fb_recipe_stage(c->ctx, &stage, &common, number, c->train_items));
    for (int32_t i = number - 1; i <= number; i++) {
        snprintf(name, sizeof name, "models/features-%d", (int)i);
        if (i == count)
            snprintf(name, sizeof name, "features");
        if (i > 0)
            FB_TRY(fb_compare_path(c, i == number ? out : init, name));
    }
    stage.out = out;
    stage.init = init;
    stage.resume = true;
    stage.seed = 1;
    stage.processor_minutes = o->features_minutes * share;
    stage.products = (int64_t)((double)o->features_products * share);
    if (!o->quiet)
        fprintf(stderr, "features: stage %d of %d\n", (int)number, (int)count);
    if (fb_train(c->ctx, &stage, &one) != FB_OK)
        return fb_fail_in(c->ctx, "the shared image network");
    sum->products += one.products;
    sum->seconds += one.seconds;
    sum->processor_seconds += one.processor_seconds;
    return FB_OK;
}

static fb_status train_features(fb_compare_run *c, const char *marker)
{
    const fb_system *s = with_recipe();
    fb_train_report sum = {0};
    if (!s)
        return fb_fail(c->ctx, FB_E_USAGE, "compare needs --features");
    for (int32_t n = 1; n < s->stage_count; n++)
        FB_TRY(train_stage(c, s, n, s->stage_count - 1, &sum));
    FB_TRY(write_features(c, marker, &sum));
    c->features_seconds = sum.seconds;
    c->features_processor_s = sum.processor_seconds;
    return FB_OK;
}

fb_status fb_compare_features(fb_compare_run *c)
{
    char marker[4096], config[4096];
    if (c->options->features[0]) {
        FB_TRY(fb_path_join(c->ctx, config, c->options->features, "config.json"));
        if (!fb_path_exists(config))
            return fb_fail(c->ctx, FB_E_MISSING, "--features %s: no model there",
                           c->options->features);
        return fb_path_join(c->ctx, c->features, "", c->options->features);
    }
    FB_TRY(fb_compare_path(c, marker, "features.json"));
    if (fb_path_exists(marker))
        FB_TRY(read_features(c, marker));
    else
        FB_TRY(train_features(c, marker));
    return fb_compare_path(c, c->features, "features");
}

/* ---- a system --------------------------------------------------------------------- */

/* What a system that has a recipe begins with is the recipe's last stage, started from
 * the shared model; but images stay as they are, since their features are frozen. */
static fb_status last_stage(const fb_compare_run *c, const fb_system *s,
                            fb_train_options *o)
{
    fb_train_options common = *o;
    common.system = s->name;
    FB_TRY(fb_recipe_stage(c->ctx, o, &common, s->stage_count, c->train_items));
    o->flip = o->shift = o->zoom = -1;
    o->init = c->features;
    return FB_OK;
}

/* The shared network, not trained any more. */
static fb_status use_features(const fb_compare_run *c, const fb_system *s,
                              const char *cache, const char *vocab, fb_train_options *o)
{
    if (s->stage_count > 1)
        FB_TRY(last_stage(c, s, o));
    if (!o->init[0]) {
        o->encoder_weights = c->features;
        o->vocab = vocab;
    }
    o->freeze_encoder = true;
    o->feature_cache = cache;
    return FB_OK;
}

static void limit(const fb_compare_run *c, fb_train_options *o)
{
    o->products = c->options->products;
    o->processor_minutes = c->options->budget;
    if (o->products || o->processor_minutes > 0)
        o->epochs = endless_epochs;
}

/* ---- its learning curve ----------------------------------------------------------- */

/* Where there are more points than fit, every other one goes. */
static void add_point(fb_compare_result *r, fb_compare_point point)
{
    if (r->curve_count == FB_COMPARE_CURVE) {
        for (int32_t i = 0; i < FB_COMPARE_CURVE / 2; i++)
            r->curve[i] = r->curve[2 * i + 1];
        r->curve_count = FB_COMPARE_CURVE / 2;
    }
    r->curve[r->curve_count++] = point;
}

/* What a line of the log calls the measure that chooses the best weights. A run that was
 * complete when it was opened does not say: then the one that was best_val_accuracy in
 * its best step. */
static void name_measure(const fb_train_report *report, const json_t *line,
                         fb_compare_result *r)
{
    char key[80];
    const char *name;
    json_t *value;
    snprintf(key, sizeof key, "val_%s", report->accuracy);
    if (json_object_get(line, key))
        snprintf(r->measure, sizeof r->measure, "%s", report->accuracy);
    if (r->measure[0] ||
        json_integer_value(json_object_get(line, "step")) != report->best_step)
        return;
    json_object_foreach((json_t *)(uintptr_t)line, name,
                        value) if (strncmp(name, "val_", 4) == 0 &&
                                   json_is_number(value) &&
                                   !(fabs(json_number_value(value) -
                                          report->best_val_accuracy) > 1e-12))
    {
        snprintf(r->measure, sizeof r->measure, "%s", name + 4);
        return;
    }
}

/* Each line of the log, to name the measure or to take its points. */
static void read_line(const fb_train_report *report, const char *text, bool naming,
                      fb_compare_result *r)
{
    double steps = (double)(report->steps ? report->steps : 1);
    double each = (double)report->products / steps;
    char key[80];
    json_t *line = NULL; /* stays so where it cannot be read */
    (void)fb_json_parse(NULL, "log", text, strlen(text), &line);
    snprintf(key, sizeof key, "val_%s", r->measure);
    const json_t *value = json_object_get(line, key);
    if (naming)
        name_measure(report, line, r);
    else if (json_is_number(value))
        add_point(r, (fb_compare_point){
                         each * json_number_value(json_object_get(line, "step")),
                         json_number_value(value)});
    json_decref(line);
}

/* The measure on the validation split that chooses the best weights, step by step. */
static fb_status read_curve(const fb_compare_run *c, const char *folder,
                            const fb_train_report *report, fb_compare_result *r)
{
    char path[4096];
    FB_TRY(fb_path_join(c->ctx, path, folder, "log.jsonl"));
    char *text = malloc(LOG_LINE);
    FILE *log = fopen(path, "r");
    r->curve_count = 0;
    r->measure[0] = 0;
    for (int pass = 0; pass < 2 && log && text; pass++) {
        rewind(log);
        while (fgets(text, LOG_LINE, log))
            read_line(report, text, pass == 0, r);
    }
    fb_status status =
        log && text ? FB_OK : fb_fail(c->ctx, FB_E_IO, "%s cannot be read", path);
    free(text);
    if (log)
        fclose(log);
    return status;
}

fb_status fb_compare_train(fb_compare_run *c, const fb_compare_entry *entry,
                           uint64_t seed, const char *folder, fb_compare_result *result)
{
    const fb_system *s = entry->system;
    fb_train_options o;
    fb_train_report report = {0};
    char cache[4096], vocab[4096];
    begin_options(c, &o);
    FB_TRY(fb_compare_path(c, cache, "features.cache"));
    FB_TRY(fb_path_join(c->ctx, vocab, c->features, "vocab.txt"));
    if (c->options->regions[0])
        o.regions = c->options->regions;
    else
        FB_TRY(use_features(c, s, cache, vocab, &o));
    o.system = s->name;
    o.seed = seed;
    o.out = folder;
    o.resume = true;
    limit(c, &o);
    FB_TRY(fb_train(c->ctx, &o, &report));
    result->steps = report.steps;
    result->products = report.products;
    result->parameters = report.parameters;
    result->train_seconds = report.seconds;
    result->processor_seconds = report.processor_seconds;
    return read_curve(c, folder, &report, result);
}
