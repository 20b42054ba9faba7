/* compare_result.c - what was found with one system and seed, as a file of JSON. Ranks
 * stand in columns: query, draw and so on of all of them, one after the other. */
#include "base/file.h"
#include "base/json.h"
#include "tasks/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RESULT_LIMIT = 512 << 20 };

/* ---- writing ---------------------------------------------------------------------- */

typedef enum column { QUERY, DRAW, WAY, RANK, CANDIDATES, COLUMNS } column;
static const char *const column_names[COLUMNS] = {"query", "draw", "text_to_image",
                                                  "rank", "candidates"};

static int64_t column_of(const fb_ranked_query *r, column which)
{
    const int64_t values[COLUMNS] = {r->query, r->draw, r->text_to_image, r->rank,
                                     r->candidates};
    return values[which];
}

static void write_ranks(fb_json_writer *w, const fb_evaluation *e)
{
    fb_json_key(w, "ranks");
    fb_json_open_object(w);
    for (int k = 0; k < COLUMNS; k++) {
        fb_json_key(w, column_names[k]);
        fb_json_open_array(w);
        for (int64_t i = 0; i < e->rank_count; i++)
            fb_json_int(w, column_of(&e->ranks[i], (column)k));
        fb_json_close_array(w);
    }
    fb_json_close_object(w);
}

/* The numbers of a ranking by name. */
typedef struct field {
    const char *name;
    size_t offset;
} field;

#define FIELD(member)                                                                  \
    {                                                                                  \
#member, offsetof(fb_ranking, member)                                          \
    }
static const field fields[] = {
    FIELD(candidates_mean), FIELD(r1),        FIELD(r5),          FIELD(r10),
    FIELD(r_all),           FIELD(mrr),       FIELD(median_rank), FIELD(chance_r1),
    FIELD(chance_r5),       FIELD(chance_r10)};
enum { FIELDS = sizeof fields / sizeof fields[0] };

static void write_ranking(fb_json_writer *w, const char *key, const fb_ranking *r)
{
    fb_json_key(w, key);
    fb_json_open_object(w);
    fb_json_key_int(w, "queries", r->queries);
    fb_json_key_int(w, "left_out", r->left_out);
    for (int i = 0; i < FIELDS; i++)
        fb_json_key_double(
            w, fields[i].name,
            *(const double *)(const void *)((const char *)r + fields[i].offset));
    fb_json_close_object(w);
}

static void write_evaluation(fb_json_writer *w, const fb_evaluation *e)
{
    fb_json_key(w, "evaluation");
    fb_json_open_object(w);
    fb_json_key_int(w, "items", e->items);
    fb_json_key_string(w, "score", e->score);
    write_ranking(w, "image_to_text", &e->image_to_text);
    write_ranking(w, "text_to_image", &e->text_to_image);
    fb_json_key_double(w, "sum_r", e->sum_r);
    fb_json_key_double(w, "accuracy", e->accuracy);
    fb_json_key_double(w, "auc", e->auc);
    fb_json_key_int(w, "pairs_scored", e->pairs_scored);
    fb_json_key_double(w, "seconds", e->seconds);
    fb_json_key(w, "categories");
    fb_json_open_array(w);
    for (int64_t i = 0; i < e->category_count; i++) {
        fb_json_open_object(w);
        fb_json_key_string(w, "name", e->categories[i].name);
        write_ranking(w, "image_to_text", &e->categories[i].image_to_text);
        write_ranking(w, "text_to_image", &e->categories[i].text_to_image);
        fb_json_close_object(w);
    }
    fb_json_close_array(w);
    write_ranks(w, e);
    fb_json_close_object(w);
}

static void write_curve(fb_json_writer *w, const fb_compare_result *r)
{
    fb_json_key(w, "curve");
    fb_json_open_array(w);
    for (int32_t i = 0; i < r->curve_count; i++) {
        fb_json_open_array(w);
        fb_json_double(w, r->curve[i].products);
        fb_json_double(w, r->curve[i].value);
        fb_json_close_array(w);
    }
    fb_json_close_array(w);
}

static void write_examples(fb_json_writer *w, const fb_compare_result *r)
{
    fb_json_key(w, "examples");
    fb_json_open_array(w);
    for (int32_t i = 0; i < r->example_count; i++) {
        const fb_compare_example *e = &r->examples[i];
        fb_json_open_array(w);
        fb_json_int(w, e->query);
        fb_json_int(w, e->rank);
        fb_json_int(w, e->candidates);
        for (int k = 0; k < FB_COMPARE_TOP; k++)
            fb_json_int(w, e->best[k]);
        fb_json_close_array(w);
    }
    fb_json_close_array(w);
}

