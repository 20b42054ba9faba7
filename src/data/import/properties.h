/* properties.h - Java's .properties files: ISO-8859-1 bytes, key=value lines.
 *
 *   - '#' or '!' first on a line begins a comment
 *   - a line that ends in an odd number of backslashes goes on in the next one, whose
 *     leading white space is dropped
 *   - the key ends at '=', ':' or white space that no backslash escapes
 *   - \t \n \r \f and \uXXXX (UTF-16, pairs joined); any other \c is c
 *   - of a key given twice the last value holds
 */
#ifndef FB_DATA_IMPORT_PROPERTIES_H
#define FB_DATA_IMPORT_PROPERTIES_H

#include "base/status.h"

#define FB_PROPERTIES_BYTES_MAX (16 << 20)

typedef struct fb_properties fb_properties;

/* `name` begins the sentences, with the line: FB_E_FORMAT (a broken \uXXXX),
 * FB_E_LIMIT, FB_E_MEMORY. Keys and values are UTF-8 without 0 bytes. */
fb_status fb_properties_parse(fb_context *ctx, fb_properties **properties,
                              const char *name, const uint8_t *bytes,
                              size_t size_bytes);
void fb_properties_free(fb_properties *properties);

/* NULL when there is no such key. */
const char *fb_properties_get(const fb_properties *properties, const char *key);
/* Keys in the order in which they came. */
int32_t fb_properties_count(const fb_properties *properties);
const char *fb_properties_key(const fb_properties *properties, int32_t index);

#endif
