/* ref.h - the reference backend's kernels: plain loops in f32 with sums in f64, one
 * thread, nothing optimised. They are the oracle that every other backend is tested
 * against, so they read like the formulas in kernels.def, which holds their contracts.
 */
#ifndef FB_BACKEND_REF_REF_H
#define FB_BACKEND_REF_REF_H

#include "backend/backend.h"
#include "base/random.h"
#include <math.h>

/* What dropout makes of x, element `index` of its tensor. */
static inline float ref_dropout_value(fb_dropout d, uint32_t index, float x)
{
    if (!(d.p > 0.0f))
        return x;
    double threshold = (double)d.p * 0x1p32;
    return (double)fb_random_hash32(d.key, index) >= threshold ? x / (1.0f - d.p)
                                                               : 0.0f;
}

/* act(x), and its slope there. */
double ref_activation(fb_activation act, double x);
double ref_activation_slope(fb_activation act, double x);

#define FB_KERNEL(result, name, parameters, ...) result ref_##name parameters;
#include "backend/kernels.def"

#endif
