/* vector_position.c - where rows lie: an attention of each over the blocks that it
 * overlaps.
 *
 *     t_k = tanh(p_k . q)    a = softmax t    z_k = o_k a_k    w = softmax z
 *     p = sum_k w_k p_k      y = [v ; p]
 *
 *     dw_k = dp . p_k    dz = w (dw - w . dw)    da_k = o_k dz_k    dt = a (da - a . da)
 *     dl_k = dt_k (1 - t_k^2)    dq = sum_k dl_k p_k    dp_k += w_k dp + dl_k q
 *
 * t and z are in -1 .. 1: neither softmax needs a maximum.
 */
#include "backend/cpu/vector/vector_table.h"

enum { MOST = FB_POSITION_BLOCKS };

/* One row's blocks. */
typedef struct blocks {
    int count;
    const float *embedding[MOST];
    int64_t id[MOST];
    float overlap[MOST], t[MOST], a[MOST], w[MOST];
} blocks;

static void softmax(float *y, const float *x, int count)
{
    float sum = 0.0f;
    for (int k = 0; k < count; k++) {
        y[k] = vector_exp(x[k]);
        sum += y[k];
    }
    for (int k = 0; k < count; k++)
        y[k] /= sum;
}

FB_INLINE float product(bool bf16, const float *a, const void *b, int64_t width)
{
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < width; i++)
        sum += a[i] * load(bf16, b, i);
    return sum;
}

FB_INLINE void attend(bool bf16, blocks *b, const fb_positions *p, int64_t row,
                      const void *q)
{
    float z[MOST];
    b->count = 0;
    for (int k = 0; k < MOST; k++) {
        float overlap = p->overlap[row * MOST + k];
        if (!(overlap > 0.0f))
            continue;
        int64_t id = p->ids[row * MOST + k];
        b->id[b->count] = id;
        b->embedding[b->count] = p->table + id * p->width;
        b->overlap[b->count++] = overlap;
    }
    for (int k = 0; k < b->count; k++)
        b->t[k] = vector_tanh(product(bf16, b->embedding[k], q, p->width));
    softmax(b->a, b->t, b->count);
    for (int k = 0; k < b->count; k++)
        z[k] = b->overlap[k] * b->a[k];
    softmax(b->w, z, b->count);
}

/* to = sum_k by[k] p_k */
FB_INLINE void add_up(bool bf16, void *to, const blocks *b, const float *by,
                      int64_t width)
{
#pragma omp simd
    for (int64_t i = 0; i < width; i++) {
        float sum = 0.0f;
        for (int k = 0; k < b->count; k++)
            sum += by[k] * b->embedding[k][i];
        store(bf16, to, i, sum);
    }
}

FB_INLINE void forward(bool bf16, const vector_positions *a, int64_t from, int64_t to)
{
    int64_t width = a->p->width, whole = a->features + width;
    size_t bytes = (size_t)a->features * (bf16 ? 2 : 4);
    for (int64_t r = from; r < to; r++) {
        blocks b;
        void *y = at(bf16, a->y, r * whole);
        attend(bf16, &b, a->p, r, at_const(bf16, a->q, r * width));
        memcpy(y, at_const(bf16, a->v, r * a->features), bytes);
        add_up(bf16, at(bf16, y, a->features), &b, b.w, width);
    }
}

void FB_VECTOR_NAME(position_forward)(const vector_positions *a, int64_t from,
                                      int64_t to)
{
    FB_EACH_DTYPE(a->dtype, forward, a, from, to);
}

/* dl of the blocks, from the gradient of the row's p. */
FB_INLINE void blocks_backward(bool bf16, const blocks *b, const void *dp,
                               int64_t width, float *dl)
{
    float dw[MOST], da[MOST], along_w = 0.0f, along_a = 0.0f;
    for (int k = 0; k < b->count; k++) {
        dw[k] = product(bf16, b->embedding[k], dp, width);
        along_w += b->w[k] * dw[k];
    }
    for (int k = 0; k < b->count; k++) {
        da[k] = b->overlap[k] * b->w[k] * (dw[k] - along_w);
        along_a += b->a[k] * da[k];
    }
    for (int k = 0; k < b->count; k++)
        dl[k] = b->a[k] * (da[k] - along_a) * (1.0f - b->t[k] * b->t[k]);
}

FB_INLINE void backward(bool bf16, const vector_positions *a, int64_t from, int64_t to)
{
    int64_t width = a->p->width, whole = a->features + width;
    size_t bytes = (size_t)a->features * (bf16 ? 2 : 4);
    for (int64_t r = from; r < to; r++) {
        blocks b;
        float dl[MOST];
        const void *dy = at_const(bf16, a->dy, r * whole);
        const void *dp = at_const(bf16, dy, a->features);
        const void *q = at_const(bf16, a->q, r * width);
        attend(bf16, &b, a->p, r, q);
        blocks_backward(bf16, &b, dp, width, dl);
        if (a->dv)
            memcpy(at(bf16, a->dv, r * a->features), dy, bytes);
        add_up(bf16, at(bf16, a->dq, r * width), &b, dl, width);
        for (int k = 0; k < b.count && a->dtable; k++) {
            float *restrict sum = a->dtable + b.id[k] * width;
#pragma omp simd
            for (int64_t i = 0; i < width; i++)
                sum[i] += b.w[k] * load(bf16, dp, i) + dl[k] * load(bf16, q, i);
        }
    }
}

void FB_VECTOR_NAME(position_backward)(const vector_positions *a, int64_t from,
                                       int64_t to)
{
    FB_EACH_DTYPE(a->dtype, backward, a, from, to);
}
