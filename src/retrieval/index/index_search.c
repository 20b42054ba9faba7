/* index_search.c - searching an index by a vector.
 *
 *     filters and deletions  ->  bits of the rows that may be found, per segment
 *     each segment: its graph, or all its rows  ->  one list of the best rows
 *     rows of one product: the best of them stays
 *
 * A graph is asked only where it is not the slower or the worse way: few rows that pass
 * a filter are compared exactly. What it finds is scored like everything else, from the
 * vectors.
 */
#include "retrieval/index/index_search.h"

#include "base/ascii.h"
#include "base/fold.h"

#include "base/clock.h"
#include "base/option.h"
#include "base/random.h"
#include "retrieval/index/exact_search.h"
#include "retrieval/index/index_tune.h"
#include "retrieval/index/value_counts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EXACT_ROWS = 20000, /* fewer that pass are compared, not looked for in a graph */
    EXACT_SHARE = 10    /* so is a tenth or less of a segment */
};

#define FB_OPTION            FB_OPTION_ROW
#define FB_OPTION_AT(member) offsetof(fb_search_options, member)
static const fb_option option_rows[] = {
#include "fashionbert/search.def"
};
static const fb_option_table option_table = FB_OPTION_TABLE(option_rows);

void fb_search_options_defaults(fb_search_options *options)
{
    *options = (fb_search_options){0};
    fb_options_defaults(&option_table, options);
}

fb_status fb_search_options_set(fb_context *ctx, fb_search_options *options,
                                const char *name, const char *text)
{
    return fb_option_set(ctx, &option_table, options, name, text);
}

/* ---- results -------------------------------------------------------------------- */

fb_status fb_result_create(fb_context *ctx, fb_search_result **result, int32_t count)
{
    fb_owned_result *r = calloc(1, sizeof *r);
    if (r) {
        r->arena = fb_arena_create(1 << 14);
        r->result.hits = calloc((size_t)count + 1, sizeof *r->result.hits);
        r->result.retrieved = calloc((size_t)count + 1, sizeof *r->result.retrieved);
    }
    if (!r || !r->arena || !r->result.hits || !r->result.retrieved) {
        fb_search_result_free(r ? &r->result : NULL);
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a result of %d hits",
                       (int)count);
    }
    *result = &r->result;
    return FB_OK;
}

void fb_search_result_free(fb_search_result *result)
{
    if (!result)
        return;
    fb_owned_result *r = (fb_owned_result *)result;
    free(result->hits);
    free(result->retrieved);
    fb_arena_free(r->arena);
    free(r);
}

static const char *join_path(fb_arena *arena, const char *folder, const char *file)
{
    size_t size = strlen(folder) + strlen(file) + 2;
    char *path = fb_arena_alloc(arena, size);
    if (path)
        snprintf(path, size, "%s%s%s", folder, folder[0] ? "/" : "", file);
    return path;
}

fb_status fb_result_fill_hit(fb_context *ctx, fb_search_result *result,
                             const fb_index *index, int64_t row, fb_hit *hit)
{
    fb_arena *arena = ((fb_owned_result *)result)->arena;
    int64_t at = row;
    const fb_segment *s = fb_index_segment_of(index, &at);
    const fb_product_table *t = s->products;
    int32_t columns = fb_product_table_columns(t), n = 0;
    const char **pairs =
        fb_arena_alloc(arena, 2 * ((size_t)columns + 1) * sizeof *pairs);
    const char *image =
        join_path(arena, s->entry->catalog, fb_product_table_image(t, at));
    if (!pairs || !image)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a hit");
    for (int32_t c = 0; c < columns; c++) {
        int32_t cell = fb_product_table_cells(t, c)[at];
        if (cell < 0)
            continue;
        pairs[2 * n] = fb_product_table_column(t, c);
        pairs[2 * n++ + 1] = fb_product_table_value(t, c, cell);
    }
    *hit = (fb_hit){.product_id = fb_product_table_id(t, at),
                    .title = fb_product_table_title(t, at),
                    .image = image,
                    .attributes = pairs,
                    .attribute_count = n,
                    .score = NAN,
                    .rerank_score = NAN,
                    .row = row};
    return FB_OK;
}

