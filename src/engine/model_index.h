/* model_index.h - whether a model and an index go together. */
#ifndef FB_ENGINE_MODEL_INDEX_H
#define FB_ENGINE_MODEL_INDEX_H

#include "engine/model_folder.h"
#include "retrieval/index/index_store.h"

/* FB_E_STATE: the model gives no vectors, or the index is of another model, or of
 * vectors of another length. `folder` is what sentences call the index. */
fb_status fb_index_check_model(fb_context *ctx, const char *folder,
                               const fb_index_manifest *manifest,
                               const fb_model *model);

#endif
