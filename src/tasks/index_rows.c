/* index_rows.c - marking the rows of products that are to leave an index. */
#include "tasks/index_build.h"

#include <stdlib.h>

/* Mark all alive rows of a product; *found says whether there is one. */
static fb_status mark(build *b, const char *id, bool *found)
{
    *found = false;
    for (int32_t i = 0; i < b->there->segment_count; i++) {
        const fb_segment *s = &b->there->segment[i];
        int64_t first = fb_product_table_find(s->products, id);
        if (first < 0 || !fb_segment_is_alive(s, first))
            continue;
        *found = true;
        if (!b->deleted[i])
            b->deleted[i] = calloc((size_t)s->rows + 1, 1);
        if (!b->deleted[i])
            return fb_fail(b->ctx, FB_E_MEMORY, "no memory to delete products");
        b->report.deleted += b->deleted[i][first] == 0;
        b->deleted[i][first] = 1;
    }
    return FB_OK;
}

/* All rows of a product leave with its first. */
static void mark_others(build *b)
{
    for (int32_t i = 0; i < b->there->segment_count; i++) {
        const fb_segment *s = &b->there->segment[i];
        for (int64_t r = 0; r < s->rows && b->deleted[i]; r++)
            b->deleted[i][r] = b->deleted[i][fb_product_table_first(s->products, r)];
    }
}

fb_status fb_index_mark_products(build *b, bool replace)
{
    for (int64_t i = 0; i < b->item_count; i++) {
        const char *id = fb_catalogue_get(b->catalogue, b->items[i])->product_id;
        bool found;
        FB_TRY(mark(b, id, &found));
        if (found && !replace)
            return fb_fail(b->ctx, FB_E_USAGE,
                           "product %.100s is in %s already; use --replace to put the "
                           "catalogue's products in the place of theirs",
                           id, b->change.folder);
    }
    mark_others(b);
    return FB_OK;
}

fb_status fb_index_mark_ids(build *b)
{
    for (int32_t i = 0; i < b->options->id_count; i++) {
        bool found;
        FB_TRY(mark(b, b->options->ids[i], &found));
        if (!found)
            return fb_fail(b->ctx, FB_E_MISSING, "product %.100s is not in %s",
                           b->options->ids[i], b->change.folder);
    }
    mark_others(b);
    return FB_OK;
}

fb_status fb_index_delete_marked(build *b)
{
    for (int32_t i = 0; i < b->there->segment_count; i++)
        if (b->deleted[i])
            FB_TRY(fb_index_change_delete(b->ctx, &b->change, i, b->deleted[i]));
    return FB_OK;
}
