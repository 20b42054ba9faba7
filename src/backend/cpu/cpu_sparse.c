/* cpu_sparse.c - a sparse matrix times rows, the rows of the product cut between
 * threads. */
#include "backend/cpu/cpu_backend.h"

fb_status cpu_sparse_product(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                             const fb_csr *s, const fb_tensor *x)
{
    cpu_backend *c = cpu_of(be);
    int64_t width = y->dims[1], row_floats = (width + 31) / 16 * 16;
    if (fb_tensor_count(y) == 0)
        return FB_OK;
    void *scratch;
    FB_TRY(cpu_scratch(ctx, c, (size_t)(row_floats * be->threads) * sizeof(float),
                       &scratch));
    float *row = scratch;
    int64_t entries = s->offsets[y->dims[0]];
    bool large = cpu_is_large(entries * width * (int64_t)fb_dtype_size(x->dtype));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(y->dims[0], 1, t, be->threads);
        for (int64_t r = part.from; r < part.to; r++) {
            int32_t at = s->offsets[r];
            c->v->weigh_rows(x->dtype, cpu_at(y, r * width), x->data, s->columns + at,
                             s->weights + at, s->offsets[r + 1] - at, width,
                             row + t * row_floats);
        }
    }
    return FB_OK;
}
