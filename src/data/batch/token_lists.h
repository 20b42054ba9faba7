/* token_lists.h - many texts as token ids, end to end: [CLS] words [SEP] each.
 *
 *     ids      [offsets[count]]      offsets [count + 1]
 */
#ifndef FB_DATA_BATCH_TOKEN_LISTS_H
#define FB_DATA_BATCH_TOKEN_LISTS_H

#include "data/batch/masking.h"
#include "data/catalogue/catalogue.h"
#include "data/catalogue/query_set.h"

typedef struct fb_vocab fb_vocab; /* data/text/wordpiece.h */

typedef struct fb_token_lists {
    int32_t count, longest;
    int64_t *offsets;
    int32_t *ids;
} fb_token_lists;

/* Encode texts[count], each cut to max_tokens with [CLS] and [SEP]; a NULL text gives
 * an empty list. */
fb_status fb_token_lists_create(fb_context *ctx, fb_token_lists **lists,
                                const fb_vocab *vocab, const char *const *texts,
                                int32_t count, int32_t max_tokens);
/* The titles of a split by catalogue item; other items' lists are empty. */
fb_status fb_token_lists_of_split(fb_context *ctx, fb_token_lists **lists,
                                  const fb_vocab *vocab, const fb_catalogue *catalogue,
                                  fb_split split, int32_t max_tokens);
/* Those, then all queries of a set, as texts fb_catalogue_count(catalogue) and on. */
fb_status fb_token_lists_of_queries(fb_context *ctx, fb_token_lists **lists,
                                    const fb_vocab *vocab,
                                    const fb_catalogue *catalogue, fb_split split,
                                    const fb_query_set *set, int32_t max_tokens);
void fb_token_lists_free(fb_token_lists *lists);

/* What masking needs of a vocabulary: "##..." continue a word; [PAD], [UNK], [CLS],
 * [SEP], [MASK] and [unused...] are special. */
fb_status fb_mask_vocab_of(fb_context *ctx, fb_mask_vocab **mask_vocab,
                           const fb_vocab *vocab);

static inline const int32_t *fb_token_list(const fb_token_lists *lists, int32_t text,
                                           int32_t *count)
{
    *count = (int32_t)(lists->offsets[text + 1] - lists->offsets[text]);
    return lists->ids + lists->offsets[text];
}

#endif
