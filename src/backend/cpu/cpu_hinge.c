/* cpu_hinge.c - the hinge loss, all columns and a stretch of rows at a time: what a
 * column has found so far is kept while the rows go by as they lie in memory.
 *
 * found[i] of row i and found[B + i] of column i: how many others violate the margin, or
 * which one does so most (-1: none).
 */
#include "backend/cpu/cpu_backend.h"
#include <math.h>

typedef struct hinge_call {
    const fb_hinge *h;
    const float *s, *right; /* [B,B], its diagonal */
    float *loss;            /* [2B] */
    int32_t *found;         /* [2B] */
} hinge_call;

static bool left_out(const fb_hinge *h, int64_t i, int64_t j)
{
    return i == j || h->a_group[i] == h->a_group[j] || h->b_group[i] == h->b_group[j];
}

/* Line `to` of the losses meets the cost of number `other`. NaN stays. */
static void meet(const hinge_call *c, int64_t to, int64_t other, float cost)
{
    if (c->h->hardest) {
        if (!(cost <= c->loss[to]) && !isnan(c->loss[to])) {
            c->loss[to] = cost;
            c->found[to] = (int32_t)other;
        }
    } else if (!(cost <= 0.0f)) {
        c->loss[to] += cost;
        c->found[to]++;
    }
}

static void rows(const hinge_call *c, cpu_range part)
{
    int64_t count = c->h->count;
    for (int64_t i = part.from; i < part.to; i++)
        for (int64_t j = 0; j < count; j++)
            if (!left_out(c->h, i, j))
                meet(c, i, j, c->h->margin + (c->s[i * count + j] - c->right[i]));
}

static void columns(const hinge_call *c, cpu_range part)
{
    int64_t count = c->h->count;
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = part.from; j < part.to; j++)
            if (!left_out(c->h, i, j))
                meet(c, count + j, i,
                     c->h->margin + (c->s[i * count + j] - c->right[j]));
}

static fb_status look(fb_context *ctx, fb_backend *be, hinge_call *c, float *loss,
                      const fb_tensor *scores, const fb_hinge *h)
{
    int64_t count = h->count;
    const float *s = scores->data;
    void *scratch;
    FB_TRY(cpu_scratch(ctx, cpu_of(be), (size_t)(5 * count) * sizeof(float), &scratch));
    float *right = scratch, *own = right + count;
    int32_t *found = (int32_t *)(void *)(own + 2 * count);
    *c = (hinge_call){h, s, right, loss ? loss : own, found};
    for (int64_t i = 0; i < 2 * count; i++) {
        c->loss[i] = 0.0f;
        found[i] = h->hardest ? -1 : 0;
        if (i < count)
            right[i] = s[i * count + i];
    }
    const hinge_call call = *c;
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(scores));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        rows(&call, cpu_part(count, 1, t, be->threads));
        columns(&call, cpu_part(count, 16, t, be->threads));
    }
    return FB_OK;
}

fb_status cpu_hinge_forward(fb_context *ctx, fb_backend *be, float *loss,
                            const fb_tensor *scores, const fb_hinge *h)
{
    hinge_call c;
    return look(ctx, be, &c, loss, scores, h);
}

/* How often the number at (i, j), i != j, is somebody's violation. */
static float pulls(const hinge_call *c, int64_t i, int64_t j)
{
    int64_t count = c->h->count;
    if (c->h->hardest)
        return (float)((c->found[i] == j) + (c->found[count + j] == i));
    if (left_out(c->h, i, j))
        return 0.0f;
    float s = c->s[i * count + j];
    return (float)(!(c->h->margin + (s - c->right[i]) <= 0.0f) +
                   !(c->h->margin + (s - c->right[j]) <= 0.0f));
}

static float pulls_right(const hinge_call *c, int64_t i)
{
    const int32_t *found = c->found;
    int64_t count = c->h->count;
    if (c->h->hardest)
        return (float)((found[i] >= 0) + (found[count + i] >= 0));
    return (float)(found[i] + found[count + i]);
}

static void spread(const hinge_call *c, const fb_tensor *dscores, float scale,
                   cpu_range part)
{
    int64_t count = c->h->count;
    for (int64_t i = part.from; i < part.to; i++)
        for (int64_t j = 0; j < count; j++) {
            float d = scale * (i == j ? -pulls_right(c, i) : pulls(c, i, j));
            if (dscores->dtype == FB_BF16)
                ((fb_bf16 *)dscores->data)[i * count + j] = fb_bf16_from_f32(d);
            else
                ((float *)dscores->data)[i * count + j] = d;
        }
}

fb_status cpu_hinge_backward(fb_context *ctx, fb_backend *be, const fb_tensor *dscores,
                             const fb_tensor *scores, const fb_hinge *h, float scale)
{
    hinge_call c;
    FB_TRY(look(ctx, be, &c, NULL, scores, h));
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(scores));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++)
        spread(&c, dscores, scale, cpu_part(h->count, 1, t, be->threads));
    return FB_OK;
}
