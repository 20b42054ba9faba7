/* bf16.h - bfloat16: the upper half of an f32, rounded to nearest even; NaN stays NaN.
 */
#ifndef FB_TENSOR_BF16_H
#define FB_TENSOR_BF16_H

#include <stdint.h>
#include <string.h>

typedef uint16_t fb_bf16;

static inline float fb_bf16_to_f32(fb_bf16 h)
{
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline fb_bf16 fb_bf16_from_f32(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
    uint32_t quiet_nan = (bits | 0x400000u);
    uint32_t is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
    return (fb_bf16)((is_nan ? quiet_nan : rounded) >> 16);
}

#endif
