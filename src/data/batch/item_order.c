/* item_order.c - shuffle, deal, cut, shuffle the runs, lay; see item_order.h.
 *
 * All of it is on places 0 .. N-1 of the list of items; what an epoch holds at last are
 * items.
 */
#include "data/batch/item_order.h"

#include "base/random.h"

#include <stdlib.h>
#include <string.h>

struct fb_item_order {
    const int32_t *items; /* [N] */
    int32_t count;        /* N */
    fb_item_order_options options;
    int32_t categories; /* of the level that groups are of; 0: ungrouped */
    int32_t *category;  /* [N] of that level, `categories` for none */
    int32_t *kin;       /* [N] equal for equal keys at all levels, in their order */
    int32_t kins, whole_runs;
    int64_t *run_start;  /* [categories + 1] where a category's whole runs start */
    int32_t *run_places; /* [categories + 1] how many of its places are in such runs */
};

struct fb_item_epoch {
    uint64_t epoch;
    bool filled;
    int32_t *places;   /* [N] of `epoch` */
    int32_t *previous; /* [N] of the epoch before it; scratch */
    int32_t *shuffled; /* [N] scratch */
    int32_t *runs;     /* [N] scratch */
    int64_t *next;     /* [max(categories, kins) + 2] scratch */
};

/* ---- what does not change -------------------------------------------------------- */

static int32_t group_level(const fb_catalogue *cat)
{
    for (int32_t level = 0; level < fb_catalogue_levels(cat); level++)
        if (strcmp(fb_catalogue_level_name(cat, level), "category") == 0)
            return level;
    return fb_catalogue_levels(cat) > 0 ? 0 : -1;
}

/* places [N], sorted by (key, as they came): a counting sort. next [keys + 1]. */
static void sort_by_key(int32_t *sorted, const int32_t *places, int32_t count,
                        const int32_t *key, int32_t keys, int64_t *next)
{
    memset(next, 0, ((size_t)keys + 1) * sizeof *next);
    for (int32_t i = 0; i < count; i++)
        next[key[places[i]] + 1]++;
    for (int32_t k = 0; k < keys; k++)
        next[k + 1] += next[k];
    for (int32_t i = 0; i < count; i++)
        sorted[next[key[places[i]]]++] = places[i];
}

static bool same_keys(const fb_catalogue_item *a, const fb_catalogue_item *b)
{
    return memcmp(a->category, b->category, sizeof a->category) == 0;
}

/* kin: sort by the finest level first and by the coarsest last, then number. */
static bool number_kin(fb_item_order *o, const fb_catalogue *cat)
{
    size_t bytes = (size_t)o->count * sizeof(int32_t);
    int32_t *sorted = malloc(bytes), *from = malloc(bytes);
    int64_t *next = malloc(((size_t)fb_catalogue_count(cat) + 2) * sizeof *next);
    bool room = sorted && from && next;
    for (int32_t i = 0; room && i < o->count; i++)
        sorted[i] = i;
    for (int32_t level = 0; room && level < fb_catalogue_levels(cat); level++) {
        for (int32_t i = 0; i < o->count; i++)
            o->kin[i] = fb_catalogue_get(cat, o->items[i])->category[level] + 1;
        memcpy(from, sorted, bytes);
        sort_by_key(sorted, from, o->count, o->kin,
                    fb_catalogue_category_count(cat, level) + 1, next);
    }
    o->kins = 0;
    for (int32_t i = 0; room && i < o->count; i++) {
        if (i == 0 || !same_keys(fb_catalogue_get(cat, o->items[sorted[i - 1]]),
                                 fb_catalogue_get(cat, o->items[sorted[i]])))
            o->kins++;
        o->kin[sorted[i]] = o->kins - 1;
    }
    free(sorted);
    free(from);
    free(next);
    return room;
}

static bool prepare_groups(fb_item_order *o, const fb_catalogue *cat)
{
    int32_t level = group_level(cat), group = o->options.group;
    o->categories = level < 0 ? 0 : fb_catalogue_category_count(cat, level);
    o->category = malloc((size_t)o->count * sizeof *o->category);
    o->kin = malloc((size_t)o->count * sizeof *o->kin);
    o->run_start = calloc((size_t)o->categories + 1, sizeof *o->run_start);
    o->run_places = calloc((size_t)o->categories + 1, sizeof *o->run_places);
    if (!o->category || !o->kin || !o->run_start || !o->run_places ||
        !number_kin(o, cat))
        return false;
    for (int32_t i = 0; i < o->count; i++) {
        int32_t key =
            level < 0 ? -1 : fb_catalogue_get(cat, o->items[i])->category[level];
        o->category[i] = key < 0 ? o->categories : key;
        o->run_places[o->category[i]]++;
    }
    o->run_places[o->categories] = 0;
    int64_t start = 0;
    for (int32_t k = 0; k <= o->categories; k++) {
        o->run_places[k] -= o->run_places[k] % group;
        o->run_start[k] = start;
        start += o->run_places[k];
    }
    o->whole_runs = (int32_t)(start / group);
    return true;
}

