/* region_fixture.h - region files for tests: an image has 1 up to MOST regions, and
 * every number tells its image and its place. */
#ifndef FB_TESTS_REGION_FIXTURE_H
#define FB_TESTS_REGION_FIXTURE_H

#include "data/regions/region_writer.h"
#include "support/catalogue_fixture.h"

enum { REGION_FIXTURE_MOST = 5, REGION_FIXTURE_WIDTH = 3 };

/* Regions of image number i. */
static inline int32_t region_fixture_count(int32_t i)
{
    return 1 + i % REGION_FIXTURE_MOST;
}

/* Feature f of region r of image i; bf16 holds it whole. */
static inline float region_fixture_number(int32_t i, int32_t r, int32_t f)
{
    return (float)i + (float)(r * REGION_FIXTURE_WIDTH + f) / 16 * (i < 8 ? 1 : 0);
}

static inline void region_fixture_add(const fixture *f, fb_region_writer *w,
                                      const char *name, int32_t i, bool boxes)
{
    float box[REGION_FIXTURE_MOST * 4], features[REGION_FIXTURE_MOST * 3];
    int32_t n = region_fixture_count(i);
    for (int32_t r = 0; r < n; r++) {
        memcpy(box + r * 4, (float[]){0, (float)r / 8, 0.5f, 1}, 4 * sizeof *box);
        for (int32_t k = 0; k < REGION_FIXTURE_WIDTH; k++)
            features[r * REGION_FIXTURE_WIDTH + k] = region_fixture_number(i, r, k);
    }
    const fb_region_record record = {.regions = n,
                                     .feature_width = REGION_FIXTURE_WIDTH,
                                     .boxes = boxes ? box : NULL,
                                     .features = features};
    if (fb_region_writer_add(f->ctx, w, name, &record) != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
}

/* Images "0.png" up to, called by `format`; all but number `left_out`. */
static inline void region_fixture_write(const fixture *f, char path[4096],
                                        const char *format, int32_t images,
                                        int32_t left_out, bool boxes)
{
    fb_region_writer *w = NULL;
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, "regions.bin"), FB_OK);
    assert_int_equal(fb_region_writer_open(f->ctx, &w, path), FB_OK);
    for (int32_t i = 0; i < images; i++) {
        char name[32];
        snprintf(name, sizeof name, "%d%s", (int)i, format);
        if (i != left_out)
            region_fixture_add(f, w, name, i, boxes);
    }
    assert_int_equal(fb_region_writer_finish(f->ctx, w), FB_OK);
    fb_region_writer_close(w);
}

#endif
