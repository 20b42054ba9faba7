/* pixel_cache.h - decoded and fitted images of a catalogue, kept so that later epochs
 * need not decode them again.
 *
 *     states [items]           EMPTY, BEING WRITTEN or READY
 *     pixels [slots, bytes]    slots are given out in the order in which images come,
 *                              and are never taken back: a full cache stays as it is
 *
 * Any number of threads may ask and keep at once; a hit costs one atomic load. What
 * batches hold does not depend on it.
 */
#ifndef FB_DATA_BATCH_PIXEL_CACHE_H
#define FB_DATA_BATCH_PIXEL_CACHE_H

#include "base/status.h"

typedef struct fb_pixel_cache fb_pixel_cache;

/* Room for as many images of image_bytes as fit into most_bytes, at most one an item.
 * Memory is asked for at once and used as images come. FB_E_MEMORY. */
fb_status fb_pixel_cache_create(fb_context *ctx, fb_pixel_cache **cache, int32_t items,
                                int64_t image_bytes, int64_t most_bytes);
void fb_pixel_cache_free(fb_pixel_cache *cache);

/* The item's pixels, NULL when they are not there (yet). */
const uint8_t *fb_pixel_cache_find(const fb_pixel_cache *cache, int32_t item);
/* A copy of them, when there is room and nobody else keeps them. */
void fb_pixel_cache_keep(fb_pixel_cache *cache, int32_t item, const uint8_t *pixels);

#endif