/* ---- filters -------------------------------------------------------------------- */

typedef struct name_filter {
    const char *name;
    fb_fold_set values;
} name_filter;

typedef struct search {
    fb_context *ctx;
    const fb_index *index;
    name_filter *names; /* [name_count] */
    int32_t name_count;
    const fb_search_options *options;
    const float *query;
    const fb_stored *(*vectors)(const fb_segment *s);
    bool exact;
    uint8_t *bits[FB_INDEX_SEGMENTS]; /* NULL: all rows pass */
    int64_t pass[FB_INDEX_SEGMENTS];
    fb_scored *heap; /* [fetch] */
    int64_t fetch;
} search;

static fb_status check_filters(const search *s)
{
    if (s->options->filter_count > FB_FILTERS_MOST)
        return fb_fail(s->ctx, FB_E_LIMIT, "a filter of %d values; at most %d are read",
                       (int)s->options->filter_count, FB_FILTERS_MOST);
    for (int32_t i = 0; i < s->options->filter_count; i++) {
        const char *name = s->options->filters[i].name;
        const fb_index_info *info = &s->index->info;
        bool known = false;
        char list[400] = "";
        for (int32_t k = 0; k < info->attribute_count; k++) {
            size_t used = strlen(list);
            known = known || fb_ascii_compare(info->attributes[k], name) == 0;
            snprintf(list + used, sizeof list - used, "%s%s", k ? ", " : "",
                     info->attributes[k]);
        }
        if (!known && s->index->rows > 0)
            return fb_fail(
                s->ctx, FB_E_USAGE,
                "filter %.60s: products have no such attribute; they have %s", name,
                info->attribute_count ? list : "none");
    }
    return FB_OK;
}

/* Each name's values, folded once for all segments. */
static fb_status group_filters(search *s)
{
    const fb_search_options *o = s->options;
    const char **values = malloc(((size_t)o->filter_count + 1) * sizeof *values);
    s->names = calloc((size_t)o->filter_count + 1, sizeof *s->names);
    fb_status status = values && s->names
                           ? FB_OK
                           : fb_fail(s->ctx, FB_E_MEMORY, "no memory for a filter");
    for (int32_t i = 0; i < o->filter_count && status == FB_OK; i++) {
        const char *name = o->filters[i].name;
        int32_t count = 0, known = 0;
        while (known < s->name_count &&
               fb_ascii_compare(s->names[known].name, name) != 0)
            known++;
        if (known < s->name_count)
            continue;
        for (int32_t k = i; k < o->filter_count; k++)
            if (fb_ascii_compare(o->filters[k].name, name) == 0)
                values[count++] = o->filters[k].value;
        s->names[s->name_count].name = name;
        status =
            fb_fold_set_make(s->ctx, &s->names[s->name_count++].values, values, count);
    }
    free(values);
    return status;
}

static void free_filters(search *s)
{
    for (int32_t i = 0; i < s->name_count; i++)
        fb_fold_set_clear(&s->names[i].values);
    free(s->names);
    s->names = NULL;
    s->name_count = 0;
}

/* One name's filters: bits of the rows whose cell is among the values are kept. */
static fb_status apply_name(const search *s, const fb_segment *seg,
                            const name_filter *filter, uint8_t *bits)
{
    const fb_product_table *t = seg->products;
    int32_t column = fb_product_table_find_column(t, filter->name);
    if (column < 0) {
        memset(bits, 0, (size_t)(seg->rows + 7) / 8);
        return FB_OK;
    }
    int32_t values = fb_product_table_values(t, column);
    bool *wanted = calloc((size_t)values + 1, sizeof *wanted);
    if (!wanted)
        return fb_fail(s->ctx, FB_E_MEMORY, "no memory for a filter");
    fb_status status = FB_OK;
    for (int32_t v = 0; v < values && status == FB_OK; v++)
        status = fb_fold_set_has(s->ctx, &filter->values,
                                 fb_product_table_value(t, column, v),
                                 &wanted[v + 1]); /* 0: a product that lacks it */
    const int32_t *cells = fb_product_table_cells(t, column);
    for (int64_t r = 0; r < seg->rows && status == FB_OK; r++)
        if (!wanted[cells[r] + 1])
            bits[r >> 3] &= (uint8_t) ~(1 << (r & 7));
    free(wanted);
    return status;
}

