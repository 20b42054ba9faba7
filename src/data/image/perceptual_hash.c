/* perceptual_hash.c - see perceptual_hash.h. The transform is two products with a table
 * of cosines in 14 fractional bits; grey values are in thousandths of a level.
 */
#include "data/image/perceptual_hash.h"

#include <math.h>
#include <string.h>

enum { SIDE = 32, LOW = 16, FRACTION_BITS = 14, GREY_SCALE = 1000, BLOCK = SIDE / 4 };

/* Row u of the orthonormal cosine transform. */
static void fill_cosines(int64_t table[LOW][SIDE])
{
    const double pi = 3.14159265358979323846;
    for (int u = 0; u < LOW; u++)
        for (int x = 0; x < SIDE; x++) {
            double scale = sqrt((u == 0 ? 1.0 : 2.0) / SIDE);
            table[u][x] = llround(scale * cos(pi * u * (2 * x + 1) / (2.0 * SIDE)) *
                                  (1 << FRACTION_BITS));
        }
}

/* signs from grey [SIDE, SIDE] in thousandths. */
static void take_signs(const int64_t grey[SIDE][SIDE], uint64_t signs[4])
{
    const int64_t threshold = (int64_t)FB_LOOK_NOISE * GREY_SCALE
                              << (2 * FRACTION_BITS);
    int64_t cosines[LOW][SIDE], across[SIDE][LOW];
    fill_cosines(cosines);
    for (int y = 0; y < SIDE; y++)
        for (int u = 0; u < LOW; u++) {
            across[y][u] = 0;
            for (int x = 0; x < SIDE; x++)
                across[y][u] += cosines[u][x] * grey[y][x];
        }
    memset(signs, 0, 4 * sizeof *signs);
    for (int k = 1; k < LOW * LOW; k++) {
        int64_t sum = 0;
        for (int y = 0; y < SIDE; y++)
            sum += cosines[k / LOW][y] * across[y][k % LOW];
        if (sum > threshold)
            signs[(k - 1) / 64] |= UINT64_C(1) << ((k - 1) % 64);
    }
}

static void take_colour(const uint8_t *pixels, uint8_t colour[FB_LOOK_COLOURS])
{
    for (int i = 0; i < FB_LOOK_COLOURS; i++) {
        int row = i / 12, column = i / 3 % 4, channel = i % 3;
        uint32_t sum = BLOCK * BLOCK / 2;
        for (int y = row * BLOCK; y < (row + 1) * BLOCK; y++)
            for (int x = column * BLOCK; x < (column + 1) * BLOCK; x++)
                sum += pixels[(y * SIDE + x) * 3 + channel];
        colour[i] = (uint8_t)(sum / (BLOCK * BLOCK));
    }
}

fb_status fb_look_take(fb_context *ctx, fb_resizer *resizer, const fb_image *image,
                       fb_look *look)
{
    uint8_t pixels[SIDE * SIDE * 3];
    int64_t grey[SIDE][SIDE];
    FB_TRY(fb_image_fit(ctx, resizer, pixels, image, SIDE, FB_FIT_SQUASH,
                        FB_FILTER_BILINEAR));
    for (int i = 0; i < SIDE * SIDE; i++) {
        const uint8_t *p = &pixels[3 * i];
        grey[i / SIDE][i % SIDE] = 299 * p[0] + 587 * p[1] + 114 * p[2];
    }
    take_signs((const int64_t(*)[SIDE])grey, look->signs);
    take_colour(pixels, look->colour);
    return FB_OK;
}

static int32_t count_bits(uint64_t bits)
{
    return (int32_t)__builtin_popcountll(bits);
}

bool fb_look_is_flat(const fb_look *look)
{
    int32_t bits = 0;
    for (int i = 0; i < 4; i++)
        bits += count_bits(look->signs[i]);
    return bits < FB_LOOK_BITS_MIN;
}

int32_t fb_look_distance(const fb_look *a, const fb_look *b)
{
    int32_t distance = 0;
    for (int i = 0; i < 4; i++)
        distance += count_bits(a->signs[i] ^ b->signs[i]);
    return distance;
}

/* FB_LOOK_COLOURS^2 times the variance of the colour values. */
static int64_t contrast(const uint8_t *colour)
{
    int64_t sum = 0, squares = 0;
    for (int i = 0; i < FB_LOOK_COLOURS; i++) {
        sum += colour[i];
        squares += (int64_t)colour[i] * colour[i];
    }
    return FB_LOOK_COLOURS * squares - sum * sum;
}

static bool is_same_colour(const fb_look *a, const fb_look *b)
{
    int64_t difference = 0;
    for (int i = 0; i < FB_LOOK_COLOURS; i++) {
        int64_t d = (int64_t)a->colour[i] - b->colour[i];
        difference += d * d;
    }
    if (difference <= 2 * 2 * FB_LOOK_COLOURS)
        return true;
    int64_t x = contrast(a->colour), y = contrast(b->colour);
    return 4 * 4 * FB_LOOK_COLOURS * difference <= (x > y ? x : y);
}

bool fb_look_is_near(const fb_look *a, const fb_look *b)
{
    return fb_look_distance(a, b) <= FB_LOOK_DISTANCE && !fb_look_is_flat(a) &&
           !fb_look_is_flat(b) && is_same_colour(a, b);
}
