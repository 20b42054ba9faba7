/* graph_segment.c - see graph_segment.h. */
#include "data/regions/graph_segment.h"
#include "base/disjoint_sets.h"

#include <math.h>
#include <string.h>

enum { RADIX_BITS = 11, RADIX = 1 << RADIX_BITS, PASSES = 3, RADIUS_MOST = 32 };

typedef struct edge {
    uint32_t weight; /* the bits of an f32 >= 0, which sort as the number does */
    int32_t a, b;
} edge;

typedef struct graph {
    int32_t width, height;
    const float *colours; /* [height, width, 3], smoothed */
    int64_t edge_count;
    edge *edges, *other; /* [edge_count] */
    int32_t *parent, *size;
    float *tau;
} graph;

/* ---- smoothing ---------------------------------------------------------------------
 */

static int32_t kernel_of(float kernel[RADIUS_MOST + 1], float sigma)
{
    int32_t radius = (int32_t)ceilf(4.0f * sigma);
    radius = radius > RADIUS_MOST ? RADIUS_MOST : radius;
    float sum = 0.0f;
    for (int32_t i = 0; i <= radius; i++) {
        kernel[i] = expf(-0.5f * (float)(i * i) / (sigma * sigma));
        sum += i > 0 ? 2.0f * kernel[i] : kernel[i];
    }
    for (int32_t i = 0; i <= radius; i++)
        kernel[i] /= sum;
    return radius;
}

static int32_t within(int32_t i, int32_t count)
{
    return i < 0 ? 0 : i >= count ? count - 1 : i;
}

/* One row from `in` to `out`, whose neighbours lie `step` numbers apart. */
static void smooth_across(float *out, const float *in, int32_t width,
                          const float *kernel, int32_t radius)
{
    for (int32_t x = 0; x < width; x++) {
        float *o = out + 3 * (int64_t)x;
        const float *at = in + 3 * (int64_t)x;
        for (int c = 0; c < 3; c++)
            o[c] = kernel[0] * at[c];
        for (int32_t i = 1; i <= radius; i++) {
            const float *l = in + 3 * (int64_t)within(x - i, width);
            const float *r = in + 3 * (int64_t)within(x + i, width);
            for (int c = 0; c < 3; c++)
                o[c] += kernel[i] * (l[c] + r[c]);
        }
    }
}

static void smooth(float *out, float *between, const float *in, int32_t width,
                   int32_t height, float sigma)
{
    float kernel[RADIUS_MOST + 1];
    int32_t radius = kernel_of(kernel, sigma);
    int64_t line = 3 * (int64_t)width;
    for (int32_t y = 0; y < height; y++)
        smooth_across(between + y * line, in + y * line, width, kernel, radius);
    for (int32_t y = 0; y < height; y++) {
        float *o = out + y * line;
        const float *at = between + y * line;
        for (int64_t x = 0; x < line; x++)
            o[x] = kernel[0] * at[x];
        for (int32_t i = 1; i <= radius; i++) {
            const float *above = between + within(y - i, height) * line;
            const float *below = between + within(y + i, height) * line;
            for (int64_t x = 0; x < line; x++)
                o[x] += kernel[i] * (above[x] + below[x]);
        }
    }
}

/* ---- edges -------------------------------------------------------------------------
 */

static edge edge_between(const graph *g, int32_t a, int32_t b)
{
    float sum = 0.0f;
    edge e = {0, a, b};
    for (int c = 0; c < 3; c++) {
        float d = g->colours[3 * (int64_t)a + c] - g->colours[3 * (int64_t)b + c];
        sum += d * d;
    }
    sum = sqrtf(sum);
    memcpy(&e.weight, &sum, sizeof e.weight);
    return e;
}

static float weight_of(const edge *e)
{
    float weight;
    memcpy(&weight, &e->weight, sizeof weight);
    return weight;
}

static void make_edges(graph *g)
{
    edge *e = g->edges;
    for (int32_t y = 0; y < g->height; y++)
        for (int32_t x = 0; x < g->width; x++) {
            int32_t at = y * g->width + x;
            if (x + 1 < g->width)
                *e++ = edge_between(g, at, at + 1);
            if (y + 1 < g->height)
                *e++ = edge_between(g, at, at + g->width);
        }
    g->edge_count = e - g->edges;
}

