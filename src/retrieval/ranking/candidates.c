/* candidates.c - drawing negatives without replacement, by counter-based random
 * numbers.
 *
 * Items are sorted by the place that negatives come from (category, subcategory, or all
 * in one), so a query's possible negatives are a run of that order less its own
 * product, text and image. One pass over the run collects them; a partial Fisher-Yates
 * shuffle draws.
 */
#include "retrieval/ranking/candidates.h"

#include "base/random.h"

#include <stdlib.h>
#include <string.h>

/* ---- names ------------------------------------------------------------------------
 */

static const char *const NEGATIVES_NAMES[] = {"category", "subcategory", "any"};

const char *fb_direction_name(fb_direction direction)
{
    return direction == FB_IMAGE_TO_TEXT ? "image_to_text" : "text_to_image";
}

const char *fb_negative_rule_name(fb_negative_rule negatives)
{
    return NEGATIVES_NAMES[negatives];
}

fb_status fb_negative_rule_parse(fb_context *ctx, fb_negative_rule *negatives,
                                 const char *word)
{
    for (int i = 0; i <= FB_NEGATIVES_ANY; i++) {
        if (strcmp(word, NEGATIVES_NAMES[i]) == 0) {
            *negatives = (fb_negative_rule)i;
            return FB_OK;
        }
    }
    return fb_fail(ctx, FB_E_USAGE,
                   "negatives \"%.60s\" are unknown: use category, subcategory or any",
                   word);
}

/* ---- who may stand against whom ----------------------------------------------------
 */

bool fb_candidate_may_oppose(const fb_candidate_item *a, const fb_candidate_item *b)
{
    return a->product != b->product && a->text != b->text && a->image != b->image;
}

static int32_t group_key(const fb_candidate_item *item, fb_negative_rule negatives)
{
    switch (negatives) {
    case FB_NEGATIVES_CATEGORY:
        return item->category;
    case FB_NEGATIVES_SUBCATEGORY:
        return item->subcategory;
    case FB_NEGATIVES_ANY:
        break;
    }
    return 0;
}

bool fb_candidate_same_group(const fb_candidate_item *a, const fb_candidate_item *b,
                             fb_negative_rule negatives)
{
    return group_key(a, negatives) == group_key(b, negatives);
}

/* ---- the set ----------------------------------------------------------------------
 */

static fb_status out_of_memory(fb_context *ctx)
{
    return fb_fail(ctx, FB_E_MEMORY, "out of memory for candidate lists");
}

static fb_status check_options(fb_context *ctx, const fb_candidate_options *o)
{
    if (o->queries < 0)
        return fb_fail(ctx, FB_E_USAGE, "queries is %d: use 0 for all, or more",
                       o->queries);
    if (o->negative_count < 1 || o->negative_count > FB_CANDIDATE_NEGATIVES_MAX)
        return fb_fail(ctx, FB_E_USAGE, "negative count is %d: use 1 to %d",
                       o->negative_count, FB_CANDIDATE_NEGATIVES_MAX);
    if (o->min_candidates < 1)
        return fb_fail(ctx, FB_E_USAGE, "min-candidates is %d: use 1 or more",
                       o->min_candidates);
    if (o->draws < 1 || o->draws > FB_CANDIDATE_DRAWS_MAX)
        return fb_fail(ctx, FB_E_USAGE, "draws is %d: use 1 to %d", o->draws,
                       FB_CANDIDATE_DRAWS_MAX);
    return FB_OK;
}

fb_status fb_candidate_set_create(fb_context *ctx, fb_candidate_set **set,
                                  const fb_candidate_options *options)
{
    FB_TRY(check_options(ctx, options));
    fb_candidate_set *s = calloc(1, sizeof *s);
    if (!s)
        return out_of_memory(ctx);
    s->options = *options;
    s->group_counts = calloc((size_t)options->draws * 2, sizeof *s->group_counts);
    if (!s->group_counts) {
        free(s);
        return out_of_memory(ctx);
    }
    *set = s;
    return FB_OK;
}

