/* selective_search.c - see selective_search.h. */
#include "data/regions/selective_search.h"

#include <math.h>
#include <string.h>

enum {
    COLOUR_BINS = 25,
    COLOURS = 3 * COLOUR_BINS,
    SLOPES = 8, /* 4 axes, both ways */
    SLOPE_BINS = 10,
    TEXTURES = 3 * SLOPES * SLOPE_BINS
};

typedef struct pair {
    int32_t a, b;
    float similarity;
} pair;

typedef struct grouping {
    const fb_segments *in;
    uint32_t strategy;
    int32_t regions; /* that there are by now */
    fb_grouped_region *region;
    float *colour, *texture; /* [2 segments - 1, COLOURS or TEXTURES], of sum 1 */
    pair *pairs;
    int32_t pair_count;
    int32_t *mark; /* [2 segments - 1] which merge met it as a neighbour */
} grouping;

/* ---- segments ----------------------------------------------------------------------
 */

static void grow(fb_grouped_region *r, int32_t x, int32_t y)
{
    if (r->pixels++ == 0) {
        *r = (fb_grouped_region){x, y, x + 1, y + 1, 1, 0};
        return;
    }
    r->x1 = x < r->x1 ? x : r->x1;
    r->x2 = x >= r->x2 ? x + 1 : r->x2;
    r->y2 = y + 1; /* rows come in order */
}

static int bin_of(float value, float scale, int bins)
{
    int bin = (int)(value * scale);
    return bin < 0 ? 0 : bin >= bins ? bins - 1 : bin;
}

static void count_colours(grouping *g)
{
    const fb_segments *s = g->in;
    for (int32_t y = 0; y < s->height; y++)
        for (int32_t x = 0; x < s->width; x++) {
            int64_t at = (int64_t)y * s->width + x;
            float *counts = g->colour + (int64_t)s->label[at] * COLOURS;
            grow(&g->region[s->label[at]], x, y);
            for (int c = 0; c < 3; c++)
                counts[c * COLOUR_BINS + bin_of(s->colours[3 * at + c],
                                                COLOUR_BINS / 256.0f, COLOUR_BINS)]++;
        }
}

/* The slopes of one pixel, all channels, along the 4 axes. */
static void slopes_at(const fb_segments *s, int32_t x, int32_t y, float slope[3][4])
{
    const float half_root2 = 0.70710678f;
    int32_t left = x > 0 ? x - 1 : 0, right = x + 1 < s->width ? x + 1 : x;
    int64_t up = (int64_t)(y > 0 ? y - 1 : 0) * s->width;
    int64_t here = (int64_t)y * s->width;
    int64_t down = (int64_t)(y + 1 < s->height ? y + 1 : y) * s->width;
    for (int c = 0; c < 3; c++) {
        const float *p = s->colours + c;
        float nw = p[3 * (up + left)], n = p[3 * (up + x)], ne = p[3 * (up + right)];
        float w = p[3 * (here + left)], e = p[3 * (here + right)];
        float sw = p[3 * (down + left)], q = p[3 * (down + x)],
              se = p[3 * (down + right)];
        float across = 3 * (ne - nw) + 10 * (e - w) + 3 * (se - sw);
        float along = 3 * (sw - nw) + 10 * (q - n) + 3 * (se - ne);
        slope[c][0] = across;
        slope[c][1] = along;
        slope[c][2] = half_root2 * (across + along);
        slope[c][3] = half_root2 * (across - along);
    }
}

static float largest_slope(const fb_segments *s)
{
    float largest = 0.0f;
    for (int32_t y = 0; y < s->height; y++)
        for (int32_t x = 0; x < s->width; x++) {
            float slope[3][4];
            slopes_at(s, x, y, slope);
            for (int i = 0; i < 12; i++) {
                float size = fabsf(slope[i / 4][i % 4]);
                largest = size > largest ? size : largest;
            }
        }
    return largest;
}

