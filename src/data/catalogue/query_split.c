/* query_split.c - see query_split.h. Items lie by product and, at each level, by
 * category; drawing is by rejection, then, where eligible items are rare, by walking
 * the list from a random place. */
#include "data/catalogue/query_split.h"

#include <stdlib.h>

enum { TRIES = 16 };

/* members[starts[k] .. starts[k + 1]) are the items with key k. */
typedef struct groups {
    int64_t *starts;
    int32_t *members;
} groups;

struct fb_query_split {
    const fb_query_set *set;
    const fb_catalogue *catalogue;
    const int32_t *items; /* of the split */
    int32_t item_count, row_count;
    fb_query_row *rows;
    int32_t *numbers;
    groups product, category[FB_CATEGORY_LEVELS];
};

static int32_t key_of(const fb_catalogue_item *item, int32_t level)
{
    return level < 0 ? item->product : item->category[level];
}

/* A counting sort of the split's items; level -1 is by product. */
static bool group(groups *g, const fb_query_split *s, int32_t level, int32_t keys)
{
    g->starts = calloc((size_t)keys + 2, sizeof *g->starts);
    g->members = malloc(((size_t)s->item_count + 1) * sizeof *g->members);
    if (!g->starts || !g->members)
        return false;
    int64_t *next = g->starts + 1; /* ends up as starts */
    for (int32_t i = 0; i < s->item_count; i++) {
        int32_t k = key_of(fb_catalogue_get(s->catalogue, s->items[i]), level);
        if (k >= 0)
            next[k + 1]++;
    }
    for (int32_t k = 0; k < keys; k++)
        next[k + 1] += next[k];
    for (int32_t i = 0; i < s->item_count; i++) {
        int32_t k = key_of(fb_catalogue_get(s->catalogue, s->items[i]), level);
        if (k >= 0)
            g->members[next[k]++] = s->items[i];
    }
    return true;
}

static const int32_t *members_of(const groups *g, int32_t key, int32_t *count)
{
    *count = (int32_t)(g->starts[key + 1] - g->starts[key]);
    return g->members + g->starts[key];
}

/* Rows of all queries whose wanted product has an item here; counted where rows is
 * NULL. */
static int64_t list_rows(const fb_query_split *s, fb_query_row *rows)
{
    int64_t n = 0;
    for (int32_t q = 0; q < fb_query_set_count(s->set); q++) {
        int32_t wanted, here;
        const int32_t *products = fb_query_set_wanted(s->set, q, &wanted);
        for (int32_t i = 0; i < wanted; i++) {
            members_of(&s->product, products[i], &here);
            if (here == 0)
                continue;
            if (rows)
                rows[n] = (fb_query_row){q, products[i]};
            n++;
        }
    }
    return n;
}

static fb_status fill(fb_context *ctx, fb_query_split *s, fb_split which)
{
    const fb_catalogue *cat = s->catalogue;
    s->items = fb_catalogue_split_items(cat, which, &s->item_count);
    bool room = group(&s->product, s, -1, fb_catalogue_products(cat));
    for (int32_t level = 0; room && level < fb_catalogue_levels(cat); level++)
        room = group(&s->category[level], s, level,
                     fb_catalogue_category_count(cat, level));
    int64_t rows = room ? list_rows(s, NULL) : 0;
    if (room && rows == 0)
        return fb_fail(ctx, FB_E_MISSING, "%s: no query wants a product of split %s",
                       fb_query_set_source(s->set), fb_split_name(which));
    if (rows > INT32_MAX)
        return fb_fail(ctx, FB_E_LIMIT, "%s: more than %d queries with a product",
                       fb_query_set_source(s->set), INT32_MAX);
    if (room) {
        s->row_count = (int32_t)rows;
        s->rows = malloc((size_t)rows * sizeof *s->rows);
        s->numbers = malloc((size_t)rows * sizeof *s->numbers);
    }
    if (!s->rows || !s->numbers)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the queries of a split");
    list_rows(s, s->rows);
    for (int32_t i = 0; i < s->row_count; i++)
        s->numbers[i] = i;
    return FB_OK;
}

fb_status fb_query_split_create(fb_context *ctx, fb_query_split **split,
                                const fb_query_set *set, const fb_catalogue *catalogue,
                                fb_split which)
{
    fb_query_split *s = calloc(1, sizeof *s);
    if (!s)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the queries of a split");
    s->set = set;
    s->catalogue = catalogue;
    fb_status status = fill(ctx, s, which);
    if (status == FB_OK)
        *split = s;
    else
        fb_query_split_free(s);
    return status;
}

