/* number_text.h - numbers as text and text as numbers, with a point whatever the host's
 * locale says.
 *
 * A program that loads this library may have called setlocale: under de_DE printf
 * writes 0,5 and strtod stops before the point, in files that others read too. What is
 * no terminal's, files, sentences and answers alike, goes through here; bare strtod and
 * printf of floats are no more to be found outside cli/ (tests/check_arrows.sh).
 */
#ifndef FB_BASE_NUMBER_TEXT_H
#define FB_BASE_NUMBER_TEXT_H

#include <locale.h>
#include <stdarg.h>
#include <stdio.h>

/* The plain locale, "C", for this thread alone until end: also around others' libraries
 * that ask for one. */
locale_t fb_locale_begin(void);
void fb_locale_end(locale_t before);

/* strtod, snprintf, vsnprintf, fprintf and vfprintf under it. */
double fb_number_read(const char *text, char **end);
int fb_text_print(char *out, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int fb_text_print_list(char *out, size_t size, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));
int fb_stream_print(FILE *stream, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int fb_stream_print_list(FILE *stream, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

#endif
