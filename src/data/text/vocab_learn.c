/* vocab_learn.c - see vocab_learn.h.
 *
 * Words are kept once with their count, as arrays of piece ids; each pair of neighbours
 * knows its count and the words that had it. Pairs wait in a heap whose entries may be
 * stale: an entry whose count is no longer its pair's goes back with the new one. A
 * merge touches only the words that have the pair.
 */
#include "data/text/vocab_learn.h"
#include "base/string_table.h"
#include "data/text/basic_tokenizer.h"
#include <stdlib.h>
#include <string.h>

typedef struct word {
    int32_t *pieces;
    int32_t length;
    int64_t count;
} word;

typedef struct pair {
    int32_t left, right;
    int64_t count;
    int32_t *words; /* indices, may repeat */
    int32_t word_count, word_capacity;
} pair;

typedef struct heap_entry {
    int64_t count;
    int32_t left, right, pair;
} heap_entry;

/* A character of the texts; `inside` when it also stands behind a word's first. */
typedef struct letter {
    uint32_t code;
    bool inside;
    int64_t count;
} letter;

typedef struct learner {
    fb_context *ctx;
    int32_t vocab_size, least;
    fb_string_table word_texts; /* distinct words, UTF-8 */
    int64_t *word_counts;
    int32_t word_counts_capacity;
    word *words;
    int32_t *piece_store; /* behind all words[].pieces */
    fb_string_table tokens;
    pair *pairs;
    int32_t pair_count, pair_capacity;
    int32_t first_new;         /* pairs from here on have not been in the heap yet */
    fb_string_table pair_keys; /* left, right as 8 bytes -> index of pairs */
    heap_entry *heap;
    size_t heap_count, heap_capacity;
} learner;

/* Room for one more behind `count` items; false when memory is out. */
static bool reserve(void **items, int32_t *capacity, int32_t count, size_t item_bytes)
{
    if (count < *capacity)
        return true;
    int32_t larger = *capacity < 4 ? 4 : 2 * *capacity;
    void *grown = realloc(*items, (size_t)larger * item_bytes);
    if (grown == NULL)
        return false;
    *items = grown;
    *capacity = larger;
    return true;
}

static fb_status no_memory(learner *l)
{
    return fb_fail(l->ctx, FB_E_MEMORY, "no memory to learn a vocabulary from %d words",
                   l->word_texts.count);
}

/* ---- words and characters ------------------------------------------------------- */

static fb_status count_word(learner *l, const uint32_t *codes, size_t length)
{
    char text[4 * FB_WORD_CHARACTERS];
    int32_t bytes = 0, index = 0, known = l->word_texts.count;
    if (length > FB_WORD_CHARACTERS)
        return FB_OK; /* encoding makes it [UNK] whatever is learnt */
    for (size_t i = 0; i < length; i++)
        bytes += fb_utf8_put(codes[i], text + bytes);
    FB_TRY(fb_string_table_add(l->ctx, &l->word_texts, text, (size_t)bytes, &index));
    if (index == known) {
        void *counts = l->word_counts;
        if (!reserve(&counts, &l->word_counts_capacity, index, sizeof *l->word_counts))
            return no_memory(l);
        l->word_counts = counts;
        l->word_counts[index] = 0;
    }
    l->word_counts[index]++;
    return FB_OK;
}

static fb_status count_words(learner *l, const char *const *texts, int64_t n)
{
    fb_basic_words words;
    const uint32_t *codes = NULL;
    size_t length = 0;
    for (int64_t i = 0; i < n; i++) {
        FB_TRY(fb_basic_words_open(l->ctx, &words, texts[i], strlen(texts[i])));
        fb_status status = FB_OK;
        while (status == FB_OK && fb_basic_words_next(&words, &codes, &length))
            status = count_word(l, codes, length);
        fb_basic_words_close(&words);
        FB_TRY(status);
    }
    if (l->word_texts.count == 0)
        return fb_fail(l->ctx, FB_E_USAGE,
                       "no words in %lld texts to learn a vocabulary from",
                       (long long)n);
    return FB_OK;
}

