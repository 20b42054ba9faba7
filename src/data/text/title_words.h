/* title_words.h - the words of many texts, numbered in the order in which they come up:
 * BERT's basic tokenizer (lower case, no accents, each CJK character a word), without
 * punctuation marks and symbols that stand alone.
 *
 *     ids [offsets[count]]    offsets [count + 1]    words: the text of each number
 */
#ifndef FB_DATA_TEXT_TITLE_WORDS_H
#define FB_DATA_TEXT_TITLE_WORDS_H

#include "base/string_table.h"

typedef struct fb_title_words {
    fb_string_table words;
    int32_t count;
    int64_t *offsets;
    int32_t *ids;
    int64_t capacity;
} fb_title_words;

/* Of an empty (all zero) list: room for `count` texts, none there yet. FB_E_MEMORY. */
fb_status fb_title_words_open(fb_context *ctx, fb_title_words *lists, int32_t count);
/* The next text. FB_E_MEMORY. */
fb_status fb_title_words_add(fb_context *ctx, fb_title_words *lists, const char *text);
void fb_title_words_close(fb_title_words *lists);

#endif
