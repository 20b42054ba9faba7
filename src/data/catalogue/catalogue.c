/* catalogue.c - open an imagefolder catalogue: map metadata.jsonl, read it line by
 * line, number products, texts and categories, order the category levels, list the
 * splits.
 */
#include "data/catalogue/catalogue.h"
#include "base/arena.h"
#include "base/file.h"
#include "data/catalogue/catalogue_row.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ARENA_CHUNK_BYTES = 1 << 20, FIRST_ITEMS = 1024 };
#define IMAGE_BYTES_MAX (64u << 20)

struct fb_catalogue {
    fb_arena *arena; /* every string */
    fb_string_pool pool;
    char folder[4096];
    fb_catalogue_item *items;
    int32_t count, capacity;
    fb_intern *products, *texts;
    fb_intern *categories[FB_CATEGORY_LEVELS]; /* by level, most specific first */
    const char *level_names[FB_CATEGORY_LEVELS];
    int32_t levels;
    int32_t *split_items[FB_SPLITS], split_count[FB_SPLITS];
    _Atomic uint64_t *image_keys; /* 0: not yet known */
    uint64_t fingerprint;
    bool files_may_lack;
};

static const char *const split_names[FB_SPLITS] = {"train", "val", "test"};

const char *fb_split_name(fb_split split)
{
    return split_names[split];
}

fb_status fb_split_parse(fb_context *ctx, const char *text, fb_split *split)
{
    for (int i = 0; i < FB_SPLITS; i++)
        if (strcmp(text, split_names[i]) == 0) {
            *split = (fb_split)i;
            return FB_OK;
        }
    if (strcmp(text, "validation") == 0) {
        *split = FB_SPLIT_VAL;
        return FB_OK;
    }
    return fb_fail(ctx, FB_E_USAGE, "split \"%.64s\" is none of train, val, test",
                   text);
}

static fb_status fail_memory(fb_context *ctx, const fb_catalogue *cat)
{
    return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for a catalogue of %d items",
                   cat->folder, cat->count);
}

static fb_status check_file(fb_context *ctx, const fb_catalogue *cat, const char *name,
                            const char *file_name)
{
    char path[4096];
    struct stat st;
    FB_TRY(fb_path_join(ctx, path, cat->folder, file_name));
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || access(path, R_OK) != 0)
        return fb_fail(ctx, FB_E_MISSING,
                       "%s: file_name \"%s\" is not a readable file in %s", name,
                       file_name, cat->folder);
    return FB_OK;
}

static fb_status add_keys(fb_context *ctx, fb_catalogue *cat, fb_catalogue_row *row)
{
    fb_catalogue_item *item = &row->item;
    char *title = fb_title_normalise(item->title);
    item->text = title ? fb_intern_add(cat->texts, title) : -1;
    free(title);
    item->product = fb_intern_add(cat->products, item->product_id);
    if (item->text < 0 || item->product < 0)
        return fail_memory(ctx, cat);
    for (int32_t i = 0; i < FB_CATEGORY_LEVELS; i++) {
        item->category[i] = -1;
        if (!row->category[i])
            continue;
        item->category[i] = fb_intern_add(cat->categories[i], row->category[i]);
        if (item->category[i] < 0)
            return fail_memory(ctx, cat);
    }
    return FB_OK;
}

static fb_status add_line(fb_context *ctx, fb_catalogue *cat, const char *path,
                          int32_t line, const char *text, size_t size, bool check)
{
    char name[4096 + 16];
    snprintf(name, sizeof name, "%s:%d", path, line);
    fb_catalogue_row row = {0};
    FB_TRY(fb_catalogue_row_read(ctx, name, text, size, &cat->pool, &row));
    if (check)
        FB_TRY(check_file(ctx, cat, name, row.item.file_name));
    FB_TRY(add_keys(ctx, cat, &row));
    row.item.line = line;
    if (cat->count == cat->capacity) {
        int32_t capacity = cat->capacity ? cat->capacity * 2 : FIRST_ITEMS;
        fb_catalogue_item *items =
            realloc(cat->items, (size_t)capacity * sizeof *items);
        if (!items)
            return fail_memory(ctx, cat);
        cat->items = items;
        cat->capacity = capacity;
    }
    cat->items[cat->count++] = row.item;
    return FB_OK;
}

static bool is_blank(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!memchr(" \t\r", text[i], 3))
            return false;
    return true;
}

