/* model_regions.c - see model_regions.h. */
#include "engine/model_regions.h"

fb_status fb_regions_check(fb_context *ctx, const char *who, const fb_model_config *c,
                           const fb_region_table *t)
{
    const fb_system *s = fb_model_config_system(c);
    if (fb_region_table_width(t) != c->region_width)
        return fb_fail(ctx, FB_E_USAGE,
                       "%s has features of %d numbers a region; %s reads %d", t->path,
                       (int)fb_region_table_width(t), who, (int)c->region_width);
    if ((s->reads & FB_READS_BOXES) && !fb_region_table_kind(t).boxes)
        return fb_fail(ctx, FB_E_USAGE,
                       "%s has no boxes, which %s needs; import features from a file "
                       "that has them",
                       t->path, s->name);
    return FB_OK;
}

fb_status fb_model_open_regions(fb_context *ctx, fb_model *model, const char *path,
                                const fb_catalogue *catalogue)
{
    const fb_model_config *c = &model->matcher->config;
    fb_region_table *table = NULL;
    if (!c->regions && !path[0])
        return FB_OK;
    if (!c->regions)
        return fb_fail(
            ctx, FB_E_USAGE,
            "--regions %s: %s reads photos; it was trained without --regions", path,
            model->folder);
    if (!path[0])
        return fb_fail(ctx, FB_E_USAGE,
                       "%s was trained with --regions: it needs those of these images; "
                       "give their features with --regions FILE",
                       model->folder);
    FB_TRY(fb_region_table_open(ctx, &table, path, catalogue, c->region_most));
    fb_status status = fb_regions_check(ctx, model->folder, c, table);
    if (status == FB_OK)
        status = fb_scorer_use_regions(ctx, model->scorer, fb_region_table_kind(table));
    if (status != FB_OK) {
        fb_region_table_close(table);
        return status;
    }
    fb_region_table_close(model->regions);
    model->regions = table;
    return FB_OK;
}

bool fb_model_takes_regions(const fb_model *model)
{
    return model->matcher->config.regions;
}

fb_status fb_model_use_regions(fb_context *ctx, fb_model *model, const char *file)
{
    return fb_model_open_regions(ctx, model, file, NULL);
}

fb_status fb_model_check_photos(fb_context *ctx, const fb_model *model,
                                const char *verb)
{
    if (!model->matcher->config.regions)
        return FB_OK;
    return fb_fail(ctx, FB_E_STATE,
                   "%s was trained with --regions and reads no photos, which %s is "
                   "about; match, search, evaluate, encode and index take features of "
                   "regions with --regions FILE",
                   model->folder, verb);
}

fb_status fb_model_find_regions(fb_context *ctx, const fb_model *model,
                                const char *path, fb_regions *regions)
{
    return fb_region_table_find(ctx, model->regions, path, regions);
}

fb_status fb_model_input_regions(fb_context *ctx, const fb_model *model,
                                 const fb_image_input *image, int64_t number,
                                 fb_regions *regions)
{
    if (!image->file)
        return fb_fail(ctx, FB_E_USAGE,
                       "image %lld has no file name, by which its regions are found",
                       (long long)number);
    return fb_model_find_regions(ctx, model, image->file, regions);
}
