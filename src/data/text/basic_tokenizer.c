/* basic_tokenizer.c - see basic_tokenizer.h.
 *
 * Which code points are dropped, marks or punctuation comes from generated tables, not
 * from the Unicode library: Hugging Face's categories stand at an old Unicode version
 * and must not move when the library does. utf8proc gives decompositions, combining
 * classes and lower case, which Unicode never changes once assigned; what was assigned
 * later than one of the two knows stands in the tables too.
 */
#include "data/text/basic_tokenizer.h"
#include "data/text/basic_tokenizer_tables.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum {
    BAD_CODE = 0xFFFD,
    /* A word of more than 100 characters is [UNK] in whatever order its characters
     * stand, so that a longer run need not be sorted, nor cost quadratic time. */
    MAX_SORTED_RUN = 128,
};

static bool in_ranges(const code_range *ranges, size_t count, uint32_t code)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code > ranges[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && code >= ranges[low].first;
}

#define IN(table, code) in_ranges(table, sizeof(table) / sizeof(table)[0], code)

/* The value of the range that holds the code, or `otherwise`. */
static int32_t range_value(const code_value *ranges, size_t count, uint32_t code,
                           int32_t otherwise)
{
    for (size_t i = 0; i < count && code >= ranges[i].first; i++)
        if (code <= ranges[i].last)
            return ranges[i].value;
    return otherwise;
}

#define VALUE(table, code, otherwise)                                                  \
    range_value(table, sizeof(table) / sizeof(table)[0], code, otherwise)

/* Decode one character; broken bytes give BAD_CODE and are passed over as far as they
 * could have been the start of one character. */
static uint32_t decode(const uint8_t *text, size_t bytes, size_t *at)
{
    uint8_t lead = text[(*at)++];
    if (lead < 0x80)
        return lead;
    if (lead < 0xC2 || lead > 0xF4)
        return BAD_CODE;
    int32_t more = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    uint32_t code = lead & (0x3Fu >> more);
    uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    for (; more > 0; more--) {
        if (*at >= bytes || text[*at] < low || text[*at] > high)
            return BAD_CODE;
        code = code << 6 | (text[(*at)++] & 0x3Fu);
        low = 0x80;
        high = 0xBF;
    }
    return code;
}

static uint32_t lower(uint32_t code)
{
    if (code < 0x80)
        return code >= 'A' && code <= 'Z' ? code + 32 : code;
    int32_t step = VALUE(LATER_LOWER, code, 0);
    if (step != 0)
        return (uint32_t)((int32_t)code + step);
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
}

/* Canonical combining class of a code that stays. */
static int32_t combining_class(uint32_t code)
{
    return code < 0x300 ? 0 : VALUE(KEPT_CLASSES, code, 0);
}

static void put(fb_basic_words *words, uint32_t code)
{
    words->codes[words->count++] = code;
    words->run = words->count;
}

/* Append one decomposed code: marks vanish, others are lower-cased and put in canonical
 * order among those since the last starter. */
static void put_decomposed(fb_basic_words *words, uint32_t code)
{
    if (IN(MARKS, code)) {
        /* A vanishing starter still ends the run. */
        if (utf8proc_get_property((utf8proc_int32_t)code)->combining_class == 0)
            words->run = words->count;
        return;
    }
    int32_t order = combining_class(code);
    if (order == 0) {
        put(words, lower(code));
        return;
    }
    size_t at = words->count++;
    if (at - words->run < MAX_SORTED_RUN)
        for (; at > words->run && combining_class(words->codes[at - 1]) > order; at--)
            words->codes[at] = words->codes[at - 1];
    words->codes[at] = lower(code);
}

