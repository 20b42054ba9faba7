/* vlbert_geometry.c - see vlbert_geometry.h. */
#include "models/vlbert/vlbert_geometry.h"

#include "models/image_rows.h"

#include <math.h>
#include <string.h>

void fb_vlbert_geometry(float *g, const float box[4], const float *inverse, int32_t n)
{
    const float s[4] = {50 * (box[0] + box[2]), 50 * (box[1] + box[3]),
                        100 * (box[2] - box[0]), 100 * (box[3] - box[1])};
    for (int32_t k = 0; k < 4; k++)
        for (int32_t i = 0; i < n; i++) {
            g[2 * k * n + i] = sinf(s[k] * inverse[i]);
            g[(2 * k + 1) * n + i] = cosf(s[k] * inverse[i]);
        }
}

/* Row `row` of image i, whose boxes are mostly those of image 0, as patches' are. */
static void fill_row(float *g, const fb_batch *b, int32_t image, int32_t row,
                     const float *inverse, int32_t n)
{
    const float *box = b->boxes + (ptrdiff_t)row * 4;
    int32_t twin = row - b->image_offsets[image];
    float *out = g + (ptrdiff_t)row * 8 * n;
    if (image > 0 && twin < b->image_offsets[1] &&
        memcmp(b->boxes + (ptrdiff_t)twin * 4, box, 4 * sizeof *box) == 0)
        memcpy(out, g + (ptrdiff_t)twin * 8 * n, 8 * (size_t)n * sizeof *out);
    else
        fb_vlbert_geometry(out, box, inverse, n);
}

static void fill(float *g, const fb_batch *b, const float *inverse, int32_t n)
{
    static const float whole[4] = {0, 0, 1, 1};
    int32_t rows = fb_image_rows_count(b);
    for (int32_t i = 0; i < b->images; i++)
        for (int32_t r = b->image_offsets[i]; r < b->image_offsets[i + 1]; r++)
            fill_row(g, b, i, r, inverse, n);
    for (int32_t i = 0; i < b->images; i++)
        fb_vlbert_geometry(g + (ptrdiff_t)(rows + i) * 8 * n, whole, inverse, n);
}

fb_status fb_vlbert_geometry_rows(fb_tape *tape, fb_var **rows, const fb_batch *batch,
                                  int32_t n)
{
    void *memory;
    int64_t count = (int64_t)fb_image_rows_count(batch) + batch->images;
    if (!batch->boxes)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "vlbert reads where regions lie, and the batch does not say");
    size_t numbers = (size_t)count * 8 * (size_t)n;
    FB_TRY(fb_tape_alloc(tape, &memory, (numbers + (size_t)n) * sizeof(float)));
    float *g = memory, *inverse = g + numbers;
    for (int32_t i = 0; i < n; i++)
        inverse[i] = (float)pow(1000, -(double)i / n);
    fill(g, batch, inverse, n);
    fb_tensor host = fb_tensor_2d(g, tape->be->dtype, count, (int64_t)8 * n);
    if (host.dtype == FB_BF16) {
        FB_TRY(fb_tape_alloc(tape, &host.data, numbers * sizeof(fb_bf16) + 1));
        fb_bf16 *narrow = host.data;
        for (size_t i = 0; i < numbers; i++)
            narrow[i] = fb_bf16_from_f32(g[i]);
    }
    FB_TRY(fb_tape_new_var(tape, rows, host.dtype, 0, (int64_t)8 * n));
    (*rows)->needs_grad = false;
    return fb_tape_upload(tape, &(*rows)->value, &host);
}
