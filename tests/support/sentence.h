/* sentence.h - the text side of a BERT alone, as sentence encoders use it.
 *
 *     h = encoder(LN(word[id] + position[i] + segment[0]))     [T, C]
 *     s = mean of a text's rows of h, of unit length           [texts, C]
 *
 * The texts lie end to end, [CLS] ... [SEP] each: ids [T], offsets [texts + 1].
 */
#ifndef TESTS_SUPPORT_SENTENCE_H
#define TESTS_SUPPORT_SENTENCE_H

#include "models/fashionbert/fashionbert_model.h"

/* h on the tape, which must not record. */
fb_status sentence_hidden(fb_fashionbert *m, fb_tape *tape, const int32_t *ids,
                          const int32_t *offsets, int32_t texts, fb_var **hidden);

/* s into vectors, in f32. */
void sentence_means(const fb_var *hidden, const int32_t *offsets, int32_t texts,
                    float *vectors);

#endif
