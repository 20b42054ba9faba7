/* furniture_archive.h - the entries of a zip archive, one after the other, bounded. */
#ifndef FB_DATA_IMPORT_FURNITURE_ARCHIVE_H
#define FB_DATA_IMPORT_FURNITURE_ARCHIVE_H

#include "base/status.h"

/* bytes[size_bytes] are malloc'ed and become the visitor's own. */
typedef fb_status (*fb_archive_visit)(void *self, fb_context *ctx, const char *entry,
                                      uint8_t *bytes, size_t size_bytes);
typedef bool (*fb_archive_wants)(void *self, const char *entry);

/* Read the entries that are wanted, in the archive's order. Sentences begin with `path`
 * and name the entry. FB_E_MISSING, FB_E_IO, FB_E_FORMAT, FB_E_LIMIT (more than 200,000
 * entries, an entry past limit_bytes), and what visit returns. */
fb_status fb_archive_read(fb_context *ctx, const char *path, size_t limit_bytes,
                          fb_archive_wants wants, fb_archive_visit visit, void *self);

#endif
