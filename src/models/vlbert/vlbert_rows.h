/* vlbert_rows.h - VL-BERT's sequences, packed end to end from a batch's texts and
 * images: pair b is the rows offsets[b] up to offsets[b + 1] of T,
 *
 *     [CLS] words [SEP]    the whole image, its objects    [END]
 *
 * and each row the sum of a linguistic and a visual embedding, found by number:
 *
 *     row            word                            visual
 *     text token     its own, of the batch's         whole image i, by the text's norm
 *     whole image    [IMG] of the pair               object R + i
 *     object r       [IMG], or the masked word       object r
 *     [END]          [END] of the pair               none
 *
 * R objects are the rows of the batch's images, R + i is image i as a whole.
 */
#ifndef FB_MODELS_VLBERT_VLBERT_ROWS_H
#define FB_MODELS_VLBERT_VLBERT_ROWS_H

#include "ops/tape.h"
#include "tensor/batch.h"

/* Words that are no text's, rows of a table of their own. */
enum { FB_VLBERT_IMG, FB_VLBERT_MASKED, FB_VLBERT_END, FB_VLBERT_WORDS };

typedef struct fb_vlbert_rows {
    int32_t pairs, count;     /* B, T */
    int32_t *offsets;         /* [B + 1]; the first of each is its [CLS] */
    int32_t *word;            /* [T] text token, or text tokens + row of `other` */
    int32_t *visual;          /* [T] object 0 .. R + I - 1, or R + I + image, whole by
                                  the text's norm, or R + 2 I: none */
    int32_t other_count;      /* FB_VLBERT_WORDS a pair */
    int32_t *other;           /* [other_count] FB_VLBERT_IMG, ... */
    int32_t *other_positions; /* [other_count] position ids: of all objects that behind
                                  the text, of [END] the next */
    int32_t mlm_count, mvrc_count;
    int32_t *mlm_rows, *mlm_targets;   /* [mlm_count] rows; token ids */
    int32_t *mvrc_rows, *mvrc_objects; /* [mvrc_count] rows; 0 .. R - 1 */
} fb_vlbert_rows;

/* Of the pairs of `batch`. hidden [R]: objects that show the mask; NULL: none.
 * batch->patch_left_out is obeyed. Rows to guess are those of `guess`, the batch or the
 * batch of items that its pairs were made of: they lie in the matched pair of their
 * item, and are dropped where it has none, or the object is left out. */
fb_status fb_vlbert_rows_pack(fb_tape *tape, fb_vlbert_rows *rows,
                              const fb_batch *batch, const fb_batch *guess,
                              const uint8_t *hidden);

#endif
