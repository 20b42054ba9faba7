/* vilbert_rows.h - the sequences of ViLBERT's two streams: those of each text and each
 * image alone, then those of each pair, packed end to end.
 *
 *     image i alone    its whole, then its regions that are shown
 *     pair b           text rows text_offsets[b] up to [b + 1], image rows alike
 *
 * Of the last layers' outputs only some rows are read: the first of each sequence, and
 * those to guess. They are picked; what is to be guessed is named by its place there.
 */
#ifndef FB_MODELS_VILBERT_VILBERT_ROWS_H
#define FB_MODELS_VILBERT_VILBERT_ROWS_H

#include "nn/transformer.h"
#include "tensor/batch.h"

typedef struct fb_vilbert_rows {
    int32_t image_rows;     /* of all images alone */
    int32_t *image_offsets; /* [images + 1] */
    int32_t *shown; /* [image_rows] row of the features; -1 - i: image i's whole */
    int32_t pairs;  /* B */
    int32_t text_count, visual_count;       /* rows of all pairs */
    int32_t *text_offsets, *visual_offsets; /* [B + 1] */
    int32_t *text_index, *visual_index;     /* [..count] rows of the streams alone */
    fb_picked_rows text_picked, visual_picked;
    int32_t mlm_count, mrm_count;
    int32_t *mlm_rows, *mlm_targets; /* [mlm_count] picked text rows; token ids */
    int32_t *mrm_rows, *mrm_regions; /* [mrm_count] picked image rows; rows of the
                                        features */
} fb_vilbert_rows;

/* Of the pairs of `batch`; batch->patch_left_out is obeyed. Rows to guess are those of
 * `guess`, the batch or the batch of items that its pairs were made of: they lie in the
 * matched pair of their item, and are dropped where it has none, or where the region is
 * left out. */
fb_status fb_vilbert_rows_pack(fb_tape *tape, fb_vilbert_rows *rows,
                               const fb_batch *batch, const fb_batch *guess);

#endif
