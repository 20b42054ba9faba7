/* region_source.c - see region_source.h. */
#include "data/regions/region_source.h"
#include "data/regions/region_file.h"

#include <math.h>

/* Detectors count pixels from 0 or 1, to the last one or behind it. */
#define SLACK_PIXELS 1.5f

static fb_status check_finite(fb_context *ctx, const fb_region_record *r)
{
    size_t count = (size_t)r->regions * (size_t)r->feature_width;
    for (size_t i = 0; i < count; i++)
        if (!isfinite(r->features[i]))
            return fb_fail(ctx, FB_E_NUMBER, "number %zu of region %zu is not finite",
                           i % (size_t)r->feature_width, i / (size_t)r->feature_width);
    return FB_OK;
}

static float cut(float share)
{
    return share < 0 ? 0 : share > 1 ? 1 : share;
}

/* `<` and `>` as written, so that NaN fails. */
static bool is_inside(const float *box, float width, float height, float slack)
{
    return box[0] >= -slack && box[1] >= -slack && box[0] <= box[2] &&
           box[1] <= box[3] && box[2] <= width + slack && box[3] <= height + slack;
}

static fb_status check_boxes(fb_context *ctx, const fb_region_record *r, float *out)
{
    bool known = r->width > 0 && r->height > 0;
    float width = known ? (float)r->width : 1, height = known ? (float)r->height : 1;
    float slack = known ? SLACK_PIXELS : 1e-3f;
    bool turned = known;
    for (int32_t i = 0; i < r->regions; i++)
        turned &= is_inside(r->boxes + 4 * i, height, width, slack);
    for (int32_t i = 0; i < r->regions; i++) {
        const float *box = r->boxes + 4 * i;
        if (!is_inside(box, width, height, slack))
            return fb_fail(ctx, FB_E_FORMAT,
                           "box %d (%g, %g, %g, %g) is not within the image's %g x "
                           "%g%s%s",
                           (int)i, (double)box[0], (double)box[1], (double)box[2],
                           (double)box[3], (double)width, (double)height,
                           turned ? "; it would be, were width and height exchanged"
                                  : "",
                           known ? "" : "; boxes without a size are shares, 0 to 1");
        out[4 * i] = cut(box[0] / width);
        out[4 * i + 1] = cut(box[1] / height);
        out[4 * i + 2] = cut(box[2] / width);
        out[4 * i + 3] = cut(box[3] / height);
    }
    return FB_OK;
}

static fb_status check_classes(fb_context *ctx, const fb_region_record *r)
{
    for (int32_t i = 0; r->classes && i < r->regions; i++) {
        if (r->classes[i] < 0 || r->classes[i] >= FB_REGION_CLASSES_MOST)
            return fb_fail(ctx, FB_E_FORMAT, "class %d of region %d, 0 to %d are read",
                           (int)r->classes[i], (int)i, FB_REGION_CLASSES_MOST - 1);
        if (!(r->scores[i] >= 0 && r->scores[i] <= 1))
            return fb_fail(ctx, FB_E_NUMBER,
                           "a score of %g of region %d; 0 to 1 is right",
                           (double)r->scores[i], (int)i);
    }
    return FB_OK;
}

fb_status fb_region_record_check(fb_context *ctx, const fb_region_record *r,
                                 float *boxes_out)
{
    if (r->regions < 1 || r->regions > FB_REGIONS_MOST)
        return fb_fail(ctx, FB_E_FORMAT, "%d regions, 1 to %d are read",
                       (int)r->regions, FB_REGIONS_MOST);
    if (r->feature_width < 1 || r->feature_width > FB_REGION_WIDTH_MOST)
        return fb_fail(ctx, FB_E_FORMAT, "features of %d numbers, 1 to %d are read",
                       (int)r->feature_width, FB_REGION_WIDTH_MOST);
    FB_TRY(check_finite(ctx, r));
    FB_TRY(check_classes(ctx, r));
    return r->boxes ? check_boxes(ctx, r, boxes_out) : FB_OK;
}
