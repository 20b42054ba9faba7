/* vocab_learn.h - learn a WordPiece vocabulary from texts.
 *
 * As Hugging Face's WordPieceTrainer: byte-pair merges by frequency, pieces inside a
 * word with "##" in front. Ids in this order:
 *
 *     [PAD] [UNK] [CLS] [SEP] [MASK]
 *     every character c of the texts, by code point, then "##c" of those that also
 *         stand inside a word, by code point
 *     what merges make: always the pair of neighbours that is most frequent over all
 *         words, ties going to the smaller left id, then the smaller right id
 *
 * The characters take at most half of vocab_size: the most frequent ones, ties going to
 * the smaller code point; others become [UNK] at encoding. Merging ends at vocab_size
 * tokens, when no pair is there `least` times (its min_frequency), or when each word is
 * one piece. The order of the texts does not matter.
 */
#ifndef FB_DATA_TEXT_VOCAB_LEARN_H
#define FB_DATA_TEXT_VOCAB_LEARN_H

#include "data/text/wordpiece.h"

enum { FB_VOCAB_LEARN_LEAST = 32 };

/* Learn from texts [n], UTF-8. FB_E_USAGE: vocab_size outside FB_VOCAB_LEARN_LEAST ..
 * FB_VOCAB_TOKENS, or no word in any text; FB_E_MEMORY: *vocab is untouched. The
 * vocabulary may be smaller than vocab_size. */
fb_status fb_vocab_learn(fb_context *ctx, fb_vocab **vocab, const char *const *texts,
                         int64_t n, int32_t vocab_size, int32_t least);

#endif
