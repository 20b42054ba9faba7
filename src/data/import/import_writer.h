/* import_writer.h - records into a catalogue folder, which appears whole or not at all.
 *
 *     OUT.part/images/000/000001.jpg   the images, by the number of their record
 *     OUT.part/import.log              what was done (import_log.h)
 *
 * Once all records are there the splits are planned (split_plan.h), metadata.jsonl is
 * written, and OUT.part becomes OUT. A run that was killed leaves OUT.part, and the
 * next one goes on from it. What is kept of a product in memory is its key, its image's
 * hashes and its id's: some 200 bytes; beside that two blocks of records.
 */
#ifndef FB_DATA_IMPORT_IMPORT_WRITER_H
#define FB_DATA_IMPORT_IMPORT_WRITER_H

#include "data/import/record_source.h"
#include "fashionbert.h"

typedef struct fb_import_writer fb_import_writer;

/* options are borrowed. FB_E_USAGE (out is there, an option is wrong), FB_E_STATE
 * (another process writes there), FB_E_IO, FB_E_MEMORY */
fb_status fb_import_writer_open(fb_context *ctx, fb_import_writer **writer,
                                const fb_import_options *options);
/* Whether the source's fields can make rows, where they are known. FB_E_USAGE */
fb_status fb_import_writer_check(fb_context *ctx, fb_import_writer *writer,
                                 const char *name, const fb_record_source *source);
/* The next record, images by fields in source->folder. What is wrong with it is told to
 * options->notice and counted; failures are of writing and of memory. progress: of all
 * sources, 0 to 1. */
fb_status fb_import_writer_add(fb_context *ctx, fb_import_writer *writer,
                               const fb_record *record, const char *folder,
                               double progress);
/* FB_E_FORMAT: there were bad records, and skip_bad does not allow them; or no good one
 */
fb_status fb_import_writer_commit(fb_context *ctx, fb_import_writer *writer,
                                  fb_import_report *report);
/* Without a commit that went well, what was written is removed. */
void fb_import_writer_close(fb_import_writer *writer);

#endif
