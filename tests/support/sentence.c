/* sentence.c - see sentence.h. */
#include "support/sentence.h"

#include <math.h>
#include <string.h>

fb_status sentence_hidden(fb_fashionbert *m, fb_tape *tape, const int32_t *ids,
                          const int32_t *offsets, int32_t texts, fb_var **hidden)
{
    int32_t tokens = offsets[texts];
    void *memory;
    FB_TRY(fb_tape_alloc(tape, &memory, (size_t)tokens * 2 * sizeof(int32_t)));
    int32_t *positions = memory, *segments = positions + tokens;
    memset(segments, 0, (size_t)tokens * sizeof *segments);
    for (int32_t t = 0; t < texts; t++)
        for (int32_t i = offsets[t]; i < offsets[t + 1]; i++)
            positions[i] = i - offsets[t];
    fb_leaf *const tables[3] = {m->word, m->position, m->segment};
    const int32_t *const index[3] = {ids, positions, segments};
    fb_var *sum, *x;
    FB_TRY(fb_op_embed(tape, &sum, NULL, tables, index, 3, tokens));
    FB_TRY(fb_op_norm(tape, &x, sum, NULL, m->text_gamma, m->text_beta,
                      (float)m->matcher.config.eps));
    return fb_transformer_forward(tape, hidden, x, &m->encoder, offsets, texts);
}

void sentence_means(const fb_var *hidden, const int32_t *offsets, int32_t texts,
                    float *vectors)
{
    const float *f32 = hidden->value.data;
    const fb_bf16 *bf16 = hidden->value.data;
    bool wide = hidden->value.dtype == FB_F32;
    int64_t width = hidden->value.dims[1];
    for (int32_t t = 0; t < texts; t++) {
        double squares = 0;
        for (int64_t c = 0; c < width; c++) {
            double sum = 0;
            for (int32_t i = offsets[t]; i < offsets[t + 1]; i++)
                sum += (double)(wide ? f32[i * width + c]
                                     : fb_bf16_to_f32(bf16[i * width + c]));
            squares += sum * sum;
            vectors[t * width + c] = (float)sum;
        }
        for (int64_t c = 0; c < width; c++)
            vectors[t * width + c] /= (float)sqrt(squares);
    }
}
