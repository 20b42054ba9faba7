/* inspect.h - the parts of the inspect verb, each filling its fields of the inspection.
 *
 *     inspect_texts.c    titles, words, fields, queries
 *     inspect_images.c   every image read once: sizes, broken ones, what repeats
 *     inspect_regions.c  regions of images, where asked for
 *     inspect_html.c     the page
 *     linear_floor.h     the floor
 */
#ifndef FB_TASKS_INSPECT_H
#define FB_TASKS_INSPECT_H

#include "data/catalogue/catalogue.h"
#include "fashionbert.h"

/* FB_E_MEMORY; what the inspection holds then is undefined but may be freed. */
fb_status fb_inspect_texts(fb_context *ctx, const fb_catalogue *catalogue,
                           fb_inspection *inspection);
fb_status fb_inspect_images(fb_context *ctx, const fb_catalogue *catalogue,
                            const fb_inspect_options *options,
                            fb_inspection *inspection);

/* Fills inspection->regions. FB_E_MISSING, FB_E_FORMAT (the region file), FB_E_IO (the
 * sheet), FB_E_MEMORY. _check opens the file, before any work. */
fb_status fb_inspect_regions_check(fb_context *ctx, const fb_inspect_options *options);
fb_status fb_inspect_regions_of(fb_context *ctx, const fb_catalogue *catalogue,
                                const fb_inspect_options *options,
                                fb_inspection *inspection);

/* Write the page, in one step. FB_E_IO, FB_E_MEMORY: an older file stays. */
fb_status fb_inspect_html(fb_context *ctx, const char *path,
                          const fb_catalogue *catalogue,
                          const fb_inspection *inspection);

/* Sorts values [count] and gives their spread; of an even count the median is the mean
 * of the two in the middle, p95 the value below which 95 % lie. */
fb_spread fb_spread_of(double *values, int64_t count);

/* text into out [size], cut between characters where it does not fit. */
void fb_text_copy(char *out, size_t size, const char *text);

#endif
