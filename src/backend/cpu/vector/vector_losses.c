/* vector_losses.c - cross entropy and Kullback-Leibler divergence of rows of logits.
 *
 *     lse = max + log sum exp(x - max)        loss = lse - x[target]
 *     dx = scale (exp(x - lse) - onehot)
 *     log p = f - lse(f), log q = x - lse(x)  loss = sum p (log p - log q)
 *     dx = scale (q - p)
 *
 * f32 inside, whatever the dtype; a NaN or infinity among the logits shows in the loss.
 */
#include "backend/cpu/vector/vector_table.h"

/* log sum exp(x - max), and the maximum. The loss of a sure and right row is the small
 * number that the two would swallow if they were added first. */
FB_INLINE float log_sum_exp_above(bool bf16, const void *x, int64_t n, float *max)
{
    float most = -INFINITY, sum = 0.0f;
#pragma omp simd reduction(max : most)
    for (int64_t i = 0; i < n; i++) {
        float value = load(bf16, x, i);
        most = value > most ? value : most;
    }
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += vector_exp(load(bf16, x, i) - most);
    *max = most;
    return logf(sum);
}

FB_INLINE float log_sum_exp(bool bf16, const void *x, int64_t n)
{
    float most, above = log_sum_exp_above(bf16, x, n, &most);
    return most + above;
}

void FB_VECTOR_NAME(cross_entropy_forward)(float *loss, float *lse, const float *logits,
                                           const int32_t *targets, int64_t rows,
                                           int64_t classes)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *x = logits + r * classes;
        float most, above = log_sum_exp_above(false, x, classes, &most);
        lse[r] = most + above;
        loss[r] = (most - x[targets[r]]) + above;
    }
}

FB_INLINE void entropy_gradient(bool bf16, void *dlogits, const float *logits,
                                const float *lse, const int32_t *targets, int64_t rows,
                                int64_t classes, float scale)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *x = logits + r * classes;
        void *dx = at(bf16, dlogits, r * classes);
        float row_lse = lse[r];
#pragma omp simd
        for (int64_t i = 0; i < classes; i++)
            store(bf16, dx, i, scale * vector_exp(x[i] - row_lse));
        int64_t target = targets[r];
        store(bf16, dx, target, scale * (vector_exp(x[target] - row_lse) - 1.0f));
    }
}

void FB_VECTOR_NAME(cross_entropy_backward)(fb_dtype dtype, void *dlogits,
                                            const float *logits, const float *lse,
                                            const int32_t *targets, int64_t rows,
                                            int64_t classes, float scale)
{
    FB_EACH_DTYPE(dtype, entropy_gradient, dlogits, logits, lse, targets, rows, classes,
                  scale);
}

FB_INLINE void divergence(bool bf16, float *loss, void *dlogits, const float *logits,
                          const void *features, int64_t width, float scale)
{
    float p_lse = log_sum_exp(bf16, features, width);
    float q_lse = log_sum_exp(false, logits, width);
    if (loss) {
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < width; i++) {
            float log_p = load(bf16, features, i) - p_lse;
            sum += vector_exp(log_p) * (log_p - (logits[i] - q_lse));
        }
        *loss = sum;
    }
    if (!dlogits)
        return;
#pragma omp simd
    for (int64_t i = 0; i < width; i++) {
        float p = vector_exp(load(bf16, features, i) - p_lse);
        float q = vector_exp(logits[i] - q_lse);
        store(bf16, dlogits, i, scale * (q - p));
    }
}

void FB_VECTOR_NAME(kld)(fb_dtype dtype, float *loss, void *dlogits,
                         const float *logits, const void *features, int64_t width,
                         float scale)
{
    FB_EACH_DTYPE(dtype, divergence, loss, dlogits, logits, features, width, scale);
}
