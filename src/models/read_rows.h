/* read_rows.h - the rows of packed sequences that heads read of an encoder's output: the
 * last layer is computed at these alone (nn/transformer.h), and heads find theirs among
 * them. Behind the last layer nothing mixes rows, so the numbers are the same.
 */
#ifndef FB_MODELS_READ_ROWS_H
#define FB_MODELS_READ_ROWS_H

#include "nn/transformer.h"

typedef struct fb_read_rows {
    fb_picked_rows picked;
    const int32_t
        *place; /* [T] of each row among the picked, -1: none; NULL: all are there
                           */
} fb_read_rows;

/* What one head reads, in any order; rows may repeat and lists overlap. */
typedef struct fb_row_list {
    const int32_t *rows;
    int32_t count;
} fb_row_list;

/* The union of `count` lists; offsets [sequences + 1]. Memory is the tape's. */
fb_status fb_read_rows_pick(fb_tape *tape, fb_read_rows *r, const fb_row_list *lists,
                            int32_t count, const int32_t *offsets, int32_t sequences);
/* y: x through the layers from `first` on, at the picked rows of the last one; at all
 * rows, and r without places, where no layer is left. */
fb_status fb_read_rows_forward(fb_tape *tape, fb_var **y, fb_var *x,
                               const fb_transformer *t, int32_t first, fb_read_rows *r,
                               const int32_t *offsets, int32_t sequences);
/* Multiply-adds times two of one sequence of `tokens` through the layers from `first` on,
 * `read` of its rows being read. */
double fb_read_rows_flops(const fb_transformer_options *options, int32_t first,
                          double tokens, double read);
/* y [count, C]: the rows of a head, out of the output. */
fb_status fb_read_rows_gather(fb_tape *tape, fb_var **y, fb_var *output,
                              const fb_read_rows *r, const int32_t *rows,
                              int64_t count);

#endif
