/* vector_norm.c - dropout, residual and LayerNorm of a row in one pass over memory.
 *
 *     z = dropout(x) + residual     y = gamma (z - mean) rstd + beta
 *     with a = dy gamma, h = (z - mean) rstd:
 *     dz = rstd (a - mean(a) - h mean(a h))     dgamma += dy h     dbeta += dy
 *
 * x, residual, z, y [rows, width]; stats [rows, 2] = mean, rstd. A row lies in f32
 * scratch between its passes, so that the variance is that of the differences.
 */
#include "backend/cpu/vector/vector_table.h"

/* row[] = z of row r, its sum returned */
FB_INLINE float load_row(bool bf16, bool residual, bool drop, const vector_norm *a,
                         int64_t r, float *restrict row)
{
    int64_t width = a->width, start = r * width;
    uint32_t index = (uint32_t)start, threshold = dropout_threshold(a->dropout.p);
    float scale = dropout_scale(a->dropout.p), sum = 0.0f;
    uint64_t key = a->dropout.key;
    const void *x = at_const(bf16, a->x, start);
    const void *add = residual ? at_const(bf16, a->residual, start) : NULL;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < width; i++) {
        float z = load(bf16, x, i);
        if (drop)
            z = dropped(z, key, index + (uint32_t)i, threshold, scale);
        if (residual)
            z += load(bf16, add, i);
        row[i] = z;
        sum += z;
    }
    return sum;
}

FB_INLINE void norm_row(bool bf16, const vector_norm *a, int64_t r, float *restrict row,
                        float sum)
{
    int64_t width = a->width;
    float mean = sum / (float)width, square = 0.0f;
#pragma omp simd reduction(+ : square)
    for (int64_t i = 0; i < width; i++)
        square += (row[i] - mean) * (row[i] - mean);
    float rstd = 1.0f / sqrtf(square / (float)width + a->eps);
    const float *restrict gamma = a->gamma, *restrict beta = a->beta;
    if (a->z) {
        void *z = at(bf16, a->z, r * width);
#pragma omp simd
        for (int64_t i = 0; i < width; i++)
            store(bf16, z, i, row[i]);
    }
    void *y = at(bf16, a->y, r * width);
#pragma omp simd
    for (int64_t i = 0; i < width; i++)
        store(bf16, y, i, (row[i] - mean) * rstd * gamma[i] + beta[i]);
    if (a->stats) {
        a->stats[2 * r] = mean;
        a->stats[2 * r + 1] = rstd;
    }
}

FB_INLINE void forward(bool bf16, const vector_norm *a, int64_t first, int64_t rows,
                       float *row)
{
    bool drop = a->dropout.p > 0.0f, residual = a->residual != NULL;
    for (int64_t r = first; r < first + rows; r++) {
        float sum;
        if (drop)
            sum = residual ? load_row(bf16, true, true, a, r, row)
                           : load_row(bf16, false, true, a, r, row);
        else
            sum = residual ? load_row(bf16, true, false, a, r, row)
                           : load_row(bf16, false, false, a, r, row);
        norm_row(bf16, a, r, row, sum);
    }
}

void FB_VECTOR_NAME(norm_forward)(const vector_norm *a, int64_t first, int64_t rows,
                                  float *row)
{
    FB_EACH_DTYPE(a->dtype, forward, a, first, rows, row);
}

/* What a row's gradients go into: scaled[] = dy gamma, hat[] = h; and the sums of gamma
 * and beta. */
typedef struct norm_gradients {
    float *scaled, *hat, *dgamma, *dbeta; /* [width] */
} norm_gradients;

typedef struct norm_means {
    float scaled, hat; /* of scaled, of scaled times hat */
} norm_means;

FB_INLINE norm_means row_gradients(bool bf16, const vector_norm *a, int64_t r,
                                   const norm_gradients *to)
{
    float *restrict scaled = to->scaled, *restrict hat = to->hat;
    float *restrict dgamma = to->dgamma, *restrict dbeta = to->dbeta;
    int64_t width = a->width;
    float z_mean = a->stats_in[2 * r], rstd = a->stats_in[2 * r + 1];
    const void *dy = at_const(bf16, a->dy, r * width);
    const void *z = at_const(bf16, a->z_in, r * width);
    const float *restrict gamma = a->gamma;
    float sum = 0.0f, sum_hat = 0.0f;
#pragma omp simd reduction(+ : sum, sum_hat)
    for (int64_t i = 0; i < width; i++) {
        float g = load(bf16, dy, i), h = (load(bf16, z, i) - z_mean) * rstd;
        dbeta[i] += g;
        dgamma[i] += g * h;
        g *= gamma[i];
        scaled[i] = g;
        hat[i] = h;
        sum += g;
        sum_hat += g * h;
    }
    return (norm_means){sum / (float)width, sum_hat / (float)width};
}

FB_INLINE void backward(bool bf16, const vector_norm *a, int64_t first, int64_t rows,
                        float *row, float *dgamma, float *dbeta)
{
    int64_t width = a->width;
    float *scaled = row, *hat = row + width;
    const norm_gradients to = {scaled, hat, dgamma, dbeta};
    bool drop = a->dropout.p > 0.0f;
    uint32_t threshold = dropout_threshold(a->dropout.p);
    float scale = dropout_scale(a->dropout.p);
    for (int64_t r = first; r < first + rows; r++) {
        float rstd = a->stats_in[2 * r + 1];
        const norm_means m = row_gradients(bf16, a, r, &to);
#pragma omp simd
        for (int64_t i = 0; i < width; i++)
            scaled[i] = rstd * (scaled[i] - m.scaled - hat[i] * m.hat);
        if (a->dresidual) {
            void *out = at(bf16, a->dresidual, r * width);
#pragma omp simd
            for (int64_t i = 0; i < width; i++)
                store(bf16, out, i, scaled[i]);
        }
        if (!a->dx)
            continue;
        void *dx = at(bf16, a->dx, r * width);
        uint32_t index = (uint32_t)(r * width);
        if (drop) {
#pragma omp simd
            for (int64_t i = 0; i < width; i++)
                store(bf16, dx, i,
                      dropped(scaled[i], a->dropout.key, index + (uint32_t)i, threshold,
                              scale));
        } else if (a->dx != a->dresidual) {
#pragma omp simd
            for (int64_t i = 0; i < width; i++)
                store(bf16, dx, i, scaled[i]);
        }
    }
}

void FB_VECTOR_NAME(norm_backward)(const vector_norm *a, int64_t first, int64_t rows,
                                   float *row, float *dgamma, float *dbeta)
{
    FB_EACH_DTYPE(a->dtype, backward, a, first, rows, row, dgamma, dbeta);
}
