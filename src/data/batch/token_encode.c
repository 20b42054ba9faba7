/* token_encode.c - token lists from texts, and what masking needs, by way of WordPiece.
 */
#include "data/batch/token_lists.h"
#include "data/text/wordpiece.h"

#include <stdlib.h>
#include <string.h>

/* The ids of all texts so far, in memory that doubles. */
static fb_status append(fb_context *ctx, fb_token_lists *lists, const fb_vocab *vocab,
                        const char *text, int32_t max_tokens, int64_t *capacity)
{
    int64_t used = lists->offsets[lists->count];
    if (text && used + max_tokens > *capacity) {
        int64_t room = 2 * *capacity + max_tokens;
        int32_t *ids = realloc(lists->ids, (size_t)room * sizeof *ids);
        if (!ids)
            return fb_fail(ctx, FB_E_MEMORY, "no memory for the tokens of %d texts",
                           lists->count);
        lists->ids = ids;
        *capacity = room;
    }
    int32_t count = 0;
    if (text)
        FB_TRY(fb_wordpiece_encode_wrapped(ctx, vocab, text, strlen(text), max_tokens,
                                           lists->ids + used, &count));
    lists->longest = count > lists->longest ? count : lists->longest;
    lists->offsets[++lists->count] = used + count;
    return FB_OK;
}

fb_status fb_token_lists_create(fb_context *ctx, fb_token_lists **lists,
                                const fb_vocab *vocab, const char *const *texts,
                                int32_t count, int32_t max_tokens)
{
    if (max_tokens < 3)
        return fb_fail(ctx, FB_E_USAGE,
                       "texts of %d tokens, at least 3 are needed: [CLS], one, [SEP]",
                       max_tokens);
    fb_token_lists *l = calloc(1, sizeof *l);
    if (l)
        l->offsets = calloc((size_t)count + 1, sizeof *l->offsets);
    fb_status status = FB_OK;
    if (!l || !l->offsets)
        status =
            fb_fail(ctx, FB_E_MEMORY, "no memory for the tokens of %d texts", count);
    int64_t capacity = 0;
    for (int32_t i = 0; i < count && status == FB_OK; i++)
        status = append(ctx, l, vocab, texts[i], max_tokens, &capacity);
    if (status == FB_OK)
        *lists = l;
    else
        fb_token_lists_free(l);
    return status;
}

fb_status fb_token_lists_of_queries(fb_context *ctx, fb_token_lists **lists,
                                    const fb_vocab *vocab,
                                    const fb_catalogue *catalogue, fb_split split,
                                    const fb_query_set *set, int32_t max_tokens)
{
    int32_t items = fb_catalogue_count(catalogue);
    int32_t queries = set ? fb_query_set_count(set) : 0;
    if (queries > INT32_MAX - items)
        return fb_fail(ctx, FB_E_LIMIT, "%d titles and %d queries are too many", items,
                       queries);
    const char **texts = malloc(((size_t)items + (size_t)queries + 1) * sizeof *texts);
    if (!texts)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %d titles", items);
    for (int32_t i = 0; i < items; i++) {
        const fb_catalogue_item *item = fb_catalogue_get(catalogue, i);
        texts[i] = item->split == split ? item->title : NULL;
    }
    for (int32_t q = 0; q < queries; q++)
        texts[items + q] = fb_query_set_text(set, q);
    fb_status status =
        fb_token_lists_create(ctx, lists, vocab, texts, items + queries, max_tokens);
    free(texts);
    return status;
}

fb_status fb_token_lists_of_split(fb_context *ctx, fb_token_lists **lists,
                                  const fb_vocab *vocab, const fb_catalogue *catalogue,
                                  fb_split split, int32_t max_tokens)
{
    return fb_token_lists_of_queries(ctx, lists, vocab, catalogue, split, NULL,
                                     max_tokens);
}

/* Nothing is learnt from guessing [UNK] or BERT's unused places. */
static bool is_special(const fb_vocab *vocab, int32_t id)
{
    return id == fb_vocab_pad(vocab) || id == fb_vocab_unk(vocab) ||
           id == fb_vocab_cls(vocab) || id == fb_vocab_sep(vocab) ||
           id == fb_vocab_mask(vocab) ||
           strncmp(fb_vocab_token(vocab, id), "[unused", 7) == 0;
}

fb_status fb_mask_vocab_of(fb_context *ctx, fb_mask_vocab **mask_vocab,
                           const fb_vocab *vocab)
{
    int32_t size = fb_vocab_size(vocab);
    uint8_t *kinds = malloc((size_t)size + 1);
    if (!kinds)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a vocabulary of %d tokens",
                       size);
    for (int32_t i = 0; i < size; i++)
        kinds[i] = is_special(vocab, i)                 ? FB_TOKEN_SPECIAL
                   : fb_vocab_is_continuation(vocab, i) ? FB_TOKEN_CONTINUATION
                                                        : FB_TOKEN_WORD;
    fb_status status =
        fb_mask_vocab_create(ctx, mask_vocab, kinds, size, fb_vocab_mask(vocab));
    free(kinds);
    return status;
}
