/* graph_segment.h - efficient graph-based image segmentation (Felzenszwalb &
 * Huttenlocher, IJCV 2004): which pixels belong together.
 *
 *     colours are smoothed by a Gaussian of `sigma`; each pixel has an edge to its right
 *     and its lower neighbour, w = L2 distance of their colours
 *     edges from light to heavy: the components A and B at its ends become one where
 *         w <= tau(A) and w <= tau(B),     tau(C) = k / |C| + the last w that joined C
 *     then components below `least` pixels join across their lightest edge
 *
 * The paper's graph, with 4 neighbours in the place of 8, as OpenCV's segmentation has
 * it. Edges of equal weight are taken row by row: the result is the same everywhere.
 */
#ifndef FB_DATA_REGIONS_GRAPH_SEGMENT_H
#define FB_DATA_REGIONS_GRAPH_SEGMENT_H

#include "base/arena.h"

typedef struct fb_segment_options {
    float sigma; /* pixels; 0: not smoothed */
    float k;     /* larger: larger components */
    int32_t least;
} fb_segment_options;

/* label [height, width], from 0 on in the order of each component's first pixel; colours
 * [height, width, 3] are left as they are. Scratch is the arena's, and label may be.
 * FB_E_MEMORY */
fb_status fb_graph_segment(fb_context *ctx, fb_arena *arena, int32_t *label,
                           int32_t *count, const float *colours, int32_t width,
                           int32_t height, const fb_segment_options *options);

#endif
