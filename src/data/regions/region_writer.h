/* region_writer.h - writing a region file (region_file.h), image by image, by way of
 * PATH.new: a kill leaves what was there before. */
#ifndef FB_DATA_REGIONS_REGION_WRITER_H
#define FB_DATA_REGIONS_REGION_WRITER_H

#include "data/regions/region_file.h"
#include "data/regions/region_source.h"

typedef struct fb_region_writer fb_region_writer;

/* FB_E_IO, FB_E_MEMORY. */
fb_status fb_region_writer_open(fb_context *ctx, fb_region_writer **writer,
                                const char *path);
/* Without fb_region_writer_finish nothing is left. */
void fb_region_writer_close(fb_region_writer *writer);

/* Add an image under `name`, checked by fb_region_record_check.
 * FB_E_FORMAT, FB_E_NUMBER   the check's failures; a name that was there before;
 *                            another width of features than the first image's; boxes
 *                            or classes where that had none, or the other way round.
 *                            Sentences
 *                            have no place; the file goes on without the image.
 * FB_E_IO, FB_E_MEMORY       the writing has failed */
fb_status fb_region_writer_add(fb_context *ctx, fb_region_writer *writer,
                               const char *name, const fb_region_record *record);
int32_t fb_region_writer_images(const fb_region_writer *writer);
/* FB_E_FORMAT: not a single image. FB_E_IO. */
fb_status fb_region_writer_finish(fb_context *ctx, fb_region_writer *writer);

#endif
