/* split_plan.c - see split_plan.h. Groups are disjoint sets over the items: first of
 * equal keys and bytes, then of near looks too, so that both kinds of moves can be
 * counted.
 */
#include "data/import/split_plan.h"

#include "base/disjoint_sets.h"
#include "base/intern.h"
#include "base/random.h"
#include "data/image/near_pairs.h"

#include <stdlib.h>
#include <string.h>

fb_status fb_split_shares_parse(fb_context *ctx, const char *text,
                                fb_split_shares *shares)
{
    fb_split_shares parsed;
    const char *at = text;
    int64_t sum = 0;
    bool fits = true;
    for (int i = 0; i < FB_SPLITS && fits; i++) {
        char *end;
        long percent = strtol(at, &end, 10);
        fits = *at >= '0' && *at <= '9' && percent <= 100 &&
               *end == (i + 1 < FB_SPLITS ? '/' : 0);
        parsed.percent[i] = (int32_t)percent;
        sum += percent;
        at = end + 1;
    }
    if (!fits || sum != 100)
        return fb_fail(
            ctx, FB_E_USAGE,
            "split \"%.64s\" is not three percentages of train, val and test "
            "that sum to 100, such as 80/10/10",
            text);
    *shares = parsed;
    return FB_OK;
}

uint64_t fb_split_key_hash(const char *key, size_t size_bytes)
{
    return fb_hash_bytes(FB_STREAM_SPLIT, key, size_bytes);
}

fb_split fb_split_of_hash(const fb_split_shares *shares, uint64_t key_hash)
{
    int32_t place = (int32_t)(key_hash % 100);
    return place < shares->percent[0]                        ? FB_SPLIT_TRAIN
           : place < shares->percent[0] + shares->percent[1] ? FB_SPLIT_VAL
                                                             : FB_SPLIT_TEST;
}

typedef struct keyed {
    uint64_t key;
    int32_t item;
} keyed;

typedef struct plan {
    const fb_split_item *items;
    const fb_split_shares *shares;
    int32_t count;
    int32_t *parent; /* [count] disjoint sets */
    int32_t *anchor; /* [count] of a root: the item whose split the group takes */
    keyed *keys;     /* [count] */
    fb_look *looks;  /* [count] of the first item with each image file */
    int32_t *image;  /* [count] the items that looks are of */
    bool *repeats,
        *near; /* [count] bytes of an earlier item; a near look of other bytes */
    int32_t image_count;
} plan;

static int by_key(const void *a, const void *b)
{
    const keyed *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->item > y->item) - (x->item < y->item);
}

static void join_keys(plan *p)
{
    for (int32_t i = 0; i < p->count; i++)
        p->keys[i] = (keyed){p->items[i].key, i};
    qsort(p->keys, (size_t)p->count, sizeof *p->keys, by_key);
    for (int32_t i = 1; i < p->count; i++)
        if (p->keys[i].key == p->keys[i - 1].key)
            fb_set_join(p->parent, p->keys[i - 1].item, p->keys[i].item);
}

static void join_bytes(plan *p)
{
    int32_t known = 0;
    for (int32_t i = 0; i < p->count; i++)
        if (p->items[i].bytes != 0)
            p->keys[known++] = (keyed){p->items[i].bytes, i};
    qsort(p->keys, (size_t)known, sizeof *p->keys, by_key);
    for (int32_t i = 1; i < known; i++)
        if (p->keys[i].key == p->keys[i - 1].key) {
            fb_set_join(p->parent, p->keys[i - 1].item, p->keys[i].item);
            p->repeats[p->keys[i].item] = true;
        }
}

static void visit_near(void *self, int32_t a, int32_t b)
{
    plan *p = self;
    fb_set_join(p->parent, p->image[a], p->image[b]);
    p->near[p->image[a]] = p->near[p->image[b]] = true;
}

static fb_status join_near(fb_context *ctx, plan *p)
{
    for (int32_t i = 0; i < p->count; i++)
        if (!p->repeats[i]) {
            p->looks[p->image_count] = p->items[i].look;
            p->image[p->image_count++] = i;
        }
    return fb_near_pairs_find(ctx, p->looks, p->image_count, visit_near, p);
}

static fb_split own_split(const plan *p, int32_t item)
{
    return p->items[item].stated >= 0 ? (fb_split)p->items[item].stated
                                      : fb_split_of_hash(p->shares, p->items[item].key);
}

/* Of each item, its group's split. */
static void choose(plan *p, fb_split *splits)
{
    for (int32_t i = 0; i < p->count; i++) {
        int32_t root = fb_set_root(p->parent, i);
        bool stated = p->items[i].stated >= 0;
        if (root == i || (stated && p->items[p->anchor[root]].stated < 0))
            p->anchor[root] = i;
    }
    for (int32_t i = 0; i < p->count; i++)
        splits[i] = own_split(p, p->anchor[fb_set_root(p->parent, i)]);
}

static void count_report(plan *p, const fb_split *exact, const fb_split *splits,
                         fb_split_report *report)
{
    *report = (fb_split_report){0};
    int32_t *members = p->anchor; /* no longer needed */
    memset(members, 0, (size_t)p->count * sizeof *members);
    for (int32_t i = 0; i < p->count; i++) {
        fb_split own = own_split(p, i);
        int32_t in_group = ++members[fb_set_root(p->parent, i)];
        report->items[splits[i]]++;
        report->duplicates += p->repeats[i];
        report->near_duplicates += p->near[i];
        if (splits[i] != own && exact[i] != own)
            report->moved_duplicate++;
        else if (splits[i] != own)
            report->moved_near++;
        if (in_group > report->largest_group)
            report->largest_group = in_group;
    }
    report->moved = report->moved_duplicate + report->moved_near;
}

static fb_status run(fb_context *ctx, plan *p, fb_split *exact, fb_split *splits,
                     fb_split_report *report)
{
    for (int32_t i = 0; i < p->count; i++)
        p->parent[i] = i;
    join_keys(p);
    join_bytes(p);
    choose(p, exact);
    FB_TRY(join_near(ctx, p));
    choose(p, splits);
    count_report(p, exact, splits, report);
    return FB_OK;
}

fb_status fb_split_plan_make(fb_context *ctx, const fb_split_item *items, int32_t count,
                             const fb_split_shares *shares, fb_split *splits,
                             int32_t *groups, fb_split_report *report)
{
    size_t n = (size_t)count + 1;
    plan p = {.items = items, .shares = shares, .count = count};
    p.parent = malloc(n * sizeof *p.parent);
    p.anchor = malloc(n * sizeof *p.anchor);
    p.keys = malloc(n * sizeof *p.keys);
    p.looks = malloc(n * sizeof *p.looks);
    p.image = malloc(n * sizeof *p.image);
    p.repeats = calloc(n, sizeof *p.repeats);
    p.near = calloc(n, sizeof *p.near);
    fb_split *exact = calloc(n, sizeof *exact);
    bool enough = p.parent && p.anchor && p.keys && p.looks && p.image && p.repeats &&
                  p.near && exact;
    fb_status status =
        enough ? run(ctx, &p, exact, splits, report)
               : fb_fail(ctx, FB_E_MEMORY, "no memory to split %d items", count);
    for (int32_t i = 0; groups && i < count && status == FB_OK; i++)
        groups[i] = fb_set_root(p.parent, i);
    free(exact);
    free(p.near);
    free(p.repeats);
    free(p.image);
    free(p.looks);
    free(p.keys);
    free(p.anchor);
    free(p.parent);
    return status;
}
