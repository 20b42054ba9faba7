/* vector_contrast.c - unit rows, products of rows with one, InfoNCE over similarities,
 * and listwise softmax.
 *
 *     y = x / length, length = max(|x|, 1e-12)     dx = (dy - y (y . dy)) / length
 *
 *     over rows and over columns, pairs of one product or text left out, scale > 0:
 *     lse = scale max s + log sum exp(scale (s - max s))
 *     g = exp(scale s - lse_row) + exp(z - lse_column) - 2 [i == j]
 *     ds = factor scale g        dscale = factor sum s g
 *
 *     d = logits[.][1] - logits[.][0]       lse over the members of a list
 *     share = scale (exp(d - lse) - [first])
 *
 * f32 inside, whatever the dtype. Columns are walked row by row, a stretch of them at a
 * time, with a running maximum and sum each.
 */
#include "backend/cpu/vector/vector_table.h"

/* ---- unit rows ------------------------------------------------------------------ */

FB_INLINE void unit_rows(bool bf16, void *y, float *lengths, const void *x,
                         int64_t rows, int64_t width)
{
    for (int64_t r = 0; r < rows; r++) {
        const void *from = at_const(bf16, x, r * width);
        void *to = at(bf16, y, r * width);
        float squares = 0.0f;
#pragma omp simd reduction(+ : squares)
        for (int64_t i = 0; i < width; i++)
            squares += load(bf16, from, i) * load(bf16, from, i);
        float length = sqrtf(squares);
        length = length < 1e-12f ? 1e-12f : length;
#pragma omp simd
        for (int64_t i = 0; i < width; i++)
            store(bf16, to, i, load(bf16, from, i) / length);
        if (lengths)
            lengths[r] = length;
    }
}

void FB_VECTOR_NAME(unit_rows_forward)(fb_dtype dtype, void *y, float *lengths,
                                       const void *x, int64_t rows, int64_t width)
{
    FB_EACH_DTYPE(dtype, unit_rows, y, lengths, x, rows, width);
}

FB_INLINE void unit_gradient(bool bf16, void *dx, const void *dy, const void *y,
                             const float *lengths, int64_t rows, int64_t width)
{
    for (int64_t r = 0; r < rows; r++) {
        const void *up = at_const(bf16, dy, r * width);
        const void *unit = at_const(bf16, y, r * width);
        void *to = at(bf16, dx, r * width);
        float along = 0.0f, length = lengths[r];
#pragma omp simd reduction(+ : along)
        for (int64_t i = 0; i < width; i++)
            along += load(bf16, unit, i) * load(bf16, up, i);
#pragma omp simd
        for (int64_t i = 0; i < width; i++)
            store(bf16, to, i,
                  (load(bf16, up, i) - load(bf16, unit, i) * along) / length);
    }
}

void FB_VECTOR_NAME(unit_rows_backward)(fb_dtype dtype, void *dx, const void *dy,
                                        const void *y, const float *lengths,
                                        int64_t rows, int64_t width)
{
    FB_EACH_DTYPE(dtype, unit_gradient, dx, dy, y, lengths, rows, width);
}

/* Row by row: a row's product is the same wherever it lies, and the rows come from
 * memory more slowly than this adds. */
void FB_VECTOR_NAME(row_products)(float *y, const float *rows, int64_t count,
                                  int64_t width, const float *query)
{
    for (int64_t n = 0; n < count; n++) {
        const float *row = rows + n * width;
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < width; i++)
            sum += row[i] * query[i];
        y[n] = sum;
    }
}

/* ---- pairs ---------------------------------------------------------------------- */

/* Whether pair (i, j) counts; groups of i first. No short cuts: they would branch. */
FB_INLINE bool counts(int32_t a, int32_t b, const fb_contrast *c, int64_t i, int64_t j)
{
    return (i == j) | ((a != c->a_group[j]) & (b != c->b_group[j]));
}

void FB_VECTOR_NAME(contrast_rows)(float *loss, float *lse, const float *similarity,
                                   const fb_contrast *c, int64_t from, int64_t to)
{
    int64_t count = c->count;
    float scale = c->scale;
    for (int64_t i = from; i < to; i++) {
        const float *s = similarity + i * count;
        int32_t a = c->a_group[i], b = c->b_group[i];
        float most = s[i], sum = 0.0f;
#pragma omp simd reduction(max : most)
        for (int64_t j = 0; j < count; j++) {
            float value = counts(a, b, c, i, j) ? s[j] : -INFINITY;
            most = value > most ? value : most;
        }
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < count; j++) {
            float e = vector_exp(scale * (s[j] - most));
            sum += counts(a, b, c, i, j) ? e : 0.0f;
        }
        lse[i] = scale * most + logf(sum);
        loss[i] = scale * (most - s[i]) + logf(sum);
    }
}

