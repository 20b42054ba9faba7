/* drawn_photo.c - see drawn_photo.h. */
#include "support/drawn_photo.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"

fb_image drawn_photo(uint64_t shape, uint64_t colour, int32_t width, int32_t height)
{
    fb_image image = {width, height, malloc((size_t)width * (size_t)height * 3)};
    if (!image.rgb)
        abort();
    memset(image.rgb, 255, (size_t)width * (size_t)height * 3);
    for (uint64_t k = 0; k < 6; k++) {
        fb_random s = fb_random_start(shape, FB_STREAM_TEST, k);
        fb_random c = fb_random_start(colour, FB_STREAM_TEST, k + 100);
        double cx = 0.2 + 0.6 * fb_random_uniform(&s);
        double cy = 0.2 + 0.6 * fb_random_uniform(&s);
        double rx = 0.05 + 0.25 * fb_random_uniform(&s);
        double ry = 0.05 + 0.25 * fb_random_uniform(&s);
        uint8_t rgb[3];
        for (int i = 0; i < 3; i++)
            rgb[i] = (uint8_t)fb_random_below(&c, 256);
        for (int32_t y = 0; y < height; y++)
            for (int32_t x = 0; x < width; x++) {
                double dx = ((x + 0.5) / width - cx) / rx;
                double dy = ((y + 0.5) / height - cy) / ry;
                if (dx * dx + dy * dy < 1)
                    memcpy(image.rgb + ((size_t)y * (size_t)width + (size_t)x) * 3, rgb,
                           3);
            }
    }
    return image;
}
