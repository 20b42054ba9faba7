/* ref_patchify.c - pixels to rows of normalised numbers, one row a patch.
 *
 *     pixels [images, size, size, 3] u8
 *     y      [images * grid^2, side^2 * 3], side = size / grid; patches row-major, in a
 *            patch rows, columns, channels
 */
#include "backend/ref/ref.h"

fb_status ref_patchify(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                       const uint8_t *pixels, const fb_patchify *p)
{
    int64_t side = p->size / p->grid, patches = (int64_t)p->grid * p->grid;
    float *out = y->data;
    for (int64_t row = 0; row < p->images * patches; row++) {
        int64_t image = row / patches, patch = row % patches;
        int64_t top = patch / p->grid * side, left = patch % p->grid * side;
        for (int64_t i = 0; i < side * side * 3; i++) {
            int64_t channel = i % 3, column = i / 3 % side, line = i / 3 / side;
            int64_t at = ((image * p->size + top + line) * p->size + left + column) * 3;
            double value = (double)pixels[at + channel] / 255.0;
            value = (value - (double)p->mean[channel]) / (double)p->std[channel];
            bool masked = p->masked && p->masked[row];
            out[row * side * side * 3 + i] = masked ? 0.0f : (float)value;
        }
    }
    return FB_OK;
}
