/* fuzz_image.c - any bytes through probe, decode and fit. Declared sizes past a million
 * pixels are left out: they only cost time. */
#include "data/image/image_resize.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes)
{
    enum { PIXELS_MAX = 1000000, SIZE = 24 };
    fb_context *ctx = fb_context_create();
    fb_resizer *resizer = fb_resizer_create();
    uint8_t out[SIZE * SIZE * 3];
    fb_image_info info;
    fb_image image;
    if (ctx != NULL && resizer != NULL &&
        fb_image_probe(ctx, "fuzz", bytes, size_bytes, &info) == FB_OK &&
        (int64_t)info.width * info.height <= PIXELS_MAX &&
        fb_image_decode(ctx, "fuzz", bytes, size_bytes, &image) == FB_OK) {
        bool same =
            (int64_t)image.width * image.height == (int64_t)info.width * info.height;
        fb_fit fit = size_bytes % 2 == 0 ? FB_FIT_PAD : FB_FIT_SQUASH;
        if (!same || fb_image_fit(ctx, resizer, out, &image, SIZE, fit,
                                  FB_FILTER_BICUBIC) != FB_OK)
            abort();
        fb_image_free(&image);
    }
    fb_resizer_free(resizer);
    fb_context_free(ctx);
    return 0;
}
