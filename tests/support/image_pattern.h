/* image_pattern.h - the pictures that tools/make_image_golden.py makes as well, and
 * hashes. */
#ifndef FB_TESTS_IMAGE_PATTERN_H
#define FB_TESTS_IMAGE_PATTERN_H

#include <stdint.h>
#include <stdlib.h>

/* kind 0: gradient and noise; kind 1: black and white noise. [height, width, 3], free()
 * it */
static inline uint8_t *image_pattern(int kind, uint32_t width, uint32_t height)
{
    uint32_t count = width * height * 3;
    uint8_t *values = malloc(count);
    for (uint32_t i = 0; values != NULL && i < count; i++) {
        uint32_t h = i * 0x9E3779B1u;
        h ^= h >> 15;
        h *= 0x85EBCA77u;
        h ^= h >> 13;
        uint32_t x = i / 3 % width, y = i / 3 / width;
        uint32_t ramp = i % 3 == 0   ? x * 255 / width
                        : i % 3 == 1 ? y * 255 / height
                                     : (x + y) % 256;
        values[i] = (uint8_t)(kind == 1 ? (h >> 31) * 255 : ramp + (h >> 26));
    }
    return values;
}

/* FNV-1a, 64 bits */
static inline uint64_t image_hash(const uint8_t *bytes, size_t count)
{
    uint64_t value = 0xCBF29CE484222325u;
    for (size_t i = 0; i < count; i++)
        value = (value ^ bytes[i]) * 0x100000001B3u;
    return value;
}

#endif
