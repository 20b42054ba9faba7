/* region_table.c - see region_table.h. */
#include "data/regions/region_table.h"

#include "data/regions/region_names.h"

#include <stdlib.h>

/* *item: the first of the image that entry `image` of the file means, -1: of none. */
static fb_status find_item(fb_context *ctx, const fb_region_table *t,
                           const fb_region_names *names, int32_t image, int32_t *item)
{
    const char *name = fb_region_file_get(t->file, image).name;
    *item = fb_region_names_find(names, name);
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

static fb_status fill(fb_context *ctx, fb_region_table *t, const fb_region_names *names)
{
    int32_t items = fb_catalogue_count(t->catalogue);
    for (int32_t i = 0; i < items; i++)
        t->image[i] = -1;
    for (int32_t n = 0; n < fb_region_file_images(t->file); n++) {
        int32_t item;
        FB_TRY(find_item(ctx, t, names, n, &item));
        if (item >= 0)
            t->image[item] = n;
    }
    for (int32_t i = 0; i < items; i++) /* further items of an image */
        t->image[i] = t->image[fb_region_names_first(names, i)];
    return FB_OK;
}

fb_status fb_region_table_open(fb_context *ctx, fb_region_table **table,
                               const char *path, const fb_catalogue *catalogue,
                               int32_t limit)
{
    size_t items = (size_t)fb_catalogue_count(catalogue);
    fb_region_names *names = NULL;
    fb_region_table *t = calloc(1, sizeof *t);
    if (t)
        t->image = malloc((items + 1) * sizeof *t->image);
    if (!t || !t->image) {
        free(t);
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the regions of %zu images",
                       items);
    }
    t->catalogue = catalogue;
    t->path = path;
    fb_status status = fb_region_file_open(ctx, &t->file, path);
    if (status == FB_OK)
        status = fb_region_names_create(ctx, &names, catalogue);
    if (status == FB_OK)
        status = fill(ctx, t, names);
    fb_region_names_free(names);
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
                            .boxes = fb_region_file_has_boxes(table->file)};
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
        return FB_OK;
    return fb_fail(ctx, FB_E_MISSING,
                   "%s has no regions of %s, nor of %lld others of the %lld products "
                   "of %s that are needed",
                   t->path, fb_catalogue_get(t->catalogue, first)->file_name,
                   (long long)missing - 1, (long long)count,
                   fb_catalogue_folder(t->catalogue));
}

fb_regions fb_region_table_get(const fb_region_table *t, int32_t item)
{
    fb_region_image r = fb_region_file_get(t->file, t->image[item]);
    return (fb_regions){.count = r.regions < t->most ? r.regions : t->most,
                        .features = r.features,
                        .boxes = r.boxes};
}
