/* vector_optimizer.c - AdamW and the passes over all gradients before it. */
#include "backend/cpu/vector/vector_table.h"

void FB_VECTOR_NAME(adamw)(float *restrict x, float *restrict m, float *restrict v,
                           const float *restrict grad, int64_t n,
                           const fb_adamw *options)
{
    float beta1 = options->beta1, beta2 = options->beta2, eps = options->eps;
    float scale = options->gradient_scale;
    float step = options->lr / options->correction1;
    float root = 1.0f / sqrtf(options->correction2);
    float keep = 1.0f - options->lr * options->weight_decay;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float g = grad[i] * scale;
        float first = beta1 * m[i] + (1.0f - beta1) * g;
        float second = beta2 * v[i] + (1.0f - beta2) * g * g;
        m[i] = first;
        v[i] = second;
        x[i] = keep * x[i] - step * first / (sqrtf(second) * root + eps);
    }
}

/* In stretches, so that the f32 partial sums stay short; the total is f64. */
FB_INLINE void squares(bool bf16, double *total, const void *x, int64_t n)
{
    enum { STRETCH = 1024 };
    for (int64_t start = 0; start < n; start += STRETCH) {
        int64_t count = n - start < STRETCH ? n - start : STRETCH;
        const void *part = at_const(bf16, x, start);
        double sum = 0.0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < count; i++) {
            double value = (double)load(bf16, part, i);
            sum += value * value;
        }
        *total += sum;
    }
}

double FB_VECTOR_NAME(sum_squares)(fb_dtype dtype, const void *x, int64_t n)
{
    double total = 0.0;
    FB_EACH_DTYPE(dtype, squares, &total, x, n);
    return total;
}

/* A stretch is tested as a whole; only one that failed is looked through. */
FB_INLINE void nonfinite(bool bf16, int64_t *found, const void *x, int64_t n)
{
    enum { STRETCH = 4096 };
    for (int64_t start = 0; start < n; start += STRETCH) {
        int64_t count = n - start < STRETCH ? n - start : STRETCH;
        const void *part = at_const(bf16, x, start);
        uint32_t most = 0;
#pragma omp simd reduction(max : most)
        for (int64_t i = 0; i < count; i++) {
            uint32_t size = to_bits(load(bf16, part, i)) & 0x7fffffffu;
            most = size > most ? size : most;
        }
        if (most < 0x7f800000u)
            continue;
        for (int64_t i = 0; i < count; i++)
            if ((to_bits(load(bf16, part, i)) & 0x7fffffffu) >= 0x7f800000u) {
                *found = start + i;
                return;
            }
    }
}

int64_t FB_VECTOR_NAME(find_nonfinite)(fb_dtype dtype, const void *x, int64_t n)
{
    int64_t found = -1;
    FB_EACH_DTYPE(dtype, nonfinite, &found, x, n);
    return found;
}