static void put_normalised(fb_basic_words *words, uint32_t code)
{
    if (code < 0x80) {
        if (code == '\t' || code == '\n' || code == '\r')
            put(words, ' ');
        else if (code >= ' ' && code != 0x7F)
            put(words, lower(code));
        return;
    }
    if (IN(DROPPED, code))
        return;
    if (IN(BLANKS, code)) {
        put(words, ' ');
        return;
    }
    bool alone = IN(IDEOGRAPHS, code);
    if (alone)
        put(words, ' ');
    utf8proc_int32_t parts[8];
    int boundary = 0;
    utf8proc_ssize_t count = 0;
    if (!IN(LATER_DECOMPOSED, code))
        count = utf8proc_decompose_char((utf8proc_int32_t)code, parts, 8,
                                        UTF8PROC_DECOMPOSE, &boundary);
    if (count < 1 || count > 4) {
        parts[0] = (utf8proc_int32_t)code;
        count = 1;
    }
    for (utf8proc_ssize_t i = 0; i < count; i++)
        put_decomposed(words, (uint32_t)parts[i]);
    if (alone)
        put(words, ' ');
}

fb_status fb_basic_words_open(fb_context *ctx, fb_basic_words *words, const char *text,
                              size_t bytes)
{
    const uint8_t *in = (const uint8_t *)text;
    if (bytes > FB_TEXT_BYTES) {
        bytes = FB_TEXT_BYTES;
        for (int32_t i = 0; i < 3 && (in[bytes] & 0xC0) == 0x80; i++)
            bytes--;
    }
    /* One byte gives one code at most, two or more bytes four (the longest canonical
     * decomposition; an ideograph and its blanks are three). */
    size_t capacity = 2 * bytes;
    words->codes = words->local;
    words->count = words->cursor = words->run = 0;
    if (capacity > FB_BASIC_LOCAL_CODES) {
        words->codes = malloc(capacity * sizeof *words->codes);
        if (words->codes == NULL)
            return fb_fail(ctx, FB_E_MEMORY, "no memory to tokenize %zu bytes", bytes);
    }
    for (size_t at = 0; at < bytes;)
        put_normalised(words, decode(in, bytes, &at));
    return FB_OK;
}

static bool is_punctuation(uint32_t code)
{
    if (code < 0x80)
        return code > ' ' && !(code >= '0' && code <= '9') &&
               !(code >= 'a' && code <= 'z') && !(code >= 'A' && code <= 'Z');
    return IN(PUNCTUATION, code);
}

bool fb_basic_words_next(fb_basic_words *words, const uint32_t **word, size_t *length)
{
    const uint32_t *codes = words->codes;
    size_t at = words->cursor, count = words->count;
    while (at < count && codes[at] == ' ')
        at++;
    if (at == count) {
        words->cursor = count;
        return false;
    }
    size_t end = at + 1;
    if (!is_punctuation(codes[at]))
        while (end < count && codes[end] != ' ' && !is_punctuation(codes[end]))
            end++;
    *word = codes + at;
    *length = end - at;
    words->cursor = end;
    return true;
}

void fb_basic_words_close(fb_basic_words *words)
{
    if (words->codes != words->local)
        free(words->codes);
    words->codes = NULL;
    words->count = words->cursor = 0;
}

bool fb_utf8_is_valid(const char *text, size_t bytes)
{
    const uint8_t *in = (const uint8_t *)text;
    for (size_t at = 0; at < bytes;) {
        size_t start = at;
        if (decode(in, bytes, &at) == BAD_CODE &&
            !(at - start == 3 && memcmp(in + start, "\xEF\xBF\xBD", 3) == 0))
            return false;
    }
    return true;
}

#define FB_LETTERS_AND_DIGITS                                                          \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

fb_status fb_text_has_word(fb_context *ctx, const char *text, bool *has_word)
{
    fb_basic_words words;
    const uint32_t *word;
    size_t length;
    size_t size = strcspn(text, FB_LETTERS_AND_DIGITS);
    *has_word = text[size] != 0 && size < FB_TEXT_BYTES; /* nearly every text */
    if (*has_word)
        return FB_OK;
    FB_TRY(fb_basic_words_open(ctx, &words, text, strlen(text)));
    while (!*has_word && fb_basic_words_next(&words, &word, &length))
        *has_word = length > 1 || !is_punctuation(*word);
    fb_basic_words_close(&words);
    return FB_OK;
}

int32_t fb_utf8_put(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}
