/* cpu_rows.c - embeddings, gather, scatter and patches.
 *
 * embed_backward cuts the columns between threads. scatter_rows turns the index around
 * (a counting sort: for each row of a and b the list of the rows of dy that go there),
 * then each row is summed in f32 and rounded once.
 */
#include "backend/cpu/cpu_backend.h"

fb_status cpu_embed_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                            const fb_tensor *x, const fb_embed *e)
{
    cpu_backend *c = cpu_of(be);
    int64_t rows = y->dims[0], width = y->dims[1];
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(y));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(rows, 1, t, be->threads);
        c->v->embed_forward(y->dtype, y->data, x ? x->data : NULL, e, part.from,
                            part.to - part.from, width);
    }
    return FB_OK;
}

fb_status cpu_embed_backward(fb_context *ctx, fb_backend *be,
                             float *const dtable[FB_EMBED_TABLES], const fb_tensor *dy,
                             const fb_embed *e)
{
    cpu_backend *c = cpu_of(be);
    int64_t rows = dy->dims[0], width = dy->dims[1];
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(dy));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(width, 16, t, be->threads);
        for (int32_t k = 0; k < e->count; k++)
            if (dtable[k])
                c->v->embed_backward(dy->dtype, dtable[k], dy->data, e->ids[k], rows,
                                     width, part.from, part.to);
    }
    return FB_OK;
}

fb_status cpu_gather_rows(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                          const fb_tensor *a, const fb_tensor *b, const int32_t *index)
{
    int64_t rows = y->dims[0], first = a->dims[0];
    size_t row_bytes = (size_t)y->dims[1] * fb_dtype_size(y->dtype);
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(y));
    if (row_bytes == 0)
        return FB_OK;
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int64_t n = 0; n < rows; n++) {
        bool in_a = index[n] < first;
        const fb_tensor *from = in_a ? a : b;
        size_t row = (size_t)(in_a ? index[n] : index[n] - first);
        memcpy((char *)y->data + (size_t)n * row_bytes,
               (const char *)from->data + row * row_bytes, row_bytes);
    }
    return FB_OK;
}

typedef struct row_lists {
    int32_t *start; /* [rows + 1] */
    int32_t *list;  /* rows of dy, ascending within a target */
} row_lists;

/* Lists of the `count` entries by target in [0, rows). */
static void sort_rows(row_lists l, const int32_t *index, int64_t count, int64_t rows)
{
    memset(l.start, 0, (size_t)(rows + 1) * sizeof *l.start);
    for (int64_t n = 0; n < count; n++)
        if (index[n] < rows)
            l.start[index[n] + 1]++;
    for (int64_t r = 0; r < rows; r++)
        l.start[r + 1] += l.start[r];
    for (int64_t n = 0; n < count; n++)
        if (index[n] < rows)
            l.list[l.start[index[n]]++] = (int32_t)n;
    for (int64_t r = rows; r > 0; r--) /* each start moved to its end: move back */
        l.start[r] = l.start[r - 1];
    l.start[0] = 0;
}

fb_status cpu_scatter_rows(fb_context *ctx, fb_backend *be, const fb_tensor *da,
                           const fb_tensor *db, const fb_tensor *dy,
                           const int32_t *index, bool accumulate)
{
    cpu_backend *c = cpu_of(be);
    int64_t count = dy->dims[0], width = dy->dims[1];
    if (!da)
        return db ? fb_fail(ctx, FB_E_SHAPE,
                            "scatter: the second gradient alone; the rows of the first "
                            "are not known then")
                  : FB_OK;
    int64_t first = da->dims[0], rows = first + (db ? db->dims[0] : 0);
    int64_t row_floats = (width + 31) / 16 * 16;
    size_t float_bytes = (size_t)(row_floats * be->threads) * sizeof(float);
    void *scratch;
    FB_TRY(cpu_scratch(
        ctx, c, float_bytes + (size_t)(rows + 1 + count) * sizeof(int32_t), &scratch));
    float *row = scratch;
    row_lists l = {(int32_t *)(void *)((char *)scratch + float_bytes), NULL};
    l.list = l.start + rows + 1;
    sort_rows(l, index, count, rows);
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(dy));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(rows, 1, t, be->threads);
        for (int64_t r = part.from; r < part.to; r++) {
            bool in_first = r < first || !db; /* without db no row lies behind da */
            void *to =
                in_first ? cpu_at(da, r * width) : cpu_at(db, (r - first) * width);
            c->v->sum_rows(dy->dtype, to, dy->data, l.list + l.start[r],
                           l.start[r + 1] - l.start[r], width, accumulate,
                           row + t * row_floats);
        }
    }
    return FB_OK;
}

fb_status cpu_patchify(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                       const uint8_t *pixels, const fb_patchify *p)
{
    cpu_backend *c = cpu_of(be);
    if (p->images == 0 || p->size == 0)
        return FB_OK;
    vector_patchify a = {.dtype = y->dtype, .size = p->size, .grid = p->grid};
    for (int i = 0; i < 3; i++) {
        a.scale[i] = 1.0f / (255.0f * p->std[i]);
        a.shift[i] = -p->mean[i] / p->std[i];
    }
    int64_t cells = (int64_t)p->grid * p->grid, line = p->size / p->grid * 3;
    int64_t image = (int64_t)p->size * p->size * 3,
            row_floats = (2 * line + 31) / 16 * 16;
    void *scratch;
    FB_TRY(cpu_scratch(ctx, c, (size_t)(row_floats * be->threads) * sizeof(float),
                       &scratch));
    float *row = scratch;
#pragma omp parallel for schedule(static) num_threads(be->threads)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(p->images, 1, t, be->threads);
        for (int64_t i = part.from; i < part.to; i++)
            c->v->patchify(&a, cpu_at(y, i * image), pixels + i * image,
                           p->masked ? p->masked + i * cells : NULL,
                           row + t * row_floats);
    }
    return FB_OK;
}