static void free_groups(groups *g)
{
    free(g->starts);
    free(g->members);
}

void fb_query_split_free(fb_query_split *split)
{
    if (!split)
        return;
    free_groups(&split->product);
    for (int32_t level = 0; level < FB_CATEGORY_LEVELS; level++)
        free_groups(&split->category[level]);
    free(split->rows);
    free(split->numbers);
    free(split);
}

const fb_query_set *fb_query_split_set(const fb_query_split *split)
{
    return split->set;
}

int32_t fb_query_split_rows(const fb_query_split *split)
{
    return split->row_count;
}

fb_query_row fb_query_split_row(const fb_query_split *split, int32_t row)
{
    return split->rows[row];
}

const int32_t *fb_query_split_numbers(const fb_query_split *split)
{
    return split->numbers;
}

const int32_t *fb_query_split_items(const fb_query_split *split, int32_t product,
                                    int32_t *count)
{
    return members_of(&split->product, product, count);
}

/* ---- mismatches ------------------------------------------------------------------ */

/* Whether two items share the title, and the image file byte for byte. */
static bool same_title(const fb_query_split *s, int32_t a, int32_t b)
{
    return fb_catalogue_get(s->catalogue, a)->text ==
           fb_catalogue_get(s->catalogue, b)->text;
}

static fb_status same_image(fb_context *ctx, const fb_query_split *s, int32_t a,
                            int32_t b, bool *yes)
{
    uint64_t key, other;
    FB_TRY(fb_catalogue_image_key(ctx, s->catalogue, a, &key));
    FB_TRY(fb_catalogue_image_key(ctx, s->catalogue, b, &other));
    *yes = key == other;
    return FB_OK;
}

static fb_status eligible(fb_context *ctx, const fb_query_split *s, int32_t query,
                          int32_t own, int32_t other, bool *yes)
{
    int32_t product = fb_catalogue_get(s->catalogue, other)->product;
    bool same;
    *yes = false;
    if (fb_query_set_wants(s->set, query, product) || same_title(s, own, other))
        return FB_OK;
    FB_TRY(same_image(ctx, s, own, other, &same));
    *yes = !same;
    return FB_OK;
}

/* The mismatch of a query and an item `own` that it wants: `other`, right once
 * `found`. */
typedef struct mismatch {
    int32_t query, own, other;
    bool found;
} mismatch;

static fb_status try_one(fb_context *ctx, const fb_query_split *s, int32_t other,
                         mismatch *m)
{
    m->other = other;
    return eligible(ctx, s, m->query, m->own, other, &m->found);
}

static fb_status draw_from(fb_context *ctx, const fb_query_split *s, fb_random *random,
                           const int32_t *members, int32_t count, mismatch *m)
{
    for (int32_t i = 0; i < TRIES && !m->found; i++)
        FB_TRY(try_one(ctx, s, members[fb_random_below(random, (uint32_t)count)], m));
    uint32_t first = m->found ? 0 : fb_random_below(random, (uint32_t)count);
    for (int32_t i = 0; i < count && !m->found; i++)
        FB_TRY(try_one(ctx, s, members[((int64_t)first + i) % count], m));
    return FB_OK;
}

/* One of the products that were skipped, from a random place on. */
static fb_status draw_skipped(fb_context *ctx, const fb_query_split *s,
                              fb_random *random, int32_t query, int32_t own,
                              fb_query_draw *drawn)
{
    int32_t count;
    const int32_t *products = fb_query_set_skipped(s->set, query, &count);
    uint32_t first = count ? fb_random_below(random, (uint32_t)count) : 0;
    for (int32_t i = 0; i < count && !drawn->skipped; i++) {
        int32_t here;
        const int32_t *items =
            members_of(&s->product, products[((int64_t)first + i) % count], &here);
        if (here == 0)
            continue;
        bool same = false;
        drawn->item = items[fb_random_below(random, (uint32_t)here)];
        if (same_title(s, own, drawn->item))
            FB_TRY(same_image(ctx, s, own, drawn->item, &same));
        drawn->skipped = !same;
    }
    return FB_OK;
}