static fb_status prepare_segment(search *s, int32_t number)
{
    const fb_segment *seg = &s->index->segment[number];
    size_t bytes = (size_t)(seg->rows + 7) / 8;
    s->pass[number] = seg->rows - seg->entry->deleted;
    if (!seg->alive && s->options->filter_count == 0)
        return FB_OK;
    uint8_t *bits = s->bits[number] = malloc(bytes + 1);
    if (!bits)
        return fb_fail(s->ctx, FB_E_MEMORY, "no memory for a filter");
    if (seg->alive)
        memcpy(bits, seg->alive, bytes);
    else
        memset(bits, 0xff, bytes);
    for (int32_t i = 0; i < s->name_count; i++)
        FB_TRY(apply_name(s, seg, &s->names[i], bits));
    s->pass[number] = 0;
    for (int64_t r = 0; r < seg->rows; r++)
        s->pass[number] += fb_row_passes(bits, r);
    return FB_OK;
}

/* ---- rows ----------------------------------------------------------------------- */

static const fb_stored *own_vectors(const fb_segment *s)
{
    return &s->vectors;
}
static const fb_stored *image_vectors(const fb_segment *s)
{
    return &s->image;
}
static const fb_stored *text_vectors(const fb_segment *s)
{
    return &s->text;
}

static fb_status choose_vectors(search *s)
{
    const char *by = s->options->by;
    const fb_index_manifest *m = &s->index->manifest;
    fb_index_what what;
    s->vectors = own_vectors;
    s->exact = s->options->exact;
    if (strcmp(by, "index") == 0)
        return FB_OK;
    FB_TRY(fb_index_what_parse(s->ctx, "by", by, &what));
    if (what == m->what)
        return FB_OK;
    s->exact = true;
    s->vectors = what == FB_OF_IMAGE ? image_vectors : text_vectors;
    for (int32_t i = 0; i < s->index->segment_count; i++)
        if (what == FB_OF_PRODUCT || !fb_stored_any(s->vectors(&s->index->segment[i])))
            return fb_fail(s->ctx, FB_E_USAGE,
                           "by %s: this index is of each product's %s and keeps no "
                           "vectors of its %s apart",
                           by, fb_index_what_name(m->what), by);
    return FB_OK;
}

/* A graph is followed over rows that do not pass too: where few do, as much further. */
static int32_t effort_of(const search *s, const fb_segment *seg, int64_t pass)
{
    int64_t effort =
        s->options->effort > 0 ? s->options->effort : s->index->manifest.effort;
    effort = effort * seg->rows / (pass > 0 ? pass : 1);
    return effort < seg->rows ? (int32_t)effort : (int32_t)seg->rows;
}

static fb_status search_graph(search *s, const fb_segment *seg, const uint8_t *bits,
                              int64_t pass, fb_top_k *top)
{
    const fb_index_manifest *m = &s->index->manifest;
    fb_ann_kind kind = m->kind == FB_INDEX_HNSW ? FB_ANN_HNSW : FB_ANN_IVFPQ;
    int32_t k = fb_ann_wanted(kind, m->storage, (int32_t)s->fetch);
    int32_t effort = effort_of(s, seg, pass);
    k = k > seg->rows ? (int32_t)seg->rows : k;
    int64_t *found = malloc(((size_t)k + 1) * sizeof *found);
    if (!found)
        return fb_fail(s->ctx, FB_E_MEMORY, "no memory to search");
    fb_row_query query;
    fb_row_query_set(&query, s->index->be, &seg->vectors, s->query);
    fb_status status =
        fb_ann_search(s->ctx, seg->ann, s->query, k, effort, bits, found);
    for (int32_t i = 0; i < k && status == FB_OK && found[i] >= 0; i++)
        fb_top_k_add(top, seg->first + found[i], fb_row_query_score(&query, found[i]));
    free(found);
    return status;
}

