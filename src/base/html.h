/* html.h - text and pictures into an HTML page, safely: outside text cannot become
 * markup, and the page needs no other file.
 */
#ifndef FB_BASE_HTML_H
#define FB_BASE_HTML_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* text as characters, also within a quoted attribute: & < > " ' as entities, control
 * characters as blanks. Bytes that are not UTF-8 stay what they are. */
void fb_html_text(FILE *page, const char *text);

/* "data:image/jpeg;base64,..." (RFC 2397) */
void fb_html_data_uri(FILE *page, const char *type, const uint8_t *bytes,
                      size_t size_bytes);

#endif
