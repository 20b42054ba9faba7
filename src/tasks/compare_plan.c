/* compare_plan.c - what is compared, and under what. */
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/number_text.h"
#include "tasks/compare.h"
#include "tasks/evaluate.h"

#include <stdlib.h>
#include <string.h>

enum { PLAN_LIMIT = 1 << 20 };

fb_status fb_compare_path(const fb_compare_run *c, char out[4096], const char *name)
{
    return fb_path_join(c->ctx, out, c->options->out, name);
}

/* ---- systems and folders ---------------------------------------------------------- */

/* Titles with images, without a query, by a score or by vectors. */
static bool matches(const fb_system *s)
{
    return s->objective_count > 0 && !(s->reads & FB_READS_QUERY) &&
           (s->gives & (FB_GIVES_SCORE | FB_GIVES_VECTORS));
}

static fb_status add_entry(fb_compare_run *c, const fb_compare_entry *entry)
{
    for (int32_t i = 0; i < c->entry_count; i++)
        if (strcmp(c->entries[i].key, entry->key) == 0)
            return fb_fail(c->ctx, FB_E_USAGE, "--systems names %s twice", entry->name);
    c->entries[c->entry_count++] = *entry;
    return FB_OK;
}

static fb_status add_system(fb_compare_run *c, const fb_system *s)
{
    fb_compare_entry e = {.system = s};
    snprintf(e.name, sizeof e.name, "%s", s->name);
    snprintf(e.key, sizeof e.key, "%s", s->name);
    return add_entry(c, &e);
}

static fb_status add_folder(fb_compare_run *c, const char *folder)
{
    fb_compare_entry e = {0};
    char config[4096], whole[4096];
    size_t length = strlen(folder);
    FB_TRY(fb_path_join(c->ctx, config, folder, "config.json"));
    if (!fb_path_exists(config))
        return fb_fail(c->ctx, FB_E_USAGE, "--systems %s: a folder without a model",
                       folder);
    if (!realpath(folder, whole))
        return fb_fail(c->ctx, FB_E_IO, "--systems %s: no such folder", folder);
    snprintf(e.folder, sizeof e.folder, "%s", folder);
    snprintf(e.name, sizeof e.name, "%s%s", length > 120 ? "..." : "",
             length > 120 ? folder + length - 120 : folder);
    snprintf(e.key, sizeof e.key, "folder-%016llx",
             (unsigned long long)fb_hash_bytes(0, whole, strlen(whole)));
    return add_entry(c, &e);
}

static fb_status add_named(fb_compare_run *c, const char *word)
{
    char known[512];
    if (strcmp(word, "floor") == 0)
        return add_entry(c, &(fb_compare_entry){.name = "linear floor",
                                                .key = "linear-floor",
                                                .floor = true});
    const fb_system *s = fb_systems_find(word);
    if (s && matches(s))
        return add_system(c, s);
    if (s)
        return fb_fail(c->ctx, FB_E_USAGE,
                       "--systems %s: it does not score titles with images", word);
    if (fb_path_is_folder(word))
        return add_folder(c, word);
    return fb_fail(c->ctx, FB_E_USAGE,
                   "--systems %s: neither a system, floor nor a model folder; systems "
                   "are %s",
                   word, fb_systems_names(known, sizeof known));
}

fb_status fb_compare_list(fb_compare_run *c)
{
    const char *list = c->options->systems;
    int32_t most = fb_systems_count() + 1;
    for (const char *at = list; *at; at++)
        most += *at == ',';
    c->entries = calloc((size_t)most, sizeof *c->entries);
    char *copy = strdup(list), *rest = copy;
    fb_status status = FB_OK;
    if (!c->entries || !copy)
        status = fb_fail(c->ctx, FB_E_MEMORY, "no memory for the systems");
    for (char *word; status == FB_OK && (word = strsep(&rest, ",")) != NULL;) {
        if (strcmp(word, "all") != 0) {
            status = add_named(c, word);
            continue;
        }
        for (int32_t i = 0; i < fb_systems_count() && status == FB_OK; i++)
            if (matches(fb_systems_get(i)))
                status = add_system(c, fb_systems_get(i));
    }
    free(copy);
    return status;
}

/* ---- plan.json ------------------------------------------------------------------- */

/* A part of the plan, as one would write it. */
typedef struct part {
    const char *name, *option;
    char value[4200];
} part;

enum { PARTS = 18 };

static void say(part *parts, int32_t *count, const char *name, const char *option,
                const char *value)
{
    part *p = &parts[(*count)++];
    p->name = name;
    p->option = option;
    snprintf(p->value, sizeof p->value, "%s", value);
}

static void say_number(part *parts, int32_t *count, const char *name,
                       const char *option, double value)
{
    char text[32];
    fb_text_print(text, sizeof text, "%.15g", value);
    say(parts, count, name, option, text);
}

/* Neither systems nor seeds: to these, more may come. */
static int32_t list_parts(const fb_compare_run *c, part *parts)
{
    const fb_compare_options *o = c->options;
    char digits[24];
    int32_t n = 0;
    snprintf(digits, sizeof digits, "%016llx",
             (unsigned long long)fb_catalogue_fingerprint(c->items->catalogue));
    say(parts, &n, "catalog", "--catalog", digits);
    say_number(parts, &n, "budget", "--budget", o->budget);
    say_number(parts, &n, "products", "--products", (double)o->products);
    say(parts, &n, "preset", "--preset", o->preset);
    say(parts, &n, "features", "--features", o->features);
    say_number(parts, &n, "features_minutes", "--features-minutes",
               o->features_minutes);
    say_number(parts, &n, "features_products", "--features-products",
               (double)o->features_products);
    say(parts, &n, "split", "--split", o->split);
    say(parts, &n, "protocol", "--protocol", o->protocol);
    say(parts, &n, "negatives", "--negatives", o->negatives);
    say_number(parts, &n, "queries", "--queries", o->queries);
    say_number(parts, &n, "negative_count", "--negative-count", o->negative_count);
    say_number(parts, &n, "min_candidates", "--min-candidates", o->min_candidates);
    say_number(parts, &n, "draws", "--draws", o->draws);
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)o->seed);
    say(parts, &n, "seed", "--seed", digits);
    say_number(parts, &n, "examples", "--examples", o->examples);
    say(parts, &n, "regions", "--regions", o->regions);
    say(parts, &n, "candidates", "--candidates", o->candidates);
    return n;
}

