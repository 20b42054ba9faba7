/* masking.c - see masking.h. */
#include "data/batch/masking.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

fb_status fb_mask_vocab_create(fb_context *ctx, fb_mask_vocab **vocab,
                               const uint8_t *kinds, int32_t size, int32_t mask_id)
{
    if (mask_id < 0 || mask_id >= size)
        return fb_fail(ctx, FB_E_USAGE, "the vocabulary of %d tokens has no [MASK]",
                       size);
    fb_mask_vocab *v = calloc(1, sizeof *v);
    if (v) {
        v->kinds = malloc((size_t)size);
        v->ordinary = malloc((size_t)size * sizeof *v->ordinary);
    }
    if (!v || !v->kinds || !v->ordinary) {
        fb_mask_vocab_free(v);
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a vocabulary of %d tokens",
                       size);
    }
    v->size = size;
    v->mask_id = mask_id;
    memcpy(v->kinds, kinds, (size_t)size);
    for (int32_t i = 0; i < size; i++)
        if (kinds[i] != FB_TOKEN_SPECIAL)
            v->ordinary[v->ordinary_count++] = i;
    if (v->ordinary_count == 0) {
        fb_mask_vocab_free(v);
        return fb_fail(ctx, FB_E_USAGE, "every token of the vocabulary is special");
    }
    *vocab = v;
    return FB_OK;
}

void fb_mask_vocab_free(fb_mask_vocab *vocab)
{
    if (!vocab)
        return;
    free(vocab->kinds);
    free(vocab->ordinary);
    free(vocab);
}

/* starts[]: the first token of each word. */
static int32_t find_words(const fb_mask_vocab *vocab, const int32_t *ids, int32_t count,
                          int32_t *starts)
{
    int32_t words = 0;
    bool in_word = false;
    for (int32_t i = 0; i < count; i++) {
        uint8_t kind = vocab->kinds[ids[i]];
        if (kind == FB_TOKEN_WORD || (kind == FB_TOKEN_CONTINUATION && !in_word))
            starts[words++] = i;
        in_word = kind != FB_TOKEN_SPECIAL;
    }
    return words;
}

static int32_t word_end(const fb_mask_vocab *vocab, const int32_t *ids, int32_t count,
                        int32_t start)
{
    int32_t end = start + 1;
    while (end < count && vocab->kinds[ids[end]] == FB_TOKEN_CONTINUATION)
        end++;
    return end;
}

static int32_t any_ordinary(const fb_mask_vocab *vocab, fb_random *random)
{
    return vocab->ordinary[fb_random_below(random, (uint32_t)vocab->ordinary_count)];
}

static int32_t replace(const fb_mask_vocab *vocab, fb_random *random, int32_t id)
{
    uint32_t tenth = fb_random_below(random, 10);
    if (tenth < 8)
        return vocab->mask_id;
    return tenth == 8 ? any_ordinary(vocab, random) : id;
}

int32_t fb_mask_text(const fb_mask_vocab *vocab, fb_random *random, const int32_t *ids,
                     int32_t count, int32_t max_masked, int32_t *scratch,
                     int32_t *masked_ids, int32_t *targets)
{
    int32_t *starts = scratch, *order = scratch + count;
    int32_t words = find_words(vocab, ids, count, starts), masked = 0;
    int32_t quota = (int32_t)rint(FB_MASK_TEXT * count);
    quota = quota < 1 ? 1 : quota;
    quota = quota > max_masked ? max_masked : quota;
    for (int32_t i = 0; i < count; i++) {
        masked_ids[i] = ids[i];
        targets[i] = -1;
    }
    for (int32_t i = 0; i < words; i++)
        order[i] = i;
    fb_random_shuffle(random, order, words);
    for (int32_t i = 0; i < words && masked < quota; i++) {
        int32_t start = starts[order[i]], end = word_end(vocab, ids, count, start);
        if (masked + end - start > quota)
            continue;
        for (int32_t t = start; t < end; t++) {
            masked_ids[t] = replace(vocab, random, ids[t]);
            targets[t] = ids[t];
        }
        masked += end - start;
    }
    return masked;
}

/* rare / (rare + n) of the word at start .. end - 1. */
static double rarity(const fb_word_mask *mask, const int32_t *ids, int32_t start,
                     int32_t end)
{
    int32_t titles = INT32_MAX;
    if (!(mask->rare > 0))
        return 0;
    for (int32_t t = start; t < end; t++)
        titles = mask->titles[ids[t]] < titles ? mask->titles[ids[t]] : titles;
    return mask->rare / (mask->rare + titles);
}

int32_t fb_mask_words(const fb_mask_vocab *vocab, fb_random *random,
                      const fb_word_mask *mask, const int32_t *ids, int32_t count,
                      int32_t *scratch, int32_t *masked_ids)
{
    int32_t words = find_words(vocab, ids, count, scratch), taken = 0, masked = 0;
    memcpy(masked_ids, ids, (size_t)count * sizeof *ids);
    for (int32_t i = 0; i < words; i++) {
        int32_t end = word_end(vocab, ids, count, scratch[i]);
        if (fb_random_uniform(random) <
            fmax(mask->share, rarity(mask, ids, scratch[i], end)))
            scratch[taken++] = scratch[i];
    }
    if (taken > 0 &&
        taken == words) /* the last takes the place of the one that stays */
        scratch[fb_random_below(random, (uint32_t)words)] = scratch[--taken];
    for (int32_t i = 0; i < taken; i++) {
        int32_t end = word_end(vocab, ids, count, scratch[i]);
        bool noise = rarity(mask, ids, scratch[i], end) > mask->share &&
                     fb_random_uniform(random) < 0.5;
        for (int32_t t = scratch[i]; t < end; t++, masked++)
            masked_ids[t] = noise ? any_ordinary(vocab, random) : vocab->mask_id;
    }
    return masked;
}

int32_t fb_mask_patches(fb_random *random, double share, int32_t patches,
                        uint8_t *masked)
{
    int32_t wanted = (int32_t)rint(share * patches);
    wanted = wanted < 1 ? 1 : wanted;
    /* Selection sampling (Knuth, algorithm S): each subset is as likely. */
    int32_t left = wanted;
    for (int32_t p = 0; p < patches; p++) {
        masked[p] = fb_random_below(random, (uint32_t)(patches - p)) < (uint32_t)left;
        left -= masked[p];
    }
    return wanted;
}
