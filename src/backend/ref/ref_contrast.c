/* ref_contrast.c - InfoNCE in both directions over a matrix of similarities.
 *
 *     z = scale s        a pair i != j of one product or one text is left out
 *     loss[i]     = log sum_j exp z[i,j] - z[i,i]        row i: a_i among the b
 *     loss[B + j] = log sum_i exp z[i,j] - z[j,j]        column j: b_j among the a
 *     g = softmax over row + softmax over column - 2 on the diagonal
 *     ds = seed / 2B scale g          dscale += seed / 2B sum s g
 *
 * similarity s, ds [B,B]    loss, lse [2B]
 */
#include "backend/ref/ref.h"

static bool left_out(const fb_contrast *c, int64_t i, int64_t j)
{
    return i != j && (c->a_group[i] == c->a_group[j] || c->b_group[i] == c->b_group[j]);
}

/* One cross entropy: row i against all j, or with `sideways` column i. */
static void entropy(float *loss, float *lse, const float *s, const fb_contrast *c,
                    int64_t i, bool sideways)
{
    int64_t count = c->count;
    double most = -INFINITY, total = 0.0, scale = (double)c->scale;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t j = 0; j < count; j++) {
            if (left_out(c, i, j))
                continue;
            double z = scale * (double)(sideways ? s[j * count + i] : s[i * count + j]);
            if (pass == 0)
                most = z > most || isnan(z) ? z : most;
            else
                total += exp(z - most);
        }
    double sum = most + log(total);
    *lse = (float)sum;
    *loss = (float)(sum - scale * (double)s[i * count + i]);
}

fb_status ref_contrast_forward(fb_context *ctx, fb_backend *be, float *loss, float *lse,
                               const fb_tensor *similarity, const fb_contrast *c)
{
    for (int64_t i = 0; i < c->count; i++) {
        entropy(loss + i, lse + i, similarity->data, c, i, false);
        entropy(loss + c->count + i, lse + c->count + i, similarity->data, c, i, true);
    }
    return FB_OK;
}

fb_status ref_contrast_backward(fb_context *ctx, fb_backend *be,
                                const fb_tensor *dsimilarity, float *dscale,
                                const fb_tensor *similarity, const float *lse,
                                const fb_contrast *c, float seed)
{
    int64_t count = c->count;
    const float *s = similarity->data;
    float *ds = dsimilarity->data;
    double part = (double)seed / (2.0 * (double)count), sum = 0.0;
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < count; j++) {
            double value = (double)s[i * count + j], z = (double)c->scale * value;
            double g = left_out(c, i, j)
                           ? 0.0
                           : exp(z - (double)lse[i]) + exp(z - (double)lse[count + j]);
            g -= i == j ? 2.0 : 0.0;
            ds[i * count + j] = (float)(part * (double)c->scale * g);
            sum += value * g;
        }
    float slope = (float)(part * sum);
    if (dscale && count > 0 && !(c->only_down && slope < 0.0f))
        *dscale += slope * c->slope;
    return FB_OK;
}

fb_status ref_add_diagonal(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                           float by)
{
    int64_t count = y->dims[0];
    float *s = y->data;
    for (int64_t i = 0; i < count; i++)
        s[i * count + i] += by;
    return FB_OK;
}
