/* pfan_blocks.c - the blocks of a 16 x 16 grid that a box overlaps most. */
#include "models/pfan/pfan_system.h"

#include <math.h>

enum { GRID = FB_PFAN_GRID, MOST = FB_POSITION_BLOCKS };

typedef struct candidate {
    int32_t id;
    double overlap, away; /* square of the distance of the middles */
} candidate;

/* Length that [low, high] and cell k of the grid have in common. */
static double common(double low, double high, int32_t k)
{
    double from = (double)k / GRID, to = (double)(k + 1) / GRID;
    double length = (high < to ? high : to) - (low > from ? low : from);
    return length > 0 ? length : 0;
}

/* The cell that a share of a side lies in. */
static int32_t cell_at(double share)
{
    return !(share > 0) ? 0 : share < 1 ? (int32_t)(share * GRID) : GRID - 1;
}

/* Boxes are f32: overlaps that differ by their rounding are equal. */
static bool before(const candidate *a, const candidate *b)
{
    const double little = 1e-6 / (GRID * GRID);
    if (fabs(a->overlap - b->overlap) > little)
        return a->overlap > b->overlap;
    if (fabs(a->away - b->away) > little)
        return a->away < b->away;
    return a->id < b->id;
}

/* Put one among the best, which are in order. */
static void insert(candidate *best, int *count, const candidate *one)
{
    int place = *count;
    while (place > 0 && before(one, &best[place - 1])) {
        if (place < MOST)
            best[place] = best[place - 1];
        place--;
    }
    if (place < MOST)
        best[place] = *one;
    *count += *count < MOST;
}

void fb_pfan_blocks(const float box[4], int32_t ids[MOST], float overlap[MOST])
{
    candidate best[MOST];
    int count = 0;
    double x1 = (double)box[0], y1 = (double)box[1], x2 = (double)box[2],
           y2 = (double)box[3], sum = 0;
    for (int32_t x = cell_at(x1); x <= cell_at(x2); x++)
        for (int32_t y = cell_at(y1); y <= cell_at(y2); y++) {
            double dx = (x + 0.5) / GRID - (x1 + x2) / 2;
            double dy = (y + 0.5) / GRID - (y1 + y2) / 2;
            candidate one = {x * GRID + y, common(x1, x2, x) * common(y1, y2, y),
                             dx * dx + dy * dy};
            if (one.overlap > 1e-9)
                insert(best, &count, &one);
        }
    for (int k = 0; k < count; k++)
        sum += best[k].overlap;
    for (int k = 0; k < MOST; k++) {
        ids[k] = k < count ? best[k].id : FB_PFAN_PAD;
        overlap[k] = k < count ? (float)(best[k].overlap / sum) : 0.0f;
    }
}