static void count_textures(grouping *g)
{
    const fb_segments *s = g->in;
    float largest = largest_slope(s);
    float scale = largest > 0 ? SLOPE_BINS / largest : 0.0f;
    for (int32_t y = 0; y < s->height; y++)
        for (int32_t x = 0; x < s->width; x++) {
            int32_t label = s->label[(int64_t)y * s->width + x];
            float *counts = g->texture + (int64_t)label * TEXTURES;
            float slope[3][4];
            slopes_at(s, x, y, slope);
            for (int c = 0; c < 3; c++)
                for (int axis = 0; axis < 4; axis++) {
                    float *two = counts + (c * SLOPES + 2 * axis) * SLOPE_BINS;
                    int bin = bin_of(fabsf(slope[c][axis]), scale, SLOPE_BINS);
                    bool positive = slope[c][axis] > 0;
                    two[positive ? bin : 0]++;
                    two[SLOPE_BINS + (positive ? 0 : bin)]++;
                }
        }
}

static void to_shares(float *counts, int32_t rows, int width)
{
    for (int32_t r = 0; r < rows; r++) {
        float *row = counts + (int64_t)r * width, sum = 0.0f;
        for (int i = 0; i < width; i++)
            sum += row[i];
        for (int i = 0; i < width; i++)
            row[i] /= sum;
    }
}

/* ---- similarity --------------------------------------------------------------------
 */

static float overlap(const float *a, const float *b, int count)
{
    float sum = 0.0f;
    for (int i = 0; i < count; i++)
        sum += a[i] < b[i] ? a[i] : b[i];
    return sum;
}

static fb_grouped_region both(const fb_grouped_region *a, const fb_grouped_region *b)
{
    return (fb_grouped_region){
        a->x1 < b->x1 ? a->x1 : b->x1, a->y1 < b->y1 ? a->y1 : b->y1,
        a->x2 > b->x2 ? a->x2 : b->x2, a->y2 > b->y2 ? a->y2 : b->y2,
        a->pixels + b->pixels,         0};
}

static float similarity_of(const grouping *g, int32_t a, int32_t b)
{
    const fb_grouped_region joint = both(&g->region[a], &g->region[b]);
    float image = (float)g->in->width * (float)g->in->height;
    float sum = 0.0f, box = (float)(joint.x2 - joint.x1) * (float)(joint.y2 - joint.y1);
    int parts = 0;
    if (g->strategy & FB_SIMILAR_COLOUR) {
        sum += overlap(g->colour + (int64_t)a * COLOURS,
                       g->colour + (int64_t)b * COLOURS, COLOURS);
        parts++;
    }
    if (g->strategy & FB_SIMILAR_TEXTURE) {
        sum += overlap(g->texture + (int64_t)a * TEXTURES,
                       g->texture + (int64_t)b * TEXTURES, TEXTURES);
        parts++;
    }
    if (g->strategy & FB_SIMILAR_SIZE) {
        sum += 1.0f - (float)joint.pixels / image;
        parts++;
    }
    if (g->strategy & FB_SIMILAR_FILL) {
        sum += 1.0f - (box - (float)joint.pixels) / image;
        parts++;
    }
    return parts ? sum / (float)parts : 0.0f;
}

/* ---- neighbours --------------------------------------------------------------------
 */

/* There is room: a segment's border has at most two edges a pixel, and merging makes no
 * more pairs than it takes away. */
static void add_pair(grouping *g, int32_t a, int32_t b)
{
    g->pairs[g->pair_count++] = (pair){a, b, similarity_of(g, a, b)};
}

typedef struct touch {
    int32_t *heads, *next, *others; /* lists of larger neighbours by smaller label */
    int32_t count;
} touch;

static void note_touch(touch *t, int32_t a, int32_t b)
{
    int32_t low = a < b ? a : b, high = a < b ? b : a;
    if (low == high)
        return;
    for (int32_t i = t->heads[low]; i >= 0; i = t->next[i])
        if (t->others[i] == high)
            return;
    t->others[t->count] = high;
    t->next[t->count] = t->heads[low];
    t->heads[low] = t->count++;
}