static fb_status search_segment(search *s, int32_t number, fb_top_k *top)
{
    const fb_segment *seg = &s->index->segment[number];
    int64_t pass = s->pass[number];
    if (pass == 0)
        return FB_OK;
    bool few = pass <= EXACT_ROWS && pass <= seg->rows / EXACT_SHARE;
    if (seg->ann && !s->exact && !few)
        return search_graph(s, seg, s->bits[number], pass, top);
    return fb_exact_search(s->ctx, s->index->be, s->vectors(seg), s->query,
                           s->bits[number], seg->first, top);
}

/* The best `fetch` rows of all segments, best first. */
static fb_status search_rows(search *s, int64_t *count)
{
    free(s->heap);
    s->heap = malloc(((size_t)s->fetch + 1) * sizeof *s->heap);
    if (!s->heap)
        return fb_fail(s->ctx, FB_E_MEMORY, "no memory to search");
    fb_top_k top = fb_top_k_begin(s->heap, s->fetch);
    for (int32_t i = 0; i < s->index->segment_count; i++)
        FB_TRY(search_segment(s, i, &top));
    fb_top_k_sort(&top);
    *count = top.count;
    return FB_OK;
}

/* ---- products ------------------------------------------------------------------- */

static int64_t first_row(const fb_index *index, int64_t row)
{
    int64_t at = row;
    const fb_segment *s = fb_index_segment_of(index, &at);
    return s->first + fb_product_table_first(s->products, at);
}

static bool has_repeats(const fb_index *index)
{
    for (int32_t i = 0; i < index->segment_count; i++)
        if (fb_product_table_repeats(index->segment[i].products))
            return true;
    return false;
}

/* Keep each product's best row; *count becomes how many are left. A table of the
 * products seen, at most half full. */
static fb_status drop_repeats(const search *s, int64_t *count)
{
    uint64_t slots = 16;
    while (slots < 2 * (uint64_t)*count)
        slots *= 2;
    int64_t *seen = calloc(slots, sizeof *seen), n = 0; /* row + 1; 0: free */
    if (!seen)
        return fb_fail(s->ctx, FB_E_MEMORY, "no memory to search");
    for (int64_t i = 0; i < *count; i++) {
        int64_t first = first_row(s->index, s->heap[i].row) + 1;
        uint64_t at = fb_random_mix((uint64_t)first) & (slots - 1);
        while (seen[at] && seen[at] != first)
            at = (at + 1) & (slots - 1);
        if (seen[at])
            continue;
        seen[at] = first;
        s->heap[n++] = s->heap[i];
    }
    free(seen);
    *count = n;
    return FB_OK;
}

static fb_status search_products(search *s, int64_t wanted, int64_t *count)
{
    bool repeats = has_repeats(s->index);
    for (s->fetch = wanted;; s->fetch *= 2) {
        int64_t rows = 0;
        if (s->fetch > s->index->rows)
            s->fetch = s->index->rows;
        FB_TRY(search_rows(s, &rows));
        *count = rows;
        if (repeats)
            FB_TRY(drop_repeats(s, count));
        if (*count > wanted)
            *count = wanted;
        if (*count == wanted || rows < s->fetch || s->fetch >= s->index->rows)
            return FB_OK;
    }
}

static fb_status make_result(search *s, int64_t count, fb_search_result **result)
{
    fb_search_result *r;
    FB_TRY(fb_result_create(s->ctx, &r, (int32_t)count));
    for (int64_t i = 0; i < count; i++) {
        fb_hit *hit = &r->retrieved[i];
        fb_status status = fb_result_fill_hit(s->ctx, r, s->index, s->heap[i].row, hit);
        if (status != FB_OK) {
            fb_search_result_free(r);
            return status;
        }
        hit->score = s->heap[i].score;
        hit->rank = (int32_t)i + 1;
    }
    r->retrieved_count = (int32_t)count;
    r->hit_count = (int32_t)(count < s->options->k ? count : s->options->k);
    memcpy(r->hits, r->retrieved, (size_t)r->hit_count * sizeof *r->hits);
    for (int32_t i = 0; i < s->index->segment_count; i++)
        r->compared += s->pass[i];
    *result = r;
    return FB_OK;
}