static fb_status write_plan(const fb_compare_run *c, const char *path,
                            const part *parts, int32_t count)
{
    fb_replace r;
    fb_json_writer w;
    FB_TRY(fb_replace_open(c->ctx, path, &r));
    fb_json_begin(&w, r.stream, 2);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "format", "fashionbert-comparison");
    fb_json_key_int(&w, "version", 1);
    for (int32_t i = 0; i < count; i++)
        fb_json_key_string(&w, parts[i].name, parts[i].value);
    fb_json_close_object(&w);
    fputc('\n', r.stream);
    return fb_replace_commit(c->ctx, &r);
}

static fb_status compare_plan(const fb_compare_run *c, const char *path,
                              const json_t *root, const part *parts, int32_t count)
{
    const char *format = json_string_value(json_object_get(root, "format"));
    if (!format || strcmp(format, "fashionbert-comparison") != 0)
        return fb_fail(c->ctx, FB_E_FORMAT, "%s: not the plan of a comparison", path);
    for (int32_t i = 0; i < count; i++) {
        const char *old = json_string_value(json_object_get(root, parts[i].name));
        if (strcmp(old ? old : "", parts[i].value) == 0) /* absent: left out */
            continue;
        if (i == 0)
            return fb_fail(c->ctx, FB_E_STATE,
                           "%s was begun with another catalogue than %s; give another "
                           "--out",
                           c->options->out, c->options->catalog);
        return fb_fail(c->ctx, FB_E_STATE,
                       "%s was begun with %s %s, not %s; give that, or another --out",
                       c->options->out, parts[i].option,
                       old && old[0] ? old : "left out",
                       parts[i].value[0] ? parts[i].value : "left out");
    }
    return FB_OK;
}

static fb_status check_plan(const fb_compare_run *c)
{
    char path[4096];
    json_t *root;
    part *parts = calloc(PARTS, sizeof *parts);
    if (!parts)
        return fb_fail(c->ctx, FB_E_MEMORY, "no memory for a plan");
    int32_t count = list_parts(c, parts);
    fb_status status = fb_compare_path(c, path, "plan.json");
    if (status == FB_OK && !fb_path_exists(path)) {
        status = write_plan(c, path, parts, count);
    } else if (status == FB_OK) {
        status = fb_json_read(c->ctx, path, PLAN_LIMIT, &root);
        if (status == FB_OK) {
            status = compare_plan(c, path, root, parts, count);
            json_decref(root);
        }
    }
    free(parts);
    return status;
}

/* ---- beginning -------------------------------------------------------------------- */

fb_status fb_compare_protocol(const fb_compare_run *c, fb_evaluate_options *e,
                              char candidates[4096])
{
    const fb_compare_options *o = c->options;
    fb_evaluate_options_defaults(e);
    e->catalog = o->catalog;
    e->split = o->split;
    e->protocol = o->protocol;
    e->negatives = o->negatives;
    e->queries = o->queries;
    e->negative_count = o->negative_count;
    e->min_candidates = o->min_candidates;
    e->draws = o->draws;
    e->seed = o->seed;
    e->quiet = o->quiet;
    e->candidates = "";
    if (strcmp(o->protocol, "full") == 0)
        return FB_OK;
    if (o->candidates[0])
        e->candidates = o->candidates;
    else
        FB_TRY(fb_compare_path(c, candidates, "candidates.jsonl"));
    if (!o->candidates[0])
        e->candidates = candidates;
    return FB_OK;
}

/* Drawn before anything is trained: a split with too few products is told at once. */
static fb_status draw_candidates(const fb_compare_run *c)
{
    char candidates[4096];
    fb_evaluate_options e;
    fb_candidate_set *set = NULL;
    FB_TRY(fb_compare_protocol(c, &e, candidates));
    FB_TRY(fb_evaluate_check_protocol(c->ctx, &e));
    if (!e.candidates[0])
        return FB_OK;
    FB_TRY(fb_evaluate_candidates(c->ctx, &e, c->items, &set));
    fb_candidate_set_free(set);
    return FB_OK;
}

/* A folder of something else must not fill with ours. */
static fb_status check_folder(const fb_compare_run *c)
{
    static const char *const signs[] = {"config.json", "metadata.jsonl"};
    char path[4096];
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        FB_TRY(fb_compare_path(c, path, signs[i]));
        if (fb_path_exists(path))
            return fb_fail(c->ctx, FB_E_USAGE,
                           "--out %s holds a %s already; give another folder",
                           c->options->out, i ? "catalogue" : "model");
    }
    return FB_OK;
}

fb_status fb_compare_begin(fb_compare_run *c)
{
    static const char *const folders[] = {"models", "results"};
    char path[4096];
    FB_TRY(check_folder(c));
    FB_TRY(fb_folder_make(c->ctx, c->options->out));
    FB_TRY(check_plan(c));
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        FB_TRY(fb_compare_path(c, path, folders[i]));
        FB_TRY(fb_folder_make(c->ctx, path));
    }
    return draw_candidates(c);
}
