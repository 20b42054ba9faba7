/* ref_position.c - where rows lie: an attention of each over the blocks that it overlaps.
 *
 *     t_k = tanh(p_k . q)    a = softmax t    z_k = o_k a_k    w = softmax z
 *     p = sum_k w_k p_k      y = [v ; p]
 *
 *     dw_k = dp . p_k    dz = w (dw - w . dw)    da_k = o_k dz_k    dt = a (da - a . da)
 *     dl_k = dt_k (1 - t_k^2)    dq = sum_k dl_k p_k    dp_k += w_k dp + dl_k q
 *
 * Only blocks of an overlap above 0 take part.
 */
#include "backend/ref/ref.h"

enum { MOST = FB_POSITION_BLOCKS };

/* One row's blocks: K of them. */
typedef struct blocks {
    int count;
    const float *embedding[MOST];
    int64_t id[MOST];
    double overlap[MOST], t[MOST], a[MOST], w[MOST];
} blocks;

static void softmax(double *y, const double *x, int count)
{
    double most = -INFINITY, sum = 0;
    for (int k = 0; k < count; k++)
        most = x[k] > most ? x[k] : most;
    for (int k = 0; k < count; k++)
        sum += y[k] = exp(x[k] - most);
    for (int k = 0; k < count; k++)
        y[k] /= sum;
}

static double product(const float *a, const float *b, int64_t width)
{
    double sum = 0;
    for (int64_t i = 0; i < width; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static void attend(blocks *b, const fb_positions *p, int64_t row, const float *q)
{
    double z[MOST];
    b->count = 0;
    for (int k = 0; k < MOST; k++) {
        float overlap = p->overlap[row * MOST + k];
        if (!(overlap > 0.0f))
            continue;
        int64_t id = p->ids[row * MOST + k];
        b->id[b->count] = id;
        b->embedding[b->count] = p->table + id * p->width;
        b->overlap[b->count++] = (double)overlap;
    }
    for (int k = 0; k < b->count; k++)
        b->t[k] = tanh(product(b->embedding[k], q, p->width));
    softmax(b->a, b->t, b->count);
    for (int k = 0; k < b->count; k++)
        z[k] = b->overlap[k] * b->a[k];
    softmax(b->w, z, b->count);
}

fb_status ref_position_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                               const fb_tensor *v, const fb_tensor *q,
                               const fb_positions *p)
{
    int64_t features = v->dims[1], width = p->width;
    for (int64_t r = 0; r < v->dims[0]; r++) {
        blocks b;
        float *to = (float *)y->data + r * (features + width);
        attend(&b, p, r, (const float *)q->data + r * width);
        for (int64_t i = 0; i < features; i++)
            to[i] = ((const float *)v->data)[r * features + i];
        for (int64_t i = 0; i < width; i++) {
            double sum = 0;
            for (int k = 0; k < b.count; k++)
                sum += b.w[k] * (double)b.embedding[k][i];
            to[features + i] = (float)sum;
        }
    }
    return FB_OK;
}

/* dl of the blocks, from the gradient of the row's p. */
static void blocks_backward(const blocks *b, const float *dp, int64_t width, double *dl)
{
    double dw[MOST], da[MOST], along_w = 0, along_a = 0;
    for (int k = 0; k < b->count; k++) {
        dw[k] = product(b->embedding[k], dp, width);
        along_w += b->w[k] * dw[k];
    }
    for (int k = 0; k < b->count; k++) {
        da[k] = b->overlap[k] * b->w[k] * (dw[k] - along_w);
        along_a += b->a[k] * da[k];
    }
    for (int k = 0; k < b->count; k++)
        dl[k] = b->a[k] * (da[k] - along_a) * (1 - b->t[k] * b->t[k]);
}

fb_status ref_position_backward(fb_context *ctx, fb_backend *be, const fb_tensor *dv,
                                const fb_tensor *dq, float *dtable, const fb_tensor *dy,
                                const fb_tensor *q, const fb_positions *p)
{
    int64_t width = p->width, features = dy->dims[1] - width;
    for (int64_t r = 0; r < dy->dims[0]; r++) {
        blocks b;
        double dl[MOST];
        const float *from = (const float *)dy->data + r * (features + width);
        const float *dp = from + features, *own = (const float *)q->data + r * width;
        attend(&b, p, r, own);
        blocks_backward(&b, dp, width, dl);
        for (int64_t i = 0; i < features && dv; i++)
            ((float *)dv->data)[r * features + i] = from[i];
        for (int64_t i = 0; i < width; i++) {
            double sum = 0;
            for (int k = 0; k < b.count; k++)
                sum += dl[k] * (double)b.embedding[k][i];
            ((float *)dq->data)[r * width + i] = (float)sum;
        }
        for (int k = 0; k < b.count && dtable; k++)
            for (int64_t i = 0; i < width; i++)
                dtable[b.id[k] * width + i] +=
                    (float)(b.w[k] * (double)dp[i] + dl[k] * (double)own[i]);
    }
    return FB_OK;
}
