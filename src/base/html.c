/* html.c - see html.h. */
#include "base/html.h"

#include "base/base64.h"

void fb_html_text(FILE *page, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '&':
            fputs("&amp;", page);
            break;
        case '<':
            fputs("&lt;", page);
            break;
        case '>':
            fputs("&gt;", page);
            break;
        case '"':
            fputs("&quot;", page);
            break;
        case '\'':
            fputs("&#39;", page);
            break;
        default:
            fputc((unsigned char)*text < ' ' || *text == 127 ? ' ' : *text, page);
        }
}

void fb_html_data_uri(FILE *page, const char *type, const uint8_t *bytes,
                      size_t size_bytes)
{
    fprintf(page, "data:%s;base64,", type);
    fb_base64_write(page, bytes, size_bytes);
}
