/* region_source.h - regions of images out of any format, one image after the other, and
 * the checks that all formats share. As record_source.h, but for features instead of
 * products.
 *
 * Formats: region_tsv.h (bottom-up attention), region_npy.h (numpy's arrays).
 */
#ifndef FB_DATA_REGIONS_REGION_SOURCE_H
#define FB_DATA_REGIONS_REGION_SOURCE_H

#include "base/status.h"

/* Borrowed from the source until its next call. */
typedef struct fb_region_record {
    bool end;
    double progress;   /* share of the source that was read */
    const char *where; /* "features.tsv:17" */
    bool bad;          /* `why` says why; nothing below is set */
    const char *why;
    const char *name;       /* of the image; NULL: it has only its place */
    int64_t place;          /* from 0, over all that the source holds */
    int32_t regions;        /* n */
    int32_t feature_width;  /* F */
    int32_t width, height;  /* pixels of the image; 0: not known, boxes are shares */
    const float *boxes;     /* [n, 4] x1, y1, x2, y2; NULL: none */
    const float *features;  /* [n, F] */
    const int32_t *classes; /* [n] numbers of the detector's, from 0; NULL: none */
    const float *scores;    /* [n] how sure it was, 0 to 1; with classes */
} fb_region_record;

typedef struct fb_region_source {
    void *self;
    /* Failures end the import; what is wrong with one image is told in the record. */
    fb_status (*next)(fb_context *ctx, void *self, fb_region_record *record);
    void (*close)(void *self);
} fb_region_source;

/* Whether a record keeps its promises: n from 1 to FB_REGIONS_MOST, numbers that are
 * finite, boxes within the image, classes and scores in their range. boxes_out [n, 4] becomes the boxes as shares of the
 * image, cut at its edges. FB_E_FORMAT, FB_E_NUMBER say what is wrong, without place.
 */
fb_status fb_region_record_check(fb_context *ctx, const fb_region_record *record,
                                 float *boxes_out);

#endif
