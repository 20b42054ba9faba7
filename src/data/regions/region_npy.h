/* region_npy.h - regions from numpy's arrays.
 *
 *     x.npy   [N, n, F]   N images, told by their place
 *             [n, F]      one image, called by the file: x
 *     x.npz   "features", "feat" or "x": either of these shapes
 *             "boxes" or "bbox" (may be absent): [N, n, 4] or [n, 4], x1, y1, x2, y2 in
 *             pixels where there is "sizes": [N, 2] or [2], width and height; else
 *             shares of the image, 0 to 1
 *
 * Arrays are read image by image, whatever their size.
 */
#ifndef FB_DATA_REGIONS_REGION_NPY_H
#define FB_DATA_REGIONS_REGION_NPY_H

#include "data/regions/region_source.h"

/* FB_E_MISSING  no such file, or a .npz without features
 * FB_E_DTYPE, FB_E_FORMAT, FB_E_LIMIT  as npy_stream.h
 * FB_E_SHAPE    another shape than above
 * FB_E_MEMORY
 * Sentences begin with the file, and name the array of a .npz. */
fb_status fb_region_npy_open(fb_context *ctx, fb_region_source *source,
                             const char *path);

#endif
