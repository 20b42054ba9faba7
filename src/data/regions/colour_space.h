/* colour_space.h - three numbers a pixel in which near colours are near, each within 0
 * to 255, as f32.
 *
 *     hsv   the cone of hue, saturation and value: 127.5 + c cos h / 2,
 *           127.5 + c sin h / 2, v, with chroma c = v s. A hue alone means nothing where
 *           there is no colour, and white backgrounds would fall to pieces by it.
 *     lab   CIE L*a*b* under D65 of sRGB: 2.55 L, a + 128, b + 128 (OpenCV's scaling)
 */
#ifndef FB_DATA_REGIONS_COLOUR_SPACE_H
#define FB_DATA_REGIONS_COLOUR_SPACE_H

#include <stdint.h>

typedef enum fb_colour_space { FB_COLOUR_HSV, FB_COLOUR_LAB } fb_colour_space;

/* out [count, 3] of rgb [count, 3] */
void fb_colour_convert(fb_colour_space space, float *out, const uint8_t *rgb,
                       int64_t count);

#endif
