/* candidate_file.c - candidate lists as JSON lines: written whole, read with every
 * promise of the header checked again.
 *
 * Ids are found by bisection in a sorted copy of the catalogue's. The rules of one list
 * need to know which items it already holds: last_list[item] is the number of the list
 * that named the item last, so nothing has to be cleared between lists. */
#include "retrieval/ranking/candidate_file.h"

#include "base/file.h"
#include "base/json.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char FORMAT[] = "fashionbert-candidates";
enum { VERSION = 1, LINE_LIMIT_BYTES = 16 << 20 };

/* ---- fingerprint ------------------------------------------------------------------
 */

static uint64_t fnv_string(uint64_t hash, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text;; c++) {
        hash = (hash ^ *c) * 0x100000001b3u;
        if (!*c) /* the 0 is hashed too: it keeps "ab","c" from "a","bc" */
            return hash;
    }
}

uint64_t fb_candidate_fingerprint(const char *const *ids,
                                  const char *const *product_ids,
                                  const char *const *texts, int32_t count)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (int32_t i = 0; i < count; i++) {
        hash = fnv_string(hash, ids[i]);
        hash = fnv_string(hash, product_ids[i]);
        hash = fnv_string(hash, texts[i]);
    }
    return hash;
}

static void format_fingerprint(uint64_t fingerprint, char out[17])
{
    snprintf(out, 17, "%016" PRIx64, fingerprint);
}

/* ---- writing ----------------------------------------------------------------------
 */

static void write_header(FILE *stream, const fb_candidate_set *set,
                         const fb_candidate_catalog *catalog)
{
    char fingerprint[17];
    format_fingerprint(catalog->fingerprint, fingerprint);
    const fb_candidate_options *o = &set->options;
    fb_json_writer w;
    fb_json_begin(&w, stream, 0);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "format", FORMAT);
    fb_json_key_int(&w, "version", VERSION);
    fb_json_key_string(&w, "protocol", "sampled");
    fb_json_key_string(&w, "negatives", fb_negative_rule_name(o->negatives));
    fb_json_key_int(&w, "queries", o->queries);
    fb_json_key_int(&w, "negative_count", o->negative_count);
    fb_json_key_int(&w, "min_candidates", o->min_candidates);
    fb_json_key_int(&w, "draws", o->draws);
    fb_json_key_int(&w, "seed", (int64_t)o->seed);
    fb_json_key_string(&w, "split", catalog->split);
    fb_json_key_int(&w, "items", catalog->count);
    fb_json_key_string(&w, "catalog", fingerprint);
    fb_json_key_int(&w, "left_out", set->left_out);
    fb_json_key_int(&w, "lists", set->list_count);
    fb_json_close_object(&w);
    fputc('\n', stream);
}

static void write_list(FILE *stream, const fb_candidate_set *set,
                       const fb_candidate_list *list, int32_t draw,
                       fb_direction direction, const char *const *ids)
{
    fb_json_writer w;
    fb_json_begin(&w, stream, 0);
    fb_json_open_object(&w);
    fb_json_key_int(&w, "draw", draw);
    fb_json_key_string(&w, "direction", fb_direction_name(direction));
    fb_json_key_string(&w, "query", ids[list->query]);
    fb_json_key_string(&w, "positive", ids[list->positive]);
    fb_json_key(&w, "negatives");
    fb_json_open_array(&w);
    for (int32_t i = 0; i < list->count; i++)
        fb_json_string(&w, ids[set->items[list->offset + i]]);
    fb_json_close_array(&w);
    fb_json_close_object(&w);
    fputc('\n', stream);
}

fb_status fb_candidate_set_write(fb_context *ctx, const fb_candidate_set *set,
                                 const char *path, const fb_candidate_catalog *catalog)
{
    fb_replace file;
    FB_TRY(fb_replace_open(ctx, path, &file));
    write_header(file.stream, set, catalog);
    for (int32_t group = 0; group < set->options.draws * 2; group++) {
        int32_t draw = group / 2;
        fb_direction direction = group % 2 ? FB_TEXT_TO_IMAGE : FB_IMAGE_TO_TEXT;
        int64_t count;
        const fb_candidate_list *lists =
            fb_candidate_set_group(set, draw, direction, &count);
        for (int64_t i = 0; i < count; i++)
            write_list(file.stream, set, &lists[i], draw, direction, catalog->ids);
    }
    return fb_replace_commit(ctx, &file);
}

