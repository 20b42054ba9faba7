/* heat_map.h - an explanation as a picture (saliency map): which parts of the photo,
 * and which words, speak for a match and which against.
 *
 *     P(match) 0.931   score +2.60 (both)
 *     [photo]  [the same in grey, each patch tinted by its weight]
 *     red       +1.32  |========
 *     dress     -0.40 =|
 *
 * Red is for, blue against; the strongest patch, and the longest bar, is the largest
 * weight of its kind. A patch is tinted as a whole: finer than that the model does not
 * say.
 */
#ifndef FB_DATA_IMAGE_HEAT_MAP_H
#define FB_DATA_IMAGE_HEAT_MAP_H

#include "data/image/image_resize.h"
#include "fashionbert.h"

/* picture is new: fb_image_free it. FB_E_LIMIT, FB_E_MEMORY: picture is untouched */
fb_status fb_heat_map_draw(fb_context *ctx, const fb_explanation *explanation,
                           const fb_image *photo, fb_image *picture);

#endif
