/* csv_source.h - products from a CSV or TSV file with a header.
 *
 *     shop/styles.csv:   id,articleType,productDisplayName
 *                        15970,Shirts,Turtle Check Men Navy Blue Shirt
 *
 * The path is the file, or a folder with one .csv or .tsv file; of several, the one
 * whose header has every field that --map uses. Images lie in the file's folder. A row
 * has as many fields as the header. One exception, for files whose writer did not
 * quote: when the last column is the title or the description, and nothing in the row
 * is quoted, fields past the header are the rest of its text, commas and all.
 */
#ifndef FB_DATA_IMPORT_CSV_SOURCE_H
#define FB_DATA_IMPORT_CSV_SOURCE_H

#include "data/import/record_source.h"
#include "fashionbert.h"

bool fb_csv_source_recognise(fb_context *ctx, const char *path);

/* Uses options->map and ->encoding. FB_E_MISSING (no such file, none in the folder),
 * FB_E_FORMAT (no header, a column twice), FB_E_USAGE (a field of --map that no column
 * is called; more than one file fits), FB_E_IO, FB_E_MEMORY */
fb_status fb_csv_source_open(fb_context *ctx, fb_record_source *source,
                             const char *path, const fb_import_options *options);

/* The same for one file, whose images lie in `folder` and whose rows have one more
 * field, `split`, unless split is NULL. */
fb_status fb_csv_source_open_file(fb_context *ctx, fb_record_source *source,
                                  const char *file, const char *folder,
                                  const char *split, const fb_import_options *options);

#endif
