/* masking.h - masked words and patches: whole-word masking of masked language
 * modelling, rare-word masking, masked patches.
 *
 * Words to guess, as BERT's create_masked_lm_predictions with whole words (Gao et al. 2020, 2.2):
 *     quota = min(max_masked, max(1, round(0.15 * tokens with [CLS] and [SEP])))
 *     words in random order; a word with more tokens than the quota has left is skipped
 *     each token of a taken word: 80 % [MASK], 10 % a random ordinary token,
 *                                 10 % itself
 *
 * round() is to even, as Python's. A word is a token and the "##" continuations behind
 * it; special tokens are in no word.
 *
 * Word dropout and rare-word masking (no targets, so that products are not memorised by
 * their names): each word by itself becomes [MASK] tokens with probability
 *
 *     max(share, rare / (rare + n))    n: products whose titles have its rarest token
 *
 * since a word of one product identifies it and says nothing about any other. Where the
 * second is larger, half of these words become random ordinary tokens instead, mostly
 * rare ones, so that the model learns to ignore words that it has never seen, as every
 * new product has them. One word, by chance, stays when all would go.
 *
 * Patches: exactly max(1, round(share * P)) different ones an image; a share of .1 is
 * the paper's, 6 of 64.
 */
#ifndef FB_DATA_BATCH_MASKING_H
#define FB_DATA_BATCH_MASKING_H

#include "base/random.h"
#include "base/status.h"

enum fb_token_kind { FB_TOKEN_WORD, FB_TOKEN_CONTINUATION, FB_TOKEN_SPECIAL };

/* What masking must know of a vocabulary. Create copies `kinds`. */
typedef struct fb_mask_vocab {
    int32_t size, mask_id;
    uint8_t *kinds;    /* [size] fb_token_kind */
    int32_t *ordinary; /* ids that are not special, ascending */
    int32_t ordinary_count;
} fb_mask_vocab;

/* FB_E_USAGE when mask_id is no id or every token is special. */
fb_status fb_mask_vocab_create(fb_context *ctx, fb_mask_vocab **vocab,
                               const uint8_t *kinds, int32_t size, int32_t mask_id);
void fb_mask_vocab_free(fb_mask_vocab *vocab);

/* masked_ids[count]: the ids after masking. targets[count]: the original id where the
 * model must guess, -1 elsewhere. scratch[2 * count]. Returns how many are to guess.
 * Every id must be in 0 .. vocab->size - 1. */
int32_t fb_mask_text(const fb_mask_vocab *vocab, fb_random *random, const int32_t *ids,
                     int32_t count, int32_t max_masked, int32_t *scratch,
                     int32_t *masked_ids, int32_t *targets);

typedef struct fb_word_mask {
    double share, rare;
    const int32_t *titles; /* [vocab->size] products with each token; NULL: rare is 0 */
} fb_word_mask;

/* The words of ids without targets; scratch[count]. Returns how many tokens lie in
 * words that were taken. */
int32_t fb_mask_words(const fb_mask_vocab *vocab, fb_random *random,
                      const fb_word_mask *mask, const int32_t *ids, int32_t count,
                      int32_t *scratch, int32_t *masked_ids);

#define FB_MASK_PATCHES 0.1
#define FB_MASK_TEXT    0.15

/* masked[patches]: 1 or 0. Returns how many are 1. */
int32_t fb_mask_patches(fb_random *random, double share, int32_t patches,
                        uint8_t *masked);

#endif