static fb_status check_query(const search *s, const float *vector)
{
    double squares = 0;
    for (int32_t i = 0; i < s->index->manifest.width; i++)
        squares += (double)vector[i] * (double)vector[i];
    if (!(squares > 0) || !isfinite(squares))
        return fb_fail(s->ctx, FB_E_NUMBER,
                       "the vector to search by is 0 or not finite");
    return FB_OK;
}

static fb_status run(search *s, const float *vector, fb_search_result **result)
{
    int64_t wanted = s->options->k, count = 0;
    FB_TRY(fb_options_check(s->ctx, &option_table, s->options));
    if (s->options->rerank_margin < 2 && s->options->rerank == 0)
        return fb_fail(s->ctx, FB_E_USAGE,
                       "rerank-margin leaves products out of re-ranking; it needs "
                       "rerank");
    if (s->options->rerank > wanted)
        wanted = s->options->rerank;
    FB_TRY(check_query(s, vector));
    FB_TRY(check_filters(s));
    if (s->index->store)
        return s->index->store->search(s->ctx, s->index, vector, s->options, wanted,
                                       result);
    FB_TRY(fb_index_check_files(s->ctx, s->index));
    FB_TRY(choose_vectors(s));
    FB_TRY(group_filters(s));
    for (int32_t i = 0; i < s->index->segment_count; i++)
        FB_TRY(prepare_segment(s, i));
    FB_TRY(search_products(s, wanted, &count));
    return make_result(s, count, result);
}

fb_status fb_index_search(fb_context *ctx, const fb_index *index, const float *vector,
                          const fb_search_options *options, fb_search_result **result)
{
    double started_s = fb_clock_s();
    search s = {.ctx = ctx, .index = index, .options = options, .query = vector};
    fb_status status = run(&s, vector, result);
    for (int32_t i = 0; i < FB_INDEX_SEGMENTS; i++)
        free(s.bits[i]);
    free(s.heap);
    free_filters(&s);
    if (status == FB_OK)
        (*result)->search_ms = (*result)->total_ms = 1e3 * (fb_clock_s() - started_s);
    return status;
}

fb_status fb_index_search_rows(fb_context *ctx, const fb_index *index,
                               const float *vector, const fb_search_options *options,
                               uint8_t *const *bits, int64_t k, fb_scored *found,
                               int64_t *count)
{
    search s = {.ctx = ctx, .index = index, .options = options, .query = vector};
    FB_TRY(check_query(&s, vector));
    FB_TRY(fb_index_check_files(ctx, index));
    FB_TRY(choose_vectors(&s));
    for (int32_t i = 0; i < index->segment_count; i++) {
        s.bits[i] = bits[i];
        for (int64_t r = 0; r < index->segment[i].rows; r++)
            s.pass[i] += fb_row_passes(bits[i], r);
    }
    s.fetch = k < index->rows ? k : index->rows;
    fb_status status = search_rows(&s, count);
    if (status == FB_OK)
        memcpy(found, s.heap, (size_t)*count * sizeof *found);
    free(s.heap);
    return status;
}

/* A hit of another result, with strings of this one's. */
static fb_status copy_hit(fb_context *ctx, fb_search_result *result, const fb_hit *from,
                          fb_hit *hit)
{
    fb_arena *arena = ((fb_owned_result *)result)->arena;
    size_t count = 2 * (size_t)from->attribute_count;
    const char **pairs = fb_arena_alloc(arena, (count + 1) * sizeof *pairs);
    *hit = *from;
    hit->product_id = fb_arena_strdup(arena, from->product_id);
    hit->title = fb_arena_strdup(arena, from->title);
    hit->image = fb_arena_strdup(arena, from->image);
    hit->attributes = pairs;
    bool whole = pairs && hit->product_id && hit->title && hit->image;
    for (size_t i = 0; whole && i < count; i++)
        whole = (pairs[i] = fb_arena_strdup(arena, from->attributes[i])) != NULL;
    return whole ? FB_OK : fb_fail(ctx, FB_E_MEMORY, "no memory for a hit");
}

