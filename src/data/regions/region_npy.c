/* region_npy.c - see region_npy.h. */
#include "data/regions/region_npy.h"
#include "base/file.h"
#include "data/import/npy_stream.h"
#include "data/regions/region_file.h"

#include <stdlib.h>
#include <string.h>

enum { FEATURES, BOXES, SIZES, ARRAYS };

typedef struct source {
    fb_npy_stream *array[ARRAYS]; /* NULL: absent */
    int64_t image, images;
    int32_t regions, width;
    bool single; /* one image, by the file's name */
    float *features, *boxes;
    char stem[1024];
    char path[4096];
    char where[4096 + 64];
} source;

static void close_source(void *self)
{
    source *s = self;
    for (int32_t i = 0; i < ARRAYS; i++)
        fb_npy_stream_close(s->array[i]);
    free(s->features);
    free(s->boxes);
    free(s);
}

static fb_status finish(fb_context *ctx, const source *s)
{
    for (int32_t i = 0; i < ARRAYS; i++)
        if (s->array[i])
            FB_TRY(fb_npy_stream_finish(ctx, s->array[i]));
    return FB_OK;
}

static int32_t side(float pixels)
{
    return pixels >= 1 && pixels <= (1 << 20) ? (int32_t)pixels : 0;
}

static fb_status next(fb_context *ctx, void *self, fb_region_record *record)
{
    source *s = self;
    float size[2] = {0, 0};
    *record = (fb_region_record){.end = s->image == s->images};
    if (record->end)
        return finish(ctx, s);
    FB_TRY(fb_npy_stream_read(ctx, s->array[FEATURES], s->features,
                              (int64_t)s->regions * s->width));
    if (s->array[BOXES])
        FB_TRY(fb_npy_stream_read(ctx, s->array[BOXES], s->boxes,
                                  (int64_t)s->regions * 4));
    if (s->array[SIZES])
        FB_TRY(fb_npy_stream_read(ctx, s->array[SIZES], size, 2));
    if (s->single)
        snprintf(s->where, sizeof s->where, "%s", s->path);
    else
        snprintf(s->where, sizeof s->where, "%s: image %lld", s->path,
                 (long long)s->image);
    record->progress = (double)s->image / (double)s->images;
    record->where = s->where;
    record->name = s->single ? s->stem : NULL;
    record->place = s->image++;
    record->regions = s->regions;
    record->feature_width = s->width;
    record->width = side(size[0]);
    record->height = side(size[1]);
    record->bad = s->array[SIZES] && (!record->width || !record->height);
    record->why = "its sizes are no width and height in pixels";
    record->boxes = s->array[BOXES] ? s->boxes : NULL;
    record->features = s->features;
    return FB_OK;
}

/* ---- opening -----------------------------------------------------------------------
 */

static const char *const feature_names[] = {"features", "feat", "x"};
static const char *const box_names[] = {"boxes", "bbox"};
static const char *const size_names[] = {"sizes"};

static fb_status open_member(fb_context *ctx, source *s, int32_t which,
                             const char *const *names, int32_t count)
{
    int32_t found = -1;
    FB_TRY(fb_npz_find(ctx, s->path, names, count, &found));
    if (found >= 0)
        return fb_npy_stream_open(ctx, &s->array[which], s->path, names[found]);
    if (which == FEATURES)
        return fb_fail(ctx, FB_E_MISSING,
                       "%s: without an array called features, feat or x", s->path);
    return FB_OK;
}

static fb_status fail_shape(fb_context *ctx, const source *s, const char *what,
                            const fb_npy_shape *h, const char *right)
{
    char shape[96] = "";
    for (int32_t i = 0; i < h->rank; i++) {
        size_t used = strlen(shape);
        snprintf(shape + used, sizeof shape - used, "%s%lld", i ? ", " : "",
                 (long long)h->dim[i]);
    }
    return fb_fail(ctx, FB_E_SHAPE, "%s: %s are (%s); %s is right", s->path, what,
                   shape, right);
}

static fb_status check_features(fb_context *ctx, source *s)
{
    const fb_npy_shape *h = fb_npy_stream_shape(s->array[FEATURES]);
    const int64_t *dim = h->dim + (h->rank == 3);
    if ((h->rank != 2 && h->rank != 3) || h->count == 0 || dim[0] > FB_REGIONS_MOST ||
        dim[1] > FB_REGION_WIDTH_MOST)
        return fail_shape(ctx, s, "features", h, "(N, n, F) or (n, F)");
    s->single = h->rank == 2;
    s->images = s->single ? 1 : h->dim[0];
    s->regions = (int32_t)dim[0];
    s->width = (int32_t)dim[1];
    s->features = malloc((size_t)s->regions * (size_t)s->width * sizeof *s->features);
    s->boxes = malloc((size_t)s->regions * 4 * sizeof *s->boxes);
    if (!s->features || !s->boxes)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for an image", s->path);
    return FB_OK;
}

/* Whether an array has the shape of the features with `last` in place of the last
 * dimensions. */
static fb_status check_beside(fb_context *ctx, const source *s, int32_t which,
                              const char *what, bool per_region, int32_t last)
{
    int64_t want[3] = {s->images};
    int32_t rank = !s->single;
    char right[64] = "(";
    if (!s->array[which])
        return FB_OK;
    if (per_region)
        want[rank++] = s->regions;
    want[rank++] = last;
    const fb_npy_shape *h = fb_npy_stream_shape(s->array[which]);
    bool fits = h->rank == rank;
    for (int32_t i = 0; i < rank; i++) {
        size_t used = strlen(right);
        fits = fits && h->dim[i] == want[i];
        snprintf(right + used, sizeof right - used, "%lld%s", (long long)want[i],
                 i + 1 < rank ? ", " : ")");
    }
    return fits ? FB_OK : fail_shape(ctx, s, what, h, right);
}

static fb_status open_arrays(fb_context *ctx, source *s)
{
    if (fb_path_ends_in(s->path, ".npz")) {
        FB_TRY(open_member(ctx, s, FEATURES, feature_names, 3));
        FB_TRY(open_member(ctx, s, BOXES, box_names, 2));
        FB_TRY(open_member(ctx, s, SIZES, size_names, 1));
    } else {
        FB_TRY(fb_npy_stream_open(ctx, &s->array[FEATURES], s->path, NULL));
    }
    FB_TRY(check_features(ctx, s));
    FB_TRY(check_beside(ctx, s, BOXES, "boxes", true, 4));
    return check_beside(ctx, s, SIZES, "sizes", false, 2);
}

fb_status fb_region_npy_open(fb_context *ctx, fb_region_source *out, const char *path)
{
    source *s = calloc(1, sizeof *s);
    if (!s)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", path);
    const char *slash = strrchr(path, '/');
    snprintf(s->path, sizeof s->path, "%s", path);
    snprintf(s->stem, sizeof s->stem, "%.1023s", slash ? slash + 1 : path);
    char *dot = strrchr(s->stem, '.');
    if (dot)
        *dot = 0;
    fb_status status = open_arrays(ctx, s);
    if (status != FB_OK) {
        close_source(s);
        return status;
    }
    *out = (fb_region_source){.self = s, .next = next, .close = close_source};
    return FB_OK;
}
