/* proposals.c - see proposals.h. */
#include "data/regions/proposals.h"
#include "data/regions/colour_space.h"
#include "data/regions/graph_segment.h"
#include "data/regions/selective_search.h"

#include <stdlib.h>
#include <string.h>

enum { LONG_SIDE = 256, SPACES_MOST = 2, KS_MOST = 3, STRATEGIES_MOST = 2 };
enum { LEAST_PIXELS = 100, LEAST_OF_PIXELS = 256 * 192, LEAST_SIDE = 20, LONGEST = 3 };
#define SIGMA 0.8f

enum {
    ALL_FOUR =
        FB_SIMILAR_COLOUR | FB_SIMILAR_TEXTURE | FB_SIMILAR_SIZE | FB_SIMILAR_FILL,
    NO_COLOUR = FB_SIMILAR_TEXTURE | FB_SIMILAR_SIZE | FB_SIMILAR_FILL
};

typedef struct preset {
    const char *name;
    int32_t spaces, ks, strategies;
    fb_colour_space space[SPACES_MOST];
    float k[KS_MOST]; /* at LONG_SIDE */
    uint32_t strategy[STRATEGIES_MOST];
} preset;

static const preset presets[] = {
    {"single", 1, 1, 1, {FB_COLOUR_HSV}, {200}, {ALL_FOUR}},
    {"fast",
     2,
     3,
     2,
     {FB_COLOUR_HSV, FB_COLOUR_LAB},
     {150, 300, 450},
     {ALL_FOUR, NO_COLOUR}},
};
enum { PRESETS = sizeof presets / sizeof presets[0] };

/* A box with its place in the ranking; in pixels of the image that was searched. */
typedef struct candidate {
    int32_t depth, place; /* place: of equal depth, as they came */
    int32_t x1, y1, x2, y2;
} candidate;

struct fb_proposer {
    const preset *preset;
    fb_resizer *resizer;
    fb_arena *arena;
    uint8_t *shrunk; /* [LONG_SIDE, LONG_SIDE, 3] */
    candidate *candidates;
    int32_t count, room;
};

fb_status fb_proposer_create(fb_context *ctx, fb_proposer **proposer,
                             const char *preset_name)
{
    const preset *found = NULL;
    for (int i = 0; i < PRESETS; i++)
        if (strcmp(presets[i].name, preset_name) == 0)
            found = &presets[i];
    if (!found)
        return fb_fail(ctx, FB_E_USAGE, "\"%.64s\" is no preset of proposals; %s or %s",
                       preset_name, presets[0].name, presets[1].name);
    fb_proposer *p = calloc(1, sizeof *p);
    if (p) {
        p->preset = found;
        p->resizer = fb_resizer_create();
        p->arena = fb_arena_create(1 << 20);
        p->shrunk = malloc((size_t)LONG_SIDE * LONG_SIDE * 3);
    }
    if (!p || !p->resizer || !p->arena || !p->shrunk) {
        fb_proposer_free(p);
        return fb_fail(ctx, FB_E_MEMORY, "no memory for proposals");
    }
    *proposer = p;
    return FB_OK;
}

void fb_proposer_free(fb_proposer *proposer)
{
    if (!proposer)
        return;
    fb_resizer_free(proposer->resizer);
    fb_arena_free(proposer->arena);
    free(proposer->shrunk);
    free(proposer->candidates);
    free(proposer);
}

/* ---- searching ---------------------------------------------------------------------
 */

static fb_status shrink(fb_context *ctx, fb_proposer *p, const fb_image *image,
                        fb_image *small)
{
    int32_t longer = image->width > image->height ? image->width : image->height;
    *small = *image;
    if (longer <= LONG_SIDE)
        return FB_OK;
    int32_t width = (int32_t)((int64_t)image->width * LONG_SIDE / longer);
    int32_t height = (int32_t)((int64_t)image->height * LONG_SIDE / longer);
    *small = (fb_image){width < 1 ? 1 : width, height < 1 ? 1 : height, p->shrunk};
    return fb_image_resize(ctx, p->resizer, p->shrunk, (size_t)small->width * 3,
                           small->width, small->height, image, FB_FILTER_BILINEAR);
}

static fb_status make_room(fb_context *ctx, fb_proposer *p, int32_t more)
{
    if (p->count + more <= p->room)
        return FB_OK;
    int32_t room = 2 * (p->count + more);
    candidate *grown = realloc(p->candidates, (size_t)room * sizeof *grown);
    if (!grown)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for proposals");
    p->candidates = grown;
    p->room = room;
    return FB_OK;
}

static bool is_usable(const fb_grouped_region *r, int32_t longer)
{
    int32_t width = r->x2 - r->x1, height = r->y2 - r->y1;
    int32_t less = width < height ? width : height;
    int32_t more = width < height ? height : width;
    return less * LONG_SIDE >= LEAST_SIDE * longer && more <= LONGEST * less;
}

