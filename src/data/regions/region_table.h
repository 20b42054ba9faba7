/* region_table.h - the regions of a catalogue's images, out of a region file: what
 * batches carry in place of pixels. Without a catalogue, of images by their names.
 *
 * Names in the file mean images as an import says (region_names.h); names of other
 * images are passed over. Of an image with more than `most` regions the first are
 * taken: detectors list them by confidence.
 */
#ifndef FB_DATA_REGIONS_REGION_TABLE_H
#define FB_DATA_REGIONS_REGION_TABLE_H

#include "data/catalogue/catalogue.h"
#include "data/regions/region_file.h"
#include "data/regions/region_names.h"
#include "tensor/batch.h"

typedef struct fb_region_table {
    fb_region_file *file;
    const fb_catalogue *catalogue; /* NULL: there is none */
    fb_region_names *names;
    char path[4096]; /* of the file */
    int32_t *image;  /* [items] image of the file; -1: none */
    int32_t most;    /* regions of an image */
} fb_region_table;

/* `limit`: the most regions of an image, 0: as many as there are. The catalogue is
 * borrowed, and may be NULL.
 * FB_E_FORMAT  a name may be several images, or two names are one image
 * FB_E_LIMIT   the path is too long
 * FB_E_MISSING, FB_E_FORMAT, FB_E_MEMORY  as fb_region_file_open */
fb_status fb_region_table_open(fb_context *ctx, fb_region_table **table,
                               const char *path, const fb_catalogue *catalogue,
                               int32_t limit);
void fb_region_table_close(fb_region_table *table);

/* F, and what a batch of them holds. */
int32_t fb_region_table_width(const fb_region_table *table);
fb_region_kind fb_region_table_kind(const fb_region_table *table);

/* FB_E_MISSING: an image of these items has no regions; the first is named.
 * FB_E_FORMAT: a class is none of the file's. */
fb_status fb_region_table_check(fb_context *ctx, const fb_region_table *table,
                                const int32_t *items, int64_t count);
/* Of an item that has some; pointers into the file. */
fb_regions fb_region_table_get(const fb_region_table *table, int32_t item);

/* Those of the photo at a path: of the catalogue's image of that file, else of an image
 * that the region file calls as the path, an end of it behind a slash, or its last part without its ending.
 * FB_E_MISSING: of none. */
fb_status fb_region_table_find(fb_context *ctx, const fb_region_table *table,
                               const char *path, fb_regions *regions);

#endif