/* Bytes of the character that starts with `lead` in valid UTF-8. */
static size_t utf8_length(char lead)
{
    uint8_t byte = (uint8_t)lead;
    return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

static uint32_t utf8_code(const char *text, size_t length)
{
    uint32_t code = (uint8_t)text[0];
    if (length > 1)
        code &= 0x7Fu >> length;
    for (size_t i = 1; i < length; i++)
        code = code << 6 | ((uint8_t)text[i] & 0x3Fu);
    return code;
}

static int by_frequency(const void *a, const void *b)
{
    const letter *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return x->code < y->code ? -1 : x->code > y->code;
}

static int by_code(const void *a, const void *b)
{
    const letter *x = a, *y = b;
    return x->code < y->code ? -1 : x->code > y->code;
}

/* The characters of all words with their counts: letters[i] is string i of the table.
 * letters is malloc'ed. */
static fb_status count_letters(learner *l, fb_string_table *table, letter **letters)
{
    int32_t capacity = 0;
    for (int32_t w = 0; w < l->word_texts.count; w++) {
        const char *text = fb_string_table_get(&l->word_texts, w);
        size_t bytes = fb_string_table_size(&l->word_texts, w), step = 0;
        for (size_t at = 0; at < bytes; at += step) {
            int32_t index = 0, known = table->count;
            step = utf8_length(text[at]);
            FB_TRY(fb_string_table_add(l->ctx, table, text + at, step, &index));
            if (index == known) {
                void *items = *letters;
                if (!reserve(&items, &capacity, index, sizeof **letters))
                    return no_memory(l);
                *letters = items;
                (*letters)[index] = (letter){.code = utf8_code(text + at, step)};
            }
            if (!*letters) /* never: index 0 is new, and reserve gave it room */
                return no_memory(l);
            (*letters)[index].count += l->word_counts[w];
            (*letters)[index].inside |= at > 0;
        }
    }
    return FB_OK;
}

static fb_status add_letter(learner *l, uint32_t code, bool inside)
{
    char token[6] = "##";
    int32_t from = inside ? 2 : 0, id = 0;
    int32_t bytes = from + fb_utf8_put(code, token + from);
    return fb_string_table_add(l->ctx, &l->tokens, token, (size_t)bytes, &id);
}

/* The special tokens, then the characters that fit into half of the vocabulary. */
static fb_status add_alphabet(learner *l)
{
    static const char *const specials[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]",
                                           "[MASK]"};
    fb_string_table table = {0};
    letter *letters = NULL;
    int32_t id = 0, room = l->vocab_size / 2, kept = 0;
    fb_status status = count_letters(l, &table, &letters);
    for (size_t i = 0; i < sizeof specials / sizeof *specials && status == FB_OK; i++)
        status = fb_string_table_add(l->ctx, &l->tokens, specials[i],
                                     strlen(specials[i]), &id);
    if (status == FB_OK) {
        qsort(letters, (size_t)table.count, sizeof *letters, by_frequency);
        for (; kept < table.count && room >= 1 + letters[kept].inside; kept++)
            room -= 1 + letters[kept].inside;
        qsort(letters, (size_t)kept, sizeof *letters, by_code);
    }
    for (int32_t i = 0; i < 2 * kept && status == FB_OK; i++)
        if (i < kept || letters[i - kept].inside)
            status = add_letter(l, letters[i % kept].code, i >= kept);
    free(letters);
    fb_string_table_clear(&table);
    return status;
}

/* Each word as the ids of its characters; characters that were not kept are left out.
 */
static fb_status split_words(learner *l)
{
    int32_t count = l->word_texts.count;
    l->words = calloc((size_t)count, sizeof *l->words);
    l->piece_store = malloc(l->word_texts.bytes_used * sizeof *l->piece_store);
    if (l->words == NULL || l->piece_store == NULL)
        return no_memory(l);
    int32_t *next = l->piece_store;
    for (int32_t w = 0; w < count; w++) {
        const char *text = fb_string_table_get(&l->word_texts, w);
        size_t bytes = fb_string_table_size(&l->word_texts, w), step = 0;
        l->words[w] = (word){.pieces = next, .count = l->word_counts[w]};
        for (size_t at = 0; at < bytes; at += step) {
            char token[6] = "##";
            size_t from = at > 0 ? 2 : 0;
            step = utf8_length(text[at]);
            memcpy(token + from, text + at, step);
            int32_t id = fb_string_table_find(&l->tokens, token, from + step);
            if (id >= 0)
                *next++ = id;
        }
        l->words[w].length = (int32_t)(next - l->words[w].pieces);
    }
    return FB_OK;
}

