/* index_rows.c - opening an index for a model, and marking the rows of products that
 * are to leave it. */
#include "engine/model_vectors.h"
#include "tasks/index_task.h"

#include "retrieval/postgres/pg_store.h"

#include <stdlib.h>
#include <string.h>

fb_status fb_index_check_model(fb_context *ctx, const char *folder,
                               const fb_index_manifest *manifest, const fb_model *model)
{
    int32_t width = fb_model_vector_size(model);
    FB_TRY(fb_model_check_vectors(ctx, model));
    if (width != manifest->width)
        return fb_fail(ctx, FB_E_STATE,
                       "%s: its vectors have %d numbers, those of the model %s have %d",
                       folder, (int)manifest->width, model->folder, (int)width);
    if (manifest->fingerprint && manifest->fingerprint != fb_model_fingerprint(model))
        return fb_fail(ctx, FB_E_STATE,
                       "%s: an index of another model (%.500s), not of %s; make the "
                       "index again with this one",
                       folder, manifest->model, model->folder);
    return FB_OK;
}

fb_status fb_index_open(fb_context *ctx, fb_index **index, const char *folder,
                        const fb_model *model)
{
    fb_index *x = NULL;
    if (fb_pg_is_store(folder))
        FB_TRY(fb_pg_store_open(ctx, &x, folder));
    else
        FB_TRY(fb_index_load(ctx, &x, folder, model ? model->be->threads : 0));
    fb_status status =
        model ? fb_index_check_model(ctx, x->folder, &x->manifest, model) : FB_OK;
    if (status != FB_OK) {
        fb_index_unload(x);
        return status;
    }
    *index = x;
    return FB_OK;
}

void fb_index_close(fb_index *index)
{
    fb_index_unload(index);
}

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
            FB_TRY(fb_index_change_delete(&b->change, i, b->deleted[i]));
    return FB_OK;
}
