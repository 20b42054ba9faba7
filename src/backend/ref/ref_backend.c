/* ref_backend.c - the table of the reference backend, its making and its end. */
#include "backend/memory.h"
#include "backend/ref/ref.h"

#include <stdlib.h>

void ref_free(fb_backend *be)
{
    free(be);
}

/* Products read the weight itself: there is never a copy to keep or free. */
void ref_weight_release(fb_backend *be, fb_weight *w)
{
    w->cache = NULL;
}

static const fb_kernels ref_kernels = {
#define FB_KERNEL(result, name, ...) .name = ref_##name,
#include "backend/kernels.def"
};

/* One thread computes, however many are offered. */
static fb_status create(fb_context *ctx, fb_backend **be, fb_dtype dtype,
                        int32_t threads)
{
    fb_backend *made = calloc(1, sizeof *made);
    if (!made)
        return fb_fail(ctx, FB_E_MEMORY, "backend ref: out of memory");
    *made = (fb_backend){.k = &ref_kernels,
                         .m = &fb_memory_host,
                         .name = "ref",
                         .dtype = dtype,
                         .threads = 1};
    *be = made;
    return FB_OK;
}

extern const fb_backend_kind fb_backend_ref; /* for the list in backend.c */
const fb_backend_kind fb_backend_ref = {.name = "ref", .create = create};