/* ---- pairs ---------------------------------------------------------------------- */

static bool goes_before(const heap_entry *a, const heap_entry *b)
{
    if (a->count != b->count)
        return a->count > b->count;
    if (a->left != b->left)
        return a->left < b->left;
    return a->right < b->right;
}

static fb_status heap_push(learner *l, int32_t index)
{
    const pair *p = &l->pairs[index];
    if (l->heap_count == l->heap_capacity) {
        size_t capacity = 2 * l->heap_capacity + 1024;
        heap_entry *grown = realloc(l->heap, capacity * sizeof *grown);
        if (grown == NULL)
            return no_memory(l);
        l->heap = grown;
        l->heap_capacity = capacity;
    }
    heap_entry entry = {p->count, p->left, p->right, index};
    size_t at = l->heap_count++;
    for (; at > 0 && goes_before(&entry, &l->heap[(at - 1) / 2]); at = (at - 1) / 2)
        l->heap[at] = l->heap[(at - 1) / 2];
    l->heap[at] = entry;
    return FB_OK;
}

static heap_entry heap_pop(learner *l)
{
    heap_entry top = l->heap[0], last = l->heap[--l->heap_count];
    size_t at = 0, child = 1;
    for (; child < l->heap_count; at = child, child = 2 * at + 1) {
        if (child + 1 < l->heap_count &&
            goes_before(&l->heap[child + 1], &l->heap[child]))
            child++;
        if (!goes_before(&l->heap[child], &last))
            break;
        l->heap[at] = l->heap[child];
    }
    l->heap[at] = last;
    return top;
}

/* Index of a pair, which is put in if new. */
static fb_status find_pair(learner *l, int32_t left, int32_t right, int32_t *index)
{
    int32_t key[2] = {left, right};
    FB_TRY(fb_string_table_add(l->ctx, &l->pair_keys, (const char *)key, sizeof key,
                               index));
    if (*index < l->pair_count)
        return FB_OK;
    void *pairs = l->pairs;
    if (!reserve(&pairs, &l->pair_capacity, l->pair_count, sizeof *l->pairs))
        return no_memory(l);
    l->pairs = pairs;
    l->pairs[l->pair_count++] = (pair){.left = left, .right = right};
    return FB_OK;
}

/* Change a pair's count; where it rises, word `w` has it. */
static fb_status change_pair(learner *l, int32_t left, int32_t right, int64_t change,
                             int32_t w)
{
    int32_t index = 0;
    FB_TRY(find_pair(l, left, right, &index));
    pair *p = &l->pairs[index];
    p->count += change;
    if (change < 0)
        return FB_OK;
    if (p->word_count == 0 || p->words[p->word_count - 1] != w) {
        void *words = p->words;
        if (!reserve(&words, &p->word_capacity, p->word_count, sizeof *p->words))
            return no_memory(l);
        p->words = words;
        p->words[p->word_count++] = w;
    }
    /* Two merges can make the same token, so that pairs known before rise again. */
    return index < l->first_new ? heap_push(l, index) : FB_OK;
}

static fb_status count_pairs(learner *l)
{
    for (int32_t w = 0; w < l->word_texts.count; w++)
        for (int32_t i = 0; i + 1 < l->words[w].length; i++)
            FB_TRY(change_pair(l, l->words[w].pieces[i], l->words[w].pieces[i + 1],
                               l->words[w].count, w));
    for (int32_t i = 0; i < l->pair_count; i++)
        FB_TRY(heap_push(l, i));
    return FB_OK;
}

/* ---- merges --------------------------------------------------------------------- */

/* Write `made` for each left-right in word `w` and change the pairs around it. */
static fb_status merge_in_word(learner *l, int32_t w, int32_t left, int32_t right,
                               int32_t made)
{
    word *in = &l->words[w];
    int32_t *p = in->pieces;
    for (int32_t i = 0; i + 1 < in->length; i++) {
        if (p[i] != left || p[i + 1] != right)
            continue;
        if (i > 0) {
            FB_TRY(change_pair(l, p[i - 1], left, -in->count, w));
            FB_TRY(change_pair(l, p[i - 1], made, in->count, w));
        }
        p[i] = made;
        memmove(p + i + 1, p + i + 2, (size_t)(in->length - i - 2) * sizeof *p);
        in->length--;
        if (i + 1 < in->length) {
            FB_TRY(change_pair(l, right, p[i + 1], -in->count, w));
            FB_TRY(change_pair(l, made, p[i + 1], in->count, w));
        }
    }
    return FB_OK;
}

