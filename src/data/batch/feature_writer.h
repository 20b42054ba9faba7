/* feature_writer.h - filling a feature cache (feature_cache.h), block by block.
 *
 *     PATH.part    has its whole length from the start; a block's rows and its checksum
 *                  are written and synced together
 *     PATH         PATH.part renamed, once all blocks are there
 *
 * A killed writer's part goes on behind the blocks whose checksums fit what is there: a
 * torn block is computed again. The part is locked while somebody fills it.
 */
#ifndef FB_DATA_BATCH_FEATURE_WRITER_H
#define FB_DATA_BATCH_FEATURE_WRITER_H

#include "data/batch/feature_cache.h"

typedef struct fb_feature_writer fb_feature_writer;

/* Begin PATH.part with blocks of `block` rows, or go on with the one that is there.
 * With `keep` a part that is of something else is refused, without it begun anew.
 * FB_E_STATE    keep, and what differs; or another process is filling it
 * FB_E_FORMAT   keep, and it is no part at all
 * FB_E_IO       not to be written, or no room for all rows */
fb_status fb_feature_writer_open(fb_context *ctx, fb_feature_writer **writer,
                                 const char *path, const fb_feature_key *key,
                                 int32_t block, bool keep);
/* Leaves PATH.part for the next time unless it was finished. */
void fb_feature_writer_close(fb_feature_writer *writer);

int32_t fb_feature_writer_done(const fb_feature_writer *writer); /* rows */
/* Rows of the next block; 0: all are there. */
int32_t fb_feature_writer_next(const fb_feature_writer *writer);
/* The next block [fb_feature_writer_next, P, F]; on the disk when this returns. */
fb_status fb_feature_writer_add(fb_context *ctx, fb_feature_writer *writer,
                                const fb_bf16 *rows);
/* The part becomes PATH. FB_E_STATE: a block is missing. */
fb_status fb_feature_writer_finish(fb_context *ctx, fb_feature_writer *writer);

#endif
