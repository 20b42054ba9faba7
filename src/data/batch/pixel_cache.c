/* pixel_cache.c - who moves an item's state from EMPTY to WRITTEN takes a slot and
 * copies; READY is stored with release order, so whoever loads it sees the pixels.
 */
#include "data/batch/pixel_cache.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* An item's state: one of these, or the number of its slot. */
enum { EMPTY = -1, WRITTEN = -2 };

struct fb_pixel_cache {
    _Atomic int32_t *states;
    uint8_t *pixels;
    size_t image_bytes;
    int32_t items, slots;
    atomic_int_least32_t taken; /* slots, never more than there are */
};

fb_status fb_pixel_cache_create(fb_context *ctx, fb_pixel_cache **cache, int32_t items,
                                int64_t image_bytes, int64_t most_bytes)
{
    int64_t slots = most_bytes / image_bytes;
    slots = slots > items ? items : slots;
    fb_pixel_cache *c = calloc(1, sizeof *c);
    if (c) {
        c->image_bytes = (size_t)image_bytes;
        c->items = items;
        c->slots = (int32_t)slots;
        c->states = malloc((size_t)items * sizeof *c->states);
        c->pixels = malloc(slots > 0 ? (size_t)slots * c->image_bytes : 1);
        atomic_init(&c->taken, 0);
    }
    if (!c || !c->states || !c->pixels) {
        fb_pixel_cache_free(c);
        return fb_fail(ctx, FB_E_MEMORY,
                       "no memory to keep %lld images (%lld MB); use a smaller cache",
                       (long long)slots, (long long)(slots * image_bytes >> 20));
    }
    for (int32_t i = 0; i < items; i++)
        atomic_init(&c->states[i], EMPTY);
    *cache = c;
    return FB_OK;
}

void fb_pixel_cache_free(fb_pixel_cache *cache)
{
    if (!cache)
        return;
    free(cache->states);
    free(cache->pixels);
    free(cache);
}

const uint8_t *fb_pixel_cache_find(const fb_pixel_cache *cache, int32_t item)
{
    int32_t slot = atomic_load_explicit(&cache->states[item], memory_order_acquire);
    return slot < 0 ? NULL : cache->pixels + (size_t)slot * cache->image_bytes;
}

static int32_t take_slot(fb_pixel_cache *cache)
{
    int_least32_t slot = atomic_load(&cache->taken);
    while (slot < cache->slots)
        if (atomic_compare_exchange_weak(&cache->taken, &slot, slot + 1))
            return slot;
    return -1;
}

void fb_pixel_cache_keep(fb_pixel_cache *cache, int32_t item, const uint8_t *pixels)
{
    int32_t expected = EMPTY;
    if (atomic_load_explicit(&cache->taken, memory_order_relaxed) >= cache->slots ||
        !atomic_compare_exchange_strong(&cache->states[item], &expected, WRITTEN))
        return;
    int32_t slot = take_slot(cache);
    if (slot < 0) { /* somebody took the last one meanwhile */
        atomic_store(&cache->states[item], EMPTY);
        return;
    }
    memcpy(cache->pixels + (size_t)slot * cache->image_bytes, pixels,
           cache->image_bytes);
    atomic_store_explicit(&cache->states[item], slot, memory_order_release);
}
