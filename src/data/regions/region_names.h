/* region_names.h - which image of a catalogue a name in a feature file means.
 *
 * Detectors name images by what they were given. Tried in this order: the item's
 * file_name, the file's name without folder and ending, the product_id. A name that
 * several images would have is refused; several items of one file_name are one image.
 */
#ifndef FB_DATA_REGIONS_REGION_NAMES_H
#define FB_DATA_REGIONS_REGION_NAMES_H

#include "data/catalogue/catalogue.h"

typedef struct fb_region_names fb_region_names;

/* The catalogue is borrowed. FB_E_MEMORY */
fb_status fb_region_names_create(fb_context *ctx, fb_region_names **names,
                                 const fb_catalogue *catalogue);
void fb_region_names_free(fb_region_names *names);

enum { FB_REGION_NAME_UNKNOWN = -1, FB_REGION_NAME_AMBIGUOUS = -2 };
/* The first item of that image, or one of the above. */
int32_t fb_region_names_find(const fb_region_names *names, const char *name);

/* The first item of the image that an item has. */
int32_t fb_region_names_first(const fb_region_names *names, int32_t item);

/* Marks an image as having regions, by an item; false: it had them. */
bool fb_region_names_mark(fb_region_names *names, int32_t item);
/* The first item from `from` on whose image has none; -1: all have. */
int32_t fb_region_names_next_missing(const fb_region_names *names, int32_t from);

#endif
