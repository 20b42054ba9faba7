/* query_lists.c - see query_lists.h. */
#include "engine/query_lists.h"

#include "retrieval/ranking/ranking_metrics.h"

#include <stdlib.h>
#include <string.h>

typedef struct making {
    fb_context *ctx;
    const fb_query_split *split;
    const fb_query_set *set;
    const fb_catalogue *catalogue;
    const fb_query_ranking_options *options;
    fb_query_lists *out;
} making;

static fb_status fail_memory(const making *m)
{
    return fb_fail(m->ctx, FB_E_MEMORY, "no memory for %lld lists",
                   (long long)m->out->count);
}

/* Room for `more` elements of `size` bytes behind `count` in *array. */
static fb_status grow(const making *m, void *array, int64_t count, int64_t more,
                      int64_t *capacity, size_t size)
{
    void *old, *grown;
    if (count + more > FB_QUERY_TRIPLES_MAX)
        return fb_fail(m->ctx, FB_E_LIMIT,
                       "more than %d triples to rank; --queries takes fewer queries",
                       (int)FB_QUERY_TRIPLES_MAX);
    if (count + more <= *capacity)
        return FB_OK;
    memcpy(&old, array, sizeof old);
    grown = realloc(old, (size_t)(2 * (count + more)) * size);
    if (!grown)
        return fail_memory(m);
    memcpy(array, &grown, sizeof grown);
    *capacity = 2 * (count + more);
    return FB_OK;
}

static fb_status reserve_entries(const making *m, int64_t more)
{
    fb_query_lists *o = m->out;
    return grow(m, &o->entries, o->entry_count, more, &o->entry_capacity,
                sizeof *o->entries);
}

static fb_status add_list(const making *m, fb_query_list list)
{
    fb_query_lists *o = m->out;
    FB_TRY(grow(m, &o->lists, o->count, 1, &o->capacity, sizeof *o->lists));
    o->lists[o->count++] = list;
    return FB_OK;
}

static fb_status judge(const making *m, int32_t query, int32_t matched, int32_t other)
{
    fb_query_lists *o = m->out;
    FB_TRY(grow(m, &o->judged, o->judged_count, 2, &o->judged_capacity,
                sizeof *o->judged));
    o->judged[o->judged_count++] = (fb_query_judged){query, matched, true};
    o->judged[o->judged_count++] = (fb_query_judged){query, other, false};
    return FB_OK;
}

/* `limit` of `count` numbers (all of them where it is 0), in random order. */
static fb_status choose(const making *m, int32_t count, int32_t draw, int32_t **chosen,
                        int32_t *chosen_count)
{
    int32_t limit = m->options->queries;
    fb_random random =
        fb_random_start(m->options->seed, FB_STREAM_EVALUATE, (uint64_t)draw);
    int32_t *numbers = malloc(((size_t)count + 1) * sizeof *numbers);
    if (!numbers)
        return fail_memory(m);
    for (int32_t i = 0; i < count; i++)
        numbers[i] = i;
    if (limit && limit < count)
        fb_random_shuffle(&random, numbers, count);
    *chosen = numbers;
    *chosen_count = limit && limit < count ? limit : count;
    return FB_OK;
}

/* The product's first item. */
static int32_t first_item(const making *m, int32_t product)
{
    int32_t count;
    return fb_query_split_items(m->split, product, &count)[0];
}

static fb_random row_random(const making *m, int32_t draw, int32_t row)
{
    uint64_t step = (uint64_t)draw << 32 | (uint32_t)(row + 1);
    return fb_random_start(m->options->seed, FB_STREAM_EVALUATE, step);
}

/* ---- sampled --------------------------------------------------------------------- */

static fb_status list_row(const making *m, int32_t draw, int32_t row, int32_t *others)
{
    const fb_query_ranking_options *o = m->options;
    fb_query_row pair = fb_query_split_row(m->split, row);
    int32_t item = first_item(m, pair.product), count;
    fb_random random = row_random(m, draw, row);
    FB_TRY(fb_query_split_list(m->ctx, m->split, &random, pair.query, item,
                               o->negative_count, others, &count));
    if (count < o->min_candidates) {
        m->out->left_out++;
        return FB_OK;
    }
    FB_TRY(reserve_entries(m, (int64_t)count + 1));
    fb_query_lists *out = m->out;
    fb_query_list list = {pair.query, pair.product, draw, count + 1, out->entry_count};
    out->entries[out->entry_count++] = (fb_query_entry){item, FB_MARK_HIT};
    for (int32_t i = 0; i < count; i++)
        out->entries[out->entry_count++] =
            (fb_query_entry){others[i], FB_MARK_NEGATIVE};
    FB_TRY(judge(m, pair.query, item, others[0]));
    return add_list(m, list);
}

