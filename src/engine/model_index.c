/* model_index.c - an index opened for a model. */
#include "engine/model_index.h"

#include "engine/model_vectors.h"
#include "retrieval/postgres/pg_store.h"

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