static fb_status check(fb_context *ctx, const fb_item_order_options *o, int32_t count)
{
    if (o->per_step < 1 || (o->distinct && o->per_step > count))
        return fb_fail(ctx, FB_E_USAGE,
                       "a batch of %d items of a split of %d; 1 to %d are possible",
                       o->per_step, count, count);
    if (o->group < 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "groups of %d items; 0 (none) or more are expected", o->group);
    if (o->group > 0 && !(o->grouped > 0.0 && o->grouped <= 1.0))
        return fb_fail(ctx, FB_E_USAGE,
                       "a share of %g of the steps in groups of %d; above 0 and up to "
                       "1 is expected, or groups of 0",
                       o->grouped, o->group);
    return FB_OK;
}

fb_status fb_item_order_create(fb_context *ctx, fb_item_order **order,
                               const fb_catalogue *catalogue, const int32_t *items,
                               int32_t count, const fb_item_order_options *options)
{
    FB_TRY(check(ctx, options, count));
    fb_item_order *o = calloc(1, sizeof *o);
    if (o) {
        o->items = items;
        o->count = count;
        o->options = *options;
    }
    if (!o || (options->group > 0 && !prepare_groups(o, catalogue))) {
        fb_item_order_free(o);
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the order of %d items", count);
    }
    *order = o;
    return FB_OK;
}

void fb_item_order_free(fb_item_order *order)
{
    if (!order)
        return;
    free(order->category);
    free(order->kin);
    free(order->run_start);
    free(order->run_places);
    free(order);
}

fb_item_epoch *fb_item_epoch_create(const fb_item_order *o)
{
    size_t bytes = (size_t)o->count * sizeof(int32_t);
    size_t keys = (size_t)(o->categories > o->kins ? o->categories : o->kins) + 2;
    fb_item_epoch *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->places = malloc(bytes);
    e->previous = malloc(bytes);
    e->shuffled = malloc(bytes);
    e->runs = malloc(bytes);
    e->next = malloc(keys * sizeof *e->next);
    if (!e->places || !e->previous || !e->shuffled || !e->runs || !e->next) {
        fb_item_epoch_free(e);
        return NULL;
    }
    return e;
}

void fb_item_epoch_free(fb_item_epoch *epoch)
{
    if (!epoch)
        return;
    free(epoch->places);
    free(epoch->previous);
    free(epoch->shuffled);
    free(epoch->runs);
    free(epoch->next);
    free(epoch);
}

/* ---- one epoch, by itself -------------------------------------------------------- */

bool fb_item_order_grouped(const fb_item_order *o, uint64_t step)
{
    if (o->options.group == 0)
        return false;
    fb_random random = fb_random_start(o->options.seed, FB_STREAM_GROUPED, step);
    return fb_random_uniform(&random) < o->options.grouped;
}

/* runs [N]: the whole runs of each category, then the rest by kin; from e->shuffled.
 * `rest` [N] is scratch. */
static void deal(const fb_item_order *o, fb_item_epoch *e, int32_t *rest)
{
    int32_t left = 0, dealt = o->whole_runs * o->options.group;
    for (int32_t k = 0; k <= o->categories; k++)
        e->next[k] = 0;
    for (int32_t i = 0; i < o->count; i++) {
        int32_t place = e->shuffled[i], k = o->category[place];
        if (e->next[k] < o->run_places[k])
            e->runs[o->run_start[k] + e->next[k]++] = place;
        else
            rest[left++] = place;
    }
    sort_by_key(e->runs + dealt, rest, left, o->kin, o->kins, e->next);
}