void fb_candidate_set_free(fb_candidate_set *set)
{
    if (!set)
        return;
    free(set->lists);
    free(set->items);
    free(set->group_counts);
    free(set);
}

/* Room for `more` elements behind `used`; the pointer stays good when memory is out. */
static bool reserve(void **data, int64_t *capacity, int64_t used, int64_t more,
                    size_t element)
{
    if (used + more <= *capacity)
        return true;
    int64_t wanted = *capacity * 2 > used + more ? *capacity * 2 : used + more;
    void *grown = realloc(*data, (size_t)wanted * element);
    if (!grown)
        return false;
    *data = grown;
    *capacity = wanted;
    return true;
}

fb_status fb_candidate_set_add(fb_context *ctx, fb_candidate_set *set, int32_t draw,
                               fb_direction direction, int32_t query, int32_t positive,
                               const int32_t *negatives, int32_t count)
{
    void *lists = set->lists, *items = set->items;
    bool ok =
        reserve(&lists, &set->list_capacity, set->list_count, 1, sizeof *set->lists);
    set->lists = lists;
    ok = ok && reserve(&items, &set->item_capacity, set->item_count, count,
                       sizeof *set->items);
    set->items = items;
    if (!ok)
        return out_of_memory(ctx);
    set->lists[set->list_count++] =
        (fb_candidate_list){query, positive, set->item_count, count};
    if (count > 0)
        memcpy(set->items + set->item_count, negatives,
               (size_t)count * sizeof *negatives);
    set->item_count += count;
    set->group_counts[draw * 2 + (int32_t)direction]++;
    return FB_OK;
}

const fb_candidate_list *fb_candidate_set_group(const fb_candidate_set *set,
                                                int32_t draw, fb_direction direction,
                                                int64_t *count)
{
    int32_t group = draw * 2 + (int32_t)direction;
    int64_t begin = 0;
    for (int32_t i = 0; i < group; i++)
        begin += set->group_counts[i];
    *count = set->group_counts[group];
    return set->lists ? set->lists + begin : NULL;
}

/* ---- drawing ----------------------------------------------------------------------
 */

typedef struct keyed {
    int32_t key, item;
} keyed;

static int compare_keyed(const void *a, const void *b)
{
    const keyed *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->item > y->item) - (x->item < y->item);
}

typedef struct drawer {
    const fb_candidate_item *items;
    int32_t count;
    keyed *order;         /* [count] by group, then item */
    int32_t *begin, *end; /* [count] each item's group in order */
    int32_t *eligible;    /* [count] items with enough others */
    int32_t *chosen;      /* [count] the queries of one draw and direction */
    int32_t *others;      /* [count] one query's possible negatives */
    int32_t eligible_count;
} drawer;

static void drawer_free(drawer *d)
{
    free(d->order);
    free(d->begin);
    free(d->end);
    free(d->eligible);
    free(d->chosen);
    free(d->others);
}

static int32_t collect_others(const drawer *d, int32_t query, int32_t *others)
{
    int32_t found = 0;
    for (int32_t i = d->begin[query]; i < d->end[query]; i++) {
        int32_t item = d->order[i].item;
        if (fb_candidate_may_oppose(&d->items[item], &d->items[query]))
            others[found++] = item;
    }
    return found;
}