fb_status fb_compare_result_write(fb_context *ctx, const char *path,
                                  const fb_compare_result *r)
{
    fb_replace file;
    fb_json_writer w;
    char fingerprint[24];
    snprintf(fingerprint, sizeof fingerprint, "%016llx",
             (unsigned long long)r->fingerprint);
    FB_TRY(fb_replace_open(ctx, path, &file));
    fb_json_begin(&w, file.stream, 0);
    fb_json_open_object(&w);
    fb_json_key_int(&w, "version", 1);
    fb_json_key_int(&w, "seed", (int64_t)r->seed);
    fb_json_key_string(&w, "fingerprint", fingerprint);
    fb_json_key_int(&w, "steps", r->steps);
    fb_json_key_int(&w, "products", r->products);
    fb_json_key_int(&w, "parameters", r->parameters);
    fb_json_key_double(&w, "train_seconds", r->train_seconds);
    fb_json_key_double(&w, "processor_seconds", r->processor_seconds);
    fb_json_key_double(&w, "pairs_per_s", r->pairs_per_s);
    fb_json_key_string(&w, "measure", r->measure);
    write_curve(&w, r);
    write_examples(&w, r);
    write_evaluation(&w, r->evaluation);
    fb_json_close_object(&w);
    fputc('\n', file.stream);
    return fb_replace_commit(ctx, &file);
}

/* ---- reading ---------------------------------------------------------------------- */

typedef struct reader {
    fb_context *ctx;
    const char *path;
} reader;

static fb_status bad(const reader *r)
{
    return fb_fail(r->ctx, FB_E_FORMAT,
                   "%s: not the result of a comparison; remove it to have it made anew",
                   r->path);
}

static fb_status read_int(const reader *r, const json_t *o, const char *key,
                          int64_t *out)
{
    return fb_json_get_int(r->ctx, r->path, o, key, 0, INT64_MAX, out);
}

/* null stays NaN. */
static fb_status read_double(const reader *r, const json_t *o, const char *key,
                             double *out)
{
    *out = NAN;
    if (json_is_null(json_object_get(o, key)))
        return FB_OK;
    return fb_json_get_double(r->ctx, r->path, o, key, -1e300, 1e300, out);
}

static fb_status read_ranking(const reader *r, const json_t *o, const char *key,
                              fb_ranking *out)
{
    const json_t *from = json_object_get(o, key);
    if (!json_is_object(from))
        return bad(r);
    FB_TRY(read_int(r, from, "queries", &out->queries));
    FB_TRY(read_int(r, from, "left_out", &out->left_out));
    for (int i = 0; i < FIELDS; i++)
        FB_TRY(read_double(r, from, fields[i].name,
                           (double *)(void *)((char *)out + fields[i].offset)));
    return FB_OK;
}

static fb_status read_categories(const reader *r, const json_t *o, fb_evaluation *e)
{
    const json_t *list = json_object_get(o, "categories");
    size_t count = json_array_size(list);
    e->categories = calloc(count + 1, sizeof *e->categories);
    if (!e->categories)
        return fb_fail(r->ctx, FB_E_MEMORY, "no memory for the categories");
    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(one, "name"));
        fb_category_result *category = &e->categories[e->category_count++];
        snprintf(category->name, sizeof category->name, "%s", name ? name : "");
        FB_TRY(read_ranking(r, one, "image_to_text", &category->image_to_text));
        FB_TRY(read_ranking(r, one, "text_to_image", &category->text_to_image));
    }
    return FB_OK;
}

static fb_status read_ranks(const reader *r, const json_t *o, fb_evaluation *e)
{
    const json_t *ranks = json_object_get(o, "ranks"), *columns[COLUMNS];
    size_t count = json_array_size(json_object_get(ranks, column_names[0]));
    for (int k = 0; k < COLUMNS; k++) {
        columns[k] = json_object_get(ranks, column_names[k]);
        if (!json_is_array(columns[k]) || json_array_size(columns[k]) != count)
            return bad(r);
    }
    e->ranks = calloc(count + 1, sizeof *e->ranks);
    if (!e->ranks)
        return fb_fail(r->ctx, FB_E_MEMORY, "no memory for the ranks");
    for (size_t i = 0; i < count; i++) {
        int64_t v[COLUMNS];
        for (int k = 0; k < COLUMNS; k++)
            v[k] = json_integer_value(json_array_get(columns[k], i));
        if (v[QUERY] < 0 || v[QUERY] >= e->items || v[RANK] < 1)
            return bad(r);
        e->ranks[i] = (fb_ranked_query){(int32_t)v[DRAW], (int32_t)v[QUERY],
                                        v[WAY] != 0, v[RANK], v[CANDIDATES]};
    }
    e->rank_count = (int64_t)count;
    return FB_OK;
}

