/* near_pairs.c - see near_pairs.h. What is sorted is eight bytes an image; the looks of
 * a run are gathered to be compared. A pair that agrees in several chunks is visited in
 * the first of them.
 */
#include "data/image/near_pairs.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNKS = FB_LOOK_DISTANCE + 1 };

typedef struct search {
    const fb_look *looks; /* the caller's */
    int32_t *images;      /* [count] the first image of each look, not flat */
    int32_t count;
    uint64_t *keys; /* [count] chunk << 32 | place in images */
    fb_look *run;   /* [count] room for one run */
    fb_near_visit *visit;
    void *self;
} search;

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int by_look(const void *a, const void *b, void *looks)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    const fb_look *all = looks;
    int order = memcmp(&all[x], &all[y], sizeof *all);
    return order != 0 ? order : (x > y) - (x < y);
}

static uint64_t chunk_of(const fb_look *look, int32_t chunk)
{
    uint64_t bits = 0;
    for (int32_t k = chunk, i = 0; k < FB_LOOK_BITS; k += CHUNKS, i++)
        bits |= (look->signs[k / 64] >> (k % 64) & 1) << i;
    return bits;
}

static bool agrees_before(const fb_look *a, const fb_look *b, int32_t chunk)
{
    for (int32_t c = 0; c < chunk; c++)
        if (chunk_of(a, c) == chunk_of(b, c))
            return true;
    return false;
}

/* Keeps the first image of each look. */
static void visit_equal(search *s)
{
    int32_t kept = 0;
    qsort_r(s->images, (size_t)s->count, sizeof *s->images, by_look, (void *)s->looks);
    for (int32_t i = 0; i < s->count; i++) {
        int32_t image = s->images[i], last = kept > 0 ? s->images[kept - 1] : -1;
        if (last >= 0 &&
            memcmp(&s->looks[last], &s->looks[image], sizeof *s->looks) == 0)
            s->visit(s->self, last, image);
        else
            s->images[kept++] = image;
    }
    s->count = kept;
}

/* keys [count] of one chunk's value. */
static void visit_run(search *s, const uint64_t *keys, int32_t count, int32_t chunk)
{
    for (int32_t i = 0; count > 1 && i < count; i++)
        s->run[i] = s->looks[s->images[(uint32_t)keys[i]]];
    for (int32_t j = 1; j < count; j++)
        for (int32_t i = 0; i < j; i++) {
            const fb_look *a = &s->run[i], *b = &s->run[j];
            if (fb_look_distance(a, b) > FB_LOOK_DISTANCE || !fb_look_is_near(a, b) ||
                agrees_before(a, b, chunk))
                continue;
            int32_t x = s->images[(uint32_t)keys[i]], y = s->images[(uint32_t)keys[j]];
            s->visit(s->self, x < y ? x : y, x < y ? y : x);
        }
}

static void visit_chunk(search *s, int32_t chunk)
{
    for (int32_t i = 0; i < s->count; i++)
        s->keys[i] =
            chunk_of(&s->looks[s->images[i]], chunk) << 32 | (uint64_t)(uint32_t)i;
    qsort(s->keys, (size_t)s->count, sizeof *s->keys, by_number);
    for (int32_t start = 0, i = 1; i <= s->count; i++)
        if (i == s->count || s->keys[i] >> 32 != s->keys[start] >> 32) {
            visit_run(s, s->keys + start, i - start, chunk);
            start = i;
        }
}

fb_status fb_near_pairs_find(fb_context *ctx, const fb_look *looks, int32_t count,
                             fb_near_visit *visit, void *self)
{
    size_t n = (size_t)count + 1;
    search s = {.looks = looks, .visit = visit, .self = self};
    s.images = malloc(n * sizeof *s.images);
    s.keys = malloc(n * sizeof *s.keys);
    s.run = malloc(n * sizeof *s.run);
    fb_status status =
        s.images && s.keys && s.run
            ? FB_OK
            : fb_fail(ctx, FB_E_MEMORY, "no memory to compare %d images", count);
    if (status == FB_OK) {
        for (int32_t i = 0; i < count; i++)
            if (!fb_look_is_flat(&looks[i]))
                s.images[s.count++] = i;
        visit_equal(&s);
        for (int32_t chunk = 0; chunk < CHUNKS; chunk++)
            visit_chunk(&s, chunk);
    }
    free(s.run);
    free(s.keys);
    free(s.images);
    return status;
}