fb_status fb_query_split_draw(fb_context *ctx, const fb_query_split *s,
                              fb_random *random, int32_t query, int32_t item,
                              bool anywhere, fb_query_draw *drawn)
{
    const fb_catalogue_item *own = fb_catalogue_get(s->catalogue, item);
    fb_query_draw d = {.item = -1};
    int32_t levels = anywhere ? 0 : fb_catalogue_levels(s->catalogue);
    if (!anywhere)
        FB_TRY(draw_skipped(ctx, s, random, query, item, &d));
    mismatch m = {query, item, d.item, d.skipped};
    bool had_category = false;
    for (int32_t level = 0; level < levels && !m.found; level++) {
        int32_t count, key = own->category[level];
        if (key < 0)
            continue;
        const int32_t *members = members_of(&s->category[level], key, &count);
        d.fell_back = had_category;
        had_category = true;
        FB_TRY(draw_from(ctx, s, random, members, count, &m));
    }
    if (!m.found) {
        d.fell_back = had_category;
        FB_TRY(draw_from(ctx, s, random, s->items, s->item_count, &m));
    }
    if (!m.found)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: query \"%.200s\": no product of the split can be its "
                       "mismatch: all are wanted, or have the title or image of one "
                       "that is",
                       fb_query_set_source(s->set), fb_query_set_text(s->set, query));
    d.item = m.other;
    *drawn = d;
    return FB_OK;
}

const int32_t *fb_query_split_all(const fb_query_split *split, int32_t *count)
{
    *count = split->item_count;
    return split->items;
}

/* ---- lists of mismatches --------------------------------------------------------- */

/* Append to `found` the items of skipped products. */
static fb_status list_skipped(fb_context *ctx, const fb_query_split *s, int32_t query,
                              int32_t own, int32_t *found, int32_t *count)
{
    int32_t products;
    const int32_t *skipped = fb_query_set_skipped(s->set, query, &products);
    for (int32_t i = 0; i < products; i++) {
        int32_t here;
        const int32_t *items = members_of(&s->product, skipped[i], &here);
        for (int32_t k = 0; k < here; k++) {
            bool same = false;
            if (same_title(s, own, items[k]))
                FB_TRY(same_image(ctx, s, own, items[k], &same));
            if (!same)
                found[(*count)++] = items[k];
        }
    }
    return FB_OK;
}

/* Append those of `items` that mismatch and were not skipped. */
static fb_status list_others(fb_context *ctx, const fb_query_split *s, int32_t query,
                             int32_t own, const int32_t *items, int32_t members,
                             int32_t *found, int32_t *count)
{
    for (int32_t i = 0; i < members; i++) {
        bool yes;
        int32_t product = fb_catalogue_get(s->catalogue, items[i])->product;
        FB_TRY(eligible(ctx, s, query, own, items[i], &yes));
        if (yes && !fb_query_set_skips(s->set, query, product))
            found[(*count)++] = items[i];
    }
    return FB_OK;
}

/* Of the own item's category, the first level that has some, else of anywhere. */
static fb_status list_category(fb_context *ctx, const fb_query_split *s, int32_t query,
                               int32_t own, int32_t *found, int32_t *count)
{
    int32_t before = *count;
    for (int32_t level = 0;
         level < fb_catalogue_levels(s->catalogue) && *count == before; level++) {
        int32_t members, key = fb_catalogue_get(s->catalogue, own)->category[level];
        if (key < 0)
            continue;
        const int32_t *items = members_of(&s->category[level], key, &members);
        FB_TRY(list_others(ctx, s, query, own, items, members, found, count));
    }
    if (*count > before)
        return FB_OK;
    return list_others(ctx, s, query, own, s->items, s->item_count, found, count);
}

fb_status fb_query_split_list(fb_context *ctx, const fb_query_split *s,
                              fb_random *random, int32_t query, int32_t item,
                              int32_t most, int32_t *items, int32_t *count)
{
    int32_t *found = malloc(((size_t)s->item_count + 1) * sizeof *found);
    int32_t first = 0, all = 0;
    if (!found)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to draw a list");
    fb_status status = list_skipped(ctx, s, query, item, found, &first);
    all = first;
    if (status == FB_OK && first < most)
        status = list_category(ctx, s, query, item, found, &all);
    fb_random_shuffle(random, found, first);
    fb_random_shuffle(random, found + first, all - first);
    *count = all < most ? all : most;
    for (int32_t i = 0; i < *count; i++)
        items[i] = found[i];
    free(found);
    return status;
}