/* out [N]: the runs in random order. numbers [N] is scratch. */
static void lay_runs(const fb_item_order *o, const fb_item_epoch *e, fb_random *random,
                     int32_t *numbers, int32_t *out)
{
    int32_t group = o->options.group < o->count ? o->options.group : o->count;
    int32_t runs = (o->count - 1) / group + 1, at = 0;
    for (int32_t i = 0; i < runs; i++)
        numbers[i] = i;
    fb_random_shuffle(random, numbers, runs);
    for (int32_t i = 0; i < runs; i++) {
        int32_t first = numbers[i] * group;
        int32_t size = o->count - first < group ? o->count - first : group;
        memcpy(out + at, e->runs + first, (size_t)size * sizeof *out);
        at += size;
    }
}

/* out [N]: the first of `laid` for the places of grouped steps, the others, shuffled,
 * for the rest. */
static void lay_steps(const fb_item_order *o, uint64_t epoch, fb_random *random,
                      int32_t *laid, int32_t *out)
{
    uint64_t first = epoch * (uint64_t)o->count, size = (uint64_t)o->options.per_step;
    bool grouped = false;
    int32_t in_runs = 0;
    for (int32_t pass = 0; pass < 2; pass++) {
        int32_t run = 0, single = in_runs;
        for (int32_t i = 0; i < o->count; i++) {
            uint64_t place = first + (uint64_t)i;
            if (i == 0 || place % size == 0)
                grouped = fb_item_order_grouped(o, place / size);
            if (pass == 0)
                in_runs += grouped;
            else
                out[i] = laid[grouped ? run++ : single++];
        }
        if (pass == 0)
            fb_random_shuffle(random, laid + in_runs, o->count - in_runs);
    }
}

static void fill_epoch(const fb_item_order *o, fb_item_epoch *e, uint64_t epoch,
                       int32_t *out)
{
    fb_random random = fb_random_start(o->options.seed, FB_STREAM_ORDER, epoch);
    int32_t *shuffled = o->options.group > 0 ? e->shuffled : out;
    for (int32_t i = 0; i < o->count; i++)
        shuffled[i] = i;
    fb_random_shuffle(&random, shuffled, o->count);
    if (o->options.group == 0)
        return;
    fb_random runs = fb_random_start(o->options.seed, FB_STREAM_RUNS, epoch);
    deal(o, e, out);
    lay_runs(o, e, &runs, out, e->shuffled);
    if (o->options.grouped < 1.0)
        lay_steps(o, epoch, &runs, e->shuffled, out);
    else
        memcpy(out, e->shuffled, (size_t)o->count * sizeof *out);
}

/* ---- the seam of two epochs ------------------------------------------------------ */

/* e->places is of `epoch`, which starts with the last places of a step whose first ones
 * are the end of e->previous: put off what they have. */
static void part(const fb_item_order *o, fb_item_epoch *e, uint64_t epoch)
{
    uint64_t size = (uint64_t)o->options.per_step;
    int32_t tail = (int32_t)(epoch * (uint64_t)o->count % size);
    int32_t head = tail > 0 ? o->options.per_step - tail : 0;
    int32_t *had = e->shuffled, *put_off = e->runs, taken = 0, off = 0, at = 0;
    memset(had, 0, (size_t)o->count * sizeof *had);
    for (int32_t i = o->count - tail; i < o->count; i++)
        had[e->previous[i]] = 1;
    for (; taken < head; at++) {
        if (had[e->places[at]])
            put_off[off++] = e->places[at];
        else
            e->places[taken++] = e->places[at];
    }
    memcpy(e->places + taken, put_off, (size_t)off * sizeof *put_off);
}

/* Only the first B places of an epoch depend on the one before it. Where they cannot
 * reach the last B - 1, one epoch back is far enough to start from. */
static void go_to(const fb_item_order *o, fb_item_epoch *e, uint64_t epoch)
{
    bool far = o->count / 2 >= o->options.per_step, parted = o->options.distinct;
    uint64_t at = !parted ? epoch : !far ? 0 : epoch > 0 ? epoch - 1 : 0;
    fill_epoch(o, e, at, e->places);
    while (at < epoch) {
        int32_t *before = e->previous;
        e->previous = e->places;
        e->places = before;
        fill_epoch(o, e, ++at, e->places);
        part(o, e, at);
    }
    e->epoch = epoch;
    e->filled = true;
}

int32_t fb_item_order_at(const fb_item_order *o, fb_item_epoch *e, uint64_t place)
{
    uint64_t epoch = place / (uint64_t)o->count;
    if (!e->filled || e->epoch != epoch)
        go_to(o, e, epoch);
    return o->items[e->places[place % (uint64_t)o->count]];
}
