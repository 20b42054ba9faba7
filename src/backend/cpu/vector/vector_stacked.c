/* vector_stacked.c - stacked cross attention of one pair of a text and an image.
 *
 *     x = LeakyReLU(s)    n_c = sqrt(sum_q x_qc^2)    z_qc = lambda1 x_qc / (n_c + 1e-8)
 *     a = softmax over c of z    g_q = G a_q    u_q = a . g    R_q = a . s / sqrt(u_q)
 *
 *     da = dR s / sqrt u + 2 du g    du = -dR R / 2u    dz = a (da - a . da)
 *     dx = lambda1 dz / (n + 1e-8) - x sum_q(lambda1 dz x) / ((n + 1e-8)^2 n)
 *     ds = dR a / sqrt u + dx LeakyReLU'(s)              dG = du a a^T
 *
 * The pair's block of s is copied with queries as lines, contexts side by side, padded
 * with zeros to whole vectors; so are both directions one code. |z| is at most lambda1
 * (FB_STACKED_SHARPEST): the exponential needs no maximum.
 */
#include "backend/cpu/vector/vector_table.h"
#include "backend/cpu/vector/vector_tile.h"

#define LEAK     0.1f
#define LITTLE   1e-8f
#define LEAST_UU 1e-16f

static int64_t round_up(int64_t n, int64_t step)
{
    return (n + step - 1) / step * step;
}

/* A pair's block, and where what is computed of it lies: squares [queries up, lanes],
 * lines [lanes], columns [queries up]. */
typedef struct room {
    int64_t queries, contexts, lanes;
    float *s, *a, *ga, *product;        /* squares; product: dR a / sqrt u */
    float *gram;                        /* [contexts up, lanes] */
    float *whole, *length, *sum;        /* lines: n + 1e-8, n, sums over queries */
    float *u, *r, *most, *share, *dmax; /* columns */
} room;

static int64_t square_of(int64_t queries, int64_t contexts)
{
    return round_up(queries + TILE_ROWS, TILE_ROWS) *
           round_up(contexts + TILE_ROWS, 2 * LANES);
}

size_t FB_VECTOR_NAME(stacked_scratch)(int64_t queries, int64_t contexts)
{
    int64_t lines = round_up(contexts + TILE_ROWS, 2 * LANES);
    int64_t floats = 4 * square_of(queries, contexts) + square_of(contexts, contexts) +
                     3 * lines + 5 * (queries + 2 * LANES);
    return (size_t)floats * sizeof(float);
}

static room divide(float *scratch, int64_t queries, int64_t contexts)
{
    int64_t square = square_of(queries, contexts), column = queries + 2 * LANES;
    int64_t line = round_up(contexts + TILE_ROWS, 2 * LANES);
    room m = {queries, contexts, round_up(contexts, LANES), .s = scratch};
    m.a = m.s + square;
    m.ga = m.a + square;
    m.product = m.ga + square;
    m.gram = m.product + square;
    m.whole = m.gram + square_of(contexts, contexts);
    m.length = m.whole + line;
    m.sum = m.length + line;
    m.u = m.sum + line;
    m.r = m.u + column;
    m.most = m.r + column;
    m.share = m.most + column;
    m.dmax = m.share + column;
    return m;
}

FB_INLINE float leaky(float x)
{
    return x > 0.0f ? x : LEAK * x;
}

/* ---- the block and its attention --------------------------------------------------- */

static void take_block(const vector_stacked *v, const room *m)
{
    int64_t up = round_up(m->queries, TILE_ROWS);
    for (int64_t q = 0; q < m->queries; q++) {
        float *to = m->s + q * m->lanes;
        const float *from = v->s + q * v->by_query;
        if (v->by_context == 1)
            memcpy(to, from, (size_t)m->contexts * sizeof *to);
        else
            for (int64_t c = 0; c < m->contexts; c++)
                to[c] = from[c * v->by_context];
        for (int64_t c = m->contexts; c < m->lanes; c++)
            to[c] = 0.0f;
    }
    /* Rows that a product reads and nobody keeps; finite. */
    memset(m->a + m->queries * m->lanes, 0,
           (size_t)((up - m->queries) * m->lanes + TILE_ROWS + LANES) * sizeof(float));
    for (int64_t c = 0; c < m->contexts; c++) {
        memcpy(m->gram + c * m->lanes, v->gram + c * m->contexts,
               (size_t)m->contexts * sizeof(float));
        for (int64_t d = m->contexts; d < m->lanes; d++)
            m->gram[c * m->lanes + d] = 0.0f;
    }
}