static fb_status list_sampled(const making *m)
{
    int32_t *others = malloc(((size_t)m->options->negative_count + 1) * sizeof *others);
    fb_status status = others ? FB_OK : fail_memory(m);
    for (int32_t draw = 0; draw < m->options->draws && status == FB_OK; draw++) {
        int32_t *rows = NULL, count = 0;
        status = choose(m, fb_query_split_rows(m->split), draw, &rows, &count);
        for (int32_t i = 0; i < count && status == FB_OK; i++)
            status = list_row(m, draw, rows[i], others);
        free(rows);
    }
    free(others);
    if (status == FB_OK && m->out->count == 0)
        return fb_fail(
            m->ctx, FB_E_MISSING,
            "no query has %d others to rank what it wanted against%s",
            (int)m->options->min_candidates,
            m->options->min_candidates > 1 ? "; try a smaller --min-candidates" : "");
    return status;
}

/* ---- full ------------------------------------------------------------------------ */

static int by_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Whatever has the image of a hit and is none is neither right nor wrong. */
static fb_status exclude_copies(const making *m, fb_query_entry *entries, int32_t count)
{
    uint64_t *keys = malloc(((size_t)count + 1) * sizeof *keys);
    size_t hits = 0;
    fb_status status = keys ? FB_OK : fail_memory(m);
    for (int32_t i = 0; i < count && status == FB_OK; i++)
        if (entries[i].mark == FB_MARK_HIT)
            status = fb_catalogue_image_key(m->ctx, m->catalogue, entries[i].item,
                                            &keys[hits++]);
    if (status == FB_OK)
        qsort(keys, hits, sizeof *keys, by_key);
    for (int32_t i = 0; i < count && status == FB_OK; i++) {
        uint64_t key;
        if (entries[i].mark == FB_MARK_HIT)
            continue;
        status = fb_catalogue_image_key(m->ctx, m->catalogue, entries[i].item, &key);
        if (status == FB_OK && bsearch(&key, keys, hits, sizeof *keys, by_key))
            entries[i].mark = FB_MARK_EXCLUDED;
    }
    free(keys);
    return status;
}

static fb_status list_query(const making *m, int32_t query)
{
    int32_t count;
    const int32_t *all = fb_query_split_all(m->split, &count);
    fb_query_lists *out = m->out;
    FB_TRY(reserve_entries(m, count));
    fb_query_entry *entries = out->entries + out->entry_count;
    for (int32_t i = 0; i < count; i++) {
        int32_t product = fb_catalogue_get(m->catalogue, all[i])->product;
        bool hit = fb_query_set_wants(m->set, query, product);
        entries[i] = (fb_query_entry){all[i], hit ? FB_MARK_HIT : FB_MARK_NEGATIVE};
    }
    FB_TRY(exclude_copies(m, entries, count));
    FB_TRY(add_list(m, (fb_query_list){query, -1, 0, count, out->entry_count}));
    out->entry_count += count;
    return FB_OK;
}

/* A row and a mismatch of it; a row that nothing mismatches is passed over. */
static fb_status judge_row(const making *m, int32_t row)
{
    fb_query_row pair = fb_query_split_row(m->split, row);
    int32_t item = first_item(m, pair.product);
    fb_random random = row_random(m, 0, row);
    fb_query_draw drawn;
    fb_status status =
        fb_query_split_draw(m->ctx, m->split, &random, pair.query, item, false, &drawn);
    if (status == FB_E_FORMAT)
        return FB_OK;
    FB_TRY(status);
    return judge(m, pair.query, item, drawn.item);
}

/* The rows of each query lie together: starts [queries + 1] of those that have some;
 * returns how many. */
static int32_t list_starts(const fb_query_split *split, int32_t *starts)
{
    int32_t rows = fb_query_split_rows(split), n = 0;
    for (int32_t i = 0; i < rows; i++)
        if (i == 0 || fb_query_split_row(split, i).query !=
                          fb_query_split_row(split, i - 1).query)
            starts[n++] = i;
    starts[n] = rows;
    return n;
}

static fb_status list_full(const making *m)
{
    int32_t *chosen = NULL, count = 0;
    size_t rows = (size_t)fb_query_split_rows(m->split);
    int32_t *starts = malloc((rows + 1) * sizeof *starts);
    fb_status status = starts ? FB_OK : fail_memory(m);
    if (status == FB_OK)
        status = choose(m, list_starts(m->split, starts), 0, &chosen, &count);
    for (int32_t i = 0; i < count && status == FB_OK; i++) {
        int32_t row = starts[chosen[i]];
        status = list_query(m, fb_query_split_row(m->split, row).query);
        for (; row < starts[chosen[i] + 1] && status == FB_OK; row++)
            status = judge_row(m, row);
    }
    free(starts);
    free(chosen);
    return status;
}

fb_status fb_query_lists_make(fb_context *ctx, fb_query_lists *lists,
                              const fb_query_split *split,
                              const fb_catalogue *catalogue,
                              const fb_query_ranking_options *options)
{
    fb_query_lists fresh = {0};
    const making m = {ctx,       split,   fb_query_split_set(split),
                      catalogue, options, &fresh};
    fb_status status = options->full ? list_full(&m) : list_sampled(&m);
    if (status == FB_OK)
        *lists = fresh;
    else
        fb_query_lists_clear(&fresh);
    return status;
}

void fb_query_lists_clear(fb_query_lists *lists)
{
    free(lists->lists);
    free(lists->entries);
    free(lists->judged);
    *lists = (fb_query_lists){0};
}
