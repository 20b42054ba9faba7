/* memory_stream.h - a stream into memory that tells whether all of it got there.
 *
 * open_memstream does not: where its last realloc fails the text is NULL and fclose
 * gives 0, and where one before fails a piece is missing. Here one failure is kept until
 * the stream is closed.
 */
#ifndef FB_BASE_MEMORY_STREAM_H
#define FB_BASE_MEMORY_STREAM_H

#include <stdbool.h>
#include <stdio.h>

/* NULL: no memory. *bytes and *size stay where they are until the stream is closed, and
 * hold what was written after each fflush, with a 0 behind it. */
FILE *fb_memory_open(char **bytes, size_t *size);

/* Close it. false: memory failed, and *bytes is NULL; else free() them. stream may be
 * NULL: false. */
bool fb_memory_close(FILE *stream, char **bytes);

#endif
