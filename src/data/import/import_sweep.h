/* import_sweep.h - what a killed import left in a catalogue's images/ that no line of
 * its log names: images that were stored after the last line, or that have become
 * others since.
 */
#ifndef FB_DATA_IMPORT_IMPORT_SWEEP_H
#define FB_DATA_IMPORT_IMPORT_SWEEP_H

#include "data/import/import_log.h"

/* Read the log anew (it stands at its end then) and remove from folder/images every
 * file that it does not name, and the folders of records past the last.
 * FB_E_IO, FB_E_LIMIT (a path), FB_E_MEMORY */
fb_status fb_import_sweep(fb_context *ctx, fb_import_log *log, const char *folder,
                          int64_t records);

#endif
