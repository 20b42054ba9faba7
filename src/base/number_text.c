/* number_text.c - see number_text.h. */
#include "base/number_text.h"

#include <stdlib.h>

locale_t fb_locale_begin(void)
{
    /* "C" is built in: nothing is read or allocated, and nothing is to be freed */
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return plain ? uselocale(plain) : (locale_t)0;
}

void fb_locale_end(locale_t before)
{
    if (before)
        uselocale(before);
}

double fb_number_read(const char *text, char **end)
{
    locale_t before = fb_locale_begin();
    double value = strtod(text, end);
    fb_locale_end(before);
    return value;
}

int fb_text_print_list(char *out, size_t size, const char *format, va_list arguments)
{
    locale_t before = fb_locale_begin();
    int length = vsnprintf(out, size, format, arguments);
    fb_locale_end(before);
    return length;
}

int fb_text_print(char *out, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = fb_text_print_list(out, size, format, arguments);
    va_end(arguments);
    return length;
}

int fb_stream_print_list(FILE *stream, const char *format, va_list arguments)
{
    locale_t before = fb_locale_begin();
    int length = vfprintf(stream, format, arguments);
    fb_locale_end(before);
    return length;
}

int fb_stream_print(FILE *stream, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = fb_stream_print_list(stream, format, arguments);
    va_end(arguments);
    return length;
}
