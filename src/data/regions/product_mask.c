/* product_mask.c - see product_mask.h. */
#include "data/regions/product_mask.h"

#include <string.h>

static bool is_border(const fb_image *image, int32_t x, int32_t y)
{
    int32_t shorter = image->width < image->height ? image->width : image->height;
    int32_t wide = shorter / 32 > 0 ? shorter / 32 : 1;
    return x < wide || y < wide || x >= image->width - wide ||
           y >= image->height - wide;
}

static const uint8_t *pixel_at(const fb_image *image, int32_t x, int32_t y)
{
    return image->rgb + 3 * ((size_t)y * (size_t)image->width + (size_t)x);
}

static uint8_t median_of(const int64_t counts[256], int64_t total)
{
    int64_t below = 0;
    int level = 0;
    while (level < 255 && 2 * (below + counts[level]) < total)
        below += counts[level++];
    return (uint8_t)level;
}

static int64_t border_colour(uint8_t colour[3], const fb_image *image)
{
    int64_t counts[3][256] = {{0}}, total = 0;
    for (int32_t y = 0; y < image->height; y++)
        for (int32_t x = 0; x < image->width; x++) {
            if (!is_border(image, x, y))
                continue;
            total++;
            for (int c = 0; c < 3; c++)
                counts[c][pixel_at(image, x, y)[c]]++;
        }
    for (int c = 0; c < 3; c++)
        colour[c] = median_of(counts[c], total);
    return total;
}

static bool is_near(const uint8_t *a, const uint8_t *b)
{
    for (int c = 0; c < 3; c++)
        if (a[c] - b[c] > FB_MASK_LEVELS || b[c] - a[c] > FB_MASK_LEVELS)
            return false;
    return true;
}

void fb_product_mask_take(uint8_t *mask, int64_t *product, bool *plain,
                          const fb_image *image)
{
    uint8_t colour[3];
    int64_t border = border_colour(colour, image), near_border = 0;
    *product = 0;
    for (int32_t y = 0; y < image->height; y++)
        for (int32_t x = 0; x < image->width; x++) {
            bool near = is_near(pixel_at(image, x, y), colour);
            near_border += near && is_border(image, x, y);
            mask[(size_t)y * (size_t)image->width + (size_t)x] = !near;
            *product += !near;
        }
    *plain = 2 * near_border >= border;
    if (!*plain) {
        memset(mask, 0, (size_t)image->width * (size_t)image->height);
        *product = 0;
    }
}
