/* vector_gru.c - a row of a gated recurrent unit, behind its products (backend.h,
 * fb_recurrence).
 *
 *     r = sigmoid(x_r + g_r)    z = sigmoid(x_z + g_z)    n = tanh(x_n + r g_n)
 *     h = n + z (h_before - n)
 *
 *     dh = dy + back + keep     dn = dh (1 - z) (1 - n^2)        keep = z dh
 *     dr = dn g_n r (1 - r)     dz = dh (h_before - n) z (1 - z)
 *     dx = dr, dz, dn           dg = dr, dz, r dn
 */
#include "backend/cpu/vector/vector_table.h"

FB_INLINE float sigmoid(float x)
{
    return 1.0f / (1.0f + vector_exp(-x));
}

FB_INLINE void forward(bool bf16, bool first, const vector_gru *a)
{
    int64_t width = a->width;
    const float *x = a->x, *g = a->g;
    const void *before = a->before;
    void *state = a->state, *gates = a->gates;
#pragma omp simd
    for (int64_t i = 0; i < width; i++) {
        float r = sigmoid(x[i] + g[i]), z = sigmoid(x[width + i] + g[width + i]);
        float n = vector_tanh(x[2 * width + i] + r * g[2 * width + i]);
        float was = first ? 0.0f : load(bf16, before, i);
        store(bf16, state, i, n + z * (was - n));
        if (gates) {
            store(bf16, gates, i, r);
            store(bf16, gates, width + i, z);
            store(bf16, gates, 2 * width + i, n);
            store(bf16, gates, 3 * width + i, g[2 * width + i]);
        }
    }
}

void FB_VECTOR_NAME(gru_forward)(const vector_gru *a)
{
    if (a->before)
        FB_EACH_DTYPE(a->dtype, forward, false, a);
    else
        FB_EACH_DTYPE(a->dtype, forward, true, a);
}

/* first: no state before; last: nothing is given back. */
FB_INLINE void backward(bool bf16, bool first, bool last, const vector_gru *a)
{
    int64_t width = a->width;
    const void *before = a->before, *gates = a->gates_in, *dy = a->dy, *back = a->back;
    float *keep = a->keep;
    void *dx = a->dx, *dg = a->dg;
#pragma omp simd
    for (int64_t i = 0; i < width; i++) {
        float r = load(bf16, gates, i), z = load(bf16, gates, width + i);
        float n = load(bf16, gates, 2 * width + i);
        float was = first ? 0.0f : load(bf16, before, i);
        float dh = load(bf16, dy, i) + (last ? 0.0f : keep[i] + load(bf16, back, i));
        float dn = dh * (1.0f - z) * (1.0f - n * n);
        float dr = dn * load(bf16, gates, 3 * width + i) * r * (1.0f - r);
        float dz = dh * (was - n) * z * (1.0f - z);
        store(bf16, dx, i, dr);
        store(bf16, dg, i, dr);
        store(bf16, dx, width + i, dz);
        store(bf16, dg, width + i, dz);
        store(bf16, dx, 2 * width + i, dn);
        store(bf16, dg, 2 * width + i, dn * r);
        keep[i] = z * dh;
    }
}

void FB_VECTOR_NAME(gru_backward)(const vector_gru *a)
{
    if (a->before && a->back)
        FB_EACH_DTYPE(a->dtype, backward, false, false, a);
    else if (a->before)
        FB_EACH_DTYPE(a->dtype, backward, false, true, a);
    else if (a->back)
        FB_EACH_DTYPE(a->dtype, backward, true, false, a);
    else
        FB_EACH_DTYPE(a->dtype, backward, true, true, a);
}
