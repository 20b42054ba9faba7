/* ref_rows.c - rows picked out of two tensors laid end to end, and gradients put back.
 *
 *     y[n] = row index[n] of (a above b)        a [A,C]    b [.,C]    y, dy [N,C]
 */
#include "backend/ref/ref.h"

#include <string.h>

fb_status ref_gather_rows(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                          const fb_tensor *a, const fb_tensor *b, const int32_t *index)
{
    int64_t rows = y->dims[0], width = y->dims[1], split = a->dims[0];
    float *ys = y->data;
    for (int64_t n = 0; n < rows; n++)
        for (int64_t c = 0; c < width; c++)
            ys[n * width + c] =
                index[n] < split
                    ? ((const float *)a->data)[index[n] * width + c]
                    : ((const float *)b->data)[(index[n] - split) * width + c];
    return FB_OK;
}

static void clear(const fb_tensor *t)
{
    if (t && fb_tensor_bytes(t) > 0)
        memset(t->data, 0, fb_tensor_bytes(t));
}

fb_status ref_scatter_rows(fb_context *ctx, fb_backend *be, const fb_tensor *da,
                           const fb_tensor *db, const fb_tensor *dy,
                           const int32_t *index, bool accumulate)
{
    if (!da)
        return db ? fb_fail(ctx, FB_E_SHAPE,
                            "scatter_rows: db without da, whose rows come first")
                  : FB_OK;
    int64_t rows = dy->dims[0], width = dy->dims[1], split = da->dims[0];
    const float *dys = dy->data;
    if (!accumulate) {
        clear(da);
        clear(db);
    }
    for (int64_t n = 0; n < rows; n++) {
        if (index[n] >= split && !db)
            continue;
        float *row = index[n] < split ? (float *)da->data + index[n] * width
                                      : (float *)db->data + (index[n] - split) * width;
        for (int64_t c = 0; c < width; c++)
            row[c] += dys[n * width + c];
    }
    return FB_OK;
}