static fb_status read_evaluation(const reader *r, const json_t *root, fb_evaluation *e)
{
    const json_t *o = json_object_get(root, "evaluation");
    const char *score = json_string_value(json_object_get(o, "score"));
    if (!json_is_object(o) || !score)
        return bad(r);
    snprintf(e->score, sizeof e->score, "%s", score);
    FB_TRY(read_int(r, o, "items", &e->items));
    FB_TRY(read_ranking(r, o, "image_to_text", &e->image_to_text));
    FB_TRY(read_ranking(r, o, "text_to_image", &e->text_to_image));
    FB_TRY(read_double(r, o, "sum_r", &e->sum_r));
    FB_TRY(read_double(r, o, "accuracy", &e->accuracy));
    FB_TRY(read_double(r, o, "auc", &e->auc));
    FB_TRY(read_int(r, o, "pairs_scored", &e->pairs_scored));
    FB_TRY(read_double(r, o, "seconds", &e->seconds));
    FB_TRY(read_categories(r, o, e));
    return read_ranks(r, o, e);
}

static fb_status read_examples(const reader *r, const json_t *root,
                               fb_compare_result *out)
{
    const json_t *list = json_object_get(root, "examples");
    size_t count = json_array_size(list);
    out->examples = calloc(count + 1, sizeof *out->examples);
    if (!out->examples)
        return fb_fail(r->ctx, FB_E_MEMORY, "no memory for examples");
    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_array_get(list, i);
        int64_t v[3 + FB_COMPARE_TOP];
        for (size_t k = 0; k < 3 + FB_COMPARE_TOP; k++) {
            v[k] = json_integer_value(json_array_get(one, k));
            bool item = k == 0 || k > 2;
            if (item && (v[k] < (k ? -1 : 0) || v[k] >= out->evaluation->items))
                return bad(r);
        }
        fb_compare_example *e = &out->examples[out->example_count++];
        *e = (fb_compare_example){
            .query = (int32_t)v[0], .rank = v[1], .candidates = v[2]};
        for (int k = 0; k < FB_COMPARE_TOP; k++)
            e->best[k] = (int32_t)v[3 + k];
    }
    return FB_OK;
}

static fb_status read_numbers(const reader *r, const json_t *root,
                              fb_compare_result *out)
{
    int64_t version = 0, seed = 0;
    FB_TRY(read_int(r, root, "version", &version));
    FB_TRY(read_int(r, root, "seed", &seed));
    FB_TRY(read_int(r, root, "steps", &out->steps));
    FB_TRY(read_int(r, root, "products", &out->products));
    FB_TRY(read_int(r, root, "parameters", &out->parameters));
    FB_TRY(read_double(r, root, "train_seconds", &out->train_seconds));
    FB_TRY(read_double(r, root, "processor_seconds", &out->processor_seconds));
    FB_TRY(read_double(r, root, "pairs_per_s", &out->pairs_per_s));
    const char *print = json_string_value(json_object_get(root, "fingerprint"));
    const char *measure = json_string_value(json_object_get(root, "measure"));
    if (version != 1 || !print || !measure)
        return bad(r);
    out->seed = (uint64_t)seed;
    out->fingerprint = strtoull(print, NULL, 16);
    snprintf(out->measure, sizeof out->measure, "%s", measure);
    const json_t *curve = json_object_get(root, "curve");
    for (size_t i = 0; i < json_array_size(curve) && i < FB_COMPARE_CURVE; i++) {
        const json_t *one = json_array_get(curve, i);
        out->curve[out->curve_count++] =
            (fb_compare_point){json_number_value(json_array_get(one, 0)),
                               json_number_value(json_array_get(one, 1))};
    }
    return FB_OK;
}

static fb_status read_all(const reader *r, const json_t *root, fb_compare_result *out)
{
    if (!json_is_object(root))
        return bad(r);
    FB_TRY(read_numbers(r, root, out));
    out->evaluation = calloc(1, sizeof *out->evaluation);
    if (!out->evaluation)
        return fb_fail(r->ctx, FB_E_MEMORY, "no memory for a result");
    FB_TRY(read_evaluation(r, root, out->evaluation));
    return read_examples(r, root, out);
}

fb_status fb_compare_result_read(fb_context *ctx, const char *path,
                                 fb_compare_result *result)
{
    const reader r = {ctx, path};
    json_t *root;
    fb_compare_result_clear(result);
    if (!fb_path_exists(path))
        return fb_fail(ctx, FB_E_MISSING, "%s is not there", path);
    FB_TRY(fb_json_read(ctx, path, RESULT_LIMIT, &root));
    fb_status status = read_all(&r, root, result);
    json_decref(root);
    if (status != FB_OK)
        fb_compare_result_clear(result);
    else
        result->there = true;
    return status;
}

void fb_compare_result_clear(fb_compare_result *result)
{
    fb_evaluation_free(result->evaluation);
    free(result->examples);
    *result = (fb_compare_result){.train_seconds = NAN, .processor_seconds = NAN};
}
