/* ascii.h - letters A to Z without regard to case, and nothing else: for names of
 * files, headers and columns. strcasecmp and tolower ask the host's locale, in which i
 * may be no small I, and a byte of UTF-8 a letter.
 */
#ifndef FB_BASE_ASCII_H
#define FB_BASE_ASCII_H

#include <stddef.h>

static inline char fb_ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* As strncasecmp: of the first `size` bytes at most; 0: equal. */
static inline int fb_ascii_compare_start(const char *a, const char *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char x = (unsigned char)fb_ascii_lower(a[i]);
        unsigned char y = (unsigned char)fb_ascii_lower(b[i]);
        if (x != y || !x)
            return (int)x - (int)y;
    }
    return 0;
}

/* As strcasecmp. */
static inline int fb_ascii_compare(const char *a, const char *b)
{
    return fb_ascii_compare_start(a, b, (size_t)-1);
}

/* As strcasestr: where `word` is first in text, or NULL; "" is at its start. */
static inline const char *fb_ascii_find(const char *text, const char *word)
{
    size_t size = 0;
    while (word[size])
        size++;
    for (;; text++) {
        if (fb_ascii_compare_start(text, word, size) == 0)
            return text;
        if (!*text)
            return NULL;
    }
}

#endif
