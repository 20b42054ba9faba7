/* train_regions.c - see train_regions.h. */
#include "training/train_regions.h"

#include "engine/model_regions.h"

#include <string.h>

static bool is_auto(const char *word)
{
    return strcmp(word, "auto") == 0;
}

/* The first option about photos that was said; NULL: none. */
static const char *said_of_photos(const fb_train_options *o)
{
    const struct {
        bool said;
        const char *name;
    } options[] = {{!is_auto(o->encoder), "--encoder"},
                   {o->encoder_weights[0] != 0, "--encoder-weights"},
                   {o->freeze_encoder, "--freeze-encoder"},
                   {o->feature_cache[0] != 0, "--feature-cache"},
                   {!is_auto(o->patches), "--patches"},
                   {o->patch_size >= 0, "--patch-size"},
                   {o->image_size >= 0, "--image-size"},
                   {!is_auto(o->fit), "--fit"},
                   {o->flip > 0, "--flip"},
                   {o->shift > 0, "--shift"},
                   {o->zoom > 0, "--zoom"}};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (options[i].said)
            return options[i].name;
    return NULL;
}

fb_status fb_train_regions_settle(fb_context *ctx, fb_train_options *o)
{
    if (!o->regions[0])
        return o->regions_most
                   ? fb_fail(ctx, FB_E_USAGE,
                             "--regions-most %d is of --regions FILE, which "
                             "was not given",
                             (int)o->regions_most)
                   : FB_OK;
    const char *said = said_of_photos(o);
    if (said)
        return fb_fail(ctx, FB_E_USAGE,
                       "%s is about photos, which are not read with --regions %s; give "
                       "one of the two",
                       said, o->regions);
    o->encoder = fb_encoder_at(0)->name; /* which has no network */
    o->patches = "grid";
    o->fit = "squash";
    o->flip = o->shift = o->zoom = 0;
    return FB_OK;
}

static fb_status check_split(fb_train_run *run, fb_split split)
{
    int32_t count;
    const int32_t *items = fb_catalogue_split_items(run->catalogue, split, &count);
    return fb_region_table_check(run->ctx, run->regions, items, count);
}

fb_status fb_train_regions_open(fb_train_run *run)
{
    const fb_train_options *o = &run->options;
    uint32_t reads = run->system->reads;
    bool photos = reads & (FB_READS_PIXELS | FB_READS_FEATURES);
    if (!o->regions[0])
        return photos ? FB_OK
                      : fb_fail(run->ctx, FB_E_USAGE,
                                "%s reads regions of images; give their features with "
                                "--regions FILE",
                                run->system->name);
    FB_TRY(fb_region_table_open(run->ctx, &run->regions, o->regions, run->catalogue,
                                o->regions_most));
    FB_TRY(check_split(run, FB_SPLIT_TRAIN));
    return check_split(run, FB_SPLIT_VAL);
}

fb_status fb_train_regions_configure(fb_train_run *run, fb_model_config *config)
{
    bool before = run->start.kind == FB_START_MODEL && run->start.config.regions;
    bool model = run->start.kind == FB_START_MODEL;
    config->regions = run->regions != NULL;
    config->region_width = config->region_most = config->region_classes = 0;
    if (model && before != config->regions)
        return fb_fail(run->ctx, FB_E_USAGE,
                       before
                           ? "--init %s: a model of regions; give their features with "
                             "--regions FILE"
                           : "--init %s: a model of photos, from which there is no "
                             "going on with --regions",
                       run->options.init);
    if (!config->regions)
        return FB_OK;
    config->region_width = fb_region_table_width(run->regions);
    config->region_most = run->regions->most;
    config->region_classes = fb_region_file_classes(run->regions->file);
    if (before && config->region_width != run->start.config.region_width)
        return fb_regions_check(run->ctx, run->options.init, &run->start.config,
                                run->regions);
    if (before && config->region_most < run->start.config.region_most)
        config->region_most = run->start.config.region_most;
    return fb_regions_check(run->ctx, run->system->name, config, run->regions);
}

fb_status fb_train_regions_check(fb_train_run *run, const fb_model_config *config)
{
    if (!run->regions)
        return FB_OK;
    FB_TRY(fb_regions_check(run->ctx, run->options.out, config, run->regions));
    if (run->regions->most > config->region_most)
        run->regions->most = config->region_most;
    return FB_OK;
}
