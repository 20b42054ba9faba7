/* import_log.h - what an import has done, one line a record, so that one that was
 * killed goes on.
 *
 *     header
 *     STAMP + HASH SIZE r|k LOOK FILE {row}     kept; r: resized
 *     STAMP -                                   left out
 *
 * STAMP is fb_import_image_stamp's of the source's image, HASH and SIZE are of the file
 * that was stored, LOOK is perceptual_hash.h's, all in hexadecimal; {row} is the row of
 * metadata.jsonl without file name and split.
 *
 * A run reads the records anew and makes each line again, from the old one where that
 * is still true. Lines that come out the same stay; from the first that does not the
 * old log is cut off. So the log is always that of one run from the beginning to
 * somewhere, whatever became of the source or of the files in between.
 */
#ifndef FB_DATA_IMPORT_IMPORT_LOG_H
#define FB_DATA_IMPORT_IMPORT_LOG_H

#include "base/arena.h"
#include "data/import/import_image.h"

typedef struct fb_import_entry {
    bool kept;
    uint64_t stamp;
    fb_stored_image image; /* suffix and decode_s are not set */
    const char *file_name; /* in the catalogue's folder */
    const char *row;
} fb_import_entry;

/* The line of an entry, without line end, in the arena; NULL: no memory. */
char *fb_import_entry_write(const fb_import_entry *entry, fb_arena *arena);
/* Strings point into line, which is cut up. False: it is no such line. */
bool fb_import_entry_read(char *line, fb_import_entry *entry);

typedef struct fb_import_log fb_import_log;

/* Open or begin the log at path, for this process alone. *other: it begins with another
 * header (then nothing is open, and status is FB_OK).
 * FB_E_STATE (another process has it), FB_E_IO, FB_E_MEMORY */
fb_status fb_import_log_open(fb_context *ctx, fb_import_log **log, const char *path,
                             const char *header, bool *other);
bool fb_import_log_is_old(const fb_import_log *log); /* a run before began it */
void fb_import_log_close(fb_import_log *log);

/* The old log's next line, in the arena; NULL when there is none or it is cut off. */
char *fb_import_log_next(fb_import_log *log, fb_arena *arena);
/* Lines must be put in order, none before it was asked for with next. FB_E_IO */
fb_status fb_import_log_put(fb_context *ctx, fb_import_log *log, const char *line);
/* What was put outlives the process. FB_E_IO */
fb_status fb_import_log_flush(fb_context *ctx, fb_import_log *log);

/* All lines were put: next begins anew. FB_E_IO */
fb_status fb_import_log_rewind(fb_context *ctx, fb_import_log *log);

#endif
