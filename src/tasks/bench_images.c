/* bench_images.c - how fast images become pixels: JPEGs of two sizes, decoded out of
 * memory and padded to 256 x 256 with the bilinear filter, as training does by default.
 *
 * The pictures are smooth waves under a little noise, so that a JPEG has about as many
 * bytes as one of a photograph; quality 90, colour at half the resolution.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/memory_stream.h"
#include "base/random.h"
#include "data/image/image_resize.h"
#include "tasks/bench_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIZE = 256, QUALITY = 90, NOISE = 12 };

static const double round_s = 0.1;
static const struct {
    int32_t width, height;
} pictures[FB_BENCH_IMAGES] = {{60, 80}, {1600, 1600}};

static fb_status paint(fb_context *ctx, fb_image *image, int32_t width, int32_t height)
{
    uint8_t *rgb = malloc((size_t)width * (size_t)height * 3);
    if (!rgb)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a picture");
    *image = (fb_image){width, height, rgb};
    const float turn = 6.2831853f;
    fb_random r = fb_random_start(1, FB_STREAM_TEST, 0);
    for (int32_t y = 0; y < height; y++)
        for (int32_t x = 0; x < width; x++)
            for (int32_t c = 0; c < 3; c++) {
                float u = (float)x / (float)width, v = (float)y / (float)height;
                float wave = sinf(turn * (u * (float)(2 + c) + v)) +
                             cosf(turn * (v * (float)(3 - c) - u));
                float noise = (float)fb_random_below(&r, NOISE);
                *rgb++ = (uint8_t)(122.0f + 60.0f * wave + noise);
            }
    return FB_OK;
}

/* bytes: free() them */
static fb_status make_jpeg(fb_context *ctx, char **bytes, size_t *size_bytes,
                           int32_t width, int32_t height)
{
    fb_image image;
    FB_TRY(paint(ctx, &image, width, height));
    *bytes = NULL;
    FILE *stream = fb_memory_open(bytes, size_bytes);
    fb_status status =
        stream ? fb_image_encode_jpeg(ctx, stream, "a picture", &image, QUALITY, true)
               : fb_fail(ctx, FB_E_MEMORY, "no memory for a JPEG");
    if (stream && !fb_memory_close(stream, bytes) && status == FB_OK)
        status = fb_fail(ctx, FB_E_MEMORY, "no memory for a JPEG");
    fb_image_free(&image);
    return status;
}

static fb_status save(fb_context *ctx, const char *folder, const fb_bench_image *i,
                      const char *bytes)
{
    char name[64], path[4096];
    snprintf(name, sizeof name, "%dx%d.jpg", (int)i->width, (int)i->height);
    FB_TRY(fb_folder_make(ctx, folder));
    FB_TRY(fb_path_join(ctx, path, folder, name));
    return fb_file_write(ctx, path, bytes, (size_t)i->jpeg_bytes);
}

/* Decode and fit until a round is over; *rate is images a second. */
static fb_status run_round(fb_context *ctx, fb_resizer *resizer, uint8_t *pixels,
                           const char *bytes, size_t size_bytes, double *rate)
{
    double started_s = fb_clock_s(), spent_s = 0;
    int32_t count = 0;
    while (spent_s < round_s) {
        fb_image image = {0};
        FB_TRY(
            fb_image_decode(ctx, "a JPEG", (const uint8_t *)bytes, size_bytes, &image));
        fb_status status = fb_image_fit(ctx, resizer, pixels, &image, SIZE, FB_FIT_PAD,
                                        FB_FILTER_BILINEAR);
        fb_image_free(&image);
        FB_TRY(status);
        count++;
        spent_s = fb_clock_s() - started_s;
    }
    *rate = count / spent_s;
    return FB_OK;
}

static fb_status measure(fb_context *ctx, const fb_bench_options *options,
                         fb_bench_image *i, const char *bytes)
{
    double rates[FB_BENCH_REPEATS];
    fb_resizer *resizer = fb_resizer_create();
    uint8_t *pixels = malloc((size_t)SIZE * SIZE * 3);
    fb_status status =
        resizer && pixels ? FB_OK : fb_fail(ctx, FB_E_MEMORY, "no memory to resize");
    for (int32_t k = -1; k < options->repeats && status == FB_OK; k++)
        status = run_round(ctx, resizer, pixels, bytes, (size_t)i->jpeg_bytes,
                           &rates[k < 0 ? 0 : k]); /* the first is a warm-up */
    if (status == FB_OK)
        i->images_per_s = fb_bench_median(rates, options->repeats);
    free(pixels);
    fb_resizer_free(resizer);
    return status;
}

fb_status fb_bench_images(fb_context *ctx, const fb_bench_options *options,
                          fb_bench_report *report)
{
    for (int32_t k = 0; k < FB_BENCH_IMAGES; k++) {
        fb_bench_image *i = &report->images[k];
        char *bytes = NULL;
        size_t size_bytes = 0;
        fb_status status =
            make_jpeg(ctx, &bytes, &size_bytes, pictures[k].width, pictures[k].height);
        *i = (fb_bench_image){.width = pictures[k].width,
                              .height = pictures[k].height,
                              .size = SIZE,
                              .jpeg_bytes = (int64_t)size_bytes};
        if (status == FB_OK && *options->image_folder)
            status = save(ctx, options->image_folder, i, bytes);
        if (status == FB_OK)
            status = measure(ctx, options, i, bytes);
        free(bytes);
        FB_TRY(status);
        report->image_count = k + 1;
    }
    return FB_OK;
}
