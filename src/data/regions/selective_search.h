/* selective_search.h - hierarchical grouping (Uijlings et al., "Selective Search for
 * Object Recognition", IJCV 2013): segments become ever larger regions until one is left,
 * and each on the way may be an object.
 *
 *     similarity of two neighbours = mean of those that the strategy names
 *         colour    sum of min of their histograms, 25 bins a channel
 *         texture   the same of 10 bins a channel in each of 8 directions of slope
 *         size      1 - (|a| + |b|) / |image|
 *         fill      1 - (|box of both| - |a| - |b|) / |image|
 *     the most similar pair becomes one region, until there is one
 *
 * Slopes are Scharr's across and down, and between them by steering, each split into its
 * positive and its negative part, over the image's largest. A region's histograms are
 * the means of its parts', weighted by their pixels. Of equally similar pairs the one
 * found first is merged.
 *
 * Depth. The region of all has depth 0, what was merged last depth 1, before that 2: the
 * order in which regions fall apart when the merging is played backwards. It does not
 * ask how a region came about, so a plain product that was one segment from the start
 * comes as early as one of fifty. (The paper and OpenCV draw an order at random, small
 * segments in front.)
 */
#ifndef FB_DATA_REGIONS_SELECTIVE_SEARCH_H
#define FB_DATA_REGIONS_SELECTIVE_SEARCH_H

#include "base/arena.h"

enum {
    FB_SIMILAR_COLOUR = 1 << 0,
    FB_SIMILAR_TEXTURE = 1 << 1,
    FB_SIMILAR_SIZE = 1 << 2,
    FB_SIMILAR_FILL = 1 << 3
};

/* Pixels x1 .. x2 - 1, y1 .. y2 - 1. */
typedef struct fb_grouped_region {
    int32_t x1, y1, x2, y2;
    int32_t pixels, depth;
} fb_grouped_region;

/* What is grouped: labels 0 .. segments - 1, each with a pixel; colours 0 to 255. */
typedef struct fb_segments {
    int32_t width, height, count;
    const int32_t *label; /* [height, width] */
    const float *colours; /* [height, width, 3] */
} fb_segments;

/* regions [2 segments - 1], the arena's: the segments, then the merged ones as they came
 * about. FB_E_MEMORY */
fb_status fb_selective_search(fb_context *ctx, fb_arena *arena,
                              fb_grouped_region **regions, int32_t *count,
                              const fb_segments *segments, uint32_t strategy);

#endif
