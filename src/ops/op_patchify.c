/* op_patchify.c - pixels of whole images to rows of patch features, normalised. */
#include "ops/ops.h"

fb_status fb_op_patchify(fb_tape *tape, fb_var **y, const uint8_t *pixels,
                         const fb_patchify *p)
{
    double started_s = fb_tape_clock(tape);
    if (p->grid < 1 || p->size % p->grid != 0)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "patchify: %d pixels do not divide into %d patches a side",
                       (int)p->size, (int)p->grid);
    int64_t side = p->size / p->grid;
    int64_t cells = (int64_t)p->images * p->grid * p->grid;
    fb_patchify at = *p;
    FB_TRY(fb_tape_upload_u8(tape, &at.masked, p->masked, cells));
    FB_TRY(fb_tape_upload_u8(tape, &pixels, pixels,
                             (int64_t)p->images * p->size * p->size * 3));
    fb_var *out;
    FB_TRY(fb_tape_new_var(tape, &out, tape->be->dtype, cells, side * side * 3));
    out->needs_grad = false;
    FB_TRY(tape->be->k->patchify(tape->ctx, tape->be, &out->value, pixels, &at));
    fb_tape_charge(tape, "patchify", started_s);
    *y = out;
    return FB_OK;
}