static fb_status read_lines(fb_context *ctx, fb_catalogue *cat, const char *path,
                            const fb_map *map, bool check)
{
    const char *at = (const char *)map->bytes, *end = at + map->size_bytes;
    if (map->size_bytes >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0)
        at += 3;
    for (int32_t line = 1; at < end; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((stop ? stop : end) - at);
        if (line > FB_METADATA_LINES_MAX)
            return fb_fail(ctx, FB_E_LIMIT, "%s:%d: at most %d lines are allowed", path,
                           line, FB_METADATA_LINES_MAX);
        if (!is_blank(at, size))
            FB_TRY(add_line(ctx, cat, path, line, at, size, check));
        at += size + 1;
    }
    if (cat->count == 0)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: no rows; every line is one JSON object with file_name and "
                       "title",
                       path);
    return FB_OK;
}

/* Most distinct values first; a stable sort of three. */
static void order_levels(fb_catalogue *cat)
{
    int32_t order[FB_CATEGORY_LEVELS] = {0, 1, 2};
    for (int32_t i = 1; i < FB_CATEGORY_LEVELS; i++)
        for (int32_t j = i; j > 0 && fb_intern_count(cat->categories[order[j]]) >
                                         fb_intern_count(cat->categories[order[j - 1]]);
             j--) {
            int32_t swap = order[j];
            order[j] = order[j - 1];
            order[j - 1] = swap;
        }
    fb_intern *sorted[FB_CATEGORY_LEVELS];
    for (int32_t i = 0; i < FB_CATEGORY_LEVELS; i++) {
        sorted[i] = cat->categories[order[i]];
        cat->level_names[i] = fb_category_fields[order[i]];
        if (fb_intern_count(sorted[i]) > 0)
            cat->levels = i + 1;
    }
    memcpy(cat->categories, sorted, sizeof sorted);
    for (int32_t n = 0; n < cat->count; n++) {
        int32_t keys[FB_CATEGORY_LEVELS];
        for (int32_t i = 0; i < FB_CATEGORY_LEVELS; i++)
            keys[i] = cat->items[n].category[order[i]];
        memcpy(cat->items[n].category, keys, sizeof keys);
    }
}

static fb_status list_splits(fb_context *ctx, fb_catalogue *cat)
{
    for (int s = 0; s < FB_SPLITS; s++) {
        cat->split_items[s] = malloc((size_t)cat->count * sizeof(int32_t));
        if (!cat->split_items[s])
            return fail_memory(ctx, cat);
    }
    for (int32_t i = 0; i < cat->count; i++) {
        fb_split split = cat->items[i].split;
        cat->split_items[split][cat->split_count[split]++] = i;
    }
    cat->image_keys = calloc((size_t)cat->count, sizeof *cat->image_keys);
    return cat->image_keys ? FB_OK : fail_memory(ctx, cat);
}

static uint64_t fingerprint(const fb_catalogue *cat)
{
    uint64_t hash = (uint64_t)cat->count;
    for (int32_t i = 0; i < cat->count; i++) {
        const fb_catalogue_item *item = &cat->items[i];
        hash = fb_hash_bytes(hash, item->file_name, strlen(item->file_name));
        hash = fb_hash_bytes(hash, item->product_id, strlen(item->product_id));
        hash = fb_hash_bytes(hash, item->title, strlen(item->title));
        hash = fb_hash_bytes(hash + (uint64_t)item->split, "", 0);
    }
    return hash;
}

static fb_status fill(fb_context *ctx, fb_catalogue *cat, const char *folder,
                      const fb_catalogue_options *options)
{
    char path[4096];
    fb_map map = {0};
    FB_TRY(fb_path_join(ctx, path, folder, "metadata.jsonl"));
    snprintf(cat->folder, sizeof cat->folder, "%s", folder);
    cat->arena = fb_arena_create(ARENA_CHUNK_BYTES);
    cat->pool.arena = cat->arena;
    cat->products = fb_intern_create();
    cat->texts = fb_intern_create();
    if (!cat->arena || !cat->products || !cat->texts)
        return fail_memory(ctx, cat);
    for (int32_t i = 0; i < FB_CATEGORY_LEVELS; i++)
        if (!(cat->categories[i] = fb_intern_create()))
            return fail_memory(ctx, cat);
    FB_TRY(fb_map_open(ctx, path, &map));
    bool check = !options || (!options->skip_file_check && !options->files_may_lack);
    cat->files_may_lack = options && options->files_may_lack;
    fb_status status = read_lines(ctx, cat, path, &map, check);
    fb_map_close(&map);
    FB_TRY(status);
    order_levels(cat);
    cat->fingerprint = fingerprint(cat);
    return list_splits(ctx, cat);
}