static fb_status find_pairs(fb_context *ctx, fb_arena *arena, grouping *g)
{
    const fb_segments *s = g->in;
    size_t pixels = (size_t)s->width * (size_t)s->height;
    touch t = {fb_arena_alloc(arena, (size_t)s->count * sizeof(int32_t)),
               fb_arena_alloc(arena, 2 * pixels * sizeof(int32_t)),
               fb_arena_alloc(arena, 2 * pixels * sizeof(int32_t)), 0};
    if (!t.heads || !t.next || !t.others)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for neighbours of segments");
    for (int32_t i = 0; i < s->count; i++)
        t.heads[i] = -1;
    for (int32_t y = 0; y < s->height; y++)
        for (int32_t x = 0; x < s->width; x++) {
            int64_t at = (int64_t)y * s->width + x;
            if (x + 1 < s->width)
                note_touch(&t, s->label[at], s->label[at + 1]);
            if (y + 1 < s->height)
                note_touch(&t, s->label[at], s->label[at + s->width]);
        }
    g->pairs = fb_arena_alloc(arena, ((size_t)t.count + 1) * sizeof *g->pairs);
    if (!g->pairs)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for neighbours of segments");
    for (int32_t low = 0; low < s->count; low++)
        for (int32_t i = t.heads[low]; i >= 0; i = t.next[i])
            add_pair(g, low, t.others[i]);
    return FB_OK;
}

/* ---- merging -----------------------------------------------------------------------
 */

static int32_t best_pair(const grouping *g)
{
    int32_t best = 0;
    for (int32_t i = 1; i < g->pair_count; i++)
        if (g->pairs[i].similarity > g->pairs[best].similarity)
            best = i;
    return best;
}

static void mix(float *out, const float *a, const float *b, float share, int count)
{
    for (int i = 0; i < count; i++)
        out[i] = share * a[i] + (1.0f - share) * b[i];
}

/* Pairs of the two become pairs of the new region, each neighbour once. */
static void move_pairs(grouping *g, int32_t a, int32_t b, int32_t made)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < g->pair_count; i++) {
        pair p = g->pairs[i];
        bool has_a = p.a == a || p.b == a, has_b = p.a == b || p.b == b;
        if (!has_a && !has_b) {
            g->pairs[kept++] = p;
            continue;
        }
        int32_t other = p.a == a || p.a == b ? p.b : p.a;
        if ((has_a && has_b) || g->mark[other] == made)
            continue;
        g->mark[other] = made;
        g->pairs[kept++] = (pair){other, made, similarity_of(g, other, made)};
    }
    g->pair_count = kept;
}

static void merge(grouping *g, pair p)
{
    int32_t made = g->regions++;
    int64_t a = p.a, b = p.b;
    float share =
        (float)g->region[a].pixels / (float)(g->region[a].pixels + g->region[b].pixels);
    g->region[made] = both(&g->region[a], &g->region[b]);
    mix(g->colour + (int64_t)made * COLOURS, g->colour + a * COLOURS,
        g->colour + b * COLOURS, share, COLOURS);
    mix(g->texture + (int64_t)made * TEXTURES, g->texture + a * TEXTURES,
        g->texture + b * TEXTURES, share, TEXTURES);
    /* Merge number m of n - 1 undone: n - m regions deep. */
    g->region[a].depth = g->region[b].depth = 2 * g->in->count - 1 - made;
    move_pairs(g, p.a, p.b, made);
}

static fb_status allocate(fb_context *ctx, fb_arena *arena, grouping *g)
{
    size_t most = 2 * (size_t)g->in->count;
    g->region = fb_arena_alloc_zero(arena, most * sizeof *g->region);
    g->colour = fb_arena_alloc_zero(arena, most * COLOURS * sizeof *g->colour);
    g->texture = fb_arena_alloc_zero(arena, most * TEXTURES * sizeof *g->texture);
    g->mark = fb_arena_alloc_zero(arena, most * sizeof *g->mark);
    if (!g->region || !g->colour || !g->texture || !g->mark)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to group %d segments",
                       (int)g->in->count);
    return FB_OK;
}

fb_status fb_selective_search(fb_context *ctx, fb_arena *arena,
                              fb_grouped_region **regions, int32_t *count,
                              const fb_segments *segments, uint32_t strategy)
{
    grouping g = {.in = segments, .strategy = strategy, .regions = segments->count};
    FB_TRY(allocate(ctx, arena, &g));
    count_colours(&g);
    to_shares(g.colour, segments->count, COLOURS);
    if (strategy & FB_SIMILAR_TEXTURE) {
        count_textures(&g);
        to_shares(g.texture, segments->count, TEXTURES);
    }
    FB_TRY(find_pairs(ctx, arena, &g));
    while (g.pair_count > 0)
        merge(&g, g.pairs[best_pair(&g)]);
    *regions = g.region;
    *count = g.regions;
    return FB_OK;
}
