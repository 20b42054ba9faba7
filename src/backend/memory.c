/* memory.c - the memory of backends that compute in the host's: malloc and memcpy. */
#include "backend/memory.h"

#include <stdlib.h>
#include <string.h>

static fb_status host_alloc(fb_context *ctx, fb_backend *be, void **memory,
                            size_t bytes)
{
    (void)be;
    size_t rounded = (bytes + 63) / 64 * 64; /* aligned_alloc wants multiples */
    *memory = rounded < bytes ? NULL : aligned_alloc(64, rounded ? rounded : 64);
    return *memory ? FB_OK
                   : fb_fail(ctx, FB_E_MEMORY, "no memory for %zu bytes", bytes);
}

static void host_free(fb_backend *be, void *memory)
{
    (void)be;
    free(memory);
}

static fb_status host_copy(fb_context *ctx, fb_backend *be, void *to, const void *from,
                           size_t bytes)
{
    (void)ctx;
    (void)be;
    if (bytes)
        memcpy(to, from, bytes);
    return FB_OK;
}

static fb_status host_fill(fb_context *ctx, fb_backend *be, void *to, uint8_t byte,
                           size_t bytes)
{
    (void)ctx;
    (void)be;
    if (bytes)
        memset(to, byte, bytes);
    return FB_OK;
}

static fb_status host_finish(fb_context *ctx, fb_backend *be)
{
    (void)ctx;
    (void)be;
    return FB_OK;
}

const fb_memory fb_memory_host = {
    .host = true,
    .alloc = host_alloc,
    .free = host_free,
    .upload = host_copy,
    .download = host_copy,
    .copy = host_copy,
    .fill = host_fill,
    .finish = host_finish,
};
