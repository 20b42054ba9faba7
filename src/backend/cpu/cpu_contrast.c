/* cpu_contrast.c - unit rows, InfoNCE and listwise softmax, rows (or columns, or lists)
 * cut between threads. The product of activations is cpu_gemm.h's.
 *
 * dscale is summed a row of similarities at a time, then over the rows in their order.
 * What each place of a list gives to its row is computed by all threads and added up
 * by one, place after place: a row may stand in several lists.
 */
#include "backend/cpu/cpu_backend.h"

fb_status cpu_matmul(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                     const fb_tensor *a, bool transpose_a, const fb_tensor *b,
                     bool transpose_b)
{
    return cpu_gemm_product(ctx, cpu_of(be)->gemm, y, a, transpose_a, b, transpose_b);
}

void cpu_row_products(const fb_backend *be, float *y, const float *rows, int64_t count,
                      int64_t width, const float *query)
{
    ((const cpu_backend *)be)->v->row_products(y, rows, count, width, query);
}

void cpu_row_products_bf16(const fb_backend *be, float *y, const fb_bf16 *rows,
                           int64_t count, int64_t width, const float *query)
{
    ((const cpu_backend *)be)->v->row_products_bf16(y, rows, count, width, query);
}

void cpu_row_products_int8(const fb_backend *be, int32_t *y, const int8_t *rows,
                           int64_t count, int64_t width, const int16_t *query)
{
    ((const cpu_backend *)be)->v->row_products_int8(y, rows, count, width, query);
}

fb_status cpu_unit_rows_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                                float *lengths, const fb_tensor *x)
{
    cpu_backend *c = cpu_of(be);
    int64_t rows = x->dims[0], width = x->dims[1];
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(x));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(rows, 1, t, be->threads);
        c->v->unit_rows_forward(x->dtype, cpu_at(y, part.from * width),
                                lengths ? lengths + part.from : NULL,
                                cpu_at(x, part.from * width), part.to - part.from,
                                width);
    }
    return FB_OK;
}

fb_status cpu_unit_rows_backward(fb_context *ctx, fb_backend *be, const fb_tensor *dx,
                                 const fb_tensor *dy, const fb_tensor *y,
                                 const float *lengths)
{
    cpu_backend *c = cpu_of(be);
    int64_t rows = y->dims[0], width = y->dims[1];
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(y));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(rows, 1, t, be->threads);
        c->v->unit_rows_backward(y->dtype, cpu_at(dx, part.from * width),
                                 cpu_at(dy, part.from * width),
                                 cpu_at(y, part.from * width), lengths + part.from,
                                 part.to - part.from, width);
    }
    return FB_OK;
}

fb_status cpu_contrast_forward(fb_context *ctx, fb_backend *be, float *loss, float *lse,
                               const fb_tensor *similarity, const fb_contrast *pairs)
{
    cpu_backend *c = cpu_of(be);
    int64_t count = pairs->count;
    const float *s = similarity->data;
    void *scratch;
    FB_TRY(cpu_scratch(ctx, c, (size_t)(2 * count) * sizeof(float), &scratch));
    float *running = scratch;
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(similarity));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range rows = cpu_part(count, 1, t, be->threads);
        cpu_range columns = cpu_part(count, 16, t, be->threads);
        c->v->contrast_rows(loss, lse, s, pairs, rows.from, rows.to);
        c->v->contrast_columns(loss, lse, s, pairs, columns.from, columns.to,
                               running + 2 * columns.from);
    }
    return FB_OK;
}

fb_status cpu_contrast_backward(fb_context *ctx, fb_backend *be,
                                const fb_tensor *dsimilarity, float *dscale,
                                const fb_tensor *similarity, const float *lse,
                                const fb_contrast *pairs, float seed)
{
    cpu_backend *c = cpu_of(be);
    int64_t count = pairs->count;
    if (count == 0)
        return FB_OK;
    float factor = (float)((double)seed / (2.0 * (double)count));
    void *scratch;
    FB_TRY(cpu_scratch(ctx, c, (size_t)count * sizeof(double), &scratch));
    double *rows = scratch, sum = 0.0;
    const vector_contrast a = {.dtype = dsimilarity->dtype,
                               .pairs = pairs,
                               .similarity = similarity->data,
                               .lse = lse,
                               .dsimilarity = dsimilarity->data,
                               .dscale = rows,
                               .factor = factor};
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(similarity));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(count, 1, t, be->threads);
        c->v->contrast_backward(&a, part.from, part.to);
    }
    for (int64_t i = 0; i < count; i++)
        sum += rows[i];
    float slope = (float)sum;
    if (dscale && !(pairs->only_down && slope < 0.0f))
        *dscale += slope * pairs->slope;
    return FB_OK;
}

fb_status cpu_list_forward(fb_context *ctx, fb_backend *be, float *loss, float *lse,
                           const fb_tensor *logits, const fb_lists *l)
{
    int64_t length = l->length;
    cpu_backend *c = cpu_of(be);
    if (length == 0)
        return FB_OK;
    bool large = cpu_is_large(l->count * length * (int64_t)sizeof(float));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(l->count, 1, t, be->threads);
        c->v->list_forward(loss + part.from, lse + part.from, logits->data,
                           l->members + part.from * length,
                           l->targets ? l->targets + part.from * length : NULL,
                           part.to - part.from, length);
    }
    return FB_OK;
}

fb_status cpu_list_backward(fb_context *ctx, fb_backend *be, const fb_tensor *dlogits,
                            const fb_tensor *logits, const float *lse,
                            const fb_lists *l, float scale)
{
    int64_t length = l->length;
    cpu_backend *c = cpu_of(be);
    int64_t rows = logits->dims[0], places = l->count * length;
    void *scratch;
    FB_TRY(cpu_scratch(ctx, c, (size_t)(rows + places) * sizeof(float), &scratch));
    float *sums = scratch, *shares = sums + rows;
    if (rows == 0)
        return FB_OK;
    bool large = cpu_is_large(places * (int64_t)sizeof(float));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(l->count, 1, t, be->threads);
        if (length > 0)
            c->v->list_shares(shares + part.from * length, logits->data,
                              lse + part.from, l->members + part.from * length,
                              l->targets ? l->targets + part.from * length : NULL,
                              part.to - part.from, length, scale);
    }
    memset(sums, 0, (size_t)rows * sizeof *sums);
    for (int64_t i = 0; i < places; i++)
        sums[l->members[i]] += shares[i];
    c->v->list_spread(dlogits->dtype, dlogits->data, sums, rows);
    return FB_OK;
}

fb_status cpu_add_diagonal(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                           float by)
{
    int64_t count = y->dims[0];
    float *s = y->data;
    for (int64_t i = 0; i < count; i++)
        s[i * count + i] += by;
    return FB_OK;
}

fb_status cpu_list_correct(fb_context *ctx, fb_backend *be, const fb_tensor *y,
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
