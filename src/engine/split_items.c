/* split_items.c - see split_items.h. */
#include "engine/split_items.h"
#include "base/equal_keys.h"

#include <stdlib.h>
#include <string.h>

static fb_status allocate(fb_context *ctx, fb_split_items *s)
{
    size_t n = (size_t)s->count;
    s->items = fb_arena_alloc_zero(s->arena, n * sizeof *s->items);
    s->ids = fb_arena_alloc(s->arena, n * sizeof *s->ids);
    s->titles = fb_arena_alloc(s->arena, n * sizeof *s->titles);
    s->paths = fb_arena_alloc(s->arena, n * sizeof *s->paths);
    s->same_text = fb_arena_alloc(s->arena, n * sizeof(int32_t));
    s->same_image = fb_arena_alloc(s->arena, n * sizeof(int32_t));
    if (!s->items || !s->ids || !s->titles || !s->paths || !s->same_text ||
        !s->same_image)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %d items", (int)s->count);
    return FB_OK;
}

static fb_status fill_item(fb_context *ctx, fb_split_items *s, int32_t i, int32_t item)
{
    const fb_catalogue_item *c = fb_catalogue_get(s->catalogue, item);
    char path[4096];
    bool levels = fb_catalogue_levels(s->catalogue) > 0;
    FB_TRY(fb_catalogue_image_path(ctx, s->catalogue, item, path));
    s->ids[i] = c->file_name;
    s->titles[i] = c->title;
    s->paths[i] = fb_arena_strdup(s->arena, path);
    if (!s->paths[i])
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a path");
    s->items[i] = (fb_candidate_item){.product = c->product,
                                      .text = c->text,
                                      .category = levels ? c->category[0] + 1 : 0};
    return FB_OK;
}

static fb_status fill(fb_context *ctx, fb_split_items *s)
{
    int32_t count;
    const int32_t *list = fb_catalogue_split_items(s->catalogue, s->split, &count);
    s->count = count;
    if (!count)
        return fb_fail(ctx, FB_E_MISSING, "%s has no item of split %s",
                       fb_catalogue_folder(s->catalogue), fb_split_name(s->split));
    FB_TRY(allocate(ctx, s));
    fb_keyed_item *keys = calloc((size_t)count, sizeof *keys);
    fb_status status = keys ? FB_OK : fb_fail(ctx, FB_E_MEMORY, "no memory for keys");
    for (int32_t i = 0; i < count && status == FB_OK; i++) {
        status = fill_item(ctx, s, i, list[i]);
        if (status == FB_OK)
            keys[i] = (fb_keyed_item){(uint64_t)s->items[i].text, i};
    }
    if (status == FB_OK)
        fb_equal_keys_group(keys, count, s->same_text);
    for (int32_t i = 0; i < count && status == FB_OK; i++) {
        keys[i].item = i;
        status = fb_catalogue_image_key(ctx, s->catalogue, list[i], &keys[i].key);
    }
    if (status == FB_OK)
        fb_equal_keys_group(keys, count, s->same_image);
    for (int32_t i = 0; i < count && status == FB_OK; i++)
        s->items[i].image = s->same_image[i];
    free(keys);
    return status;
}

static fb_status name_all(fb_context *ctx, fb_split_items *s)
{
    const char **products = malloc((size_t)s->count * sizeof *products);
    if (!products)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %d items", (int)s->count);
    int32_t count;
    const int32_t *list = fb_catalogue_split_items(s->catalogue, s->split, &count);
    for (int32_t i = 0; i < s->count; i++)
        products[i] = fb_catalogue_get(s->catalogue, list[i])->product_id;
    s->names = (fb_candidate_catalog){
        s->items, s->ids, s->count, fb_split_name(s->split),
        fb_candidate_fingerprint(s->ids, products, s->titles, s->count)};
    free(products);
    s->category_count = 1;
    if (fb_catalogue_levels(s->catalogue) > 0)
        s->category_count += fb_catalogue_category_count(s->catalogue, 0);
    return FB_OK;
}

fb_status fb_split_items_open(fb_context *ctx, fb_split_items **items,
                              const char *folder, const char *split)
{
    return fb_split_items_open_as(ctx, items, folder, split, NULL);
}

fb_status fb_split_items_open_as(fb_context *ctx, fb_split_items **items,
                                 const char *folder, const char *split,
                                 const fb_catalogue_options *options)
{
    fb_split_items *s = calloc(1, sizeof *s);
    if (s)
        s->arena = fb_arena_create(1 << 20);
    if (!s || !s->arena) {
        free(s);
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a catalogue");
    }
    fb_status status = fb_split_parse(ctx, split, &s->split);
    if (status == FB_OK)
        status = fb_catalogue_open(ctx, &s->catalogue, folder, options);
    if (status == FB_OK)
        status = fill(ctx, s);
    if (status == FB_OK)
        status = name_all(ctx, s);
    if (status != FB_OK) {
        fb_split_items_close(s);
        return status;
    }
    *items = s;
    return FB_OK;
}

void fb_split_items_close(fb_split_items *items)
{
    if (!items)
        return;
    fb_catalogue_close(items->catalogue);
    fb_arena_free(items->arena);
    free(items);
}

const char *fb_split_items_category(const fb_split_items *items, int32_t category)
{
    return category > 0 ? fb_catalogue_category_name(items->catalogue, 0, category - 1)
                        : "(none)";
}
