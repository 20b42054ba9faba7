/* region_table.c - see region_table.h. */
#include "data/regions/region_table.h"

#include <stdlib.h>
#include <string.h>

/* *item: the first of the image that entry `image` of the file means, -1: of none. */
static fb_status find_item(fb_context *ctx, const fb_region_table *t, int32_t image,
                           int32_t *item)
{
    const char *name = fb_region_file_get(t->file, image).name;
    *item = fb_region_names_find(t->names, name);
    if (*item == FB_REGION_NAME_AMBIGUOUS)
        return fb_fail(
            ctx, FB_E_FORMAT,
            "%s: \"%.200s\" may be several images of %s; import the features "
            "with --catalog",
            t->path, name, fb_catalogue_folder(t->catalogue));
    if (*item >= 0 && t->image[*item] >= 0)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: \"%.200s\" and \"%.200s\" are one image of %s", t->path,
                       fb_region_file_get(t->file, t->image[*item]).name, name,
                       fb_catalogue_folder(t->catalogue));
    return FB_OK;
}

static fb_status fill(fb_context *ctx, fb_region_table *t)
{
    int32_t items = fb_catalogue_count(t->catalogue);
    for (int32_t i = 0; i < items; i++)
        t->image[i] = -1;
    for (int32_t n = 0; n < fb_region_file_images(t->file); n++) {
        int32_t item;
        FB_TRY(find_item(ctx, t, n, &item));
        if (item >= 0)
            t->image[item] = n;
    }
    for (int32_t i = 0; i < items; i++) /* further items of an image */
        t->image[i] = t->image[fb_region_names_first(t->names, i)];
    return FB_OK;
}

static fb_status open_parts(fb_context *ctx, fb_region_table *t, const char *path)
{
    if (strlen(path) >= sizeof t->path)
        return fb_fail(ctx, FB_E_LIMIT, "%.64s...: path too long", path);
    memcpy(t->path, path, strlen(path) + 1);
    FB_TRY(fb_region_file_open(ctx, &t->file, path));
    if (!t->catalogue)
        return FB_OK;
    size_t items = (size_t)fb_catalogue_count(t->catalogue);
    t->image = malloc((items + 1) * sizeof *t->image);
    if (!t->image)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the regions of %zu images",
                       items);
    FB_TRY(fb_region_names_create(ctx, &t->names, t->catalogue));
    return fill(ctx, t);
}

fb_status fb_region_table_open(fb_context *ctx, fb_region_table **table,
                               const char *path, const fb_catalogue *catalogue,
                               int32_t limit)
{
    fb_region_table *t = calloc(1, sizeof *t);
    if (!t)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for regions");
    t->catalogue = catalogue;
    fb_status status = open_parts(ctx, t, path);
    if (status != FB_OK) {
        fb_region_table_close(t);
        return status;
    }
    int32_t most = fb_region_file_most(t->file);
    t->most = limit > 0 && limit < most ? limit : most;
    *table = t;
    return FB_OK;
}

void fb_region_table_close(fb_region_table *table)
{
    if (!table)
        return;
    fb_region_file_close(table->file);
    fb_region_names_free(table->names);
    free(table->image);
    free(table);
}

int32_t fb_region_table_width(const fb_region_table *table)
{
    return fb_region_file_width(table->file);
}

fb_region_kind fb_region_table_kind(const fb_region_table *table)
{
    return (fb_region_kind){.width = fb_region_file_width(table->file),
                            .boxes = fb_region_file_has_boxes(table->file),
                            .classes = fb_region_file_classes(table->file) > 0};
}

/* Numbers are trusted elsewhere; these are places in tables. */
static fb_status check_classes(fb_context *ctx, const fb_region_table *t,
                               const int32_t *items, int64_t count)
{
    int32_t classes = fb_region_file_classes(t->file);
    for (int64_t i = 0; i < count && classes > 0; i++) {
        fb_region_image r = fb_region_file_get(t->file, t->image[items[i]]);
        for (int32_t k = 0; k < r.regions; k++)
            if (r.classes[k] < 0 || r.classes[k] >= classes)
                return fb_fail(ctx, FB_E_FORMAT, "%s: the regions of %s are damaged",
                               t->path, r.name);
    }
    return FB_OK;
}

fb_status fb_region_table_check(fb_context *ctx, const fb_region_table *t,
                                const int32_t *items, int64_t count)
{
    int64_t missing = 0;
    int32_t first = -1;
    for (int64_t i = 0; i < count; i++)
        if (t->image[items[i]] < 0 && missing++ == 0)
            first = items[i];
    if (missing == 0)
        return check_classes(ctx, t, items, count);
    return fb_fail(ctx, FB_E_MISSING,
                   "%s has no regions of %s, nor of %lld others of the %lld products "
                   "of %s that are needed",
                   t->path, fb_catalogue_get(t->catalogue, first)->file_name,
                   (long long)missing - 1, (long long)count,
                   fb_catalogue_folder(t->catalogue));
}

static fb_regions take(const fb_region_table *t, int32_t image)
{
    fb_region_image r = fb_region_file_get(t->file, image);
    return (fb_regions){.count = r.regions < t->most ? r.regions : t->most,
                        .features = r.features,
                        .boxes = r.boxes,
                        .classes = r.classes,
                        .scores = r.scores};
}

fb_regions fb_region_table_get(const fb_region_table *t, int32_t item)
{
    return take(t, t->image[item]);
}

/* The image of the catalogue's file at `path`; -1: it has no such file. */
static int32_t find_in_catalogue(const fb_region_table *t, const char *path)
{
    const char *folder = fb_catalogue_folder(t->catalogue);
    size_t size = strlen(folder);
    if (strncmp(path, folder, size) != 0)
        return -1;
    path += size;
    int32_t item = fb_region_names_find(t->names, path + (path[0] == '/'));
    return item < 0 ? -1 : t->image[item];
}

static int32_t find_by_name(const fb_region_table *t, const char *path)
{
    int32_t image = fb_region_file_find(t->file, path);
    const char *name = path;
    for (const char *slash; image < 0 && (slash = strchr(name, '/')); name = slash + 1)
        image = fb_region_file_find(t->file, slash + 1);
    const char *dot = strrchr(name, '.');
    char stem[256];
    snprintf(stem, sizeof stem, "%.*s", dot ? (int)(dot - name) : 0, name);
    return image < 0 && stem[0] ? fb_region_file_find(t->file, stem) : image;
}

fb_status fb_region_table_find(fb_context *ctx, const fb_region_table *t,
                               const char *path, fb_regions *regions)
{
    int32_t image = t->catalogue ? find_in_catalogue(t, path) : -1;
    if (image < 0)
        image = find_by_name(t, path);
    if (image < 0)
        return fb_fail(ctx, FB_E_MISSING, "%s has no regions of %s", t->path, path);
    *regions = take(t, image);
    return FB_OK;
}