/* ---- reading: ids -----------------------------------------------------------------
 */

typedef struct named {
    const char *id;
    int32_t item;
} named;

static int compare_named(const void *a, const void *b)
{
    return strcmp(((const named *)a)->id, ((const named *)b)->id);
}

typedef struct reader {
    const fb_candidate_catalog *catalog;
    const char *name; /* of the file */
    char where[400];  /* "file:line" */
    fb_candidate_set *set;
    int64_t lists_promised;
    int32_t last_group;
    named *ids;           /* [count] sorted */
    int64_t *last_list;   /* [count] number of the list that named the item last */
    int64_t *query_group; /* [count] 1 + the group in which the item was a query last */
    int32_t *negatives;   /* [count] of the line being read */
} reader;

static fb_status find_item(fb_context *ctx, const reader *r, const json_t *id,
                           const char *role, int32_t *item)
{
    if (!json_is_string(id))
        return fb_fail(ctx, FB_E_FORMAT, "%s: %s is not a file name in quotes",
                       r->where, role);
    named wanted = {json_string_value(id), 0};
    const named *found = bsearch(&wanted, r->ids, (size_t)r->catalog->count,
                                 sizeof *r->ids, compare_named);
    if (!found)
        return fb_fail(ctx, FB_E_FORMAT, "%s: %s \"%.200s\" is no item of split %.60s",
                       r->where, role, wanted.id, r->catalog->split);
    *item = found->item;
    return FB_OK;
}

/* ---- reading: the header ------------------------------------------------------------
 */

/* An integer member that must be there. */
static fb_status need_int(fb_context *ctx, const char *where, const json_t *object,
                          const char *key, int64_t low, int64_t high, int64_t *out)
{
    if (!json_object_get(object, key))
        return fb_fail(ctx, FB_E_FORMAT, "%s: \"%s\" is missing", where, key);
    return fb_json_get_int(ctx, where, object, key, low, high, out);
}

static fb_status need_string(fb_context *ctx, const char *where, const json_t *object,
                             const char *key, const char **out)
{
    if (!json_object_get(object, key))
        return fb_fail(ctx, FB_E_FORMAT, "%s: \"%s\" is missing", where, key);
    return fb_json_get_string(ctx, where, object, key, out);
}

static fb_status check_origin(fb_context *ctx, const reader *r, const json_t *header)
{
    const char *format = NULL, *protocol = NULL, *split = NULL, *fingerprint = NULL;
    int64_t version = 0, items = 0;
    char ours[17];
    if (!json_object_get(header, "format"))
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: not a candidate file: no \"format\":\"%s\"", r->where,
                       FORMAT);
    FB_TRY(need_string(ctx, r->where, header, "format", &format));
    if (strcmp(format, FORMAT) != 0)
        return fb_fail(ctx, FB_E_FORMAT, "%s: format is \"%.60s\", not \"%s\"",
                       r->where, format, FORMAT);
    FB_TRY(need_int(ctx, r->where, header, "version", 1, INT32_MAX, &version));
    if (version != VERSION)
        return fb_fail(ctx, FB_E_FORMAT, "%s: version is %lld, readable is %d",
                       r->where, (long long)version, VERSION);
    FB_TRY(need_string(ctx, r->where, header, "protocol", &protocol));
    if (strcmp(protocol, "sampled") != 0)
        return fb_fail(ctx, FB_E_FORMAT, "%s: protocol is \"%.60s\", not \"sampled\"",
                       r->where, protocol);
    FB_TRY(need_string(ctx, r->where, header, "split", &split));
    if (strcmp(split, r->catalog->split) != 0)
        return fb_fail(ctx, FB_E_STATE, "%s: drawn from split %.60s, not %.60s",
                       r->where, split, r->catalog->split);
    FB_TRY(need_int(ctx, r->where, header, "items", 0, INT32_MAX, &items));
    FB_TRY(need_string(ctx, r->where, header, "catalog", &fingerprint));
    format_fingerprint(r->catalog->fingerprint, ours);
    if (items != r->catalog->count || strcmp(fingerprint, ours) != 0)
        return fb_fail(
            ctx, FB_E_STATE,
            "%s: drawn from another catalogue (%lld items, %.32s) than this one "
            "(%d items, %s): draw new candidates into another file",
            r->where, (long long)items, fingerprint, r->catalog->count, ours);
    return FB_OK;
}