void FB_VECTOR_NAME(contrast_columns)(float *loss, float *lse, const float *similarity,
                                      const fb_contrast *c, int64_t from, int64_t to,
                                      float *scratch)
{
    int64_t count = c->count, width = to - from;
    float scale = c->scale, *most = scratch, *sum = scratch + width;
    for (int64_t j = 0; j < width; j++) {
        most[j] = similarity[(from + j) * count + from + j];
        sum[j] = 0.0f;
    }
    for (int64_t i = 0; i < count; i++) {
        const float *s = similarity + i * count + from;
        int32_t a = c->a_group[i], b = c->b_group[i];
#pragma omp simd
        for (int64_t j = 0; j < width; j++) {
            float value = counts(a, b, c, i, from + j) ? s[j] : -INFINITY;
            most[j] = value > most[j] ? value : most[j];
        }
    }
    for (int64_t i = 0; i < count; i++) {
        const float *s = similarity + i * count + from;
        int32_t a = c->a_group[i], b = c->b_group[i];
#pragma omp simd
        for (int64_t j = 0; j < width; j++) {
            float e = vector_exp(scale * (s[j] - most[j]));
            sum[j] += counts(a, b, c, i, from + j) ? e : 0.0f;
        }
    }
    for (int64_t j = 0; j < width; j++) {
        float right = similarity[(from + j) * count + from + j];
        lse[count + from + j] = scale * most[j] + logf(sum[j]);
        loss[count + from + j] = scale * (most[j] - right) + logf(sum[j]);
    }
}

FB_INLINE void pair_gradient(bool bf16, const vector_contrast *v, int64_t from,
                             int64_t to)
{
    const fb_contrast *c = v->pairs;
    int64_t count = c->count;
    float scale = c->scale, factor = v->factor;
    const float *column_lse = v->lse + count;
    for (int64_t i = from; i < to; i++) {
        const float *s = v->similarity + i * count;
        void *ds = at(bf16, v->dsimilarity, i * count);
        int32_t a = c->a_group[i], b = c->b_group[i];
        float row_lse = v->lse[i], sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < count; j++) {
            float z = scale * s[j];
            float g = vector_exp(z - row_lse) + vector_exp(z - column_lse[j]);
            g = counts(a, b, c, i, j) ? g : 0.0f;
            g = i == j ? g - 2.0f : g;
            store(bf16, ds, j, factor * scale * g);
            sum += s[j] * g;
        }
        v->dscale[i] = (double)factor * (double)sum;
    }
}

void FB_VECTOR_NAME(contrast_backward)(const vector_contrast *a, int64_t from,
                                       int64_t to)
{
    FB_EACH_DTYPE(a->dtype, pair_gradient, a, from, to);
}

/* ---- lists ---------------------------------------------------------------------- */

FB_INLINE float margin(const float *logits, int32_t row)
{
    return logits[2 * (int64_t)row + 1] - logits[2 * (int64_t)row];
}

/* How far below the largest margin the right ones are, in their shares. */
FB_INLINE float loss_below(const float *logits, const int32_t *member,
                           const float *target, int64_t length, float most)
{
    if (!target)
        return most - margin(logits, member[0]);
    float below = 0.0f;
#pragma omp simd reduction(+ : below)
    for (int64_t k = 0; k < length; k++)
        below += target[k] * (most - margin(logits, member[k]));
    return below;
}

void FB_VECTOR_NAME(list_forward)(float *loss, float *lse, const float *logits,
                                  const int32_t *members, const float *targets,
                                  int64_t lists, int64_t length)
{
    for (int64_t l = 0; l < lists; l++) {
        const int32_t *member = members + l * length;
        const float *target = targets ? targets + l * length : NULL;
        float most = margin(logits, member[0]), sum = 0.0f;
#pragma omp simd reduction(max : most)
        for (int64_t k = 0; k < length; k++) {
            float d = margin(logits, member[k]);
            most = d > most ? d : most;
        }
#pragma omp simd reduction(+ : sum)
        for (int64_t k = 0; k < length; k++)
            sum += vector_exp(margin(logits, member[k]) - most);
        lse[l] = most + logf(sum);
        loss[l] = loss_below(logits, member, target, length, most) + logf(sum);
    }
}

void FB_VECTOR_NAME(list_shares)(float *shares, const float *logits, const float *lse,
                                 const int32_t *members, const float *targets,
                                 int64_t lists, int64_t length, float scale)
{
    for (int64_t l = 0; l < lists; l++) {
        const int32_t *member = members + l * length;
        float *share = shares + l * length, list_lse = lse[l];
#pragma omp simd
        for (int64_t k = 0; k < length; k++)
            share[k] = scale * vector_exp(margin(logits, member[k]) - list_lse);
        if (!targets) {
            share[0] -= scale;
            continue;
        }
        const float *target = targets + l * length;
#pragma omp simd
        for (int64_t k = 0; k < length; k++)
            share[k] -= scale * target[k];
    }
}

FB_INLINE void spread(bool bf16, void *dlogits, const float *sums, int64_t rows)
{
    for (int64_t r = 0; r < rows; r++) {
        store(bf16, dlogits, 2 * r, -sums[r]);
        store(bf16, dlogits, 2 * r + 1, sums[r]);
    }
}

void FB_VECTOR_NAME(list_spread)(fb_dtype dtype, void *dlogits, const float *sums,
                                 int64_t rows)
{
    FB_EACH_DTYPE(dtype, spread, dlogits, sums, rows);
}
