/* image_block.h - images of a catalogue decoded and fitted on threads of their own, a
 * block at a time, while the caller does something else.
 *
 *     start  ->  (the caller works)  ->  wait  ->  pixels [count, size, size, 3]
 */
#ifndef FB_DATA_IMAGE_IMAGE_BLOCK_H
#define FB_DATA_IMAGE_IMAGE_BLOCK_H

#include "data/catalogue/catalogue.h"
#include "data/image/image_resize.h"

typedef struct fb_image_block fb_image_block;

/* Room for `most` images; 1 to 64 threads. The catalogue is borrowed. */
fb_status fb_image_block_create(fb_context *ctx, fb_image_block **block,
                                const fb_catalogue *catalogue, int32_t most,
                                int32_t image_size, fb_fit fit, int32_t threads);
/* At any time; joins the threads after the image each is at. */
void fb_image_block_free(fb_image_block *block);

/* Begin with items [count], borrowed until wait. */
fb_status fb_image_block_start(fb_context *ctx, fb_image_block *block,
                               const int32_t *items, int32_t count);
/* Until all are decoded; pixels are valid until the next start. A failure names the
 * first image, in the items' order, that could not be read. */
fb_status fb_image_block_wait(fb_context *ctx, fb_image_block *block,
                              const uint8_t **pixels);

#endif
