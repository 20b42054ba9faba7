/* model_regions.h - where a model of regions (config.regions) finds those of its images:
 * in a region file, by the images' paths, since regions come from elsewhere and a photo
 * says nothing to it. */
#ifndef FB_ENGINE_MODEL_REGIONS_H
#define FB_ENGINE_MODEL_REGIONS_H

#include "data/catalogue/catalogue.h"
#include "engine/model_folder.h"

/* Take the regions of `path` from here on, in the place of an earlier file's; the
 * catalogue (NULL: none) is borrowed until the model is closed. `path` "": none, which
 * is as it should be of a model of photos.
 * FB_E_USAGE  a model of photos with a file, one of regions without; features of
 *             another width, or no boxes where the system needs them
 * else        as fb_region_table_open */
fb_status fb_model_open_regions(fb_context *ctx, fb_model *model, const char *path,
                                const fb_catalogue *catalogue);
/* The same checks of a file that is open, for whoever trains. `who` begins sentences. */
fb_status fb_regions_check(fb_context *ctx, const char *who,
                           const fb_model_config *config, const fb_region_table *table);
/* FB_E_STATE: the model reads regions; `verb` takes photos. */
fb_status fb_model_check_photos(fb_context *ctx, const fb_model *model,
                                const char *verb);

/* Of an image of a caller's. FB_E_MISSING: the file has none of it. FB_E_USAGE: it is
 * not a file. */
fb_status fb_model_find_regions(fb_context *ctx, const fb_model *model,
                                const char *path, fb_regions *regions);
fb_status fb_model_input_regions(fb_context *ctx, const fb_model *model,
                                 const fb_image_input *image, int64_t number,
                                 fb_regions *regions);

#endif
