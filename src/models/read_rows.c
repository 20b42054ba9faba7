/* read_rows.c - see read_rows.h. */
#include "models/read_rows.h"

fb_status fb_read_rows_pick(fb_tape *tape, fb_read_rows *r, const fb_row_list *lists,
                            int32_t count, const int32_t *offsets, int32_t sequences)
{
    int32_t *place, *rows, *picked;
    *r = (fb_read_rows){.place = NULL};
    FB_TRY(fb_tape_ints(tape, &place, offsets[sequences]));
    FB_TRY(fb_tape_ints(tape, &rows, offsets[sequences]));
    FB_TRY(fb_tape_ints(tape, &picked, (int64_t)sequences + 1));
    for (int32_t i = 0; i < offsets[sequences]; i++)
        place[i] = -1;
    for (int32_t k = 0; k < count; k++)
        for (int32_t i = 0; i < lists[k].count; i++)
            place[lists[k].rows[i]] = 0;
    int32_t found = 0;
    for (int32_t s = 0; s < sequences; s++) {
        picked[s] = found;
        for (int32_t i = offsets[s]; i < offsets[s + 1]; i++)
            if (place[i] == 0) {
                rows[found] = i;
                place[i] = found++;
            }
    }
    picked[sequences] = found;
    r->picked = (fb_picked_rows){rows, picked, found};
    r->place = place;
    return FB_OK;
}

fb_status fb_read_rows_forward(fb_tape *tape, fb_var **y, fb_var *x,
                               const fb_transformer *t, int32_t first, fb_read_rows *r,
                               const int32_t *offsets, int32_t sequences)
{
    int32_t last = t->options.layers - 1;
    if (last < first)
        r->place = NULL;
    if (!r->place)
        return fb_transformer_forward_layers(tape, y, x, t, first, last + 1 - first,
                                             offsets, sequences);
    FB_TRY(fb_transformer_forward_layers(tape, &x, x, t, first, last - first, offsets,
                                         sequences));
    return fb_transformer_forward_picked(tape, y, x, t, last, &r->picked, offsets,
                                         sequences);
}

double fb_read_rows_flops(const fb_transformer_options *options, int32_t first,
                          double tokens, double read)
{
    fb_transformer_options before = *options;
    before.layers -= first + 1;
    if (before.layers < 0)
        return 0;
    return fb_transformer_flops(&before, tokens) +
           fb_transformer_picked_flops(options, tokens, read);
}

fb_status fb_read_rows_gather(fb_tape *tape, fb_var **y, fb_var *output,
                              const fb_read_rows *r, const int32_t *rows, int64_t count)
{
    if (!r->place)
        return fb_op_gather(tape, y, output, NULL, rows, count);
    int32_t *places;
    FB_TRY(fb_tape_ints(tape, &places, count));
    for (int64_t i = 0; i < count; i++)
        places[i] = r->place[rows[i]];
    return fb_op_gather(tape, y, output, NULL, places, count);
}
