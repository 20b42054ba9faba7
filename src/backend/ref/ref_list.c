/* ref_list.c - listwise softmax: each list's rows should win in their shares.
 *
 *     d[r] = logits[r][1] - logits[r][0]
 *     lse[l] = log sum_k exp d[member k of l]
 *     loss[l] = lse[l] - sum_k t[l,k] d[member k of l]
 *     dd[r] = scale sum over places (l, k) that name r of
 *             exp(d[r] - lse[l]) - t[l,k]
 *     dlogits[r] = (-dd[r], dd[r])
 *
 * logits, dlogits [R,2]    members [lists, length]    loss, lse [lists]
 * targets t [lists, length], sum 1 a list; NULL: 1 for a list's first
 */
#include "backend/ref/ref.h"

#include <stdlib.h>

static double margin(const float *logits, int32_t row)
{
    return (double)logits[2 * (int64_t)row + 1] - (double)logits[2 * (int64_t)row];
}

static double share(const float *targets, int64_t l, int64_t k, int32_t length)
{
    return targets ? (double)targets[l * length + k] : k == 0;
}

fb_status ref_list_forward(fb_context *ctx, fb_backend *be, float *loss, float *lse,
                           const fb_tensor *logits, const fb_lists *l)
{
    int32_t length = l->length;
    if (length == 0)
        return FB_OK;
    for (int32_t i = 0; i < l->count; i++) {
        const int32_t *member = l->members + (int64_t)i * length;
        double most = -INFINITY, total = 0.0;
        for (int32_t k = 0; k < length; k++) {
            double d = margin(logits->data, member[k]);
            most = d > most || isnan(d) ? d : most;
        }
        for (int32_t k = 0; k < length; k++)
            total += exp(margin(logits->data, member[k]) - most);
        double sum = most + log(total);
        lse[i] = (float)sum;
        double right = 0.0;
        for (int32_t k = 0; k < length; k++) {
            double t = share(l->targets, i, k, length);
            if (t > 0)
                right += t * margin(logits->data, member[k]);
        }
        loss[i] = (float)(sum - right);
    }
    return FB_OK;
}

fb_status ref_list_backward(fb_context *ctx, fb_backend *be, const fb_tensor *dlogits,
                            const fb_tensor *logits, const float *lse,
                            const fb_lists *l, float scale)
{
    int64_t rows = logits->dims[0];
    float *out = dlogits->data;
    if (rows == 0)
        return FB_OK;
    double *sums = calloc((size_t)rows, sizeof *sums);
    if (!sums)
        return fb_fail(ctx, FB_E_MEMORY, "list_backward: out of memory");
    for (int64_t i = 0; i < l->count; i++)
        for (int64_t k = 0; k < l->length; k++) {
            int32_t row = l->members[i * l->length + k];
            double p = exp(margin(logits->data, row) - (double)lse[i]);
            sums[row] += (double)scale * (p - share(l->targets, i, k, l->length));
        }
    for (int64_t r = 0; r < rows; r++) {
        out[2 * r] = (float)-sums[r];
        out[2 * r + 1] = (float)sums[r];
    }
    free(sums);
    return FB_OK;
}

fb_status ref_list_correct(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                           const fb_tensor *logits, const float *log_q)
{
    const float *z = logits->data;
    float *out = y->data;
    for (int64_t r = 0; r < logits->dims[0]; r++) {
        out[2 * r] = z[2 * r];
        out[2 * r + 1] = z[2 * r + 1] - log_q[r];
    }
    return FB_OK;
}