static fb_status check_expected(fb_context *ctx, const char *where,
                                const fb_candidate_options *have,
                                const fb_candidate_options *want)
{
    const struct {
        const char *option;
        int64_t have, want;
    } rows[] = {
        {"queries", have->queries, want->queries},
        {"negative-count", have->negative_count, want->negative_count},
        {"min-candidates", have->min_candidates, want->min_candidates},
        {"draws", have->draws, want->draws},
        {"seed", (int64_t)have->seed, (int64_t)want->seed},
    };
    if (have->negatives != want->negatives)
        return fb_fail(ctx, FB_E_STATE,
                       "%s: drawn with negatives %s, not %s: give the same options or "
                       "another file",
                       where, fb_negative_rule_name(have->negatives),
                       fb_negative_rule_name(want->negatives));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].have != rows[i].want)
            return fb_fail(ctx, FB_E_STATE,
                           "%s: drawn with %s %lld, not %lld: give the same options or "
                           "another file",
                           where, rows[i].option, (long long)rows[i].have,
                           (long long)rows[i].want);
    return FB_OK;
}

static fb_status read_header(fb_context *ctx, reader *r, const json_t *header,
                             const fb_candidate_options *expected)
{
    const char *negatives = NULL, *where = r->where;
    int64_t queries = 0, negative_count = 0, min_candidates = 0, draws = 0, seed = 0;
    int64_t left_out = 0;
    FB_TRY(check_origin(ctx, r, header));
    FB_TRY(need_string(ctx, where, header, "negatives", &negatives));
    FB_TRY(need_int(ctx, where, header, "queries", 0, INT32_MAX, &queries));
    FB_TRY(need_int(ctx, where, header, "negative_count", 1, FB_CANDIDATE_NEGATIVES_MAX,
                    &negative_count));
    FB_TRY(
        need_int(ctx, where, header, "min_candidates", 1, INT32_MAX, &min_candidates));
    FB_TRY(need_int(ctx, where, header, "draws", 1, FB_CANDIDATE_DRAWS_MAX, &draws));
    FB_TRY(need_int(ctx, where, header, "seed", INT64_MIN, INT64_MAX, &seed));
    FB_TRY(need_int(ctx, where, header, "left_out", 0, r->catalog->count, &left_out));
    FB_TRY(need_int(ctx, where, header, "lists", 0, INT64_MAX, &r->lists_promised));
    fb_candidate_options options = {.queries = (int32_t)queries,
                                    .negative_count = (int32_t)negative_count,
                                    .min_candidates = (int32_t)min_candidates,
                                    .draws = (int32_t)draws,
                                    .seed = (uint64_t)seed};
    if (fb_negative_rule_parse(ctx, &options.negatives, negatives) != FB_OK) {
        fb_fail_in(ctx, where);
        return FB_E_FORMAT;
    }
    if (expected)
        FB_TRY(check_expected(ctx, where, &options, expected));
    FB_TRY(fb_candidate_set_create(ctx, &r->set, &options));
    r->set->left_out = left_out;
    return FB_OK;
}

/* ---- reading: a list ----------------------------------------------------------------
 */

static fb_status read_group(fb_context *ctx, reader *r, const json_t *line,
                            int32_t *draw, fb_direction *direction)
{
    int64_t number = 0;
    const char *word = NULL;
    FB_TRY(
        need_int(ctx, r->where, line, "draw", 0, r->set->options.draws - 1, &number));
    FB_TRY(need_string(ctx, r->where, line, "direction", &word));
    *draw = (int32_t)number;
    if (strcmp(word, fb_direction_name(FB_IMAGE_TO_TEXT)) == 0)
        *direction = FB_IMAGE_TO_TEXT;
    else if (strcmp(word, fb_direction_name(FB_TEXT_TO_IMAGE)) == 0)
        *direction = FB_TEXT_TO_IMAGE;
    else
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: direction is \"%.60s\": use image_to_text or text_to_image",
                       r->where, word);
    int32_t group = *draw * 2 + (int32_t)*direction;
    if (group < r->last_group)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: lists must stand by draw, then image_to_text before "
                       "text_to_image",
                       r->where);
    r->last_group = group;
    return FB_OK;
}

