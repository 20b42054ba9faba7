/* negatives.c - items grouped by category, by product and by text; drawing by
 * rejection, then, where eligible items are rare, by walking the group from a random
 * place.
 */
#include "data/batch/negatives.h"

#include <stdlib.h>
#include <string.h>

enum { TRIES = 16 };

/* members[starts[k] .. starts[k + 1]) are the items with key k. */
typedef struct fb_groups {
    int64_t *starts;
    int32_t *members;
} fb_groups;

struct fb_negatives {
    const fb_catalogue *catalogue;
    int32_t *items, count;
    fb_groups category[FB_CATEGORY_LEVELS];
    fb_groups product, text;
};

typedef int32_t (*key_fn)(const fb_catalogue_item *item, int32_t level);

static int32_t key_category(const fb_catalogue_item *item, int32_t level)
{
    return item->category[level];
}

static int32_t key_product(const fb_catalogue_item *item, int32_t level)
{
    (void)level;
    return item->product;
}

static int32_t key_text(const fb_catalogue_item *item, int32_t level)
{
    (void)level;
    return item->text;
}

/* Counting sort of the items by key; a key of -1 is in no group. */
static bool group(fb_groups *g, const fb_negatives *n, key_fn key, int32_t level,
                  int32_t keys)
{
    g->starts = calloc((size_t)keys + 2, sizeof *g->starts);
    g->members = malloc((size_t)n->count * sizeof *g->members);
    if (!g->starts || !g->members)
        return false;
    int64_t *next = g->starts + 1; /* ends up as starts */
    for (int32_t i = 0; i < n->count; i++) {
        int32_t k = key(fb_catalogue_get(n->catalogue, n->items[i]), level);
        if (k >= 0)
            next[k + 1]++;
    }
    for (int32_t k = 0; k < keys; k++)
        next[k + 1] += next[k];
    for (int32_t i = 0; i < n->count; i++) {
        int32_t k = key(fb_catalogue_get(n->catalogue, n->items[i]), level);
        if (k >= 0)
            g->members[next[k]++] = n->items[i];
    }
    return true;
}

static void free_groups(fb_groups *g)
{
    free(g->starts);
    free(g->members);
}

static bool fill(fb_negatives *n, const int32_t *items, int32_t count)
{
    const fb_catalogue *cat = n->catalogue;
    n->items = malloc((size_t)count * sizeof *n->items);
    if (!n->items)
        return false;
    memcpy(n->items, items, (size_t)count * sizeof *n->items);
    n->count = count;
    for (int32_t level = 0; level < fb_catalogue_levels(cat); level++)
        if (!group(&n->category[level], n, key_category, level,
                   fb_catalogue_category_count(cat, level)))
            return false;
    return group(&n->product, n, key_product, 0, fb_catalogue_products(cat)) &&
           group(&n->text, n, key_text, 0, fb_catalogue_texts(cat));
}

fb_status fb_negatives_create(fb_context *ctx, fb_negatives **negatives,
                              const fb_catalogue *catalogue, const int32_t *items,
                              int32_t count)
{
    if (count < 1)
        return fb_fail(ctx, FB_E_USAGE, "%s: no items to draw negatives from",
                       fb_catalogue_folder(catalogue));
    fb_negatives *n = calloc(1, sizeof *n);
    if (n)
        n->catalogue = catalogue;
    if (!n || !fill(n, items, count)) {
        fb_negatives_free(n);
        return fb_fail(ctx, FB_E_MEMORY, "no memory for negatives of %d items", count);
    }
    *negatives = n;
    return FB_OK;
}

void fb_negatives_free(fb_negatives *n)
{
    if (!n)
        return;
    for (int32_t level = 0; level < FB_CATEGORY_LEVELS; level++)
        free_groups(&n->category[level]);
    free_groups(&n->product);
    free_groups(&n->text);
    free(n->items);
    free(n);
}

