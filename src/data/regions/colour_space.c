/* colour_space.c - see colour_space.h. The cone's hue is that of the hexagon: the two
 * axes are the projection of (r, g, b) along the grey diagonal, whose length differs
 * from max - min by at most 15 %, and which needs no angle. */
#include "data/regions/colour_space.h"

#include <math.h>

static void to_hsv(float *out, const uint8_t *rgb, int64_t count)
{
    const float half_root3 = 0.8660254f;
    for (int64_t i = 0; i < count; i++) {
        float r = rgb[3 * i], g = rgb[3 * i + 1], b = rgb[3 * i + 2];
        float value = r > g ? r : g;
        out[3 * i] = 127.5f + 0.5f * (r - 0.5f * (g + b));
        out[3 * i + 1] = 127.5f + 0.5f * half_root3 * (g - b);
        out[3 * i + 2] = value > b ? value : b;
    }
}

static float linear_of(float share)
{
    return share <= 0.04045f ? share / 12.92f : powf((share + 0.055f) / 1.055f, 2.4f);
}

static float lab_root(float t)
{
    return t > 0.008856452f ? cbrtf(t) : t * 7.787037f + 0.13793103f;
}

static void to_lab(float *out, const uint8_t *rgb, int64_t count)
{
    float linear[256];
    for (int i = 0; i < 256; i++)
        linear[i] = linear_of((float)i / 255.0f);
    for (int64_t i = 0; i < count; i++) {
        float r = linear[rgb[3 * i]], g = linear[rgb[3 * i + 1]];
        float b = linear[rgb[3 * i + 2]];
        float x =
            lab_root((0.4124564f * r + 0.3575761f * g + 0.1804375f * b) / 0.95047f);
        float y = lab_root(0.2126729f * r + 0.7151522f * g + 0.0721750f * b);
        float z =
            lab_root((0.0193339f * r + 0.1191920f * g + 0.9503041f * b) / 1.08883f);
        out[3 * i] = 2.55f * (116.0f * y - 16.0f);
        out[3 * i + 1] = 500.0f * (x - y) + 128.0f;
        out[3 * i + 2] = 200.0f * (y - z) + 128.0f;
    }
}

void fb_colour_convert(fb_colour_space space, float *out, const uint8_t *rgb,
                       int64_t count)
{
    if (space == FB_COLOUR_LAB)
        to_lab(out, rgb, count);
    else
        to_hsv(out, rgb, count);
}
