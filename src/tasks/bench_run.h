/* bench_run.h - one run of `bench`: the same step over and over, and what it took. */
#ifndef FB_TASKS_BENCH_RUN_H
#define FB_TASKS_BENCH_RUN_H

#include "backend/backend.h"
#include "fashionbert.h"
#include "models/system.h"

typedef enum fb_bench_kind {
    FB_BENCH_SCORE,   /* forward over pairs, each its own text and image */
    FB_BENCH_TRAIN,   /* a whole training step on pairs */
    FB_BENCH_FEATURES /* the image network alone, frozen */
} fb_bench_kind;

typedef struct fb_bench_spec {
    fb_bench_kind kind;
    fb_model_config config;
    const fb_system *system; /* on features made before; NULL: FashionBERT, on pixels */
    bool int8;               /* SCORE, FEATURES: by int8 products */
    int32_t batch;           /* pairs a step; images of FEATURES */
    double limit_s;          /* no further repeat after so long, but three at least */
} fb_bench_spec;

/* Fill run's numbers but `fraction`; preset, mode and encoder, which name it, are set.
 */
fb_status fb_bench_measure(fb_context *ctx, fb_backend *be,
                           const fb_bench_options *options, const fb_bench_spec *spec,
                           fb_bench_run *run);

/* Decoding and resizing on the calling thread, into report->images; the JPEGs also into
 * options->image_folder. */
fb_status fb_bench_images(fb_context *ctx, const fb_bench_options *options,
                          fb_bench_report *report);

/* The middle one; sorts the values. */
double fb_bench_median(double *values, int32_t count);

#endif
