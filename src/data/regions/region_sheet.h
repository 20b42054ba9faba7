/* region_sheet.h - photos with their regions beside the same photos cut into patches, in
 * one picture for a person to look at.
 *
 *     [photo with boxes] [photo with patch grid]   [photo with boxes] ...
 *     title of the photo, 9 regions
 */
#ifndef FB_DATA_REGIONS_REGION_SHEET_H
#define FB_DATA_REGIONS_REGION_SHEET_H

#include "data/image/image_resize.h"

typedef struct fb_region_photo {
    const char *path, *title;
    const float *boxes; /* [count, 4] shares of the photo */
    int32_t count;
} fb_region_photo;

/* A new image of the photos in rows of FB_REGION_SHEET_PAIRS, with grid x grid patches.
 * FB_E_USAGE (no photo), FB_E_LIMIT (too large a sheet), and what reading a photo gives.
 */
enum { FB_REGION_SHEET_PAIRS = 4 };
fb_status fb_region_sheet_draw(fb_context *ctx, fb_image *sheet,
                               const fb_region_photo *photos, int32_t count,
                               int32_t grid);

#endif
