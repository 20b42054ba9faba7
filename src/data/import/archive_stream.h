/* archive_stream.h - the files in a tar or zip archive, one after the other as they
 * stream by; nothing is unpacked to disk.
 *
 *     tar    plain, gzip or zstd
 *     zip    stored or deflated
 *     file   any file as an archive of one member, called ""
 *
 * Folders are passed over. A member that no archive for us has (an absolute name or one
 * with "..", a link, a device) is an error, as is one past the limits; the stream then
 * stands before the next member, and may go on. Only where the archive itself cannot be
 * read any further does it end: fb_archive_stream_is_broken. Memory is bounded by the
 * largest member that is read whole.
 */
#ifndef FB_DATA_IMPORT_ARCHIVE_STREAM_H
#define FB_DATA_IMPORT_ARCHIVE_STREAM_H

#include "base/status.h"

enum { FB_MEMBER_NAME_BYTES = 1024 };

typedef enum fb_archive_kind {
    FB_ARCHIVE_TAR,
    FB_ARCHIVE_ZIP,
    FB_ARCHIVE_FILE
} fb_archive_kind;

typedef struct fb_archive_stream fb_archive_stream;

/* FB_E_MISSING, FB_E_FORMAT (a folder, or no such archive), FB_E_MEMORY. */
fb_status fb_archive_stream_open(fb_context *ctx, fb_archive_stream **stream,
                                 const char *path, fb_archive_kind kind);
/* The same over bytes that outlive it; `name` begins the sentences. */
fb_status fb_archive_stream_open_bytes(fb_context *ctx, fb_archive_stream **stream,
                                       const char *name, const uint8_t *bytes,
                                       size_t size_bytes, fb_archive_kind kind);
void fb_archive_stream_close(fb_archive_stream *stream);

/* The next file: its name without "./" in front, good until the next call; NULL at the
 * end. FB_E_FORMAT and FB_E_LIMIT name archive and member. */
fb_status fb_archive_stream_next(fb_context *ctx, fb_archive_stream *stream,
                                 const char **member);
/* Up to `room` bytes of the member; *got 0: it ends here. */
fb_status fb_archive_stream_read(fb_context *ctx, fb_archive_stream *stream,
                                 uint8_t *bytes, size_t room, size_t *got);
/* All of the member, malloc'ed, a 0 byte behind it. FB_E_LIMIT past limit_bytes. */
fb_status fb_archive_stream_read_all(fb_context *ctx, fb_archive_stream *stream,
                                     size_t limit_bytes, uint8_t **bytes,
                                     size_t *size_bytes);
/* The member that was reached last, also one that failed; "" when none was. */
const char *fb_archive_stream_member(const fb_archive_stream *stream);
/* Whether the last failure was a member refused for its name or kind. */
bool fb_archive_stream_refused(const fb_archive_stream *stream);
bool fb_archive_stream_is_broken(const fb_archive_stream *stream);

#endif
