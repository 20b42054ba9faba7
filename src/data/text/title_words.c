/* title_words.c - see title_words.h. */
#include "data/text/title_words.h"

#include "data/text/basic_tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { WORD_CODES_MAX = 100 }; /* longer ones are cut */

fb_status fb_title_words_open(fb_context *ctx, fb_title_words *lists, int32_t count)
{
    lists->offsets = calloc((size_t)count + 1, sizeof *lists->offsets);
    if (!lists->offsets)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the words of %d texts", count);
    return FB_OK;
}

static bool is_mark(const uint32_t *word, size_t length)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)word[0]);
    return length == 1 && category >= UTF8PROC_CATEGORY_PC &&
           category <= UTF8PROC_CATEGORY_SO;
}

static fb_status add_word(fb_context *ctx, fb_title_words *lists, const uint32_t *word,
                          size_t length)
{
    char text[4 * WORD_CODES_MAX];
    size_t size = 0;
    for (size_t i = 0; i < length && i < WORD_CODES_MAX; i++)
        size += (size_t)fb_utf8_put(word[i], text + size);
    int64_t *used = &lists->offsets[lists->count + 1];
    if (*used == lists->capacity) {
        int64_t capacity = lists->capacity ? lists->capacity * 2 : 1024;
        int32_t *ids = realloc(lists->ids, (size_t)capacity * sizeof *ids);
        if (!ids)
            return fb_fail(ctx, FB_E_MEMORY, "no memory for the words of the titles");
        lists->ids = ids;
        lists->capacity = capacity;
    }
    int32_t id;
    FB_TRY(fb_string_table_add(ctx, &lists->words, text, size, &id));
    lists->ids[(*used)++] = id;
    return FB_OK;
}

fb_status fb_title_words_add(fb_context *ctx, fb_title_words *lists, const char *text)
{
    fb_basic_words words;
    const uint32_t *word;
    size_t length;
    FB_TRY(fb_basic_words_open(ctx, &words, text, strlen(text)));
    lists->offsets[lists->count + 1] = lists->offsets[lists->count];
    fb_status status = FB_OK;
    while (status == FB_OK && fb_basic_words_next(&words, &word, &length))
        if (!is_mark(word, length))
            status = add_word(ctx, lists, word, length);
    fb_basic_words_close(&words);
    if (status == FB_OK)
        lists->count++;
    return status;
}

void fb_title_words_close(fb_title_words *lists)
{
    fb_string_table_clear(&lists->words);
    free(lists->offsets);
    free(lists->ids);
    *lists = (fb_title_words){0};
}
