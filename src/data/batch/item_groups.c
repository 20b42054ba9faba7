/* item_groups.c - disjoint sets over the places 0 .. count-1 of the items asked about:
 * for each kind of key, every place joins the first one that had its key. A set's root
 * is its smallest place, so a walk up the places meets each root before its members.
 */
#include "data/batch/item_groups.h"

#include "base/string_table.h"

#include <stdlib.h>
#include <string.h>

typedef struct sets {
    const fb_catalogue *catalogue;
    const int32_t *items;
    int32_t count;
    int32_t *parent; /* [count] */
    int32_t *first;  /* by key: the first place that had it, -1 */
    int32_t keys;    /* room in first */
} sets;

static int32_t root_of(sets *s, int32_t place)
{
    while (s->parent[place] != place) {
        s->parent[place] = s->parent[s->parent[place]];
        place = s->parent[place];
    }
    return place;
}

static void join(sets *s, int32_t key, int32_t place)
{
    if (s->first[key] < 0) {
        s->first[key] = place;
        return;
    }
    int32_t a = root_of(s, s->first[key]), b = root_of(s, place);
    if (a < b)
        s->parent[b] = a;
    else
        s->parent[a] = b;
}

static void forget_keys(sets *s)
{
    for (int32_t i = 0; i < s->keys; i++)
        s->first[i] = -1;
}

static void start(sets *s)
{
    for (int32_t i = 0; i < s->count; i++)
        s->parent[i] = i;
    forget_keys(s);
}

/* group[item] for each item; returns how many groups there are. */
static int32_t number(sets *s, int32_t *group)
{
    int32_t groups = 0;
    for (int32_t i = 0; i < s->count; i++) {
        int32_t root = root_of(s, i);
        group[s->items[i]] = root == i ? groups++ : group[s->items[root]];
    }
    return groups;
}

/* Join the places whose bytes are equal: token ids, or file names without tokens. */
static fb_status join_bytes(fb_context *ctx, sets *s, const fb_token_lists *tokens)
{
    fb_string_table table = {0};
    fb_status status = FB_OK;
    forget_keys(s);
    for (int32_t i = 0; i < s->count && status == FB_OK; i++) {
        const char *bytes = fb_catalogue_get(s->catalogue, s->items[i])->file_name;
        size_t size_bytes = strlen(bytes);
        if (tokens) {
            int32_t ids;
            bytes = (const char *)fb_token_list(tokens, s->items[i], &ids);
            size_bytes = (size_t)ids * sizeof(int32_t);
        }
        int32_t key;
        status = fb_string_table_add(ctx, &table, bytes, size_bytes, &key);
        if (status == FB_OK)
            join(s, key, i);
    }
    fb_string_table_clear(&table);
    return status;
}

static fb_status fill(fb_context *ctx, fb_item_groups *g, sets *s,
                      const fb_token_lists *tokens)
{
    start(s);
    for (int32_t i = 0; i < s->count; i++)
        join(s, fb_catalogue_get(s->catalogue, s->items[i])->text, i);
    FB_TRY(join_bytes(ctx, s, tokens));
    g->texts = number(s, g->text_group);
    start(s);
    for (int32_t i = 0; i < s->count; i++)
        join(s, fb_catalogue_get(s->catalogue, s->items[i])->product, i);
    FB_TRY(join_bytes(ctx, s, NULL));
    g->images = number(s, g->image_group);
    return FB_OK;
}

fb_status fb_item_groups_create(fb_context *ctx, fb_item_groups **groups,
                                const fb_catalogue *catalogue,
                                const fb_token_lists *tokens, const int32_t *items,
                                int32_t count)
{
    /* Keys of titles and products lie below the number of items. */
    int32_t all = fb_catalogue_count(catalogue);
    sets s = {catalogue, items, count, NULL, NULL, all};
    fb_item_groups *g = calloc(1, sizeof *g);
    if (g) {
        g->text_group = malloc((size_t)all * sizeof *g->text_group);
        g->image_group = malloc((size_t)all * sizeof *g->image_group);
    }
    s.parent = malloc((size_t)all * sizeof *s.parent);
    s.first = malloc((size_t)all * sizeof *s.first);
    fb_status status = FB_OK;
    if (!g || !g->text_group || !g->image_group || !s.parent || !s.first)
        status = fb_fail(ctx, FB_E_MEMORY, "no memory for groups of %d items", count);
    for (int32_t i = 0; i < all && status == FB_OK; i++)
        g->text_group[i] = g->image_group[i] = -1;
    if (status == FB_OK)
        status = fill(ctx, g, &s, tokens);
    free(s.parent);
    free(s.first);
    if (status == FB_OK)
        *groups = g;
    else
        fb_item_groups_free(g);
    return status;
}

void fb_item_groups_free(fb_item_groups *groups)
{
    if (!groups)
        return;
    free(groups->text_group);
    free(groups->image_group);
    free(groups);
}