static fb_status drawer_init(fb_context *ctx, drawer *d, const fb_candidate_item *items,
                             int32_t count, const fb_candidate_options *options)
{
    size_t n = count > 0 ? (size_t)count : 1;
    *d = (drawer){.items = items,
                  .count = count,
                  .order = malloc(n * sizeof *d->order),
                  .begin = malloc(n * sizeof *d->begin),
                  .end = malloc(n * sizeof *d->end),
                  .eligible = malloc(n * sizeof *d->eligible),
                  .chosen = malloc(n * sizeof *d->chosen),
                  .others = malloc(n * sizeof *d->others)};
    if (!d->order || !d->begin || !d->end || !d->eligible || !d->chosen || !d->others) {
        drawer_free(d);
        return out_of_memory(ctx);
    }
    for (int32_t i = 0; i < count; i++)
        d->order[i] = (keyed){group_key(&items[i], options->negatives), i};
    qsort(d->order, (size_t)count, sizeof *d->order, compare_keyed);
    for (int32_t from = 0, to; from < count; from = to) {
        for (to = from; to < count && d->order[to].key == d->order[from].key; to++)
            ;
        for (int32_t i = from; i < to; i++) {
            d->begin[d->order[i].item] = from;
            d->end[d->order[i].item] = to;
        }
    }
    for (int32_t i = 0; i < count; i++)
        if (collect_others(d, i, d->others) >= options->min_candidates)
            d->eligible[d->eligible_count++] = i;
    return FB_OK;
}

/* Move `wanted` random ones of `count` to the front, in random order. */
static void shuffle_front(fb_random *random, int32_t *items, int32_t count,
                          int32_t wanted)
{
    for (int32_t i = 0; i < wanted; i++) {
        int32_t j = i + (int32_t)fb_random_below(random, (uint32_t)(count - i));
        int32_t swap = items[i];
        items[i] = items[j];
        items[j] = swap;
    }
}

static int compare_i32(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Which bits: the low half names the query; UINT32_MAX is no item: it picks the
 * queries. */
static fb_random random_of(uint64_t seed, int32_t draw, fb_direction direction,
                           uint32_t query)
{
    uint64_t group = (uint64_t)draw * 2 + (uint64_t)direction;
    return fb_random_start(seed, FB_STREAM_EVALUATE, group << 32 | query);
}

static fb_status draw_group(fb_context *ctx, fb_candidate_set *set, drawer *d,
                            int32_t draw, fb_direction direction)
{
    const fb_candidate_options *o = &set->options;
    int32_t queries = d->eligible_count;
    if (queries == 0)
        return FB_OK;
    memcpy(d->chosen, d->eligible, (size_t)queries * sizeof *d->chosen);
    if (o->queries > 0 && o->queries < queries) {
        fb_random random = random_of(o->seed, draw, direction, UINT32_MAX);
        shuffle_front(&random, d->chosen, queries, o->queries);
        queries = o->queries;
        qsort(d->chosen, (size_t)queries, sizeof *d->chosen, compare_i32);
    }
    for (int32_t q = 0; q < queries; q++) {
        int32_t query = d->chosen[q];
        int32_t found = collect_others(d, query, d->others);
        int32_t wanted = found < o->negative_count ? found : o->negative_count;
        fb_random random = random_of(o->seed, draw, direction, (uint32_t)query);
        shuffle_front(&random, d->others, found, wanted);
        FB_TRY(fb_candidate_set_add(ctx, set, draw, direction, query, query, d->others,
                                    wanted));
    }
    return FB_OK;
}

fb_status fb_candidate_set_draw(fb_context *ctx, fb_candidate_set **set,
                                const fb_candidate_item *items, int32_t count,
                                const fb_candidate_options *options)
{
    fb_candidate_set *fresh = NULL;
    FB_TRY(fb_candidate_set_create(ctx, &fresh, options));
    drawer d;
    fb_status status = drawer_init(ctx, &d, items, count, options);
    if (status != FB_OK) {
        fb_candidate_set_free(fresh);
        return status;
    }
    fresh->left_out = count - d.eligible_count;
    for (int32_t draw = 0; status == FB_OK && draw < options->draws; draw++) {
        status = draw_group(ctx, fresh, &d, draw, FB_IMAGE_TO_TEXT);
        if (status == FB_OK)
            status = draw_group(ctx, fresh, &d, draw, FB_TEXT_TO_IMAGE);
    }
    drawer_free(&d);
    if (status != FB_OK) {
        fb_candidate_set_free(fresh);
        return status;
    }
    *set = fresh;
    return FB_OK;
}
