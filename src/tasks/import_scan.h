/* import_scan.h - SCAN's pairs: a folder of regions and captions becomes a catalogue
 * without images, for systems that read regions.
 *
 *     train_ims.npy    [N, n, F] f4       regions of N images, split train
 *     train_caps.txt   a caption a line   N of them, or k N: then image i has the lines
 *                                         k i to k i + k - 1; k is mostly 5
 *     dev_..., test_...                   the splits val and test
 *
 *     OUT/metadata.jsonl      a row a caption: file_name and product_id "train/17" (of
 *                             image 17), title, split
 *     OUT/regions.features    region_file.h, by file_name
 */
#ifndef FB_TASKS_IMPORT_SCAN_H
#define FB_TASKS_IMPORT_SCAN_H

#include "base/status.h"
#include "fashionbert.h"

/* Uses sources (one folder), out, skip_bad, notice and quiet of the options.
 * FB_E_USAGE, FB_E_MISSING, FB_E_FORMAT, FB_E_IO, FB_E_MEMORY; a failure leaves nothing
 * behind. */
fb_status fb_scan_import(fb_context *ctx, const fb_import_options *options,
                         fb_import_report *report);

#endif