fb_status fb_catalogue_open(fb_context *ctx, fb_catalogue **catalogue,
                            const char *folder, const fb_catalogue_options *options)
{
    fb_catalogue *cat = calloc(1, sizeof *cat);
    if (!cat)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for a catalogue", folder);
    fb_status status = fill(ctx, cat, folder, options);
    if (status == FB_OK)
        *catalogue = cat;
    else
        fb_catalogue_close(cat);
    return status;
}

void fb_catalogue_close(fb_catalogue *cat)
{
    if (!cat)
        return;
    for (int i = 0; i < FB_SPLITS; i++)
        free(cat->split_items[i]);
    for (int i = 0; i < FB_CATEGORY_LEVELS; i++)
        fb_intern_free(cat->categories[i]);
    fb_intern_free(cat->products);
    fb_intern_free(cat->texts);
    fb_arena_free(cat->arena);
    free(cat->items);
    free((void *)cat->image_keys);
    free(cat);
}

const char *fb_catalogue_folder(const fb_catalogue *cat)
{
    return cat->folder;
}

int32_t fb_catalogue_count(const fb_catalogue *cat)
{
    return cat->count;
}

const fb_catalogue_item *fb_catalogue_get(const fb_catalogue *cat, int32_t item)
{
    return &cat->items[item];
}

const int32_t *fb_catalogue_split_items(const fb_catalogue *cat, fb_split split,
                                        int32_t *count)
{
    *count = cat->split_count[split];
    return cat->split_items[split];
}

int32_t fb_catalogue_levels(const fb_catalogue *cat)
{
    return cat->levels;
}

const char *fb_catalogue_level_name(const fb_catalogue *cat, int32_t level)
{
    return cat->level_names[level];
}

int32_t fb_catalogue_category_count(const fb_catalogue *cat, int32_t level)
{
    return fb_intern_count(cat->categories[level]);
}

const char *fb_catalogue_category_name(const fb_catalogue *cat, int32_t level,
                                       int32_t key)
{
    return fb_intern_text(cat->categories[level], key);
}

int32_t fb_catalogue_products(const fb_catalogue *cat)
{
    return fb_intern_count(cat->products);
}

int32_t fb_catalogue_texts(const fb_catalogue *cat)
{
    return fb_intern_count(cat->texts);
}

const char *fb_catalogue_attribute(const fb_catalogue_item *item, const char *name)
{
    for (int32_t i = 0; i < item->attribute_count; i++)
        if (strcmp(item->attributes[2 * (ptrdiff_t)i], name) == 0)
            return item->attributes[2 * (ptrdiff_t)i + 1];
    return NULL;
}

uint64_t fb_catalogue_fingerprint(const fb_catalogue *cat)
{
    return cat->fingerprint;
}

fb_status fb_catalogue_image_path(fb_context *ctx, const fb_catalogue *cat,
                                  int32_t item, char out[4096])
{
    return fb_path_join(ctx, out, cat->folder, cat->items[item].file_name);
}

fb_status fb_catalogue_image_key(fb_context *ctx, const fb_catalogue *cat, int32_t item,
                                 uint64_t *key)
{
    uint64_t known = atomic_load_explicit(&cat->image_keys[item], memory_order_relaxed);
    if (known == 0) {
        char path[4096];
        uint8_t *bytes = NULL;
        size_t size = 0;
        FB_TRY(fb_catalogue_image_path(ctx, cat, item, path));
        if (cat->files_may_lack && !fb_path_exists(path)) {
            const char *name = cat->items[item].file_name;
            known = fb_hash_bytes(1, name, strlen(name));
        } else {
            FB_TRY(fb_file_read(ctx, path, IMAGE_BYTES_MAX, &bytes, &size));
            known = fb_hash_bytes(0, bytes, size);
            free(bytes);
        }
        known += known == 0;
        atomic_store_explicit(&cat->image_keys[item], known, memory_order_relaxed);
    }
    *key = known;
    return FB_OK;
}
