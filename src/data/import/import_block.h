/* import_block.h - records whose images are checked and stored on threads of their own,
 * a block at a time, while the caller reads the next block.
 *
 *     take, take, ... -> start -> (the caller fills another block) -> wait -> jobs
 *                                                                          -> clear
 */
#ifndef FB_DATA_IMPORT_IMPORT_BLOCK_H
#define FB_DATA_IMPORT_IMPORT_BLOCK_H

#include "data/import/import_log.h"
#include "fashionbert.h"

enum { FB_IMPORT_BLOCK_JOBS = 256, FB_IMPORT_THREADS_MAX = 64 };
/* A block is full, too, with so many bytes of images in memory. */
#define FB_IMPORT_BLOCK_BYTES (32 << 20)

typedef struct fb_import_job {
    /* Filled in by the caller, strings in the block's arena. */
    const char *where;
    int64_t number; /* of the record, from 1: names the file */
    fb_record_image image;
    const char *row;
    const fb_import_entry *old; /* what the log says of it, or NULL */
    uint64_t key;               /* that its split hangs on */
    int32_t stated;             /* its own split; -1: none */
    const char *mended;         /* NULL, or what of it is not read, as in a record */
    /* Of the record, or found by the threads; not GOOD: `why` says why. */
    fb_record_fault fault;
    char why[640];
    /* Found by the threads. */
    fb_import_entry entry;
    char file_name[64];
    bool resumed; /* was stored by a run before */
} fb_import_job;

typedef struct fb_import_block fb_import_block;

/* Images go to `folder`, whose sub-folders the caller makes (fb_import_file_folder).
 * resize as in import_image.h. */
fb_status fb_import_block_create(fb_context *ctx, fb_import_block **block,
                                 const char *folder, int32_t resize, int32_t threads);
void fb_import_block_free(fb_import_block *block);

fb_arena *fb_import_block_arena(fb_import_block *block);
/* The next job, all zero; NULL when the block is full. */
fb_import_job *fb_import_block_take(fb_import_block *block);
/* Count bytes that the arena holds for an image. */
void fb_import_block_count(fb_import_block *block, size_t image_bytes);

fb_status fb_import_block_start(fb_context *ctx, fb_import_block *block);
/* Failures of writing and of memory; what is wrong with images is their jobs' fault. */
fb_status fb_import_block_wait(fb_context *ctx, fb_import_block *block);
fb_import_job *fb_import_block_jobs(fb_import_block *block, int32_t *count);
void fb_import_block_clear(fb_import_block *block);

/* "images/012" of record 12345, and whether it is the first in it. */
enum { FB_IMPORT_FOLDER_FILES = 1000 };
void fb_import_file_folder(int64_t number, char out[32]);

#endif