/* The token of a merge: the left one's text with the right one's, less its "##". */
static fb_status add_merged(learner *l, int32_t left, int32_t right, int32_t *id)
{
    char token[2 + 4 * FB_WORD_CHARACTERS + 2];
    size_t left_bytes = fb_string_table_size(&l->tokens, left);
    size_t right_bytes = fb_string_table_size(&l->tokens, right) - 2;
    memcpy(token, fb_string_table_get(&l->tokens, left), left_bytes);
    memcpy(token + left_bytes, fb_string_table_get(&l->tokens, right) + 2, right_bytes);
    return fb_string_table_add(l->ctx, &l->tokens, token, left_bytes + right_bytes, id);
}

static fb_status merge_pair(learner *l, int32_t index)
{
    pair merged = l->pairs[index];
    int32_t made = 0;
    l->first_new = l->pair_count;
    FB_TRY(add_merged(l, merged.left, merged.right, &made));
    /* Its words are taken from the pair, whose place may move while others are added.
     */
    l->pairs[index].words = NULL;
    l->pairs[index].word_count = l->pairs[index].word_capacity = 0;
    fb_status status = FB_OK;
    for (int32_t i = 0; i < merged.word_count && status == FB_OK; i++)
        status = merge_in_word(l, merged.words[i], merged.left, merged.right, made);
    free(merged.words);
    l->pairs[index].count = 0;
    for (int32_t i = l->first_new; i < l->pair_count && status == FB_OK; i++)
        if (l->pairs[i].count > 0)
            status = heap_push(l, i);
    return status;
}

static fb_status merge_pairs(learner *l)
{
    while (l->tokens.count < l->vocab_size && l->heap_count > 0) {
        heap_entry top = heap_pop(l);
        int64_t now = l->pairs[top.pair].count;
        if (now < l->least) /* it will not be more: merges make new pairs alone */
            continue;
        if (now == top.count)
            FB_TRY(merge_pair(l, top.pair));
        else
            FB_TRY(heap_push(l, top.pair));
    }
    return FB_OK;
}

/* ---- all together --------------------------------------------------------------- */

static fb_status learn(learner *l, fb_vocab **vocab, const char *const *texts,
                       int64_t n)
{
    FB_TRY(count_words(l, texts, n));
    FB_TRY(add_alphabet(l));
    FB_TRY(split_words(l));
    FB_TRY(count_pairs(l));
    FB_TRY(merge_pairs(l));
    for (size_t i = 0; i < l->tokens.bytes_used; i++)
        if (l->tokens.bytes[i] == '\0')
            l->tokens.bytes[i] = '\n';
    return fb_vocab_parse(l->ctx, vocab, "learnt vocabulary", l->tokens.bytes,
                          l->tokens.bytes_used);
}

fb_status fb_vocab_learn(fb_context *ctx, fb_vocab **vocab, const char *const *texts,
                         int64_t n, int32_t vocab_size, int32_t least)
{
    if (vocab_size < FB_VOCAB_LEARN_LEAST || vocab_size > FB_VOCAB_TOKENS)
        return fb_fail(ctx, FB_E_USAGE, "vocabulary size %d; it must be %d to %d",
                       vocab_size, FB_VOCAB_LEARN_LEAST, FB_VOCAB_TOKENS);
    if (least < 1)
        return fb_fail(ctx, FB_E_USAGE,
                       "merges of pairs that are there %d times; 1 is the "
                       "least",
                       least);
    learner l = {.ctx = ctx, .vocab_size = vocab_size, .least = least};
    fb_status status = learn(&l, vocab, texts, n);
    fb_string_table_clear(&l.word_texts);
    fb_string_table_clear(&l.tokens);
    for (int32_t i = 0; i < l.pair_count; i++)
        free(l.pairs[i].words);
    fb_string_table_clear(&l.pair_keys);
    free(l.pairs);
    free(l.heap);
    free(l.words);
    free(l.piece_store);
    free(l.word_counts);
    return status;
}