static void take_lengths(const room *m, float lambda1)
{
    float *restrict sum = m->length;
    memset(sum, 0, (size_t)m->lanes * sizeof *sum);
    for (int64_t q = 0; q < m->queries; q++) {
        const float *restrict s = m->s + q * m->lanes;
#pragma omp simd
        for (int64_t c = 0; c < m->lanes; c++)
            sum[c] += leaky(s[c]) * leaky(s[c]);
    }
#pragma omp simd
    for (int64_t c = 0; c < m->lanes; c++) {
        sum[c] = sqrtf(sum[c]);
        m->whole[c] = sum[c] + LITTLE;
        m->sum[c] = lambda1 / m->whole[c];
    }
}

/* a of one query, and a . s. */
static float soften(const room *m, int64_t q)
{
    const float *restrict s = m->s + q * m->lanes, *restrict by = m->sum;
    float *restrict a = m->a + q * m->lanes;
    float product = 0.0f, total = 0.0f;
#pragma omp simd
    for (int64_t c = 0; c < m->lanes; c++)
        a[c] = vector_exp(leaky(s[c]) * by[c]);
    for (int64_t c = m->contexts; c < m->lanes; c++)
        a[c] = 0.0f;
#pragma omp simd reduction(+ : total, product)
    for (int64_t c = 0; c < m->lanes; c++) {
        total += a[c];
        product += a[c] * s[c];
    }
    float share = 1.0f / total;
#pragma omp simd
    for (int64_t c = 0; c < m->lanes; c++)
        a[c] *= share;
    return product * share;
}

static void attend(const vector_stacked *v, const room *m)
{
    take_block(v, m);
    take_lengths(m, v->p->form.lambda1);
    for (int64_t q = 0; q < m->queries; q++) {
        m->r[q] = soften(m, q);
        if (v->p->form.focus != 0.0f) {
            float most = 0.0f;
            for (int64_t c = 0; c < m->lanes; c++)
                most = m->a[q * m->lanes + c] > most ? m->a[q * m->lanes + c] : most;
            m->most[q] = most;
        }
    }
    tile_product(false, false, m->ga, m->lanes, (tile_matrix){m->a, m->lanes, 1},
                 (tile_matrix){m->gram, 1, m->lanes},
                 (tile_shape){m->queries, m->lanes, m->contexts});
    for (int64_t q = 0; q < m->queries; q++) {
        const float *a = m->a + q * m->lanes, *h = m->ga + q * m->lanes;
        float u = 0.0f;
#pragma omp simd reduction(+ : u)
        for (int64_t c = 0; c < m->lanes; c++)
            u += a[c] * h[c];
        m->u[q] = u > LEAST_UU || isnan(u) ? u : LEAST_UU;
        m->r[q] /= sqrtf(m->u[q]);
    }
}

/* ---- pooling ----------------------------------------------------------------------- */

/* share[q] = d pool / d v[q]. */
static float pool(const fb_stacked *p, const float *v, int64_t count, float *share)
{
    float most = -INFINITY, sum = 0.0f, lambda2 = p->form.lambda2;
    if (!p->form.lse) {
        for (int64_t q = 0; q < count; q++) {
            sum += v[q];
            share[q] = 1.0f / (float)count;
        }
        return sum / (float)count;
    }
    for (int64_t q = 0; q < count; q++)
        most = v[q] > most || isnan(v[q]) ? v[q] : most;
    for (int64_t q = 0; q < count; q++) {
        share[q] = vector_exp(lambda2 * (v[q] - most));
        sum += share[q];
    }
    for (int64_t q = 0; q < count; q++)
        share[q] /= sum;
    return most + logf(sum) / lambda2;
}

float FB_VECTOR_NAME(stacked_forward)(const vector_stacked *v, void *scratch)
{
    room m = divide(scratch, v->queries, v->contexts);
    attend(v, &m);
    float score = pool(v->p, m.r, m.queries, m.share);
    if (v->p->form.focus != 0.0f)
        score += v->p->form.focus * pool(v->p, m.most, m.queries, m.share);
    return v->p->form.scale * score;
}

/* ---- gradient ---------------------------------------------------------------------- */

/* Of one query: product = dR a / sqrt u, and lambda1 dz in the place of G a; the sums over
 * queries that the norm needs. Returns 2 du. */
