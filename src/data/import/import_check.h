/* import_check.h - whether a record makes a row of a catalogue, and that row.
 *
 * What is looked at here needs no image: title, id, path, split.
 *
 *   - An id must not come twice.
 *   - A product_id may, since it has several images; but not twice with one image and
 *     title.
 *
 * Ids that came before are known by a 64-bit hash of each: among a million products,
 * two different ids collide with a chance of 3e-8.
 */
#ifndef FB_DATA_IMPORT_IMPORT_CHECK_H
#define FB_DATA_IMPORT_IMPORT_CHECK_H

#include "data/import/import_block.h"
#include "data/import/import_map.h"

typedef struct fb_import_check fb_import_check;

/* split_by as in fb_import_options; own_split: heed what the source says of splits.
 * Both strings are borrowed. FB_E_USAGE (map), FB_E_MEMORY */
fb_status fb_import_check_create(fb_context *ctx, fb_import_check **check,
                                 const fb_import_options *options);
void fb_import_check_free(fb_import_check *check);

/* Whether records with these names alone can make rows. FB_E_USAGE says which target
 * nothing gives, and what there is; `name` begins the sentence. */
fb_status fb_import_check_columns(fb_context *ctx, const fb_import_check *check,
                                  const char *name, const fb_record_source *source);

/* Fill in a job but for `old`: where, image, row, key, stated, fault and why. number
 * must be set. Strings and image bytes are copied to the arena. FB_E_MEMORY */
fb_status fb_import_check_record(fb_context *ctx, fb_import_check *check,
                                 const fb_record *record, const char *folder,
                                 fb_arena *arena, fb_import_job *job);

#endif