static fb_status check_negative(fb_context *ctx, const reader *r, int32_t query,
                                int32_t item)
{
    const fb_candidate_item *items = r->catalog->items;
    const char *id = r->catalog->ids[item];
    if (r->last_list[item] == r->set->list_count + 1)
        return fb_fail(ctx, FB_E_FORMAT, "%s: negative \"%.200s\" stands there twice",
                       r->where, id);
    if (!fb_candidate_may_oppose(&items[item], &items[query]))
        return fb_fail(
            ctx, FB_E_FORMAT,
            "%s: \"%.200s\" has the query's product, text or image: it is no "
            "negative",
            r->where, id);
    if (!fb_candidate_same_group(&items[item], &items[query],
                                 r->set->options.negatives))
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: negative \"%.200s\" is not of the query's %s", r->where, id,
                       fb_negative_rule_name(r->set->options.negatives));
    return FB_OK;
}

static fb_status read_negatives(fb_context *ctx, reader *r, const json_t *array,
                                int32_t query, int32_t *count)
{
    const fb_candidate_options *o = &r->set->options;
    if (!json_is_array(array))
        return fb_fail(ctx, FB_E_FORMAT, "%s: \"negatives\" is not a list", r->where);
    size_t size = json_array_size(array);
    if (size > (size_t)o->negative_count || size > (size_t)r->catalog->count)
        return fb_fail(ctx, FB_E_FORMAT, "%s: %zu negatives, at most %d are promised",
                       r->where, size, o->negative_count);
    int32_t least =
        o->min_candidates < o->negative_count ? o->min_candidates : o->negative_count;
    if (size < (size_t)least)
        return fb_fail(ctx, FB_E_FORMAT, "%s: %zu negatives, at least %d are promised",
                       r->where, size, least);
    for (size_t i = 0; i < size; i++) {
        int32_t item = 0;
        FB_TRY(find_item(ctx, r, json_array_get(array, i), "negative", &item));
        FB_TRY(check_negative(ctx, r, query, item));
        r->last_list[item] = r->set->list_count + 1;
        r->negatives[i] = item;
    }
    *count = (int32_t)size;
    return FB_OK;
}

static fb_status read_list(fb_context *ctx, reader *r, const json_t *line)
{
    const fb_candidate_item *items = r->catalog->items;
    int32_t draw = 0, query = 0, positive = 0, count = 0;
    fb_direction direction = FB_IMAGE_TO_TEXT;
    FB_TRY(read_group(ctx, r, line, &draw, &direction));
    FB_TRY(find_item(ctx, r, json_object_get(line, "query"), "query", &query));
    FB_TRY(find_item(ctx, r, json_object_get(line, "positive"), "positive", &positive));
    if (items[positive].product != items[query].product &&
        items[positive].text != items[query].text)
        return fb_fail(
            ctx, FB_E_FORMAT,
            "%s: positive \"%.200s\" has neither the query's product nor its "
            "text",
            r->where, r->catalog->ids[positive]);
    if (r->query_group[query] == r->last_group + 1)
        return fb_fail(ctx, FB_E_FORMAT, "%s: query \"%.200s\" has a list already",
                       r->where, r->catalog->ids[query]);
    r->query_group[query] = r->last_group + 1;
    FB_TRY(read_negatives(ctx, r, json_object_get(line, "negatives"), query, &count));
    return fb_candidate_set_add(ctx, r->set, draw, direction, query, positive,
                                r->negatives, count);
}

/* ---- reading: the file
 * --------------------------------------------------------------- */

