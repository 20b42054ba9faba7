/* import_clicks.h - a click log (click_log.h) goes beside the catalogue that is
 * written: FOLDER/clicks.tsv, with the rows of one query and product added up.
 */
#ifndef FB_DATA_IMPORT_IMPORT_CLICKS_H
#define FB_DATA_IMPORT_IMPORT_CLICKS_H

#include "base/status.h"
#include "fashionbert.h"

/* Check options->clicks ("": there is none) against the products in
 * FOLDER/metadata.jsonl and write it. Rows that cannot be read and products that are
 * not in the catalogue are told to options->notice and counted in
 * report->clicks_skipped; the rows that were kept in report->clicks. FB_E_FORMAT: there
 * were such rows, without options->skip_bad, or no row is left; FB_E_MISSING, FB_E_IO,
 * FB_E_MEMORY. */
fb_status fb_import_clicks(fb_context *ctx, const char *folder,
                           const fb_import_options *options, fb_import_report *report);

#endif