/* Whether any item of group k is of `product` or has the image `key`. */
static fb_status group_has(fb_context *ctx, const fb_negatives *n, const fb_groups *g,
                           int32_t k, int32_t product, uint64_t key, bool *has)
{
    for (int64_t i = g->starts[k]; i < g->starts[k + 1] && !*has; i++) {
        uint64_t other;
        FB_TRY(fb_catalogue_image_key(ctx, n->catalogue, g->members[i], &other));
        *has = other == key ||
               fb_catalogue_get(n->catalogue, g->members[i])->product == product;
    }
    return FB_OK;
}

fb_status fb_negatives_eligible(fb_context *ctx, const fb_negatives *n,
                                int32_t text_item, int32_t image_item, bool *eligible)
{
    const fb_catalogue_item *text = fb_catalogue_get(n->catalogue, text_item);
    const fb_catalogue_item *image = fb_catalogue_get(n->catalogue, image_item);
    *eligible = false;
    if (text_item == image_item || text->product == image->product ||
        text->text == image->text)
        return FB_OK;
    uint64_t key, own;
    FB_TRY(fb_catalogue_image_key(ctx, n->catalogue, image_item, &key));
    FB_TRY(fb_catalogue_image_key(ctx, n->catalogue, text_item, &own));
    bool matches = key == own;
    FB_TRY(group_has(ctx, n, &n->text, text->text, image->product, key, &matches));
    FB_TRY(
        group_has(ctx, n, &n->product, text->product, image->product, key, &matches));
    *eligible = !matches;
    return FB_OK;
}

/* An item's mismatch: `other`, whose image or else text takes the item's own place;
 * right once `found`. */
typedef struct mismatch {
    int32_t item;
    bool other_image;
    int32_t other;
    bool found;
} mismatch;

static fb_status try_one(fb_context *ctx, const fb_negatives *n, int32_t other,
                         mismatch *m)
{
    m->other = other;
    return m->other_image ? fb_negatives_eligible(ctx, n, m->item, other, &m->found)
                          : fb_negatives_eligible(ctx, n, other, m->item, &m->found);
}

static fb_status draw_from(fb_context *ctx, const fb_negatives *n, fb_random *random,
                           const int32_t *members, int32_t count, mismatch *m)
{
    for (int32_t i = 0; i < TRIES && !m->found; i++)
        FB_TRY(try_one(ctx, n, members[fb_random_below(random, (uint32_t)count)], m));
    uint32_t first = m->found ? 0 : fb_random_below(random, (uint32_t)count);
    for (int32_t i = 0; i < count && !m->found; i++)
        FB_TRY(try_one(ctx, n, members[((int64_t)first + i) % count], m));
    return FB_OK;
}

fb_status fb_negatives_draw(fb_context *ctx, const fb_negatives *n, fb_random *random,
                            int32_t item, bool other_image, bool anywhere,
                            int32_t *other, bool *fell_back)
{
    const fb_catalogue_item *own = fb_catalogue_get(n->catalogue, item);
    mismatch m = {.item = item, .other_image = other_image, .other = -1};
    bool had_category = false;
    int32_t levels = anywhere ? 0 : fb_catalogue_levels(n->catalogue);
    for (int32_t level = 0; level < levels && !m.found; level++) {
        int32_t key = own->category[level];
        if (key < 0)
            continue;
        const fb_groups *g = &n->category[level];
        int32_t count = (int32_t)(g->starts[key + 1] - g->starts[key]);
        *fell_back = had_category;
        had_category = true;
        if (count > 0)
            FB_TRY(draw_from(ctx, n, random, g->members + g->starts[key], count, &m));
    }
    if (!m.found) {
        *fell_back = had_category;
        FB_TRY(draw_from(ctx, n, random, n->items, n->count, &m));
    }
    if (!m.found)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s/metadata.jsonl:%d: no other item can be its mismatch: all "
                       "have the same product, title or image",
                       fb_catalogue_folder(n->catalogue), own->line);
    *other = m.other;
    return FB_OK;
}
