/* int8.h - what the int8 products of all backends agree on, to the bit.
 *
 *     sw[n]                                      given: f32, of output channel n
 *     qw[n,k] = round(w[n,k] / sw[n])            symmetric, -127 .. 127
 *     sx[t]   = max over k of |x[t,k]| / 127     of each row when it comes ("dynamic")
 *     qx[t,k] = round(x[t,k] / sx[t])            -127 .. 127
 *     sum     = sum over k of qx[t,k] qw[n,k]    s32, exact
 *     y[t,n]  = act(f32(sum) (sx[t] sw[n]) + bias[n])
 *
 * A convolution is the same of its windows: row t is what the window of output place t
 * covers, 0 outside the picture. The order of k is free: neither the scale nor the sum
 * depends on it.
 *
 * Rounding is to nearest, ties to even, of the product with the inverse, which is f32. A
 * row without a number of 1e-30 or more counts as zeros; one with a NaN or infinity makes
 * its whole row of y NaN. Both sides are symmetric, so that no zero point enters the
 * sums; -128 is never used, so that a product of two fits 15 bits with its sign.
 */
#ifndef FB_BACKEND_INT8_H
#define FB_BACKEND_INT8_H

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { FB_INT8_MOST = 127 };
/* Inputs K of a product, so that its sum fits an s32. */
enum { FB_INT8_INPUTS = 131072 };
#define FB_INT8_LEAST 1e-30f

/* The largest magnitude of a row; a NaN or infinity where there is one. */
static inline float fb_int8_magnitude(const float *x, int64_t n)
{
    uint32_t most = 0; /* magnitudes are in the order of their bits, NaN above all */
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= 0x7fffffffu;
        most = bits > most ? bits : most;
    }
    float magnitude;
    memcpy(&magnitude, &most, sizeof magnitude);
    return magnitude;
}

/* A row's scale out of its magnitude, and what its numbers are multiplied with. */
static inline float fb_int8_scale(float magnitude, float *inverse)
{
    *inverse = 0.0f;
    if (!isfinite(magnitude))
        return NAN;
    if (magnitude < FB_INT8_LEAST)
        return 0.0f;
    *inverse = (float)FB_INT8_MOST / magnitude;
    return magnitude / (float)FB_INT8_MOST;
}

/* Of a weight's row: 0 for a scale of 0. */
static inline float fb_int8_inverse(float scale)
{
    return scale < FB_INT8_LEAST / (float)FB_INT8_MOST ? 0.0f : 1.0f / scale;
}

/* x is finite. */
static inline int32_t fb_int8_round(float x, float inverse)
{
    float q = rintf(x * inverse);
    q = q > (float)FB_INT8_MOST ? (float)FB_INT8_MOST : q;
    return (int32_t)(q < -(float)FB_INT8_MOST ? -(float)FB_INT8_MOST : q);
}

#endif
