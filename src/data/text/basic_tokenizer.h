/* basic_tokenizer.h - BERT's basic tokenizer, uncased: text to normalised words.
 *
 *     UTF-8 -> clean -> blanks around CJK -> NFD -> drop accents -> lower -> words
 *
 * Equal, code point by code point, to Hugging Face tokenizers 0.23 BertNormalizer
 * (clean_text, handle_chinese_chars, lowercase, strip_accents left at its default) and
 * BertPreTokenizer:
 *
 *     clean     U+0000, U+FFFD and category C (but \t \n \r) vanish without a gap;
 *               white space becomes a blank. Unassigned code points stay.
 *     CJK       the ideographs of seven blocks become words of one character
 *     accents   canonical decomposition and order, then category Mn vanishes; Hangul
 *               syllables stay decomposed into jamo
 *     lower     each character alone: a final sigma stays U+03C3, sharp s stays
 *     words     cut at blanks; each ASCII punctuation mark or character of category P
 *               is its own word
 *
 * Bytes that are not UTF-8 (overlong forms, surrogates and values past U+10FFFF too)
 * count as U+FFFD, a maximal broken prefix of a character as one, and so vanish.
 */
#ifndef FB_DATA_TEXT_BASIC_TOKENIZER_H
#define FB_DATA_TEXT_BASIC_TOKENIZER_H

#include "base/status.h"

enum {
    FB_TEXT_BYTES = 65536, /* a text is cut here, at a character's start */
    FB_BASIC_LOCAL_CODES = 1024,
};

/* The words of one text. Short texts need no memory but this struct, which must not be
 * moved between open and close. */
typedef struct fb_basic_words {
    uint32_t *codes; /* normalised code points */
    size_t count, cursor;
    size_t run; /* codes[run..] may still change places by canonical order */
    uint32_t local[FB_BASIC_LOCAL_CODES];
} fb_basic_words;

/* Normalise `text` [bytes], which may hold 0 bytes and need not end in one.
 * FB_E_MEMORY. */
fb_status fb_basic_words_open(fb_context *ctx, fb_basic_words *words, const char *text,
                              size_t bytes);
/* The next word: *word [*length] code points, length > 0. False at the end. */
bool fb_basic_words_next(fb_basic_words *words, const uint32_t **word, size_t *length);
void fb_basic_words_close(fb_basic_words *words);

/* One code point as UTF-8; returns how many bytes, 1 to 4. */
int32_t fb_utf8_put(uint32_t code, char out[4]);
/* Whether all of `text` [bytes] is UTF-8, U+FFFD itself allowed. */
bool fb_utf8_is_valid(const char *text, size_t bytes);

/* Whether a text has a word: something else than blanks (no-break and zero-width ones
 * too) and punctuation marks. FB_E_MEMORY. */
fb_status fb_text_has_word(fb_context *ctx, const char *text, bool *has_word);

#endif
