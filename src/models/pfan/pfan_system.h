/* pfan_system.h - PFAN, as a row of the registry, and where rows lie.
 */
#ifndef FB_MODELS_PFAN_PFAN_SYSTEM_H
#define FB_MODELS_PFAN_PFAN_SYSTEM_H

#include "models/local_match.h"

extern const fb_system fb_pfan_system;

enum {
    FB_PFAN_GRID = 16,                         /* blocks a side */
    FB_PFAN_PAD = FB_PFAN_GRID * FB_PFAN_GRID, /* embedding of no block */
};

typedef struct fb_pfan_config {
    fb_local_config local;
    int32_t position_width; /* E of an embedding, 200 */
} fb_pfan_config;

typedef struct fb_pfan {
    fb_local_match local;
    fb_leaf *block;     /* [257, E] */
    fb_leaf *attention; /* [E, F] */
} fb_pfan;

/* The 15 blocks that a box (x1, y1, x2, y2 as shares) overlaps most, largest first:
 * ids = column * 16 + row, and the overlaps over their sum. Of equal overlaps the block
 * nearer to the box's middle is first, then the lower id. What is left of the 15 is
 * FB_PFAN_PAD with overlap 0. */
void fb_pfan_blocks(const float box[4], int32_t ids[FB_POSITION_BLOCKS],
                    float overlap[FB_POSITION_BLOCKS]);

#endif
