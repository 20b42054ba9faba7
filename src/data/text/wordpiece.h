/* wordpiece.h - a BERT vocabulary (vocab.txt) and WordPiece over it.
 *
 *     "Linen-Kleid"  ->  linen | - | kleid  ->  linen  -  kl ##eid  ->  ids
 *
 * vocab.txt: one token a line in the order of the ids, UTF-8; "##" in front marks a
 * piece that goes on inside a word. Words come from basic_tokenizer.h. Each is cut into
 * the longest piece that the vocabulary has, again and again; a word that cannot be cut
 * so to its end, or has more than 100 characters, is one [UNK]. Equal to Hugging Face
 * tokenizers' WordPiece model; "[CLS]" or "[MASK]" written in a text are ordinary words
 * here.
 *
 * A vocabulary does not change once it is there: any number of threads may use one.
 */
#ifndef FB_DATA_TEXT_WORDPIECE_H
#define FB_DATA_TEXT_WORDPIECE_H

#include "base/status.h"

enum {
    FB_VOCAB_TOKENS = 1000000, /* at most, and at most this long: */
    FB_VOCAB_TOKEN_BYTES = 512,
    FB_WORD_CHARACTERS = 100,
};

typedef struct fb_vocab fb_vocab;

/* Read a vocab.txt, a tokenizer.json (a name that ends in .json; tokenizer_json.h), or
 * the one that a folder holds, vocab.txt before tokenizer.json. FB_E_IO, FB_E_MISSING:
 * the file; FB_E_FORMAT, naming the line: an empty or repeated token, a 0 byte, bytes
 * that are not UTF-8; FB_E_FORMAT: [PAD], [UNK], [CLS], [SEP] or [MASK] is not there;
 * FB_E_LIMIT; FB_E_MEMORY. White space at a line's end does not count. */
fb_status fb_vocab_open(fb_context *ctx, fb_vocab **vocab, const char *path);
/* The same from memory; `name` is what errors call it. */
fb_status fb_vocab_parse(fb_context *ctx, fb_vocab **vocab, const char *name,
                         const char *bytes, size_t size_bytes);
/* Write vocab.txt, replacing what was there in one step. */
fb_status fb_vocab_save(fb_context *ctx, const fb_vocab *vocab, const char *path);
void fb_vocab_free(fb_vocab *vocab);

int32_t fb_vocab_size(const fb_vocab *vocab);
/* Id of a token as it stands in vocab.txt ("##eid"), or -1. */
int32_t fb_vocab_id(const fb_vocab *vocab, const char *piece, size_t length_bytes);
/* Borrowed; NULL when there is no such id. */
const char *fb_vocab_token(const fb_vocab *vocab, int32_t id);
int32_t fb_vocab_pad(const fb_vocab *vocab);
int32_t fb_vocab_unk(const fb_vocab *vocab);
int32_t fb_vocab_cls(const fb_vocab *vocab);
int32_t fb_vocab_sep(const fb_vocab *vocab);
int32_t fb_vocab_mask(const fb_vocab *vocab);
/* Whether the id's token starts with "##"; false for an id that is not there. */
bool fb_vocab_is_continuation(const fb_vocab *vocab, int32_t id);
/* [size]: 1 where the token begins a word ([UNK] too), 0 where it goes on inside one
 * and for [PAD], [CLS], [SEP] and [MASK]. Borrowed. */
const uint8_t *fb_vocab_word_starts(const fb_vocab *vocab);

/* Ids of `text` [bytes], without special tokens, cut at max_tokens; ids [max_tokens].
 * A text past 64 KiB is cut there. FB_E_MEMORY, FB_E_USAGE (max_tokens < 0): ids and
 * *count are untouched. */
fb_status fb_wordpiece_encode(fb_context *ctx, const fb_vocab *vocab, const char *text,
                              size_t bytes, int32_t max_tokens, int32_t *ids,
                              int32_t *count);
/* [CLS] text [SEP] in at most max_text ids, max_text >= 2; ids [max_text]. */
fb_status fb_wordpiece_encode_wrapped(fb_context *ctx, const fb_vocab *vocab,
                                      const char *text, size_t bytes, int32_t max_text,
                                      int32_t *ids, int32_t *count);

#endif