/* By their lowest bits first; equal ones keep their order. */
static void sort_edges(graph *g)
{
    for (int pass = 0; pass < PASSES; pass++) {
        int64_t start[RADIX + 1] = {0};
        int shift = pass * RADIX_BITS;
        for (int64_t i = 0; i < g->edge_count; i++)
            start[(g->edges[i].weight >> shift) % RADIX + 1]++;
        for (int i = 0; i < RADIX; i++)
            start[i + 1] += start[i];
        for (int64_t i = 0; i < g->edge_count; i++)
            g->other[start[(g->edges[i].weight >> shift) % RADIX]++] = g->edges[i];
        edge *swapped = g->edges;
        g->edges = g->other;
        g->other = swapped;
    }
}

/* ---- components --------------------------------------------------------------------
 */

static void join(graph *g, int32_t a, int32_t b, float tau)
{
    int32_t size = g->size[a] + g->size[b];
    fb_set_join(g->parent, a, b);
    int32_t root = a < b ? a : b;
    g->size[root] = size;
    g->tau[root] = tau;
}

static void join_similar(graph *g, float k)
{
    for (int64_t i = 0; i < g->edge_count; i++) {
        const edge *e = &g->edges[i];
        int32_t a = fb_set_root(g->parent, e->a), b = fb_set_root(g->parent, e->b);
        float w = weight_of(e);
        if (a != b && w <= g->tau[a] && w <= g->tau[b])
            join(g, a, b, w + k / (float)(g->size[a] + g->size[b]));
    }
}

static void join_small(graph *g, int32_t least)
{
    for (int64_t i = 0; i < g->edge_count; i++) {
        const edge *e = &g->edges[i];
        int32_t a = fb_set_root(g->parent, e->a), b = fb_set_root(g->parent, e->b);
        if (a != b && (g->size[a] < least || g->size[b] < least))
            join(g, a, b, 0.0f);
    }
}

/* A root is its component's first pixel, so it is met before its members. */
static int32_t number(const graph *g, int32_t *label)
{
    int32_t count = 0;
    for (int32_t i = 0; i < g->width * g->height; i++) {
        int32_t root = fb_set_root(g->parent, i);
        label[i] = root == i ? count++ : label[root];
    }
    return count;
}

fb_status fb_graph_segment(fb_context *ctx, fb_arena *arena, int32_t *label,
                           int32_t *count, const float *colours, int32_t width,
                           int32_t height, const fb_segment_options *options)
{
    size_t pixels = (size_t)width * (size_t)height;
    graph g = {.width = width, .height = height, .colours = colours};
    float *smoothed = fb_arena_alloc(arena, pixels * 3 * sizeof *smoothed);
    float *between = fb_arena_alloc(arena, pixels * 3 * sizeof *between);
    g.edges = fb_arena_alloc(arena, 2 * pixels * sizeof *g.edges);
    g.other = fb_arena_alloc(arena, 2 * pixels * sizeof *g.other);
    g.parent = fb_arena_alloc(arena, pixels * sizeof *g.parent);
    g.size = fb_arena_alloc(arena, pixels * sizeof *g.size);
    g.tau = fb_arena_alloc(arena, pixels * sizeof *g.tau);
    if (!smoothed || !between || !g.edges || !g.other || !g.parent || !g.size || !g.tau)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to segment %d x %d pixels",
                       (int)width, (int)height);
    if (options->sigma > 0) {
        smooth(smoothed, between, colours, width, height, options->sigma);
        g.colours = smoothed;
    }
    for (size_t i = 0; i < pixels; i++) {
        g.parent[i] = (int32_t)i;
        g.size[i] = 1;
        g.tau[i] = options->k;
    }
    make_edges(&g);
    sort_edges(&g);
    join_similar(&g, options->k);
    join_small(&g, options->least);
    *count = number(&g, label);
    return FB_OK;
}
