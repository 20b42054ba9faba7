/* jsonl_source.h - products from JSON lines: one object a line, its members are the
 * fields. Strings are taken as they are, null is no value, an array of strings is
 * several values, anything else stays JSON.
 *
 *     products.jsonl:   {"image": "photos/1.jpg", "title": "Red dress", "price": 20}
 *
 * Images lie in the file's folder.
 */
#ifndef FB_DATA_IMPORT_JSONL_SOURCE_H
#define FB_DATA_IMPORT_JSONL_SOURCE_H

#include "data/import/record_source.h"

#define FB_JSONL_LINE_BYTES_MAX (1 << 20)

bool fb_jsonl_source_recognise(fb_context *ctx, const char *path);

/* FB_E_MISSING, FB_E_IO, FB_E_MEMORY. A line that is no object, or too long, is one bad
 * record. */
fb_status fb_jsonl_source_open(fb_context *ctx, fb_record_source *source,
                               const char *path, const fb_import_options *options);

/* The same for a file whose images lie in `folder` and whose records have one more
 * field, `split`, unless split is NULL. */
fb_status fb_jsonl_source_open_file(fb_context *ctx, fb_record_source *source,
                                    const char *file, const char *folder,
                                    const char *split);

#endif
