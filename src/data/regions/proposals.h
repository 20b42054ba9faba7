/* proposals.h - regions of an image without a detector: selective search, thinned out
 * to what a system can read.
 *
 *     the image, its longer side at most 256    (smaller ones as they are)
 *     graph_segment.h in each colour space and for each k of the preset
 *     selective_search.h by each of its strategies
 *     all regions' boxes by depth, those of equal depth in the preset's order
 *     without those of a side below 20/256 of the image's longer side, or longer than
 *     three times their width
 *     the whole image first; then each box whose IoU with all before is at most .7,
 *     until there are `most`
 *
 * Numbers that the literature has for 256 pixels go with the image: components of at
 * least 100 of 256 x 192 pixels, k as the longer side, as slopes are that much steeper
 * in a smaller image.
 *
 *     single    hsv, k 200, all four similarities                             1 run
 *     fast      hsv and lab, k 150, 300, 450, all four and without colour    12 runs
 *
 * (OpenCV's presets, whose "single" is without a strategy's choice too.) The same image
 * gives the same boxes on any thread.
 */
#ifndef FB_DATA_REGIONS_PROPOSALS_H
#define FB_DATA_REGIONS_PROPOSALS_H

#include "data/image/image_resize.h"

enum { FB_PROPOSALS_MOST = 1000 };
#define FB_PROPOSALS_OVERLAP .7

/* Scratch memory and a preset; one per thread. */
typedef struct fb_proposer fb_proposer;

/* FB_E_USAGE: no such preset, with all that there are. FB_E_MEMORY */
fb_status fb_proposer_create(fb_context *ctx, fb_proposer **proposer,
                             const char *preset);
void fb_proposer_free(fb_proposer *proposer);

/* boxes [most, 4] x1, y1, x2, y2 as shares of the image's width and height, the whole
 * image first; 1 <= most <= FB_PROPOSALS_MOST. FB_E_MEMORY */
fb_status fb_proposer_run(fb_context *ctx, fb_proposer *proposer, float *boxes,
                          int32_t *count, const fb_image *image, int32_t most);

/* Intersection over union of two boxes; 0 where both are empty. */
double fb_box_overlap(const float *a, const float *b);

#endif