static fb_status group(fb_context *ctx, fb_proposer *p, const fb_segments *segments,
                       uint32_t strategy)
{
    fb_grouped_region *regions;
    int32_t count;
    int32_t longer =
        segments->width > segments->height ? segments->width : segments->height;
    fb_arena_mark mark = fb_arena_save(p->arena);
    FB_TRY(fb_selective_search(ctx, p->arena, &regions, &count, segments, strategy));
    FB_TRY(make_room(ctx, p, count));
    /* Of two of one depth (what the same merge undid) the larger comes first. */
    for (int32_t i = count - 1; i >= 0; i--) {
        const fb_grouped_region *r = &regions[i];
        if (!is_usable(r, longer))
            continue;
        p->candidates[p->count] =
            (candidate){r->depth, p->count, r->x1, r->y1, r->x2, r->y2};
        p->count++;
    }
    fb_arena_restore(p->arena, mark);
    return FB_OK;
}

static fb_status search(fb_context *ctx, fb_proposer *p, const fb_image *small)
{
    const preset *how = p->preset;
    int64_t pixels = (int64_t)small->width * small->height;
    int32_t longer = small->width > small->height ? small->width : small->height;
    float scale = (float)longer / LONG_SIDE;
    fb_segment_options o = {
        .sigma = SIGMA, .least = (int32_t)(LEAST_PIXELS * pixels / LEAST_OF_PIXELS)};
    float *colours = fb_arena_alloc(p->arena, (size_t)pixels * 3 * sizeof *colours);
    int32_t *label = fb_arena_alloc(p->arena, (size_t)pixels * sizeof *label);
    if (!colours || !label)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for proposals");
    for (int32_t i = 0; i < how->spaces; i++) {
        fb_colour_convert(how->space[i], colours, small->rgb, pixels);
        for (int32_t j = 0; j < how->ks; j++) {
            fb_arena_mark mark = fb_arena_save(p->arena);
            fb_segments s = {small->width, small->height, 0, label, colours};
            o.k = how->k[j] * scale;
            FB_TRY(fb_graph_segment(ctx, p->arena, label, &s.count, colours, s.width,
                                    s.height, &o));
            fb_arena_restore(p->arena, mark);
            for (int32_t n = 0; n < how->strategies; n++)
                FB_TRY(group(ctx, p, &s, how->strategy[n]));
        }
    }
    return FB_OK;
}

/* ---- choosing ----------------------------------------------------------------------
 */

static int by_depth(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->depth != y->depth)
        return x->depth < y->depth ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

double fb_box_overlap(const float *a, const float *b)
{
    double x1 = a[0] > b[0] ? a[0] : b[0], y1 = a[1] > b[1] ? a[1] : b[1];
    double x2 = a[2] < b[2] ? a[2] : b[2], y2 = a[3] < b[3] ? a[3] : b[3];
    double shared = x2 > x1 && y2 > y1 ? (x2 - x1) * (y2 - y1) : 0;
    double all = (double)(a[2] - a[0]) * (double)(a[3] - a[1]) +
                 (double)(b[2] - b[0]) * (double)(b[3] - b[1]) - shared;
    return all > 0 ? shared / all : 0;
}

/* Non-maximum suppression in the order of the ranking. */
static int32_t choose(const fb_proposer *p, float *boxes, const fb_image *small,
                      int32_t most)
{
    static const float whole[4] = {0, 0, 1, 1};
    float width = (float)small->width, height = (float)small->height;
    int32_t count = 1;
    memcpy(boxes, whole, sizeof whole);
    for (int32_t i = 0; i < p->count && count < most; i++) {
        const candidate *c = &p->candidates[i];
        float *box = boxes + 4 * (size_t)count;
        const float shares[4] = {(float)c->x1 / width, (float)c->y1 / height,
                                 (float)c->x2 / width, (float)c->y2 / height};
        bool kept = true;
        for (int32_t k = 0; kept && k < count; k++)
            kept =
                fb_box_overlap(boxes + 4 * (size_t)k, shares) <= FB_PROPOSALS_OVERLAP;
        if (kept) {
            memcpy(box, shares, sizeof shares);
            count++;
        }
    }
    return count;
}

fb_status fb_proposer_run(fb_context *ctx, fb_proposer *proposer, float *boxes,
                          int32_t *count, const fb_image *image, int32_t most)
{
    fb_image small;
    fb_arena_reset(proposer->arena);
    proposer->count = 0;
    FB_TRY(shrink(ctx, proposer, image, &small));
    FB_TRY(search(ctx, proposer, &small));
    qsort(proposer->candidates, (size_t)proposer->count, sizeof *proposer->candidates,
          by_depth);
    *count = choose(proposer, boxes, &small, most);
    return FB_OK;
}