static fb_status find_one(fb_context *ctx, const fb_index *index,
                          const char *product_id, fb_search_result *result, fb_hit *hit)
{
    if (index->store) {
        fb_search_result *one = NULL;
        FB_TRY(index->store->find(ctx, index, product_id, &one));
        fb_status status = copy_hit(ctx, result, &one->hits[0], hit);
        fb_search_result_free(one);
        return status;
    }
    int64_t row = fb_index_find_row(index, product_id);
    if (row < 0)
        return fb_fail(ctx, FB_E_MISSING, "no product %.100s in this index",
                       product_id);
    return fb_result_fill_hit(ctx, result, index, row, hit);
}

fb_status fb_index_find_all(fb_context *ctx, const fb_index *index,
                            const char *const *product_ids, int32_t count,
                            fb_search_result **result)
{
    fb_search_result *r;
    fb_status status = FB_OK;
    FB_TRY(fb_index_check_files(ctx, index));
    FB_TRY(fb_result_create(ctx, &r, count));
    for (int32_t i = 0; i < count && status == FB_OK; i++) {
        status = find_one(ctx, index, product_ids[i], r, &r->hits[i]);
        r->hits[i].rank = i + 1;
        r->retrieved[i] = r->hits[i];
    }
    if (status != FB_OK) {
        fb_search_result_free(r);
        return status;
    }
    r->hit_count = r->retrieved_count = count;
    *result = r;
    return FB_OK;
}

fb_status fb_index_find(fb_context *ctx, const fb_index *index, const char *product_id,
                        fb_search_result **result)
{
    return fb_index_find_all(ctx, index, &product_id, 1, result);
}

/* ---- values of an attribute ------------------------------------------------------ */

/* Every segment's values with their alive products; all has room for them. */
static int64_t count_values(const fb_index *index, const char *attribute,
                            fb_value_count *all)
{
    int64_t n = 0;
    for (int32_t i = 0; i < index->segment_count; i++) {
        const fb_segment *s = &index->segment[i];
        int32_t c = fb_product_table_find_column(s->products, attribute);
        if (c < 0)
            continue;
        const int32_t *cells = fb_product_table_cells(s->products, c);
        int32_t values = fb_product_table_values(s->products, c);
        for (int32_t v = 0; v < values; v++)
            all[n + v] = (fb_value_count){fb_product_table_value(s->products, c, v), 0};
        for (int64_t r = 0; r < s->rows; r++)
            if (cells[r] >= 0 && fb_segment_is_alive(s, r) &&
                fb_product_table_first(s->products, r) == r)
                all[n + cells[r]].count++;
        n += values;
    }
    return n;
}

fb_status fb_index_values(fb_context *ctx, const fb_index *index, const char *attribute,
                          int32_t limit, const char *const **values,
                          const int64_t **counts, int32_t *count)
{
    const fb_search_filter named = {attribute, ""};
    const fb_search_options options = {.filters = &named, .filter_count = 1};
    const search s = {.ctx = ctx, .index = index, .options = &options};
    FB_TRY(check_filters(&s));
    if (index->store)
        return index->store->values(ctx, index, attribute, limit, values, counts,
                                    count);
    int64_t most = 0;
    FB_TRY(fb_index_check_files(ctx, index));
    for (int32_t i = 0; i < index->segment_count; i++) {
        const fb_product_table *t = index->segment[i].products;
        int32_t c = fb_product_table_find_column(t, attribute);
        most += c < 0 ? 0 : fb_product_table_values(t, c);
    }
    fb_value_count *all = calloc((size_t)most + 1, sizeof *all);
    if (!all)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to count values");
    fb_status status = fb_value_counts_join(
        ctx, all, count_values(index, attribute, all), limit, values, counts, count);
    free(all);
    return status;
}