static float query_backward(const room *m, const fb_stacked *p, int64_t q, float dr,
                            float dmax)
{
    float *restrict a = m->a + q * m->lanes, *restrict h = m->ga + q * m->lanes;
    float *restrict out = m->product + q * m->lanes, *restrict sum = m->sum;
    const float *restrict s = m->s + q * m->lanes;
    float by_s = dr / sqrtf(m->u[q]), along = 0.0f;
    float by_h = m->u[q] > LEAST_UU ? -dr * m->r[q] / m->u[q] : 0.0f;
#pragma omp simd
    for (int64_t c = 0; c < m->lanes; c++) {
        out[c] = by_s * a[c];
        h[c] = by_s * s[c] + by_h * h[c];
    }
    if (dmax != 0.0f) {
        int64_t first = 0;
        while (first < m->contexts - 1 && a[first] != m->most[q])
            first++;
        h[first] += dmax;
    }
#pragma omp simd reduction(+ : along)
    for (int64_t c = 0; c < m->lanes; c++)
        along += a[c] * h[c];
#pragma omp simd
    for (int64_t c = 0; c < m->lanes; c++) {
        h[c] = p->form.lambda1 * a[c] * (h[c] - along);
        sum[c] += h[c] * leaky(s[c]);
    }
    return by_h;
}

/* ds of the block, in the place of product. */
static void through_norm(const room *m)
{
    float *restrict sum = m->sum, *restrict whole = m->whole;
#pragma omp simd
    for (int64_t c = 0; c < m->lanes; c++) {
        float n = m->length[c], square = whole[c] * whole[c] * n;
        sum[c] = n > 0.0f ? sum[c] / square : 0.0f;
        whole[c] = 1.0f / whole[c];
    }
    for (int64_t q = 0; q < m->queries; q++) {
        const float *restrict s = m->s + q * m->lanes, *restrict dy =
                                                           m->ga + q * m->lanes;
        float *restrict out = m->product + q * m->lanes;
#pragma omp simd
        for (int64_t c = 0; c < m->lanes; c++) {
            float dx = dy[c] * whole[c] - leaky(s[c]) * sum[c];
            out[c] += s[c] > 0.0f ? dx : LEAK * dx;
        }
    }
}

FB_INLINE void put_block(bool bf16, const vector_stacked *v, const room *m)
{
    for (int64_t q = 0; q < m->queries; q++) {
        const float *from = m->product + q * m->lanes;
        void *to = at(bf16, v->ds, q * v->by_query);
        if (v->by_context == 1) {
#pragma omp simd
            for (int64_t c = 0; c < m->contexts; c++)
                store(bf16, to, c, from[c]);
        } else {
            for (int64_t c = 0; c < m->contexts; c++)
                store(bf16, to, c * v->by_context, from[c]);
        }
    }
}

void FB_VECTOR_NAME(stacked_backward)(const vector_stacked *v, void *scratch)
{
    room m = divide(scratch, v->queries, v->contexts);
    attend(v, &m);
    pool(v->p, m.r, m.queries, m.share);
    if (v->p->form.focus != 0.0f)
        pool(v->p, m.most, m.queries, m.dmax);
    memset(m.sum, 0, (size_t)m.lanes * sizeof(float));
    for (int64_t q = 0; q < m.queries; q++) {
        float dmax =
            v->p->form.focus != 0.0f ? v->dscore * v->p->form.focus * m.dmax[q] : 0.0f;
        m.u[q] = query_backward(&m, v->p, q, v->dscore * m.share[q], dmax);
    }
    through_norm(&m);
    FB_EACH_DTYPE(v->dtype, put_block, v, &m);
    /* s, which is no longer needed, takes the a that are weighed by 2 du. */
    for (int64_t q = 0; q < m.queries; q++) {
        const float *restrict a = m.a + q * m.lanes;
        float *restrict to = m.s + q * m.lanes;
#pragma omp simd
        for (int64_t c = 0; c < m.lanes; c++)
            to[c] = m.u[q] * a[c];
    }
    memset(m.s + m.queries * m.lanes, 0, (TILE_ROWS + LANES) * sizeof(float));
    tile_product(false, true, v->dgram, m.lanes, (tile_matrix){m.s, 1, m.lanes},
                 (tile_matrix){m.a, 1, m.lanes},
                 (tile_shape){m.contexts, m.lanes, m.queries});
}

size_t FB_VECTOR_NAME(stacked_sums)(int64_t contexts)
{
    return (size_t)square_of(contexts, contexts) * sizeof(float);
}

FB_INLINE void put_sums(bool bf16, void *to, const float *sums, int64_t contexts)
{
    int64_t lanes = round_up(contexts, LANES);
    for (int64_t c = 0; c < contexts; c++)
#pragma omp simd
        for (int64_t d = 0; d < contexts; d++)
            store(bf16, to, c * contexts + d, sums[c * lanes + d]);
}

void FB_VECTOR_NAME(stacked_put)(fb_dtype dtype, void *dgram, const float *sums,
                                 int64_t contexts)
{
    FB_EACH_DTYPE(dtype, put_sums, dgram, sums, contexts);
}