static fb_status reader_init(fb_context *ctx, reader *r, const char *name,
                             const fb_candidate_catalog *catalog)
{
    size_t n = catalog->count > 0 ? (size_t)catalog->count : 1;
    *r = (reader){.catalog = catalog,
                  .name = name,
                  .ids = malloc(n * sizeof *r->ids),
                  .last_list = calloc(n, sizeof *r->last_list),
                  .query_group = calloc(n, sizeof *r->query_group),
                  .negatives = malloc(n * sizeof *r->negatives)};
    if (!r->ids || !r->last_list || !r->query_group || !r->negatives)
        return fb_fail(ctx, FB_E_MEMORY, "out of memory to read %.300s", name);
    for (int32_t i = 0; i < catalog->count; i++)
        r->ids[i] = (named){catalog->ids[i], i};
    qsort(r->ids, (size_t)catalog->count, sizeof *r->ids, compare_named);
    for (int32_t i = 1; i < catalog->count; i++)
        if (strcmp(r->ids[i - 1].id, r->ids[i].id) == 0)
            return fb_fail(
                ctx, FB_E_FORMAT,
                "file name \"%.200s\" stands twice in split %.60s: candidates "
                "need unique names",
                r->ids[i].id, catalog->split);
    return FB_OK;
}

static void reader_free(reader *r)
{
    free(r->ids);
    free(r->last_list);
    free(r->query_group);
    free(r->negatives);
}

static fb_status read_line(fb_context *ctx, reader *r, const char *text,
                           size_t size_bytes, const fb_candidate_options *expected)
{
    if (size_bytes > LINE_LIMIT_BYTES)
        return fb_fail(ctx, FB_E_LIMIT,
                       "%s: the line has %zu bytes, at most %d are read", r->where,
                       size_bytes, LINE_LIMIT_BYTES);
    json_t *value = NULL;
    FB_TRY(fb_json_parse(ctx, r->where, text, size_bytes, &value));
    fb_status status;
    if (!json_is_object(value))
        status = fb_fail(ctx, FB_E_FORMAT, "%s: not a JSON object", r->where);
    else if (!r->set)
        status = read_header(ctx, r, value, expected);
    else
        status = read_list(ctx, r, value);
    json_decref(value);
    return status;
}

static fb_status read_lines(fb_context *ctx, reader *r, const char *text,
                            size_t size_bytes, const fb_candidate_options *expected)
{
    const char *end = text + size_bytes;
    int64_t number = 0;
    for (const char *line = text; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        snprintf(r->where, sizeof r->where, "%.300s:%lld", r->name,
                 (long long)++number);
        if (!stop)
            return fb_fail(ctx, FB_E_FORMAT, "%s: the file ends within the line",
                           r->where);
        FB_TRY(read_line(ctx, r, line, (size_t)(stop - line), expected));
        line = stop + 1;
    }
    if (!r->set)
        return fb_fail(ctx, FB_E_FORMAT, "%.300s: empty, not a candidate file",
                       r->name);
    if (r->set->list_count != r->lists_promised)
        return fb_fail(
            ctx, FB_E_FORMAT,
            "%.300s: %lld lists, its header promises %lld: the file was cut or "
            "added to",
            r->name, (long long)r->set->list_count, (long long)r->lists_promised);
    return FB_OK;
}

fb_status fb_candidate_set_parse(fb_context *ctx, fb_candidate_set **set,
                                 const char *name, const char *text, size_t size_bytes,
                                 const fb_candidate_catalog *catalog,
                                 const fb_candidate_options *expected)
{
    reader r;
    fb_status status = reader_init(ctx, &r, name, catalog);
    if (status == FB_OK)
        status = read_lines(ctx, &r, text ? text : "", text ? size_bytes : 0, expected);
    reader_free(&r);
    if (status == FB_OK)
        *set = r.set;
    else
        fb_candidate_set_free(r.set);
    return status;
}

fb_status fb_candidate_set_read(fb_context *ctx, fb_candidate_set **set,
                                const char *path, const fb_candidate_catalog *catalog,
                                const fb_candidate_options *expected)
{
    fb_map map;
    FB_TRY(fb_map_open(ctx, path, &map));
    fb_status status = fb_candidate_set_parse(ctx, set, path, (const char *)map.bytes,
                                              map.size_bytes, catalog, expected);
    fb_map_close(&map);
    return status;
}
