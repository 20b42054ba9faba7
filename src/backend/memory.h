/* memory.h - a backend's own memory: what kernels read and write lies there.
 *
 *     host array --upload--> backend's memory --download--> host array
 *
 * A pointer into it is a number to everyone above backend/: it may be shifted by bytes
 * and handed to a kernel, and is read and written by this table alone. Where `host` is
 * true the two are one memory: then a host array may be handed to a kernel as it lies,
 * and what a kernel wrote may be read after `finish`.
 */
#ifndef FB_BACKEND_MEMORY_H
#define FB_BACKEND_MEMORY_H

#include "backend/backend.h"

struct fb_memory {
    bool host; /* the backend computes in the host's memory */
    /* *memory: `bytes`, aligned to 64, not cleared. FB_E_MEMORY */
    fb_status (*alloc)(fb_context *ctx, fb_backend *be, void **memory, size_t bytes);
    void (*free)(fb_backend *be, void *memory); /* NULL: nothing */
    /* `from` may change once it returns */
    fb_status (*upload)(fb_context *ctx, fb_backend *be, void *to, const void *from,
                        size_t bytes);
    /* behind all kernels called before; `to` holds the bytes after the next finish */
    fb_status (*download)(fb_context *ctx, fb_backend *be, void *to, const void *from,
                          size_t bytes);
    /* within the backend's memory; the two do not overlap */
    fb_status (*copy)(fb_context *ctx, fb_backend *be, void *to, const void *from,
                      size_t bytes);
    /* each byte of `to` */
    fb_status (*fill)(fb_context *ctx, fb_backend *be, void *to, uint8_t byte,
                      size_t bytes);
    /* Wait for everything called before. */
    fb_status (*finish)(fb_context *ctx, fb_backend *be);
};

/* Of backends that compute in the host's memory. */
extern const fb_memory fb_memory_host;

#endif
