/* index_writer.h - the files of a new segment, written block by block, and the steps
 * that change an index folder.
 *
 *     begin  (lock the folder, read index.json, take away what no index.json names)
 *       -> segments written, rows deleted, segments merged      index.json is untouched
 *     commit (index.json names what is there now)  or  abandon
 *
 * Killed in between, the folder still holds the index as it was.
 */
#ifndef FB_RETRIEVAL_INDEX_INDEX_WRITER_H
#define FB_RETRIEVAL_INDEX_INDEX_WRITER_H

#include "retrieval/index/index_store.h"

typedef struct fb_index_change {
    char folder[4096];
    int lock; /* of the folder's file "lock" */
    bool existed;
    fb_index_manifest *manifest; /* as it is to be */
    int32_t threads;             /* that build graphs */
    const float *queries;        /* [query_count, D] to measure graphs by; NULL: rows */
    int64_t query_count;
} fb_index_change;

/* Make the folder where it is not there, and lock it. A folder that holds other things
 * is FB_E_STATE, as is one that another process changes. With `fresh` the manifest
 * begins with no segment (those of an index that is there stay until commit); without,
 * FB_E_MISSING where there is no index. abandon in any case. */
fb_status fb_index_change_begin(fb_context *ctx, fb_index_change *change,
                                const char *folder, bool fresh);
fb_status fb_index_change_commit(fb_context *ctx, fb_index_change *change);
/* Files that no index.json names are taken away with the next change. After commit it
 * only unlocks. */
void fb_index_change_end(fb_index_change *change);

/* Set bits of the segment's rows [rows] that are deleted now, beside those that were.
 */
fb_status fb_index_change_delete(fb_context *ctx, fb_index_change *change,
                                 int32_t segment, const uint8_t *deleted);

/* Where the last segments have grown alike, or hold much that is deleted, write them as
 * one, so that there are few: of the order of the logarithm of the rows. */
fb_status fb_index_change_merge(fb_context *ctx, fb_index_change *change);

/* ---- one segment ---------------------------------------------------------------- */

typedef struct fb_segment_writer fb_segment_writer;

/* rows are known from the start. parts: image and text vectors are given too. */
fb_status fb_segment_writer_open(fb_context *ctx, fb_index_change *change,
                                 fb_segment_writer **writer, int64_t rows, bool parts,
                                 const char *catalog);
void fb_segment_writer_close(fb_segment_writer *writer); /* after finish too */

/* The next `count` rows: unit vectors [count, D]; image and text with parts; kept
 * [count, bytes of a row] where the manifest keeps. FB_E_NUMBER: a vector is not
 * finite.
 */
fb_status fb_segment_writer_add(fb_context *ctx, fb_segment_writer *writer,
                                int64_t count, const float *vectors, const float *image,
                                const float *text, const void *kept);

/* The next rows are those of another segment of the same index, [from, from + count),
 * as they are stored. */
fb_status fb_segment_writer_copy(fb_context *ctx, fb_segment_writer *writer,
                                 const fb_segment *segment, int64_t from,
                                 int64_t count);

/* products [rows]. graph: make one where the manifest's kind has one; then effort is
 * raised until it finds what is wanted (index_tune.h). Its entry is appended to the
 * manifest. */
fb_status fb_segment_writer_finish(fb_context *ctx, fb_segment_writer *writer,
                                   const fb_product_row *products, bool graph);

/* Added and merged segments of fewer rows are searched exactly, whatever the kind. */
enum { FB_GRAPH_ROWS_LEAST = 5000 };

#endif
